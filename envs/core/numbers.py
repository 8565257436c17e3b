"""Numbers of a task's config that can differ from world to world, and their rows on the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import warp as wp

from proveout.envs.core.coerce import real_numbers
from proveout.envs.core.errors import ConfigError, unknown

if TYPE_CHECKING:
    from proveout.envs.core.task import Task

wp.set_module_options({"enable_backward": False})

_WEIGHTS = "reward_weights."
# Of every task: they shape the recorded step.
_STRUCTURAL = ("control_dt", "decimation", "episode_seconds")
# The largest whole number up to which float32, in which overrides travel, holds each one.
_MOST = 2**24


class Numbers:
    """Which numbers of a config can differ from world to world.

    Args:
        task: Its config gives the values of worlds that are told nothing else. A task whose hooks
            launch kernels of their own has reward weights only, as those kernels take the rest of
            the config once.

    Attributes:
        names: "max_increment", "reward_weights.reached", ...: fields of whole and real numbers that
            are not structural, then the weights of the reward terms.
        defaults: Their values, in the same order.
    """

    def __init__(self, task: Task) -> None:
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
        self.names = (*numbers, *(f"{_WEIGHTS}{term}" for term in task.reward_terms))
        self.defaults = np.array([self._value(name) for name in self.names], np.float64)
        self._refused = {name for name in fields if name not in numbers} - set(self._structural)
        self._launches = not own

    def _value(self, name: str) -> Any:
        weights = self._config.reward_weights
        if name.startswith(_WEIGHTS):
            return getattr(weights, name.removeprefix(_WEIGHTS))
        return getattr(self._config, name)

    def overrides(self, given: Any, now: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Values for worlds, checked as a config of their own each.

        Args:
            given: Name -> number or (N,) array; NaN leaves a world with the config's value.
            now: The present overrides, (N, names).
            mask: Worlds whose overrides are replaced.

        Returns:
            The new overrides, (N, names), NaN where the config's value holds.

        Raises:
            ConfigError, UnknownNameError: As the message says, with the first world concerned.
        """
        if not isinstance(given, Mapping):
            raise ConfigError(f"config: a mapping of names to numbers expected, got {given!r}")
        result = now.copy()
        result[mask] = np.nan
        if not given:
            return result
        # Checked as they were given: float32 may round a value at the end of a range beyond it.
        asked = np.full(now.shape, np.nan)
        for name, values in given.items():
            column = self._column(str(name))
            asked[:, column] = real_numbers(f"config {name}", values, len(mask))
        self.check(asked, mask)
        with np.errstate(over="ignore"):
            result[mask] = asked[mask]
        return result

    def check(self, overrides: np.ndarray, mask: np.ndarray) -> None:
        """Raise `ConfigError` unless the numbers of each world in the mask make a config.

        Args:
            overrides: (N, names), NaN where the config's value holds.
            mask: (N,) bool.
        """
        rows, first = np.unique(overrides[mask], axis=0, return_index=True)
        for row, at in zip(rows, first, strict=True):
            if not np.isnan(row).all():
                self._check(row, int(np.flatnonzero(mask)[at]))

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
                if self._launches and name not in ("reward_weights", "randomization")
                else f"it is no number, or one beyond {_MOST}"
            )
            raise ConfigError(f"config: {name} cannot differ from world to world: {why}")
        raise unknown("number of the config", name, self.names)

    def _check(self, row: np.ndarray, world: int) -> None:
        changes: dict[str, Any] = {}
        weights: dict[str, Any] = {}
        for name, value in zip(self.names, row, strict=True):
            if np.isnan(value):
                continue
            value = self._at_a_limit(name, float(value))
            if name.startswith(_WEIGHTS):
                weights[name.removeprefix(_WEIGHTS)] = value
                continue
            whole = type(getattr(self._config, name)) is int
            if whole and abs(value) > _MOST:
                raise ConfigError(f"config {name}, world {world}: at most {_MOST} in size")
            changes[name] = value
        try:
            changes["reward_weights"] = dataclasses.replace(self._config.reward_weights, **weights)
            dataclasses.replace(self._config, **changes)
        except ConfigError as error:
            raise ConfigError(f"config, world {world}: {error}") from error

    def _at_a_limit(self, name: str, value: float) -> float:
        """The value, or a limit of its field that float32 cannot tell from it."""
        group = self._config.reward_weights if name.startswith(_WEIGHTS) else self._config
        (field,) = (f for f in dataclasses.fields(group) if f.name == name.removeprefix(_WEIGHTS))
        with np.errstate(over="ignore"):
            for limit in (field.metadata.get("low"), field.metadata.get("high")):
                if limit is not None and np.float32(limit) == np.float32(value):
                    return float(limit)
        return value

    def rows(self, overrides: np.ndarray) -> dict[str, np.ndarray]:
        """What each world has: name -> values, (N,)."""
        values = np.where(np.isnan(overrides), self.defaults, overrides)
        return dict(zip(self.names, values.T, strict=True))


