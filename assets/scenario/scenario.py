"""A scenario file as data: parameters, entities, road network and storyboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from proveout.assets.scenario.catalogs import Expander, Library, declared, folders_of
from proveout.assets.scenario.entities import Entities
from proveout.assets.scenario.environment import RoadNetwork
from proveout.assets.scenario.finding import Finding
from proveout.assets.scenario.node import Node
from proveout.assets.scenario.references import check_references, walk
from proveout.assets.scenario.schema import (
    Any_,
    Element,
    Reader,
    element,
)
from proveout.assets.scenario.scope import Declaration, Frame, Scope
from proveout.assets.scenario.storyboard import Storyboard
from proveout.assets.scenario.types import NUMERIC

# Children of <OpenSCENARIO> in a scenario; anything else is a finding.
_PARTS = frozenset(
    {
        "CatalogLocations", "Entities", "FileHeader", "MonitorDeclarations",
        "ParameterDeclarations", "RoadNetwork", "Storyboard", "VariableDeclarations",
    }
)  # fmt: skip


@element
class VariableDeclaration(Element):
    """A variable, with its value at the start."""

    name: str
    variable_type: str
    value: Any_


@element
class MonitorDeclaration(Element):
    """A monitor, with its value at the start."""

    name: str
    value: bool


@dataclass(frozen=True, kw_only=True)
class Structure:
    """A scenario whose texts are all known; numbers may still differ by row.

    Attributes:
        version: Of the standard that the file names, such as (1, 2).
        road_network: The map.
        entities: Who takes part.
        storyboard: What happens.
        variables: With their values at the start.
        monitors: With their values at the start.
        findings: What is not supported.
        depends: Parameters on whose values all this depends, with these values as texts.
        node: The file with catalogue entries in their places, as XML.
        road_file: The OpenDRIVE file; None where the scenario names none.
    """

    version: tuple[int, int]
    road_network: RoadNetwork
    entities: Entities
    storyboard: Storyboard
    variables: tuple[VariableDeclaration, ...]
    monitors: tuple[MonitorDeclaration, ...]
    findings: tuple[Finding, ...]
    depends: Mapping[str, Any]
    node: Node = field(repr=False)
    road_file: Path | None


@dataclass(eq=False)
class Scenario:
    """A scenario file.

    Attributes:
        path: Of the file.
        root: Its XML.
        scope: Its parameters.
        findings: What is odd in its parameters.
        library: Catalogue files that were read.
    """

    path: Path
    root: Node
    scope: Scope
    findings: tuple[Finding, ...]
    library: Library = field(default_factory=Library)

    @property
    def parameters(self) -> Mapping[str, Declaration]:
        """Declared parameters by name."""
        return self.scope.declarations

    def frame(self, columns: Mapping[str, np.ndarray], rows: int, first: int = 0) -> Frame:
        """Return the values of all parameters over a block of rows; see `Frame`."""
        return Frame(self.scope, columns, rows, first)

    def structure(self, values: Mapping[str, Any] | None = None) -> Structure:
        """Return the scenario for one row.

        Args:
            values: Of parameters that differ from their defaults: float, bool or text.

        Raises:
            ScenarioError: The file, a catalogue or the road file is missing or not as the standard
                has it.
        """
        values = dict(values or {})
        columns = {name: np.array([value]) for name, value in values.items()}
        frame = self.frame(columns, 1)
        reader = Reader(frame, frozenset(values))
        folders = folders_of(self.root, reader.text, self.scope)
        expander = Expander(self.library, folders, reader.text)
        node = expander.expand_root(self.root, self.scope)
        road_network = reader.read(RoadNetwork, node.need("RoadNetwork"))
        entities = reader.read(Entities, node.need("Entities"))
        storyboard = reader.read(Storyboard, node.need("Storyboard"))
        variables = _declarations(reader, VariableDeclaration, node, "VariableDeclarations")
        monitors = _declarations(reader, MonitorDeclaration, node, "MonitorDeclarations")
        declared_names = {
            "variable": frozenset(one.name for one in variables),
            "monitor": frozenset(one.name for one in monitors),
            "parameter": frozenset(self.scope.declarations),
        }
        reader.findings += check_references(entities, storyboard, declared_names)
        self._note_texts(reader, storyboard)
        for part in node.children:
            if part.tag not in _PARTS:
                reader.findings.append(Finding(part.place, "it is not supported"))
        return Structure(
            version=version_of(self.root), road_network=road_network, entities=entities,
            storyboard=storyboard,
            variables=variables, monitors=monitors,
            findings=(*self.findings, *expander.findings, *reader.findings),
            depends={name: values[name] for name in sorted(reader.depends)},
            node=node, road_file=_road_file(road_network, self.path),
        )  # fmt: skip

    def _note_texts(self, reader: Reader, storyboard: Storyboard) -> None:
        """Parameters that conditions and actions name belong to the structure where they are texts.

        Numbers that they ask for may differ by row.
        """
        for part in walk(storyboard):
            name = getattr(part, "parameter_ref", None)
            declaration = self.scope.declarations.get(str(name).lstrip("$"))
            if name is not None and declaration is not None and declaration.kind not in NUMERIC:
                reader.text(f"${declaration.name}", self.scope, part.place)


def load_scenario(path: Path | str) -> Scenario:
    """Read a scenario file.

    Raises:
        ScenarioError: It is missing, not well formed, of another version, or no scenario.
    """
    path = Path(path)
    library = Library()
    root = library.read(path)
    version_of(root)
    if root.child("Catalog") is not None:
        raise root.place.error("it is a catalogue, not a scenario; give a scenario.")
    if root.child("ParameterValueDistribution") is not None:
        raise root.place.error("it is a distribution, not a scenario; read it with load_rows.")
    root.need("Storyboard")
    findings: list[Finding] = []
    scope = declared(root, Scope(), findings)
    return Scenario(path, root, scope, tuple(findings), library)


def version_of(root: Node) -> tuple[int, int]:
    """Return the version that a file names.

    Raises:
        ScenarioError: It is not of version 1.
    """
    header = root.need("FileHeader")
    texts = header.attribute("revMajor"), header.attribute("revMinor")
    if not all(text.strip().isdecimal() and len(text) < 6 for text in texts):
        raise header.place.error(f"version {texts[0]}.{texts[1]} is no number; correct it.")
    major, minor = (int(text) for text in texts)
    if major != 1:
        raise header.place.error(
            f"version {major}.{minor} is not read; give a file of OpenSCENARIO XML 1.0 to 1.3."
        )
    return major, minor


def _declarations(reader: Reader, kind: Any, node: Node, tag: str) -> Any:
    block = node.child(tag)
    return tuple(reader.read(kind, child) for child in block.children) if block else ()


def _road_file(road_network: RoadNetwork, path: Path) -> Path | None:
    file = road_network.logic_file
    if file is None or not file.filepath:
        return None
    road = path.parent / file.filepath.replace("\\", "/")
    if not road.is_file():
        raise file.place.error(f"road file {road} is missing; put it there or correct the path.")
    return road
