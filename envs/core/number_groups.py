"""Numbers of a config that belong together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from proveout.envs.core.coerce import coerce_fields

WEIGHTS = "reward_weights"


@dataclass(frozen=True, kw_only=True)
class NumberGroup:
    """A named group of numbers of a config, such as those of wear.

    A field of a task's config whose default is a subclass of this, made with `quantity` as the
    config itself is. Functions of one world read them as `c.wear.backlash`, and each can differ
    from world to world by the name "wear.backlash".
    """

    def __post_init__(self) -> None:
        coerce_fields(self)


def number_groups(config: Any) -> dict[str, Any]:
    """The groups of numbers of a task's config, by field; the reward weights come last."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    groups = {name: value for name, value in fields.items() if isinstance(value, NumberGroup)}
    return {**groups, WEIGHTS: config.reward_weights}
