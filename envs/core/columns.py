"""Columns by name: what kernels index arrays of reward terms, KPIs and observations with."""

from __future__ import annotations

import dataclasses
import enum
import zlib
from collections.abc import Iterable
from typing import Any

import warp as wp

from proveout.assets.files.layout import Layout
from proveout.envs.core.errors import ConfigError


def columns(source: Any) -> Any:
    """Name each column, for kernels: `step.reward[w, Term.distance]`, `obs[w, Obs.goal + i]`.

    Warp takes the numbers into a kernel as constants, and compiles it anew when they change.

    Args:
        source: A subclass of `RewardWeights` (its fields), a sequence of `Kpi` (their names), or a
            layout (its entries, each at its first column).

    Returns:
        An `IntEnum`.

    Raises:
        ConfigError: A name that is no identifier, or one that appears twice.
    """
    if isinstance(source, Layout):
        pairs = [(name, source.slices[name].start) for name in source.names]
    elif dataclasses.is_dataclass(source):
        pairs = [(field.name, i) for i, field in enumerate(dataclasses.fields(source))]
    else:
        kpis: Iterable[Any] = source
        pairs = [(kpi.name, i) for i, kpi in enumerate(kpis)]
    for name, _ in pairs:
        if not name.isidentifier():
            raise ConfigError(f"column {name!r} is no name that a kernel can use")
    if len({name for name, _ in pairs}) < len(pairs):
        raise ConfigError(f"columns are named twice: {', '.join(name for name, _ in pairs)}")
    # Its name is told where a kernel asks for a column that is not there.
    return enum.IntEnum(f"columns {', '.join(name for name, _ in pairs)}", pairs)


# Struct made by `starts` -> names of its fields.
_STARTS: dict[Any, tuple[str, ...]] = {}


def starts(layout: Layout) -> Any:
    """First columns of a layout whose sizes depend on the config: `obs[w, s.at.neighbours + i]`.

    Names are the same for every config, so they are taken from any one of its layouts. A field of
    the returned type in the task's state struct is filled from the layout that the worlds have,
    when they are made; kernels are not compiled anew.

    Args:
        layout: An observation or an action, of any config.

    Returns:
        A `wp.struct` with a whole number for each entry.

    Raises:
        ConfigError: A name that is no identifier.
    """
    names = tuple(columns(layout).__members__)
    for made, known in _STARTS.items():
        if known == names:
            return made
    # Structs of one module of kernels need names of their own, the same in every process.
    name = f"Starts_{zlib.crc32(','.join(names).encode()):08x}"
    body = {"__annotations__": dict.fromkeys(names, int), "__module__": __name__}
    made = wp.struct(type(name, (), body))
    _STARTS[made] = names
    return made


def starts_names(struct: Any) -> tuple[str, ...] | None:
    """Names of a struct made by `starts`, None for any other."""
    return _STARTS.get(struct)


def filled_starts(struct: Any, layouts: Iterable[Layout]) -> Any:
    """The struct with the first columns of the layout that has its entries.

    Raises:
        ConfigError: None of the layouts has the same entries in the same order.
    """
    for layout in layouts:
        if layout.names == _STARTS[struct]:
            made = struct()
            for name in layout.names:
                setattr(made, name, layout.slices[name].start)
            return made
    told = ", ".join(_STARTS[struct])
    raise ConfigError(f"no layout of the task has the entries {told}: make `starts` from it")
