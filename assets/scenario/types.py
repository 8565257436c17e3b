"""The types of parameters and attributes, and texts as values of them."""

from __future__ import annotations

import datetime
import re
from typing import Any

import numpy as np

# "integer" is the name of "int" up to version 1.1.
TYPES = (
    "boolean", "dateTime", "double", "int", "integer", "string", "unsignedInt", "unsignedShort",
)  # fmt: skip
WHOLE = {
    "int": (-(2**31), 2**31 - 1), "integer": (-(2**31), 2**31 - 1),
    "unsignedInt": (0, 2**32 - 1), "unsignedShort": (0, 2**16 - 1),
}  # fmt: skip
NUMERIC = frozenset({"double", *WHOLE})
_DOUBLE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INFINITE = {"INF": np.inf, "+INF": np.inf, "-INF": -np.inf}


class TypeFault(ValueError):
    """A value is not of its type; the message says what it is and what is wanted."""


def to_number(text: str) -> float | None:
    """Return the number that a text is in XML Schema, or None; NaN is none."""
    text = text.strip()
    if _DOUBLE.fullmatch(text):
        number = float(text)
        return number if np.isfinite(number) else None
    return _INFINITE.get(text)


def convert(text: str, kind: str) -> Any:
    """Return a literal as a value: float64, bool or text.

    Raises:
        TypeFault: It is not of this type.
    """
    if kind in NUMERIC:
        number = to_number(text)
        if number is None:
            raise TypeFault(f"{text!r} is not a number")
        return check(np.float64(number), kind)
    if kind == "boolean":
        if text not in ("true", "false", "1", "0"):
            raise TypeFault(f"{text!r} is not true or false")
        return np.bool_(text in ("true", "1"))
    if kind == "dateTime":
        try:
            datetime.datetime.fromisoformat(text)
        except ValueError:
            raise TypeFault(f"{text!r} is not a time such as 2026-01-31T12:00:00") from None
    return text


def check(value: Any, kind: str) -> Any:
    """Return a value that fits a type, whole numbers exact.

    Args:
        value: float64 or bool of shape () or (rows,), or text.
        kind: Of `TYPES`.

    Raises:
        TypeFault: It does not fit.
    """
    got = np.asarray(value).dtype.kind
    if got == "U" and kind in (*NUMERIC, "boolean"):
        # A parameter of type string whose text is what is wanted: a reference stands for its text.
        if np.ndim(value) == 0:
            return convert(str(value), kind)
        return np.array([convert(str(one), kind) for one in value])
    if kind in NUMERIC:
        if got != "f":
            raise TypeFault(f"{_told(value)} is not a number")
        if np.any(np.isnan(value)):
            raise TypeFault("NaN is not a number")
        if kind in WHOLE:
            low, high = WHOLE[kind]
            whole = np.round(value)
            # What 0.1 * 30 leaves is no fault of the author.
            odd = ~(np.abs(value - whole) <= 1e-9 * np.maximum(1.0, np.abs(value)))
            if np.any(odd):
                raise TypeFault(f"{_told(value, odd)} is not a whole number")
            outside = (whole < low) | (whole > high)
            if np.any(outside):
                raise TypeFault(f"{_told(value, outside)} is not between {low} and {high}")
            return whole
        return value
    if kind == "boolean":
        if got != "b":
            raise TypeFault(f"{_told(value)} is not true or false")
        return value
    if got != "U":
        return to_text(value) if np.ndim(value) == 0 else np.array([to_text(v) for v in value])
    return value


def to_text(value: Any) -> str:
    """Return a single value as a file writes it: 4 and not 4.0, true and not True."""
    if isinstance(value, np.bool_ | bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value)
    number = float(value)
    if np.isinf(number):
        return "INF" if number > 0 else "-INF"
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _told(value: Any, which: Any = None) -> str:
    """The first value concerned."""
    array = np.asarray(value)
    if array.ndim:
        value = array[int(np.argmax(which))] if which is not None else array[0]
    return repr(str(value)) if isinstance(value, str) else to_text(value)
