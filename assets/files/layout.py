"""What each number of an observation (or action) means: name, shape, unit, frame and bounds.

A layout travels with a policy, so that a policy meets an environment only where every entry agrees.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from proveout.assets.files.errors import ProveoutError

if TYPE_CHECKING:
    import gymnasium

# Far above any observation; a layout read from a file must not ask for more memory than this.
MAX_SIZE = 10_000_000
MAX_TEXT = 4_000_000  # characters


class LayoutError(ProveoutError, ValueError):
    """A layout that contradicts itself, or that cannot be read."""


@dataclass(frozen=True)
class Entry:
    """A named part of an observation.

    Attributes:
        name: unique in its layout.
        shape: () for one number; (K, F) for a set of K rows.
        unit: SI unit, "1" for a number without one.
        description: one line.
        frame: coordinate frame, "" where none applies.
        low: lower bound of every number, in `unit`.
        high: upper bound of every number, in `unit`.
        set: rows have no order; the first feature of a row is 1 where the row is present, else 0.
    """

    name: str
    shape: tuple[int, ...]
    unit: str
    description: str
    frame: str = ""
    low: float = -math.inf
    high: float = math.inf
    set: bool = False

    def __post_init__(self) -> None:
        """Check the entry.

        Raises:
            LayoutError: an empty name, a dimension below 1, bounds out of order, or a set that is
                not two-dimensional.
        """
        if not isinstance(self.name, str) or not self.name.strip():
            raise LayoutError("A layout entry has an empty name; give every entry a name.")
        where = f"Layout entry '{self.name}'"
        if not isinstance(self.shape, tuple | list):
            raise LayoutError(
                f"{where} has shape {self.shape!r}; expected a tuple, () for one number or (3,) "
                "for three."
            )
        for key in _TEXT:
            if not isinstance(getattr(self, key), str):
                raise LayoutError(f"{where} has {key} {getattr(self, key)!r}; expected text.")
        shape = tuple(self.shape)
        if not all(isinstance(d, int | np.integer) and not isinstance(d, bool) for d in shape):
            raise LayoutError(f"{where} has shape {shape}; every dimension must be an integer.")
        if any(d < 1 for d in shape):
            raise LayoutError(f"{where} has shape {shape}; every dimension must be at least 1.")
        if not self.low <= self.high:  # also refuses NaN
            raise LayoutError(f"{where} has low {self.low}, high {self.high}; low must be lower.")
        if self.set and len(shape) != 2:
            raise LayoutError(f"{where} is a set of shape {shape}; expected (rows, features).")
        object.__setattr__(self, "shape", tuple(int(d) for d in shape))
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))

    @property
    def size(self) -> int:
        """Count of numbers."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """The entries of a flat observation, in order.

    Attributes:
        entries: parts of the observation, names unique.
        size: count of numbers.
        slices: name -> where the entry lies in the flat array.
    """

    entries: tuple[Entry, ...]
    size: int = field(init=False, compare=False, repr=False)
    slices: Mapping[str, slice] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Place the entries.

        Raises:
            LayoutError: no entry, two with the same name, or more than `MAX_SIZE` numbers.
        """
        entries = tuple(self.entries)
        if not entries:
            raise LayoutError("A layout has no entries; it needs at least one.")
        slices: dict[str, slice] = {}
        start = 0
        for entry in entries:
            if entry.name in slices:
                raise LayoutError(f"Layout entry '{entry.name}' appears twice; use unique names.")
            slices[entry.name] = slice(start, start + entry.size)
            start += entry.size
        if start > MAX_SIZE:
            raise LayoutError(f"A layout has {start} numbers; at most {MAX_SIZE} are allowed.")
        object.__setattr__(self, "entries", entries)
        object.__setattr__(self, "size", start)
        object.__setattr__(self, "slices", slices)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the entries, in order."""
        return tuple(entry.name for entry in self.entries)

    def indices(self, pattern: str) -> list[int]:
        """Positions of all numbers of the entries whose whole name matches a regular expression."""
        matching = [name for name in self.names if re.fullmatch(pattern, name)]
        return [i for name in matching for i in range(self.size)[self.slices[name]]]

    def split(self, array: Any) -> dict[str, Any]:
        """Return name -> (..., *shape), views where the array's memory allows it.

        Args:
            array: (..., size), NumPy or torch.

        Raises:
            LayoutError: the last dimension is not `size`.
        """
        if not array.shape or array.shape[-1] != self.size:
            raise LayoutError(
                f"An array of shape {tuple(array.shape)} does not fit this layout; "
                f"its last dimension must be {self.size}."
            )
        lead = tuple(array.shape[:-1])
        return {
            entry.name: array[..., self.slices[entry.name]].reshape(lead + entry.shape)
            for entry in self.entries
        }

    def space(self) -> "gymnasium.spaces.Box":
        """Return the Box of shape (size,), float32, with each entry's bounds."""
        import gymnasium

        low = np.concatenate([np.full(e.size, e.low, np.float32) for e in self.entries])
        high = np.concatenate([np.full(e.size, e.high, np.float32) for e in self.entries])
        return gymnasium.spaces.Box(low, high, dtype=np.float32)

    def table(self) -> str:
        """Return the layout as a Markdown table."""
        lines = [
            "| index | name | shape | unit | frame | low | high | description |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for entry in self.entries:
            at = self.slices[entry.name]
            index = str(at.start) if entry.size == 1 else f"{at.start}:{at.stop}"
            shape = " x ".join(map(str, entry.shape)) or "1"
            shape += " (set)" if entry.set else ""
            cells = [index, entry.name, shape, entry.unit, entry.frame]
            cells += [f"{entry.low:g}", f"{entry.high:g}", entry.description]
            lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
        return "\n".join(lines)

    def difference(self, other: "Layout") -> list[str]:
        """Return how `other` differs, one sentence for each entry; empty if one fits the other.

        Descriptions are prose and are not compared.
        """
        mine = {entry.name: entry for entry in self.entries}
        theirs = {entry.name: entry for entry in other.entries}
        found = [f"'{name}' is missing." for name in mine if name not in theirs]
        found += [f"'{name}' is not known here." for name in theirs if name not in mine]
        for name in mine:
            if name not in theirs:
                continue
            for item in fields(Entry):
                here, there = getattr(mine[name], item.name), getattr(theirs[name], item.name)
                if item.name != "description" and here != there:
                    found.append(f"'{name}' has {item.name} {there!r}, expected {here!r}.")
        common = [name for name in mine if name in theirs]
        order = [name for name in theirs if name in mine]
        for here, there in zip(common, order, strict=True):
            if here != there:
                found.append(f"'{there}' stands where '{here}' is expected.")
                break
        return found

    def to_json(self) -> str:
        """Return the layout as JSON text; an infinite bound is null."""
        rows = []
        for entry in self.entries:
            row = asdict(entry)
            for bound in ("low", "high"):
                row[bound] = row[bound] if math.isfinite(row[bound]) else None
            rows.append(row)
        return json.dumps({"entries": rows}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Layout":
        """Read what `to_json` wrote.

        Raises:
            LayoutError: not JSON, a key missing, unknown or of the wrong type, or a layout that
                contradicts itself; the message names the entry.
        """
        if len(text) > MAX_TEXT:
            raise LayoutError(f"A layout of {len(text)} characters is too long, over {MAX_TEXT}.")
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise LayoutError(f"A layout is not valid JSON: {error}.") from error
        if not isinstance(data, dict) or not isinstance(data.get("entries"), list):
            raise LayoutError('A layout must be a JSON object with a list "entries".')
        return cls(tuple(_entry(row, i) for i, row in enumerate(data["entries"])))


_LARGEST = float(np.finfo(np.float32).max)
_TEXT = ("name", "unit", "description", "frame")
_REQUIRED = ("name", "shape", "unit", "description")


def _entry(row: Any, number: int) -> Entry:
    """Return the entry of a JSON object, checked."""
    if not isinstance(row, dict):
        raise LayoutError(f"Layout entry {number} must be a JSON object, not {type(row).__name__}.")
    label = repr(row["name"]) if isinstance(row.get("name"), str) else str(number)
    known = [item.name for item in fields(Entry)]
    for key in row:
        if key not in known:
            raise LayoutError(f"Layout entry {label} has an unknown key '{key}'; known: {known}.")
    for key in _REQUIRED:
        if key not in row:
            raise LayoutError(f"Layout entry {label} has no '{key}'.")
    for key in _TEXT:
        if key in row and not isinstance(row[key], str):
            raise LayoutError(f"Layout entry {label}: '{key}' must be text, not {row[key]!r}.")
    if not isinstance(row["shape"], list):
        raise LayoutError(f"Layout entry {label}: 'shape' must be a list, not {row['shape']!r}.")
    values = dict(row, shape=tuple(row["shape"]))
    for key, unbounded in (("low", -math.inf), ("high", math.inf)):
        bound = row.get(key)
        if bound is None:
            values[key] = unbounded
        elif isinstance(bound, bool) or not isinstance(bound, int | float):
            raise LayoutError(f"Layout entry {label}: '{key}' must be a number, not {bound!r}.")
        elif abs(bound) > _LARGEST and (isinstance(bound, int) or math.isfinite(bound)):
            raise LayoutError(f"Layout entry {label}: '{key}' is beyond float32.")
    if not isinstance(row.get("set", False), bool):
        raise LayoutError(f"Layout entry {label}: 'set' must be true or false, not {row['set']!r}.")
    return Entry(**values)
