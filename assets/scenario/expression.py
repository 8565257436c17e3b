"""`${...}` of OpenSCENARIO: parsed once, evaluated over many rows at a time, never by `eval`.

Operators, functions and their precedence are those of ASAM OpenSCENARIO XML 1.3, section 9.2. Where
the standard is silent, ours: `round` takes halves away from zero, `%` has the sign of its left
side, and angles are in radians.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_LENGTH = 10_000  # characters
MAX_NESTING = 40  # brackets inside each other
# What a value can be: float64 or bool, of shape () or (rows,), or text.
Values = Any
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<parameter>\$[A-Za-z_][A-Za-z0-9_]*)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign>[-+*/%(),]))"
)


class ExpressionError(ValueError):
    """An expression cannot be parsed or evaluated; the message has no place and no fix."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One step of a program in postfix order.

    Attributes:
        kind: "constant", "parameter" or "call".
        value: The number, the parameter's name, or the function's name.
    """

    kind: str
    value: Any


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression.

    Attributes:
        text: As written, without `${` and `}`.
        program: In postfix order: depth of a bracket costs no recursion.
        parameters: Names that it reads.
    """

    text: str
    program: tuple[Instruction, ...]
    parameters: frozenset[str]

    def evaluate(self, values: Mapping[str, Values]) -> Values:
        """Return the value over all rows.

        Args:
            values: Of each parameter: float64 or bool of shape () or (rows,), or text.

        Returns:
            float64 or bool of shape () or (rows,); text where the expression is one parameter
            with a text.

        Raises:
            ExpressionError: Division by zero, a result that is not a finite number, or an operator
                that does not fit its operands; `rows` of the error are the rows concerned.
        """
        stack: list[Values] = []
        for step in self.program:
            if step.kind == "constant":
                stack.append(step.value)
            elif step.kind == "parameter":
                stack.append(values[step.value])
            else:
                function = FUNCTIONS[step.value]
                operands = stack[len(stack) - function.operands :]
                del stack[len(stack) - function.operands :]
                stack.append(_apply(step.value, function, operands))
        return stack[0]


@dataclass(frozen=True, slots=True)
class Function:
    """An operator or function.

    Attributes:
        compute: On arrays.
        operands: How many.
        logical: Of booleans, not of numbers.
    """

    compute: Callable[..., Any]
    operands: int
    logical: bool = False


def _round(x: Any) -> Any:
    return np.copysign(np.floor(np.abs(x) + 0.5), x)


FUNCTIONS: Mapping[str, Function] = {
    "+": Function(np.add, 2), "-": Function(np.subtract, 2), "*": Function(np.multiply, 2),
    "/": Function(np.divide, 2), "%": Function(np.fmod, 2), "negate": Function(np.negative, 1),
    "pow": Function(np.power, 2), "round": Function(_round, 1), "floor": Function(np.floor, 1),
    "ceil": Function(np.ceil, 1), "sqrt": Function(np.sqrt, 1), "sin": Function(np.sin, 1),
    "cos": Function(np.cos, 1), "tan": Function(np.tan, 1), "asin": Function(np.arcsin, 1),
    "acos": Function(np.arccos, 1), "atan": Function(np.arctan, 1), "sign": Function(np.sign, 1),
    "abs": Function(np.abs, 1), "max": Function(np.maximum, 2), "min": Function(np.minimum, 2),
    "not": Function(np.logical_not, 1, True), "and": Function(np.logical_and, 2, True),
    "or": Function(np.logical_or, 2, True),
}  # fmt: skip
CONSTANTS: Mapping[str, Any] = {
    "pi": np.float64(np.pi), "e": np.float64(np.e), "true": np.bool_(True),
    "false": np.bool_(False),
}  # fmt: skip
_WORDS = sorted({name for name in FUNCTIONS if name.isalpha()} - {"negate"})


def _apply(name: str, function: Function, operands: list[Values]) -> Values:
    for operand in operands:
        kind = np.asarray(operand).dtype.kind
        if kind != ("b" if function.logical else "f"):
            wanted = "true or false" if function.logical else "numbers"
            got = {"f": "a number", "b": "true or false"}.get(kind, "a text")
            sign = "-" if name == "negate" else name
            raise ExpressionError(f"{sign!r} takes {wanted}, not {got}")
    if name in ("/", "%"):
        zero = np.asarray(operands[1]) == 0
        if zero.any():
            raise _at_rows(ExpressionError("division by zero"), zero)
    with np.errstate(all="ignore"):
        result = function.compute(*operands)
    if not function.logical:
        bad = ~np.isfinite(result)
        if np.any(bad):
            raise _at_rows(ExpressionError(f"{name!r} gives no finite number"), np.asarray(bad))
    return result


