"""Catalogues: entries found by name, put in the place of their references.

A reference is replaced before anything is read: what is read then has no references, and each
element knows the parameters that it sees. Entries may hold references themselves; circles and
floods are refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from proveout.assets.files.errors import ScenarioError, nearest
from proveout.assets.scenario.finding import Finding
from proveout.assets.scenario.node import Node, Place, read_node
from proveout.assets.scenario.scope import Constraint, Declaration, Scope
from proveout.assets.scenario.types import TYPES

MAX_DEPTH = 16  # entries inside each other
MAX_NODES = 200_000  # elements of a scenario with its entries
MAX_FILES = 1_000  # in one catalogue folder
RULES = ("equalTo", "greaterThan", "lessThan", "greaterOrEqual", "lessOrEqual", "notEqualTo")
# Returns a text attribute whose parameters are known, and notes them as structural.
ReadText = Callable[[str, Scope | None, Place], str]


@dataclass(eq=False)
class Library:
    """Files of catalogues, each read once.

    Attributes:
        nodes: Roots of the files read.
    """

    nodes: dict[Path, Node] = field(default_factory=dict)
    _entries: dict[Path, dict[str, dict[str, Node]]] = field(default_factory=dict)

    def read(self, path: Path) -> Node:
        """Return the root of a file."""
        if path not in self.nodes:
            self.nodes[path] = read_node(path)
        return self.nodes[path]

    def catalogs(self, folder: Path, place: Place) -> dict[str, dict[str, Node]]:
        """Return the catalogues in a folder: entries by the name of the catalogue and their own.

        A catalogue is also known by the name of its file. A folder that is not there has none.

        Raises:
            ScenarioError: A file in it cannot be read, or there are too many.
        """
        if folder in self._entries:
            return self._entries[folder]
        files = sorted(folder.glob("*.xosc"))
        if len(files) > MAX_FILES:
            raise place.error(
                f"catalogue folder {folder} has {len(files)} files; leave at most {MAX_FILES}."
            )
        found: dict[str, dict[str, Node]] = {}
        for file in files:
            catalog = self.read(file).child("Catalog")
            if catalog is None:
                continue  # scenarios may lie beside catalogues
            for title in {catalog.attributes.get("name") or file.stem, file.stem}:
                entries = found.setdefault(title, {})
                for entry in catalog.children:
                    entries.setdefault(entry.attribute("name"), entry)
        self._entries[folder] = found
        return found


class Expander:
    """Replaces references by entries and gives every element its scope.

    Args:
        library: Of catalogue files.
        folders: Of catalogues, with the places that name them.
        text: Reads the names in a reference.

    Attributes:
        findings: What is odd in a file.
    """

    def __init__(self, library: Library, folders: list[tuple[Path, Place]], text: ReadText) -> None:
        self.findings: list[Finding] = []
        self.library = library
        self.folders = folders
        self.text = text
        self._left = MAX_NODES
        self._open: list[tuple[str, str]] = []

    def expand(self, node: Node, scope: Scope) -> Node:
        """Return a node without references, each element with the scope that it sees.

        Raises:
            ScenarioError: An entry or a catalogue is missing, entries form a circle, or there are
                too many elements.
        """
        self._left -= 1
        if self._left < 0:
            raise node.place.error(
                f"with its catalogues the scenario has more than {MAX_NODES} elements; "
                f"make it smaller."
            )
        if node.tag == "CatalogReference":
            return self._entry(node, scope)
        inner = declared(node, scope, self.findings)
        children = tuple(self.expand(child, inner) for child in node.children)
        return dataclasses.replace(node, children=children, scope=inner)

    def expand_root(self, root: Node, scope: Scope) -> Node:
        """Return the root of a file expanded; its parameters are those of `scope`."""
        children = tuple(self.expand(child, scope) for child in root.children)
        return dataclasses.replace(root, children=children, scope=scope)

    def _entry(self, node: Node, scope: Scope) -> Node:
        catalog = self.text(node.attribute("catalogName"), scope, node.place)
        name = self.text(node.attribute("entryName"), scope, node.place)
        entry = self._find(node, catalog, name)
        key = (catalog, name)
        if key in self._open:
            circle = " -> ".join(n for _, n in [*self._open[self._open.index(key) :], key])
            raise node.place.error(
                f"entries of catalogues refer to each other in a circle ({circle}); break it."
            )
        if len(self._open) >= MAX_DEPTH:
            raise node.place.error(
                f"more than {MAX_DEPTH} catalogue entries stand inside each other; flatten them."
            )
        own = declared(entry, Scope(), self.findings)
        assignments = node.child("ParameterAssignments")
        for assignment in assignments.all("ParameterAssignment") if assignments else ():
            _assign(own, assignment, scope, name)
        self._open.append(key)
        try:
            children = tuple(
                self.expand(child, own)
                for child in entry.children
                if child.tag != "ParameterDeclarations"
            )
        finally:
            self._open.pop()
        return dataclasses.replace(entry, children=children, scope=own)

    def _find(self, node: Node, catalog: str, name: str) -> Node:
        known: dict[str, dict[str, Node]] = {}
        for folder, place in self.folders:
            for title, entries in self.library.catalogs(folder, place).items():
                known.setdefault(title, {}).update(entries)
        if catalog not in known:
            gone = [str(folder) for folder, _ in self.folders if not folder.is_dir()]
            if gone:
                raise node.place.error(
                    f"catalogue {catalog} is missing, and so is its folder {', '.join(gone)}; put "
                    f"it there or correct the path."
                )
            raise _missing(node, "catalogue", catalog, list(known))
        if name not in known[catalog]:
            raise _missing(node, f"entry of catalogue {catalog}", name, list(known[catalog]))
        return known[catalog][name]


def declared(node: Node, around: Scope, findings: list[Finding]) -> Scope:
    """Return the scope inside a node: the one around it, or its own where it declares parameters.

    A name that is declared twice has its first declaration; a finding tells of the other.

    Raises:
        ScenarioError: A declaration is not as the standard has it.
    """
    block = node.child("ParameterDeclarations")
    if block is None or not block.children:
        return around
    scope = Scope(parent=around)
    # Up to version 1.0 some files write <Parameter>; nothing else stands here.
    for entry in block.children:
        name, kind = entry.attribute("name").lstrip("$"), entry.attribute("parameterType")
        if kind not in TYPES:
            raise entry.place.error(f"parameterType is {kind!r}; it is one of {', '.join(TYPES)}.")
        if name in scope.declarations:
            findings.append(
                Finding(entry.place, f"parameter {name} is declared twice; the first counts")
            )
            continue
        groups = tuple(
            tuple(_constraint(c) for c in group.all("ValueConstraint"))
            for group in entry.all("ConstraintGroup")
        )
        scope.declarations[name] = Declaration(
            name, kind, entry.attribute("value"), scope, entry.place, groups
        )
    return scope


def _constraint(node: Node) -> Constraint:
    rule = node.attribute("rule")
    if rule not in RULES:
        raise node.place.error(f"rule is {rule!r}; it is one of {', '.join(RULES)}.")
    return Constraint(rule, node.attribute("value"), node.place)


def _assign(own: Scope, assignment: Node, scope: Scope, entry: str) -> None:
    name = assignment.attribute("parameterRef").lstrip("$")
    if name not in own.declarations:
        raise _missing(assignment, f"parameter of entry {entry}", name, list(own.declarations))
    own.declarations[name] = dataclasses.replace(
        own.declarations[name],
        text=assignment.attribute("value"), scope=scope, place=assignment.place,
    )  # fmt: skip


def _missing(node: Node, kind: str, name: str, known: list[str]) -> ScenarioError:
    match = nearest(name, known)
    if match is not None:
        hint = f"did you mean {match}?"
    elif known:
        hint = f"known are {', '.join(sorted(known)[:12])}."
    else:
        hint = "none is known; check <CatalogLocations>."
    return node.place.error(f"unknown {kind} {name!r}; {hint}")


def folders_of(root: Node, text: ReadText, scope: Scope) -> list[tuple[Path, Place]]:
    """Return the folders that a scenario names in `<CatalogLocations>`."""
    locations = root.child("CatalogLocations")
    found: dict[Path, Place] = {}
    for location in locations.children if locations else ():
        directory = location.need("Directory")
        name = text(directory.attribute("path"), scope, directory.place)
        found.setdefault(root.place.file.parent / name, directory.place)
    return list(found.items())
