"""Numbers of a task's config that can differ from world to world, and what they may be."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from proveout.envs.core.coerce import FLOAT32_MAX, real_numbers
from proveout.envs.core.errors import ConfigError, ProveoutError, unknown
from proveout.envs.core.number_groups import WEIGHTS, number_groups
from proveout.envs.core.randomize import Randomization

if TYPE_CHECKING:
    from proveout.envs.core.task import Task

# Of every task: they shape the recorded step.
_STRUCTURAL = ("control_dt", "decimation", "episode_seconds")
# The largest whole number up to which float32, in which overrides travel, holds each one.
_MOST = 2**24
# Randomised numbers of one config: each pair of ends is checked with each of the others.
_MOST_RANDOMIZED = 10


class Numbers:
    """Which numbers of a config can differ from world to world.

    Args:
        task: Its config gives the values of worlds that are told nothing else. A task whose hooks
            launch kernels of their own has reward weights only, as those kernels take the rest of
            the config once.

    Attributes:
        names: "max_increment", "wear.backlash", "reward_weights.reached", ...: fields of whole and
            real numbers that are not structural, those of groups, then the weights of the reward
            terms.
        defaults: Their values, in the same order.
    """

    def __init__(self, task: Task) -> None:
        self._task_id = task.id or type(task).__name__
        self._config = task.config
        config_class = type(task.config)
        fields = {field.name: field for field in dataclasses.fields(config_class)}
        self._structural = {
            name
            for name in fields
            if name in _STRUCTURAL or fields[name].metadata.get("structural")
        }
        own = len(task.functions) == 4
        numbers = [
            name
            for name in fields
            if own and name not in self._structural and _can_differ(getattr(task.config, name))
        ]
        self._groups = number_groups(task.config)
        for group, values in self._groups.items():
            numbers += [
                f"{group}.{field.name}"
                for field in dataclasses.fields(values)
                if group == WEIGHTS
                or (
                    own
                    and not field.metadata.get("structural")
                    and _can_differ(getattr(values, field.name))
                )
            ]
        self.names = tuple(numbers)
        self.defaults = np.array([self.value(name) for name in self.names], np.float64)
        self._refused = {name for name in fields if name not in numbers} - set(self._structural)
        self._launches = not own
        self._limits = {name: self._limits_of(name) for name in self.names}
        # Column of a number -> what randomises it, and the column of what is drawn.
        self.randomized: dict[int, tuple[Randomization, int]] = {}
        for column, (name, r) in enumerate(task.randomizations):
            if r.number is not None:
                self._randomize(name, r, column)
        if len(self.randomized) > _MOST_RANDOMIZED:
            raise ConfigError(
                f"{self._task_id}: {len(self.randomized)} numbers of the config are randomised; "
                f"at most {_MOST_RANDOMIZED} can be checked with each other"
            )
        try:
            self._check_row(
                np.full(len(self.names), np.nan), np.full(len(task.randomizations), np.nan)
            )
        except ProveoutError as error:
            raise ConfigError(f"{self._task_id}: a randomisation of the config: {error}") from error

    def _randomize(self, name: str, r: Randomization, column: int) -> None:
        assert r.number is not None
        try:
            number = self._column(r.number)
        except ProveoutError as error:
            raise type(error)(f"{self._task_id}: randomisation {name}: {error}") from error
        if number in self.randomized:
            raise ConfigError(f"randomisation {name}: {r.field} is randomised twice")
        name_of = self.names[number]
        told = self.value(name_of)
        if r.operation == "set" and told != self.value(name_of, type(self._config)()):
            raise ConfigError(
                f"randomisation {name}: {name_of} is drawn for every episode, so that {told:g} "
                f"would be ignored; switch it off (randomization.{name}.enabled = False), or give "
                "worlds values by `parameters`"
            )
        self.randomized[number] = (r, column)

    def value(self, name: str, config: Any = None) -> Any:
        """The value of a number by its name, in the task's config or another."""
        config = self._config if config is None else config
        return functools.reduce(getattr, name.split("."), config)

    def overrides(
        self, given: Any, now: np.ndarray, mask: np.ndarray, parameters: np.ndarray
    ) -> np.ndarray:
        """Values for worlds, checked as a config of their own each.

        Args:
            given: Name -> number or (N,) array; NaN leaves a world with the config's value.
            now: The present overrides, (N, names).
            mask: Worlds whose overrides are replaced.
            parameters: What replaces random draws, (N, randomisations), NaN where nothing does.

        Returns:
            The new overrides, (N, names), NaN where the config's value holds.

        Raises:
            ConfigError, UnknownNameError: As the message says, with the first world concerned.
        """
        if not isinstance(given, Mapping):
            raise ConfigError(f"config: a mapping of names to numbers expected, got {given!r}")
        result = now.copy()
        result[mask] = np.nan
        if not given and not self.randomized:
            return result
        # Checked as they were given: float32 may round a value at the end of a range beyond it.
        asked = np.full(now.shape, np.nan)
        for name, values in given.items():
            column = self._column(str(name))
            if column in self.randomized:
                raise ConfigError(
                    f"config: {name} is randomised here; give its worlds values by `parameters`, "
                    "or switch the randomisation off"
                )
            asked[:, column] = real_numbers(f"config {name}", values, len(mask))
        self.check(asked, mask, parameters)
        with np.errstate(over="ignore"):
            result[mask] = asked[mask]
        return result

    def check(self, overrides: np.ndarray, mask: np.ndarray, parameters: np.ndarray) -> None:
        """Raise `ConfigError` unless the numbers of each world in the mask make a config.

        Args:
            overrides: (N, names), NaN where the config's value holds.
            mask: (N,) bool.
            parameters: (N, randomisations), NaN where a value is drawn.
        """
        drawn = [column for _, column in self.randomized.values()]
        given = np.concatenate([overrides, parameters[:, drawn]], axis=1)[mask]
        # By their bytes: a NaN equals no other, and worlds of one cell of a sweep are many.
        first: dict[bytes, int] = {}
        for at, row in enumerate(given):
            first.setdefault(row.tobytes(), at)
        told = np.full(parameters.shape[1], np.nan)
        for at in first.values():
            row = given[at]
            if np.isnan(row).all():
                continue
            told[drawn] = row[len(self.names) :]
            try:
                self._check_row(row[: len(self.names)], told)
            except ConfigError as error:
                world = int(np.flatnonzero(mask)[at])
                raise ConfigError(f"config, world {world}: {error}") from error

    def _column(self, name: str) -> int:
        if name in self.names:
            return self.names.index(name)
        if name in self._structural:
            raise ConfigError(
                f"config: {name} shapes arrays or the recorded step, so it is the same in all "
                "worlds; make an environment for each value"
            )
        if name in self._refused:
            why = (
                "the task's own kernels take it once"
                if self._launches and name not in (*self._groups, "randomization")
                else f"it is no number, or one beyond {_MOST}"
            )
            raise ConfigError(f"config: {name} cannot differ from world to world: {why}")
        raise unknown("number of the config", name, self.names)

    def _check_row(self, row: np.ndarray, parameters: np.ndarray) -> None:
        """Raise `ConfigError` unless a world's numbers make a config, whatever is drawn for it.

        Args:
            row: (names,). parameters: (randomisations,).
        """
        ends = []
        for number, (r, column) in self.randomized.items():
            given = parameters[column]
            drawn = (r.low, r.high) if np.isnan(given) else (given,)
            ends.append([(number, self._drawn(r, number, float(value))) for value in drawn])
        for corner in itertools.product(*ends):
            changed = row.copy()
            for number, value in corner:
                changed[number] = value
            if not np.isnan(changed).all():
                self._check(changed)

    def _drawn(self, r: Randomization, number: int, value: float) -> float:
        """What a drawn value makes of a number; as the kernel of `NumberRows` has it."""
        default = float(self.defaults[number])
        result = {"scale": default * value, "add": default + value, "set": value}[r.operation]
        whole = type(self.value(self.names[number])) is int
        return math.copysign(math.floor(abs(result) + 0.5), result) if whole else result

    def _check(self, row: np.ndarray) -> None:
        changes: dict[str, Any] = {}
        grouped: dict[str, dict[str, Any]] = {}
        for i in np.flatnonzero(~np.isnan(row)):
            name, value = self.names[i], float(row[i])
            for limit in self._limits[name]:
                # A limit that float32 cannot tell from the value.
                if abs(value) <= FLOAT32_MAX and np.float32(limit) == np.float32(value):
                    value = limit
            if abs(value) > _MOST and type(self.value(name)) is int:
                raise ConfigError(f"{name}: at most {_MOST} in size")
            group, dot, of_group = name.partition(".")
            (grouped.setdefault(group, {}) if dot else changes)[of_group or name] = value
        for group, values in grouped.items():
            changes[group] = dataclasses.replace(self._groups[group], **values)
        dataclasses.replace(self._config, **changes)

    def _limits_of(self, name: str) -> tuple[float, ...]:
        group, dot, of_group = name.partition(".")
        holder = self._groups[group] if dot else self._config
        (field,) = (f for f in dataclasses.fields(holder) if f.name == (of_group or name))
        ends = (field.metadata.get("low"), field.metadata.get("high"))
        return tuple(float(end) for end in ends if end is not None)

    def rows(self, overrides: np.ndarray) -> dict[str, np.ndarray]:
        """What each world has: name -> values, (N,); without those that are randomised, whose
        drawn values are in the episode statistics."""
        values = np.where(np.isnan(overrides), self.defaults, overrides)
        named = zip(self.names, values.T, strict=True)
        return {name: v for i, (name, v) in enumerate(named) if i not in self.randomized}


def _can_differ(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) <= _MOST)
