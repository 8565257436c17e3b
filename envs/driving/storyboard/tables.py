"""Elements of a scenario as flat tables: one for each class, one line for each element.

Rows of a scenario that share a structure share these tables but for their numbers. An element's
texts, flags and choices become integers, its numbers one value a row, and what it holds becomes the
lines of other tables, which stand one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from proveout.assets.scenario.schema import Element, FieldShape, Unsupported, shape_of
from proveout.assets.scenario.scope import Frame, Value

NOTHING = -1  # a child, a flag or a text that is not there
# Fields whose text names an entity: its index in the order of the file stands there.
ENTITY_FIELDS = frozenset({"entity_ref", "master_entity_ref"})


@dataclass(frozen=True, eq=False)
class Table:
    """Elements of one class.

    Attributes:
        integers: Texts (by number), flags, choices, and places of children, shape (lines, columns).
            A choice is its place in the standard's list, an entity its number, another text its
            place in `Tables.texts`. A child has two columns, NAME.table and NAME.line; children in
            a list have NAME.first and NAME.count, lines of the table "list". `NOTHING`: not there.
        integer_names: Of the columns of `integers`.
        numbers: float64, shape (rows, lines, columns), or (1, lines, columns) where no row differs;
            NaN: not there, or a text.
        number_names: Of the columns of `numbers`.
    """

    integers: np.ndarray
    integer_names: tuple[str, ...]
    numbers: np.ndarray
    number_names: tuple[str, ...]

    def integer(self, line: int, name: str) -> int:
        """Return one integer."""
        return int(self.integers[line, self.integer_names.index(name)])

    def number(self, row: int, line: int, name: str) -> float:
        """Return one number of one row."""
        column = self.number_names.index(name)
        return float(self.numbers[row % len(self.numbers), line, column])


@dataclass(frozen=True, eq=False)
class Tables:
    """All elements below some others.

    Attributes:
        rows: How many rows the numbers are of.
        names: Of the tables, in the order of their numbers.
        tables: By name; "list" holds pairs of a table and a line.
        texts: Texts other than choices and entities.
        entities: Names of entities in their order.
    """

    rows: int
    names: tuple[str, ...]
    tables: Mapping[str, Table]
    texts: tuple[str, ...]
    entities: tuple[str, ...]


class Builder:
    """Collects elements, then makes tables of them.

    Args:
        frame: Values of the rows.
        entities: Names of entities.
    """

    def __init__(self, frame: Frame, entities: Sequence[str]) -> None:
        self.frame = frame
        self.entities = tuple(entities)
        self._entity = {name: index for index, name in enumerate(self.entities)}
        self._texts: dict[str, int] = {}
        self._numbers: dict[str, int] = {"list": 0}
        self._integers: dict[str, list[list[int]]] = {"list": []}
        self._values: dict[str, list[list[Value | None]]] = {"list": []}
        self._columns: dict[str, tuple[list[str], list[str]]] = {"list": (["table", "line"], [])}

    def add(self, element: Element) -> tuple[int, int]:
        """Add an element and all that it holds; return the number of its table and its line."""
        name = type(element).__name__
        if name not in self._numbers:
            self._numbers[name] = len(self._numbers)
            self._integers[name], self._values[name] = [], []
            self._columns[name] = _columns(type(element))
        integers: list[int] = []
        values: list[Value | None] = []
        for shape in () if isinstance(element, Unsupported) else shape_of(type(element)):
            value = getattr(element, shape.name)
            if shape.attribute is None:
                integers += self._children(value, shape)
            elif shape.kind in ("text", "bool", "choice"):
                integers.append(self._integer(value, shape))
            else:
                values.append(value)
                if shape.kind == "any":
                    integers.append(self._text(value))
        self._integers[name].append(integers)
        self._values[name].append(values)
        return self._numbers[name], len(self._integers[name]) - 1

    def build(self) -> Tables:
        """Return the tables.

        Raises:
            ScenarioError: A number cannot be evaluated for some row.
        """
        tables = {}
        for name, lines in self._integers.items():
            integer_names, number_names = self._columns[name]
            integers = np.array(lines, np.int32).reshape(len(lines), len(integer_names))
            numbers = self._evaluated(self._values[name], len(number_names))
            tables[name] = Table(integers, tuple(integer_names), numbers, tuple(number_names))
        return Tables(
            self.frame.rows, tuple(self._numbers), tables, tuple(self._texts), self.entities
        )

    def _evaluated(self, lines: list[list[Value | None]], columns: int) -> np.ndarray:
        varies = any(v is not None and v.constant is None for line in lines for v in line)
        rows = self.frame.rows if varies else 1
        numbers = np.full((rows, len(lines), columns), np.nan)
        for i, line in enumerate(lines):
            for j, value in enumerate(line):
                if value is None:
                    continue
                over = value.constant if value.constant is not None else value.over(self.frame)
                if not isinstance(over, str) and np.asarray(over).dtype.kind in "fb":
                    numbers[:, i, j] = over
        return numbers

    def _children(self, value: Any, shape: FieldShape) -> list[int]:
        if not shape.many:
            return list(self.add(value)) if value is not None else [NOTHING, NOTHING]
        places = [list(self.add(child)) for child in value]
        first = len(self._integers["list"])
        self._integers["list"] += places
        self._values["list"] += [[] for _ in places]
        return [first, len(places)]

    def _integer(self, value: Any, shape: FieldShape) -> int:
        if value is None:
            return NOTHING
        if shape.kind == "choice":
            return shape.choices.index(value)
        if shape.kind == "bool":
            return int(value)
        if shape.name in ENTITY_FIELDS:
            return self._entity.get(value, NOTHING)
        return self._texts.setdefault(value, len(self._texts))

    def _text(self, value: Value | None) -> int:
        if value is None or not isinstance(value.constant, str):
            return NOTHING
        return self._texts.setdefault(value.constant, len(self._texts))


def _columns(cls: type) -> tuple[list[str], list[str]]:
    integers: list[str] = []
    numbers: list[str] = []
    for shape in () if issubclass(cls, Unsupported) else shape_of(cls):
        if shape.attribute is None:
            parts = ("first", "count") if shape.many else ("table", "line")
            integers += [f"{shape.name}.{part}" for part in parts]
        elif shape.kind in ("text", "bool", "choice"):
            integers.append(shape.name)
        else:
            numbers.append(shape.name)
            if shape.kind == "any":
                integers.append(f"{shape.name}.text")
    return integers, numbers
