"""Parameters: where they are declared, what sees them, and their values over many rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from proveout.assets.files.errors import ScenarioError, nearest
from proveout.assets.scenario.expression import (
    Expression,
    ExpressionError,
    Values,
    parse_expression,
)
from proveout.assets.scenario.node import Place
from proveout.assets.scenario.types import TypeFault, check, convert, to_text

MAX_CHAIN = 64  # parameters that refer to each other, one after the other
_REFERENCE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Constraint:
    """A `ValueConstraint`: the parameter, a rule and a value.

    Attributes:
        rule: Of the standard, such as "lessThan".
        value: Text of the value, which may be an expression.
        place: Where it stands.
    """

    rule: str
    value: str
    place: Place


@dataclass(frozen=True, slots=True)
class Declaration:
    """A parameter.

    Attributes:
        name: Without `$`.
        kind: Of `types.TYPES`.
        text: Its default, or what a catalogue reference assigns.
        scope: In which `text` is read.
        place: Where it stands.
        groups: Constraint groups: one of them must hold, and in it every constraint.
    """

    name: str
    kind: str
    text: str
    scope: Scope | None
    place: Place
    groups: tuple[tuple[Constraint, ...], ...] = ()


@dataclass(eq=False, slots=True)
class Scope:
    """Parameters that a part of a file sees.

    Attributes:
        parent: The scope around it; None for a file's own.
        declarations: By name, in their order.
    """

    parent: Scope | None = None
    declarations: dict[str, Declaration] = field(default_factory=dict)

    def find(self, name: str) -> tuple[Scope, Declaration] | None:
        """Return a declaration and its scope, looking outwards."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.declarations:
                return scope, scope.declarations[name]
            scope = scope.parent
        return None

    def names(self) -> Iterator[str]:
        """Yield every name that is seen from here."""
        scope: Scope | None = self
        while scope is not None:
            yield from scope.declarations
            scope = scope.parent


def reference(text: str) -> str | Expression | None:
    """Return the parameter's name of `$name`, the expression of `${...}`, or None for a literal.

    Raises:
        ExpressionError: The expression cannot be parsed.
    """
    if not text.startswith("$"):
        return None
    if text.startswith("${") and text.endswith("}"):
        return parse_expression(text[2:-1])
    if _REFERENCE.fullmatch(text):
        return text[1:]
    raise ExpressionError(
        f"{text!r} is neither $NAME nor ${{EXPRESSION}}, and parts of a text are no parameters"
    )


class Frame:
    """Values of parameters over a block of rows.

    Args:
        root: The scope of the scenario file.
        columns: Parameters of it that differ by row: float64, bool or text of shape (rows,).
        rows: How many.
        first: Number of the first row, for errors.
    """

    def __init__(
        self, root: Scope, columns: Mapping[str, np.ndarray], rows: int, first: int = 0
    ) -> None:
        self.root = root
        self.rows = rows
        self.first = first
        self._columns = columns
        self._known: dict[tuple[int, str], Values] = {}
        self._scopes: list[Scope] = []  # keeps their ids from being used again
        self._open: list[tuple[int, str]] = []

    def parameter(self, name: str, scope: Scope | None, place: Place) -> Values:
        """Return the value of a parameter as seen from a scope, of shape () or (rows,).

        Raises:
            ScenarioError: It is unknown, refers to itself, or its value is not of its type.
        """
        found = scope.find(name) if scope is not None else None
        if found is None:
            raise _unknown(name, scope, place)
        owner, declaration = found
        key = (id(owner), name)
        if key in self._known:
            return self._known[key]
        if key in self._open:
            circle = [n for _, n in self._open[self._open.index(key) :]] + [name]
            raise declaration.place.error(
                f"parameters refer to each other in a circle ({' -> '.join(circle)}); break it."
            )
        if len(self._open) >= MAX_CHAIN:
            raise declaration.place.error(
                f"more than {MAX_CHAIN} parameters refer to each other in a chain; shorten it."
            )
        self._open.append(key)
        try:
            if owner is self.root and name in self._columns:
                value: Values = self._typed(self._columns[name], declaration)
            else:
                value = self.value(
                    declaration.text, declaration.kind, declaration.scope, declaration.place
                )
        finally:
            self._open.pop()
        self._scopes.append(owner)
        self._known[key] = value
        return value

    def value(self, text: str, kind: str, scope: Scope | None, place: Place) -> Values:
        """Return the value of an attribute.

        Args:
            text: A literal, `$name` or `${...}`.
            kind: Of `types.TYPES`, or "any": a number where the text is one, else text.
            scope: That it sees.
            place: Where it stands.

        Returns:
            float64 or bool of shape () or (rows,), or text.

        Raises:
            ScenarioError: It is of another type, or cannot be evaluated.
        """
        try:
            parsed = reference(text)
            if parsed is None:
                return convert(text, kind) if kind != "any" else _either(text)
            if isinstance(parsed, str):
                value = self.parameter(parsed, scope, place)
            else:
                values = {name: self.parameter(name, scope, place) for name in parsed.parameters}
                if len(parsed.program) > 1:
                    values = {name: _operand(value) for name, value in values.items()}
                value = parsed.evaluate(values)
            return value if kind == "any" else check(value, kind)
        except (ExpressionError, TypeFault) as fault:
            row = getattr(fault, "__notes__", None)
            told = f" in row {self.first + int(row[0])}" if row and self.rows > 1 else ""
            shown = text if len(text) <= 80 else f"{text[:77]}..."
            where = f"{shown}: " if shown not in str(fault) else ""
            raise place.error(f"{where}{fault}{told}; correct it.") from fault

    def text(self, text: str, scope: Scope | None, place: Place) -> str:
        """Return an attribute that must be one text for all rows, such as a name.

        Raises:
            ScenarioError: It differs by row, or cannot be evaluated.
        """
        value = self.value(text, "any", scope, place) if text.startswith("$") else text
        if np.ndim(value):
            if not np.all(value == value[0]):
                raise place.error("it differs between these rows; take them in groups.")
            value = value[0]
        return to_text(value)

    def _typed(self, column: np.ndarray, declaration: Declaration) -> Values:
        try:
            return check(column, declaration.kind)
        except TypeFault as fault:
            raise declaration.place.error(
                f"parameter {declaration.name} is of type {declaration.kind}, but {fault} in a row "
                f"of the distribution; correct it."
            ) from fault


