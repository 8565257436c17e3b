"""Values of a config, made what their field declares, whatever type they came as.

A config is filled from Python, from NumPy, from a command line and from JSON. Every field is
coerced and checked here, when the dataclass is made, so that a kernel never sees anything else.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import operator
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np

from proveout.envs.core.errors import ConfigError, unknown

# Kernels compute in float32 and count in int32.
FLOAT32_MAX = float(np.finfo(np.float32).max)
INT32_MAX = int(np.iinfo(np.int32).max)

_BOUNDS: tuple[tuple[str, Callable[[Any, Any], bool], str], ...] = (
    ("above", operator.gt, "greater than"),
    ("low", operator.ge, "at least"),
    ("high", operator.le, "at most"),
)


def coerce_fields(instance: Any) -> None:
    """Make every field of a frozen dataclass what it declares; called from `__post_init__`.

    NumPy scalars and whole-number floats become Python numbers; a mapping becomes the nested
    dataclass whose default it changes; a list becomes the declared tuple.

    Raises:
        ConfigError: A value of another type, not finite, beyond float32 or int32, or out of the
            range that the field declares.
        UnknownNameError: A mapping names a field that is not there.
    """
    cls: Any = type(instance)
    for field, hint, is_fine in _plan(cls):
        value = getattr(instance, field.name)
        if is_fine(value):
            continue
        where = _Where(field.name, field.metadata)
        object.__setattr__(instance, field.name, _coerced(value, hint, where, _default(field)))


def from_mapping(default: Any, data: Any) -> Any:
    """The dataclass instance `default` with the fields in `data` changed.

    Raises:
        UnknownNameError: A field that is not there.
        ConfigError: As `coerce_fields`, or `data` is no mapping.
    """
    name = type(default).__name__
    if not isinstance(data, Mapping):
        raise ConfigError(f"a mapping of {name} fields expected, got {_told(data)}")
    known = {field.name: field for field in dataclasses.fields(default)}
    changes = {}
    for key, value in data.items():
        if key not in known:
            raise unknown(f"{name} field", str(key), known)
        current = getattr(default, key)
        if dataclasses.is_dataclass(current) and isinstance(value, Mapping):
            value = from_mapping(current, value)
        changes[key] = value
    return dataclasses.replace(default, **changes)


def whole_number(name: str, value: Any, *, low: int, high: int = INT32_MAX) -> int:
    """An argument as a Python integer within its range; `ConfigError` otherwise."""
    return _int(value, _Where(name, {"low": low, "high": high}))


def real_number(name: str, value: Any, *, low: float, high: float) -> float:
    """An argument as a Python float within its range; `ConfigError` otherwise."""
    return _float(value, _Where(name, {"low": low, "high": high}))


def real_numbers(name: str, values: Any, num_worlds: int) -> np.ndarray:
    """A number for all worlds, or one for each, as float64 of shape (num_worlds,).

    Args:
        name: For the message.
        values: A number, a sequence or an array, on any device.
        num_worlds: Worlds.

    Raises:
        ConfigError: Text, truth values, complex numbers, or another shape.
    """
    if hasattr(values, "cpu"):
        values = values.cpu().numpy()
    try:
        row = np.asarray(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{name}: numbers expected, got {_told(values)}") from error
    if row.dtype.kind not in "fiu":
        raise ConfigError(f"{name}: numbers expected, got {_told(values)}")
    if row.shape not in ((), (num_worlds,)):
        raise ConfigError(f"{name}: a number or shape ({num_worlds},) expected, got {row.shape}")
    return np.broadcast_to(row.astype(np.float64), (num_worlds,))


@dataclasses.dataclass(frozen=True)
class _Where:
    """A field for messages: its name, unit and range."""

    name: str
    metadata: Mapping[str, Any]

    @property
    def unit(self) -> str:
        unit = self.metadata.get("unit", "1")
        return "" if unit in ("1", "") else f" {unit}"

    def error(self, expected: str, value: Any) -> ConfigError:
        return ConfigError(f"{self.name} must be {expected}, got {_told(value)}")

    def within(self, value: float) -> Any:
        for bound, holds, words in _BOUNDS:
            limit = self.metadata.get(bound)
            # A number above zero must not round to it where it is computed with.
            rounds = bound == "above" and abs(value) <= FLOAT32_MAX
            seen = float(np.float32(value)) if rounds else value
            if limit is not None and not holds(seen, limit):
                told = limit if isinstance(limit, int) else f"{limit:g}"
                raise self.error(f"{words} {told}{self.unit}", value)
        return value


def _told(value: Any) -> str:
    """A value for a message, however long its own text is."""
    if isinstance(value, str | bytes):
        text = repr(value)
    else:
        text = str(value) if isinstance(value, numbers.Number) else f"{value!r}"
    return text if len(text) <= 80 else f"{text[:77]}..."


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    """The declared types of a dataclass's fields."""
    try:
        found = typing.get_type_hints(cls)
    except (NameError, TypeError):  # types that only a type checker sees, or a class in a function
        found = {}
    simple = {"float": float, "int": int, "bool": bool, "str": str}
    return {
        field.name: found.get(
            field.name, simple.get(field.type, Any) if isinstance(field.type, str) else field.type
        )
        for field in dataclasses.fields(cls)
    }


