"""Numbers of a config that can differ from world to world, as somebody turns them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from proveout.envs.core.number_groups import WEIGHTS, number_groups
from proveout.envs.core.task import Task


@dataclass(frozen=True)
class NumberTold:
    """A number and what it may be.

    Attributes:
        name: "max_increment", "wear.backlash", "reward_weights.reached".
        value: Of the config.
        unit: "1" for a pure number.
        text: What it means.
        low, high: Ends that make sense: those of the field or, where it has none, some around the
            value.
        whole: A whole number.
    """

    name: str
    value: float
    unit: str
    text: str
    low: float
    high: float
    whole: bool

    @property
    def step(self) -> float:
        """Between two values that can be told apart."""
        return 1.0 if self.whole else (self.high - self.low) / 200.0


def numbers_of(task: Task) -> list[NumberTold]:
    """What can differ from world to world, without what is drawn at random."""
    groups = number_groups(task.config)
    told = []
    for column, name in enumerate(task.numbers.names):
        if column in task.numbers.randomized:
            continue
        group, dot, rest = name.partition(".")
        holder = groups[group] if dot else task.config
        (field,) = (f for f in dataclasses.fields(holder) if f.name == (rest or name))
        value = task.numbers.value(name)
        low, high = _range(field.metadata, float(value), group == WEIGHTS)
        whole = type(value) is int
        if whole:
            low, high = float(round(low)), float(max(round(low) + 1, round(high)))
        told.append(
            NumberTold(
                name, value, str(field.metadata.get("unit", "1")),
                str(field.metadata.get("help", "")), low, high, whole,
            )
        )  # fmt: skip
    return told


def _range(metadata: Any, value: float, weight: bool) -> tuple[float, float]:
    """Ends for a slider; those of the field count, where it has them."""
    size = abs(value) or 1.0
    low = -3.0 * size if weight or value < 0.0 else 0.0
    high = 3.0 * size
    if "above" in metadata:
        above = float(metadata["above"])
        low = above + (value - above) / 100.0
    low = float(metadata.get("low", low))
    high = float(metadata.get("high", max(high, low + size)))
    return min(low, value), max(high, value)
