"""A row as a scenario file of its own: no parameters, no catalogues, no distribution.

What it says is what the row says: every `$` is replaced by its value and every catalogue entry
stands where it was referred to. Declared parameters stay, with the row's values, as conditions may
ask for them while the scenario runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from proveout.assets.files.atomic import write_atomic
from proveout.assets.files.errors import ScenarioError
from proveout.assets.scenario.constraints import judge
from proveout.assets.scenario.expression import ExpressionError
from proveout.assets.scenario.node import Node
from proveout.assets.scenario.rows import Rows
from proveout.assets.scenario.scenario import version_of
from proveout.assets.scenario.scope import Frame, reference
from proveout.assets.scenario.types import to_text

# Elements whose `filepath` is relative to the scenario file.
_WITH_PATH = ("LogicFile", "SceneGraphFile")


def write_concrete(rows: Rows, number: int, out: Path) -> Path:
    """Write one row as a scenario file.

    Args:
        rows: Of a scenario.
        number: Of the row, from 0.
        out: The file, which ends in .xosc.

    Returns:
        The file.

    Raises:
        ScenarioError: There is no such row, it is outside the constraints, or it cannot be made.
    """
    if out.suffix.lower() != ".xosc":
        raise ScenarioError(f"{out} must end in .xosc.")
    if not out.parent.is_dir():
        raise ScenarioError(f"there is no folder {out.parent} for {out.name}; make it.")
    write_atomic(out, concrete(rows, number, out.parent))
    return out


def concrete(rows: Rows, number: int, folder: Path) -> bytes:
    """Return one row as a scenario file for a folder; see `write_concrete`."""
    values = rows.row(number)
    frame = rows.frame(number, 1)
    if not judge(frame).within[0]:
        raise ScenarioError(
            f"row {number} of {rows.path} is outside the constraints of its parameters; choose one "
            f"that is within them."
        )
    structure = rows.scenario.structure(values)
    root = _element(structure.node, frame, rows.scenario.path.parent, folder)
    _raise_version(root, rows, structure.node)
    tree = etree.ElementTree(root)
    root.insert(0, etree.Comment(f" Row {number} of {rows.path.name}. "))
    etree.indent(root)
    data: bytes = etree.tostring(tree, xml_declaration=True, encoding="UTF-8", pretty_print=True)
    return data


def _element(node: Node, frame: Frame, source: Path, folder: Path) -> etree._Element:
    element = etree.Element(node.tag)
    for name, text in node.attributes.items():
        element.set(name, _value(text, node, frame))
    if node.tag in _WITH_PATH and element.get("filepath"):
        path = source / str(element.get("filepath")).replace("\\", "/")
        element.set("filepath", Path(os.path.relpath(path, folder)).as_posix())
    if node.text:
        element.text = node.text
    for child in node.children:
        if child.tag == "ParameterDeclarations":
            if node.tag == "OpenSCENARIO":
                element.append(_parameters(child, frame))
        elif child.tag == "CatalogLocations":
            etree.SubElement(element, child.tag)
        else:
            element.append(_element(child, frame, source, folder))
    return element


def _raise_version(root: etree._Element, rows: Rows, node: Node) -> None:
    """Name the newest version among the scenario and the catalogues whose entries it now holds."""
    files = {part.place.file for part in _all(node)}
    newest = max(version_of(rows.scenario.library.nodes[file]) for file in files)
    header = root.find("FileHeader")
    if header is not None:
        header.set("revMajor", str(newest[0]))
        header.set("revMinor", str(newest[1]))


def _all(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _all(child)


def _parameters(block: Node, frame: Frame) -> etree._Element:
    element = etree.Element(block.tag)
    written = set()
    for node in block.children:
        name = node.attributes["name"].lstrip("$")
        if name in written:
            continue
        written.add(name)
        value = frame.parameter(name, frame.root, node.place)
        etree.SubElement(
            element, node.tag,
            name=name, parameterType=node.attributes["parameterType"], value=_told(value),
        )  # fmt: skip
    return element


def _value(text: str, node: Node, frame: Frame) -> str:
    if "$" not in text:
        return text
    try:
        reference(text)
    except ExpressionError:
        return text  # a text with a dollar; the reader's finding tells of it
    return _told(frame.value(text, "any", node.scope, node.place))


def _told(value: object) -> str:
    """A value of shape () or (1,) as text."""
    return to_text(value[0] if getattr(value, "shape", ()) else value)  # type: ignore[index]
