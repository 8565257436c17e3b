"""XML from outside: bounded in size and depth, without entities, without the network."""

from __future__ import annotations

from pathlib import Path

from lxml import etree

from proveout.assets.files.atomic import read_regular
from proveout.assets.files.errors import ModelError

MAX_BYTES = 64 * 2**20
MAX_ELEMENTS = 1_000_000


def read_xml(path: Path, kind: str, *, max_bytes: int = MAX_BYTES) -> etree._Element:
    """Return the root element of an XML file, its comments and instructions dropped.

    Args:
        path: Of the file.
        kind: What the file is in an error, such as "robot file".
        max_bytes: The largest file that is read.

    Raises:
        ModelError: The file is missing, too large, not well formed, or declares entities.
    """
    try:
        data = read_regular(path, max_bytes)
    except OSError as error:
        raise ModelError(
            f"{kind} {path} cannot be read ({error.strerror}); give a readable file."
        ) from error
    if len(data) > max_bytes:
        raise ModelError(
            f"{kind} {path} is larger than {max_bytes // 2**20} MiB; give a smaller one."
        )
    return parse_xml(data, f"{kind} {path}")


def parse_xml(data: bytes, name: str, *, long_texts: bool = False) -> etree._Element:
    """Return the root element of a document.

    Args:
        data: The document.
        name: What it is in an error, such as "robot file arm.urdf".
        long_texts: Whether one text may hold more than 10 MB, as the vertices of a mesh do.

    Raises:
        ModelError: It is not well formed, too large, or declares entities.
    """
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, dtd_validation=False,
        huge_tree=long_texts, remove_comments=True, remove_pis=True,
    )  # fmt: skip
    _refuse_entities(data, name)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise ModelError(
            f"{name} is not well-formed XML ({error.msg}); correct it there."
        ) from error
    # In another encoding than ASCII the bytes do not show them.
    subset = root.getroottree().docinfo.internalDTD
    if subset is not None and next(iter(subset.entities()), None) is not None:
        raise _with_entities(name)
    count = sum(1 for _ in root.iter())
    if count > MAX_ELEMENTS:
        raise ModelError(f"{name} has {count} elements; give one with at most {MAX_ELEMENTS}.")
    return root


def line_of(element: etree._Element) -> str:
    """Where an element stands, for an error: its tag, name and line."""
    name = element.get("name")
    told = f"<{element.tag}>" if name is None else f"<{element.tag} name={name!r}>"
    return f"{told} in line {element.sourceline}" if element.sourceline else told


def _refuse_entities(data: bytes, name: str) -> None:
    """Before the parser sees them."""
    if b"<!ENTITY" in data:
        raise _with_entities(name)


def _with_entities(name: str) -> ModelError:
    return ModelError(
        f"{name} declares entities (<!ENTITY ...>), which are not expanded; write the text itself."
    )