def _can_differ(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) <= _MOST)


class NumberRows:
    """A config struct and reward weights for every world, written when its episode begins.

    Args:
        task: The task.
        struct: Of its config's numbers, see `hooks.numbers_struct`; None for a task without
            functions of one world.
        num_worlds: Worlds N.
        device: Where they live.

    Attributes:
        config: (N,) of the struct; None without one.
        weights: (N, terms).
    """

    def __init__(self, task: Task, struct: Any, num_worlds: int, device: wp.Device) -> None:
        numbers = task.numbers
        self._device = device
        terms = len(task.reward_terms)
        weights = numbers.defaults[len(numbers.names) - terms :].astype(np.float32)
        self.weights = wp.array(
            np.tile(weights, (num_worlds, 1)).reshape(num_worlds, terms), dtype=float, device=device
        )
        self._words_float = wp.zeros((num_worlds, 1), dtype=float, device=device)
        self._words_int = wp.zeros((num_worlds, 1), dtype=int, device=device)
        self.config: wp.array | None = None
        offsets: dict[str, int] = {}
        if struct is not None:
            layout = struct.numpy_dtype()
            rows = np.zeros(num_worlds, dtype=layout)
            for name in struct.vars:
                rows[name] = getattr(task.config, name)
            self.config = wp.array(rows, dtype=struct, device=device)
            kinds = dict(zip(layout["names"], layout["offsets"], strict=True))
            offsets = {name: at // 4 for name, at in kinds.items()}
            shape = (num_worlds, layout["itemsize"] // 4)
            self._words_float, self._words_int = (
                wp.array(ptr=self.config.ptr, dtype=kind, shape=shape, device=device, copy=False)
                for kind in (float, int)
            )
        # Where each number goes: a word of the config (0: real, 1: whole), or a weight (2).
        kind, place = [], []
        for i, name in enumerate(numbers.names):
            if name.startswith(_WEIGHTS):
                kind.append(2)
                place.append(i - (len(numbers.names) - terms))
            else:
                kind.append(1 if type(getattr(task.config, name)) is int else 0)
                place.append(offsets[name])
        self._kind = wp.array(np.array(kind, np.int32), dtype=int, device=device)
        self._place = wp.array(np.array(place, np.int32), dtype=int, device=device)
        self._default = wp.array(numbers.defaults.astype(np.float32), dtype=float, device=device)

    def write(self, mask: wp.array, overrides: wp.array) -> None:
        """Launch: the numbers of the worlds in the mask."""
        if self._kind.shape[0]:
            wp.launch(
                _write_kernel,
                dim=(mask.shape[0], self._kind.shape[0]),
                inputs=[mask, overrides, self._default, self._kind, self._place],
                outputs=[self._words_float, self._words_int, self.weights],
                device=self._device,
            )


@wp.kernel
def _write_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    override_in: wp.array2d[float],
    default_in: wp.array[float],
    kind: wp.array[int],
    place: wp.array[int],
    # Out:
    words_float_out: wp.array2d[float],
    words_int_out: wp.array2d[int],
    weights_out: wp.array2d[float],
):
    worldid, i = wp.tid()
    if not mask_in[worldid]:
        return
    value = override_in[worldid, i]
    if not wp.isfinite(value):
        value = default_in[i]
    at = place[i]
    if kind[i] == 0:
        words_float_out[worldid, at] = value
    elif kind[i] == 1:
        words_int_out[worldid, at] = int(value)
    else:
        weights_out[worldid, at] = value
