"""What a parameter of a study is to its environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proveout.envs.core.errors import ConfigError, unknown
from proveout.envs.core.number_groups import number_groups
from proveout.envs.core.randomize import CONTROL_LATENCY, OBSERVATION_NOISE, Randomization

# What `Randomization` switches on, and changes less than float32 can tell.
_NEARLY_NOTHING = 2.0**-20
_LONGEST_LATENCY = 1000  # control steps, see `CommandDelay`


@dataclass(frozen=True)
class Role:
    """What a parameter is.

    Attributes:
        kind: "number" (differs from world to world by the config), "randomization" (likewise, in
            place of a random draw) or "structural" (an environment for each value).
        whole: Values are rounded to whole numbers.
        neutral: Of a randomisation: what it has where the parameter does not exist; None: a draw.
        unit: SI unit, "1" for a pure number.
        text: What it means.
    """

    kind: str
    whole: bool = False
    neutral: float | None = None
    unit: str = "1"
    text: str = ""


def roles(task: Any, names: Iterable[str]) -> dict[str, Role]:
    """What the parameters are, by name.

    Args:
        task: The task, with the study's config.
        names: Of the parameters.

    Raises:
        UnknownNameError: No such name; the nearest is told.
        ConfigError: One that cannot be varied.
    """
    return {name: _role(task, name) for name in names}


def _role(task: Any, name: str) -> Role:
    config, numbers = task.config, task.numbers
    randomized = config.randomization.ranges
    fields = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.init}
    simple = {n for n, v in fields.items() if isinstance(v, bool | int | float | str)}
    about: dict[str, Any] = {f.name: f.metadata for f in dataclasses.fields(config)}
    for name_of, group in number_groups(config).items():
        about |= {f"{name_of}.{f.name}": f.metadata for f in dataclasses.fields(group)}
    unit = about.get(name, {}).get("unit", "1")
    text = about.get(name, {}).get("help", "")
    whole = type(fields.get(name)) is int
    if name in numbers.names:
        if numbers.names.index(name) in numbers.randomized:
            raise ConfigError(
                f"parameter {name} is randomised in this study's config; vary the randomisation by "
                "its own name, or switch it off"
            )
        return Role("number", whole, unit=unit, text=text)
    if name in randomized:
        r = randomized[name]
        neutral = None if r.active else 1.0 if r.operation == "scale" else 0.0
        told = {"scale": "factor on", "add": "added to", "set": "value of"}[r.operation]
        return Role("randomization", neutral=neutral, unit=r.unit, text=f"{told} {r.field}")
    if name in simple:
        return Role("structural", whole, unit=unit, text=text)
    if name in fields:
        raise ConfigError(f"parameter {name} is neither a number, a text nor a truth value")
    raise unknown("parameter", name, {*numbers.names, *randomized, *simple})


def config_for(
    base: Any, structural: Mapping[str, Any], drawn: Mapping[str, Sequence[float]]
) -> Any:
    """The config of the environment in which rows run.

    Args:
        base: The study's config.
        structural: Name -> value.
        drawn: Randomisation -> values that its worlds will be given.

    Raises:
        ConfigError: The config refuses them.
    """
    config = dataclasses.replace(base, **structural)
    if not drawn:
        return config
    group = config.randomization
    # All of them as they are at the study's level, so that the level can be given up.
    changes = dict(group.ranges)
    for name, values in drawn.items():
        changes[name] = _switched_on(changes[name], values, config.control_dt)
    group = dataclasses.replace(group, **changes, level="mild")
    return dataclasses.replace(config, randomization=group)


def _switched_on(r: Randomization, values: Sequence[float], control_dt: float) -> Randomization:
    """A randomisation that is active, and draws nothing that changes a thing by itself."""
    if r.field == CONTROL_LATENCY:
        # Its upper end decides how many commands are remembered.
        most = min(max([r.high, _NEARLY_NOTHING, *values]), _LONGEST_LATENCY * control_dt)
        return dataclasses.replace(r, high=most, enabled=True)
    if r.active:
        return r
    r = dataclasses.replace(r, enabled=True)
    if r.field == OBSERVATION_NOISE:
        return dataclasses.replace(r, low=0.0, high=_NEARLY_NOTHING)
    low = 1.0 if r.operation == "scale" else 0.0
    return dataclasses.replace(r, low=low, high=low + _NEARLY_NOTHING, distribution="uniform")