def _either(text: str) -> Values:
    """A literal where a number or a text may stand."""
    try:
        return convert(text, "double")
    except TypeFault:
        return text


def _operand(value: Values) -> Values:
    """A parameter in an expression: one of type string stands for its text, which may be a number.

    Left as it is where it is none; the operator then refuses it.
    """
    try:
        return check(value, "double") if np.asarray(value).dtype.kind == "U" else value
    except TypeFault:
        return value


def _unknown(name: str, scope: Scope | None, place: Place) -> ScenarioError:
    names = list(scope.names()) if scope is not None else []
    match = nearest(name, names)
    if match is not None:
        hint = f"did you mean {match}?"
    elif names:
        hint = f"declared are {', '.join(sorted(set(names))[:12])}."
    else:
        hint = "none is declared here."
    return place.error(f"parameter {name} is not declared; {hint}")


def leaves(
    texts: Sequence[tuple[str, Scope | None]], root: Scope, varied: frozenset[str]
) -> set[str]:
    """Return the varied parameters that some attributes depend on, through any others.

    Args:
        texts: Attributes and their scopes.
        root: The scope of the scenario file.
        varied: Names of parameters of the file that differ by row.
    """
    found: set[str] = set()
    seen: set[tuple[int, str]] = set()
    todo = list(texts)
    while todo:
        text, scope = todo.pop()
        try:
            parsed = reference(text)
        except ExpressionError:
            continue
        if parsed is None:
            continue
        for name in [parsed] if isinstance(parsed, str) else parsed.parameters:
            where = scope.find(name) if scope is not None else None
            if where is None:
                continue
            owner, declaration = where
            if owner is root and name in varied:
                found.add(name)
            elif (id(owner), name) not in seen:
                seen.add((id(owner), name))
                todo.append((declaration.text, declaration.scope))
    return found


@dataclass(frozen=True, slots=True)
class Value:
    """An attribute whose value may differ by row; see `Frame`.

    Attributes:
        text: As it stands in the file.
        kind: Of `types.TYPES`, or "any".
        scope: The parameters that it sees.
        place: Where it stands.
        constant: Its value where it has one without parameters, else None.
    """

    text: str
    kind: str = field(repr=False)
    scope: Scope | None = field(repr=False, compare=False)
    place: Place = field(repr=False, compare=False)
    constant: Any = None

    def over(self, frame: Frame) -> Values:
        """Return its value over the rows of a frame: float64 of shape (rows,), or text.

        Raises:
            ScenarioError: It cannot be evaluated.
        """
        value = self.constant
        if value is None:
            value = frame.value(self.text, self.kind, self.scope, self.place)
        if isinstance(value, str):
            return value
        return np.broadcast_to(np.asarray(value), (frame.rows,))
