"""Numbers and elements out of an XML file, and what nobody has read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeAlias

from lxml import etree

from proveout.assets.files.errors import ModelError
from proveout.assets.files.xml import read_xml

Element: TypeAlias = etree._Element

MAX_MAGNITUDE = 1e9
"""No coordinate, length or coefficient of a road is larger."""

_MAX_WARNINGS = 200


class Reader:
    """Reads one file and keeps account of it.

    Args:
        path: Of the file.

    Attributes:
        root: Its root element; names are without namespaces.

    Raises:
        ModelError: See `read_xml`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = read_xml(path, "road file")
        for element in self.root.iter():
            element.tag = etree.QName(element).localname
        self._read = {self.root}
        self._warnings: list[str] = []
        self._more = 0

    def error(self, element: Element, problem: str) -> ModelError:
        """The error for a problem with an element."""
        return ModelError(f"road file {self.path}: {place(element)} {problem}")

    def warn(self, element: Element, problem: str) -> None:
        """Keep a warning that names the element."""
        self.warn_of(place(element), problem)

    def warn_of(self, what: str, problem: str) -> None:
        """Keep a warning about something named."""
        if len(self._warnings) < _MAX_WARNINGS:
            self._warnings.append(f"{what} {problem}")
        else:
            self._more += 1

    def warnings(self) -> tuple[str, ...]:
        """All of them, those of elements that nobody read among them."""
        more = (f"and {self._more} more warnings",) if self._more else ()
        return (*self._warnings, *more, *self._unread())

    def all(self, parent: Element | None, name: str) -> list[Element]:
        """Children of a name, as read."""
        found = [] if parent is None else parent.findall(name)
        self._read.update(found)
        return found

    def one(self, parent: Element | None, name: str) -> Element | None:
        """The child of a name, if any; the first of several."""
        found = [] if parent is None else parent.findall(name)
        if not found:
            return None
        if len(found) > 1 and parent is not None:
            self.warn(parent, f"has {len(found)} elements <{name}>; the first counts")
        self._read.add(found[0])
        return found[0]

    def required(self, parent: Element, name: str) -> Element:
        """The child of a name, which must be there."""
        found = self.one(parent, name)
        if found is None:
            raise self.error(parent, f"has no <{name}>; add one.")
        return found

    def skip(self, element: Element) -> None:
        """An element whose content says nothing about the road: no warning."""
        self._read.update(element.iter())

    def text(self, element: Element, name: str, default: str | None = None) -> str:
        """An attribute as it stands."""
        value = element.get(name)
        if value is None:
            if default is None:
                raise self.error(element, f"has no attribute {name!r}; add it.")
            return default
        return value.strip()

    def word(self, element: Element, name: str, known: tuple[str, ...], default: str) -> str:
        """An attribute that is one of a few words; any other is told and read as the default."""
        value = self.text(element, name, default)
        if value not in known:
            self.warn(element, f"{name}={value!r} is not known and read as {default!r}")
            return default
        return value

    def number(
        self, element: Element, name: str, default: float | None = None, low: float = -MAX_MAGNITUDE
    ) -> float:
        """A number; finite, at least `low`, at most 1e9.

        Raises:
            ModelError: It is missing without a default, or anything else.
        """
        text = element.get(name)
        if text is None:
            if default is None:
                raise self.error(element, f"has no attribute {name!r}; add a number.")
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and low <= value <= MAX_MAGNITUDE):
            bound = "a number" if low == -MAX_MAGNITUDE else f"a number of at least {low:g}"
            raise self.error(element, f"{name}={text[:40]!r} must be {bound}, at most 1e9.")
        return value

    def integer(self, element: Element, name: str) -> int:
        """A whole number between -1,000 and 1,000, as lanes have."""
        text = self.text(element, name)
        try:
            value = int(text)
        except ValueError:
            value = 10**9
        if abs(value) > 1000:
            raise self.error(element, f"{name}={text[:40]!r} must be a whole number of a lane.")
        return value

    def _unread(self) -> list[str]:
        """One line for each kind of element that nobody read, below one that was."""
        counts: dict[str, list[int]] = {}
        for element in self.root.iter():
            parent = element.getparent()
            if element in self._read or parent is None or parent not in self._read:
                continue
            key = f"<{element.tag}> in <{parent.tag}>"
            if key in counts or len(counts) < _MAX_WARNINGS:
                counts.setdefault(key, []).append(element.sourceline or 0)
        return [
            f"{key} is not supported and left out, line {lines[0]}"
            + (f" and {len(lines) - 1} more" if len(lines) > 1 else "")
            for key, lines in counts.items()
        ]


def place(element: Element) -> str:
    """Where an element stands: its tag, what names it, and its line."""
    named = "".join(
        f" {key}={value!r}"
        for key in ("id", "name", "s", "sOffset")
        if (value := element.get(key)) and len(value) < 40
    )
    return f"<{element.tag}{named}> in line {element.sourceline}"