def _at_rows(error: ExpressionError, mask: np.ndarray) -> ExpressionError:
    """Note the first row of an error, where there are rows."""
    if mask.ndim:
        error.add_note(str(int(np.argmax(mask))))
    return error


@functools.lru_cache(maxsize=65_536)
def parse_expression(text: str) -> Expression:
    """Parse what stands between `${` and `}`.

    Raises:
        ExpressionError: It is no expression of the standard, too long or too deeply nested.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"it is longer than {MAX_LENGTH} characters")
    parser = _Parser(text)
    parser.disjunction(0)
    if parser.kind != "end":
        raise ExpressionError(f"{parser.token!r} is unexpected")
    return Expression(text, tuple(parser.program), frozenset(parser.parameters))


class _Parser:
    """Recursive descent; emits the program as it goes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.program: list[Instruction] = []
        self.parameters: set[str] = set()
        self.kind = self.token = ""
        self.advance()

    def advance(self) -> None:
        if not self.text[self.at :].strip():
            self.kind, self.token, self.at = "end", "the end", len(self.text)
            return
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            rest = self.text[self.at :].strip()
            raise ExpressionError(f"{rest[0]!r} is not part of an expression")
        self.kind, self.token, self.at = (
            str(match.lastgroup), match.group(match.lastgroup or 0), match.end(),
        )  # fmt: skip

    def call(self, name: str) -> None:
        self.program.append(Instruction("call", name))

    def disjunction(self, depth: int) -> None:
        if depth > MAX_NESTING:
            raise ExpressionError(f"its brackets stand more than {MAX_NESTING} deep")
        self.conjunction(depth)
        while self.token == "or":
            self.advance()
            self.conjunction(depth)
            self.call("or")

    def conjunction(self, depth: int) -> None:
        self.negation(depth)
        while self.token == "and":
            self.advance()
            self.negation(depth)
            self.call("and")

    def negation(self, depth: int) -> None:
        count = 0
        while self.token == "not":
            self.advance()
            count += 1
        self.sum(depth)
        for _ in range(count):
            self.call("not")

    def sum(self, depth: int) -> None:
        self.product(depth)
        while self.token in ("+", "-"):
            sign = self.token
            self.advance()
            self.product(depth)
            self.call(sign)

    def product(self, depth: int) -> None:
        self.signed(depth)
        while self.token in ("*", "/", "%"):
            sign = self.token
            self.advance()
            self.signed(depth)
            self.call(sign)

    def signed(self, depth: int) -> None:
        count = 0
        while self.token in ("-", "+"):
            count += self.token == "-"
            self.advance()
        self.operand(depth)
        for _ in range(count):
            self.call("negate")

    def operand(self, depth: int) -> None:
        kind, token = self.kind, self.token
        self.advance()
        if kind == "number":
            number = np.float64(token)
            if not np.isfinite(number):
                raise ExpressionError(f"{token} is too large a number")
            self.program.append(Instruction("constant", number))
        elif kind == "parameter":
            self.parameters.add(token[1:])
            self.program.append(Instruction("parameter", token[1:]))
        elif token == "(":
            self.disjunction(depth + 1)
            self.expect(")")
        elif kind == "word" and token in _WORDS:
            self.arguments(token, depth)
        elif kind == "word" and token in CONSTANTS:
            self.program.append(Instruction("constant", CONSTANTS[token]))
        elif kind == "word":
            known = ", ".join([*_WORDS, *CONSTANTS])
            raise ExpressionError(f"{token!r} is no function or constant; known are {known}")
        elif kind == "end":
            raise ExpressionError("a number or a parameter is missing at the end")
        else:
            raise ExpressionError(f"{token!r} is unexpected")

    def arguments(self, name: str, depth: int) -> None:
        self.expect("(")
        for index in range(FUNCTIONS[name].operands):
            if index:
                self.expect(",")
            self.disjunction(depth + 1)
        self.expect(")")
        self.call(name)

    def expect(self, token: str) -> None:
        if self.token != token:
            raise ExpressionError(f"{token!r} is expected, not {self.token!r}")
        self.advance()
