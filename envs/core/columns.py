"""Columns by name: what kernels index arrays of reward terms, KPIs and observations with."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable
from typing import Any

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
    return enum.IntEnum("Column", pairs)
