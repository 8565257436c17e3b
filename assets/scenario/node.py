"""XML of a scenario as plain data that remembers its file, its line and its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lxml import etree

from proveout.assets.files.errors import ModelError, ScenarioError
from proveout.assets.files.xml import read_xml

if TYPE_CHECKING:
    from proveout.assets.scenario.scope import Scope

MAX_DEPTH = 100  # elements inside each other; the standard needs about 25


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands.

    Attributes:
        file: Path of the file.
        line: In it, from 1.
        element: Its tag.
    """

    file: Path
    line: int
    element: str

    def __str__(self) -> str:
        return f"{self.file.name}, line {self.line}, <{self.element}>"

    def error(self, sentence: str) -> ScenarioError:
        """Return an error of one sentence that says where: "FILE, line N, <TAG>: sentence"."""
        return ScenarioError(f"{self.file}, line {self.line}, <{self.element}>: {sentence}")


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One element.

    Attributes:
        tag: Its name, without a namespace.
        attributes: As they stand in the file.
        children: Elements in it, in their order.
        text: Directly in it.
        place: Where it stands.
        scope: The parameters that it sees; None before catalogues are resolved.
    """

    tag: str
    attributes: Mapping[str, str]
    children: tuple[Node, ...]
    text: str
    place: Place
    scope: Scope | None = None

    def child(self, tag: str) -> Node | None:
        """Return the first child with a tag."""
        return next((child for child in self.children if child.tag == tag), None)

    def all(self, tag: str) -> Iterator[Node]:
        """Yield the children with a tag."""
        return (child for child in self.children if child.tag == tag)

    def need(self, tag: str) -> Node:
        """Return the first child with a tag.

        Raises:
            ScenarioError: There is none.
        """
        found = self.child(tag)
        if found is None:
            raise self.place.error(f"it needs a <{tag}>; add one.")
        return found

    def attribute(self, name: str) -> str:
        """Return an attribute.

        Raises:
            ScenarioError: There is none.
        """
        if name not in self.attributes:
            raise self.place.error(f"it needs the attribute {name}; add it.")
        return self.attributes[name]

    def size(self) -> int:
        """Number of elements, this one included."""
        return 1 + sum(child.size() for child in self.children)


def read_node(path: Path) -> Node:
    """Read a file of the standard.

    Raises:
        ScenarioError: It is missing, too large, not well formed, declares entities, nests too
            deeply or is no OpenSCENARIO file.
    """
    try:
        root = read_xml(path, "scenario file")
    except ModelError as error:
        raise ScenarioError(str(error)) from error
    node = _convert(root, path, 0)
    if node.tag != "OpenSCENARIO":
        raise node.place.error("an OpenSCENARIO file begins with <OpenSCENARIO>; give one.")
    return node


def _convert(element: etree._Element, path: Path, depth: int) -> Node:
    place = Place(path, element.sourceline or 0, etree.QName(element).localname)
    if depth > MAX_DEPTH:
        raise place.error(f"elements stand more than {MAX_DEPTH} deep; flatten them.")
    # Attributes of other namespaces, such as xsi:noNamespaceSchemaLocation, belong to XML.
    attributes = {str(k): str(v) for k, v in element.attrib.items() if not str(k).startswith("{")}
    children = tuple(_convert(child, path, depth + 1) for child in element)
    return Node(place.element, attributes, children, (element.text or "").strip(), place)
