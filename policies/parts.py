"""What each entry of an observation is to a network: plain numbers, a set, a scan or an image.

A layout comes as plain data, the JSON object that an environment's `Layout` writes and
that a policy's card carries: `{"entries": [{"name", "shape", "set", "low", "high", ...}]}`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proveout.policies.card import is_float32
from proveout.policies.errors import PolicyError

# Far beyond any observation: a layout from a file must not ask for more.
MAX_ENTRIES = 1000
MAX_NUMBERS = 10_000_000
KINDS = ("flat", "set", "scan", "image")
# Words in the name of an entry whose neighbouring numbers are neighbouring directions, or pixels.
_SCAN = re.compile(r"(^|[_/.-])(lidar|scan|rays|ranges)([_/.-]|$)")
_IMAGE = re.compile(r"(^|[_/.-])(camera|image|depth)([_/.-]|$)")
# Below this length or side, a convolution has nothing to slide over.
_MIN_SIDE = 8


@dataclass(frozen=True)
class Part:
    """An entry of a flat observation.

    Attributes:
        name: Of the entry.
        start: Index of its first number.
        shape: () for one number.
        kind: One of `KINDS`; decided by the layout alone:
            "set": marked as one, shape (rows, features), first feature 1 where a row is present;
            "image": three dimensions (the smaller of first and last are the channels), or two and
            "camera", "image" or "depth" among the words of its name;
            "scan": (rays,) or (rays, channels) and "lidar", "scan", "rays" or "ranges" among them;
            "flat": anything else.
        low: Lower bound of every number.
        high: Upper bound of every number.
    """

    name: str
    start: int
    shape: tuple[int, ...]
    kind: str
    low: float = -math.inf
    high: float = math.inf

    @property
    def size(self) -> int:
        """Count of numbers."""
        return math.prod(self.shape)

    @property
    def stop(self) -> int:
        """Index after its last number."""
        return self.start + self.size


def read_parts(layout: Mapping[str, Any]) -> tuple[Part, ...]:
    """Return the parts of a layout, in order.

    Raises:
        PolicyError: not a layout, or one beyond `MAX_ENTRIES` or `MAX_NUMBERS`.
    """
    rows: Any = layout.get("entries") if isinstance(layout, Mapping) else None
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ENTRIES:
        raise PolicyError(f"an observation layout needs a list of 1 to {MAX_ENTRIES} 'entries'.")
    parts: list[Part] = []
    start = 0
    for number, row in enumerate(rows):
        part = _part(row, number, start)
        parts.append(part)
        start = part.stop
        if start > MAX_NUMBERS:
            raise PolicyError(f"an observation layout has more than {MAX_NUMBERS} numbers.")
    return tuple(parts)


def layout_size(layout: Mapping[str, Any]) -> int:
    """Return how many numbers a layout describes."""
    return read_parts(layout)[-1].stop


def _part(row: Any, number: int, start: int) -> Part:
    if not isinstance(row, Mapping) or not isinstance(row.get("name"), str):
        raise PolicyError(f"entry {number} of an observation layout has no name.")
    name, shape = row["name"], row.get("shape")
    fine = isinstance(shape, list | tuple) and len(shape) <= 4
    if not fine or not all(type(n) is int and 0 < n <= MAX_NUMBERS for n in shape):  # type: ignore[union-attr]
        raise PolicyError(f"entry '{name}' of an observation layout has shape {shape!r}.")
    assert shape is not None
    sides = tuple(shape)
    bounds = []
    for key, unbounded in (("low", -math.inf), ("high", math.inf)):
        bound = row.get(key)
        if bound is not None and not is_float32(bound):
            raise PolicyError(f"entry '{name}' of an observation layout has {key} {bound!r}.")
        bounds.append(unbounded if bound is None else float(bound))
    return Part(name, start, sides, _kind(name, sides, row.get("set") is True), *bounds)


def _kind(name: str, shape: tuple[int, ...], is_set: bool) -> str:
    if is_set:
        if len(shape) != 2 or shape[1] < 2:
            raise PolicyError(
                f"entry '{name}' is a set of shape {shape}; expected (rows, features), the first "
                "feature telling which rows are present."
            )
        return "set"
    if len(shape) == 3 or (len(shape) == 2 and _IMAGE.search(name)):
        sides = sorted(shape)[-2:]
        return "image" if min(sides) >= _MIN_SIDE else "flat"
    if len(shape) in (1, 2) and shape[0] >= _MIN_SIDE and _SCAN.search(name):
        return "scan"
    return "flat"