@functools.cache
def _plan(cls: Any) -> tuple[tuple[dataclasses.Field[Any], Any, Callable[[Any], bool]], ...]:
    """Each field with its type, and what tells at once that a value can stay as it is.

    A sweep makes a config for every row, nearly all of whose fields are as they were.
    """
    hints = _hints(cls)
    return tuple(
        (field, hints[field.name], _at_a_glance(hints[field.name], field.metadata))
        for field in dataclasses.fields(cls)
    )


def _at_a_glance(hint: Any, metadata: Mapping[str, Any]) -> Callable[[Any], bool]:
    if hint in (bool, str):
        return lambda value: type(value) is hint
    if hint not in (float, int):
        return lambda value: False
    most = FLOAT32_MAX if hint is float else INT32_MAX
    # A number just above `above` is looked at closely, as it may round to it.
    above = metadata.get("above", -math.inf)
    low = max(metadata.get("low", -most), -most, above + 1e-6 * (1.0 + abs(above)))
    high = min(metadata.get("high", most), most)
    return lambda value: type(value) is hint and low <= value <= high


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None


def _coerced(value: Any, hint: Any, where: _Where, default: Any) -> Any:
    if hint is float:
        return _float(value, where)
    if hint is int:
        return _int(value, where)
    if hint is bool:
        if not isinstance(value, bool | np.bool_):
            raise where.error("True or False", value)
        return bool(value)
    if hint is str:
        if not isinstance(value, str):
            raise where.error("text", value)
        return value
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _nested(value, hint, where, default)
    origin = get_origin(hint)
    if origin is Literal:
        known = get_args(hint)
        if isinstance(value, str) and value not in known:
            raise unknown(where.name, value, map(str, known))
        if value not in known:
            raise where.error(f"one of {', '.join(map(str, known))}", value)
        return value
    if origin in (Union, types.UnionType):
        return _optional(value, get_args(hint), where, default)
    if origin is tuple:
        return _tuple(value, get_args(hint), where)
    return value


def _float(value: Any, where: _Where) -> float:
    """A finite number that float32 can hold; not a truth value, not text."""
    value = _scalar(value)
    if not _is_real(value):
        raise where.error(f"a number{f' [{where.unit.strip()}]' if where.unit else ''}", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise where.error("a finite number", value)
    if abs(number) > FLOAT32_MAX:
        raise where.error(f"at most {FLOAT32_MAX:.4g} in size, as computed with", value)
    return where.within(number)


def _int(value: Any, where: _Where) -> int:
    value = _scalar(value)
    if not _is_real(value):
        raise where.error("a whole number", value)
    try:
        number = int(value)
    except (OverflowError, ValueError):  # infinite, NaN
        raise where.error("a whole number", value) from None
    if value != number:
        raise where.error("a whole number", value)
    where.within(number)
    if abs(number) > INT32_MAX:
        raise where.error(f"at most {INT32_MAX} in size, as counted with", value)
    return number


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)


def _scalar(value: Any) -> Any:
    """An array of no dimensions as the number in it."""
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _nested(value: Any, cls: type, where: _Where, default: Any) -> Any:
    # A subclass of the declared group is what the field's default may be.
    base = type(default) if isinstance(default, cls) else cls
    if isinstance(value, base):
        return value
    if isinstance(value, Mapping):
        return from_mapping(default if isinstance(default, cls) else base(), value)
    raise where.error(f"a {base.__name__}, or a mapping of its fields", value)


def _optional(value: Any, options: tuple[Any, ...], where: _Where, default: Any) -> Any:
    if value is None and type(None) in options:
        return None
    failure: ConfigError | None = None
    for option in options:
        if option is type(None):
            continue
        try:
            return _coerced(value, option, where, default)
        except ConfigError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _tuple(value: Any, items: tuple[Any, ...], where: _Where) -> tuple[Any, ...]:
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise where.error("a list", value)
    if len(items) == 2 and items[1] is Ellipsis:
        items = (items[0],) * len(value)
    if len(value) != len(items):
        raise where.error(f"a list of {len(items)}", value)
    return tuple(
        _coerced(v, hint, _Where(f"{where.name}[{i}]", where.metadata), None)
        for i, (v, hint) in enumerate(zip(value, items, strict=True))
    )
