"""What a reset asks for, checked as a whole before any world is touched."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from proveout.envs.core.coerce import FLOAT32_MAX, real_numbers
from proveout.envs.core.errors import ConfigError, unknown
from proveout.envs.core.randomize import CONTROL_LATENCY, OBSERVATION_NOISE
from proveout.envs.core.rng import STREAM_PHASE, host_uniform

if TYPE_CHECKING:
    from proveout.envs.core.pool import Pool
    from proveout.envs.core.task import Task

OPTIONS = ("reset_mask", "parameters", "config", "world_ids", "episodes")
_SEED_END = 2**64


class ResetRequest:
    """Arguments of `WarpVectorEnv.reset`, as arrays for the exchange.

    Args:
        num_envs: Worlds N.
        first: Whether the worlds have never been reset.
        seed: As in `WarpVectorEnv.reset`.
        options: Likewise.

    Raises:
        UnknownNameError: An option that is not there.
        ConfigError: A value of the wrong type, shape or range.
    """

    def __init__(
        self,
        num_envs: int,
        first: bool,
        seed: int | Sequence[int] | None,
        options: Mapping[str, Any] | None,
    ) -> None:
        if options is not None and not isinstance(options, Mapping):
            raise ConfigError(f"reset options: a mapping expected, got {options!r}")
        for name in options or {}:
            if name not in OPTIONS:
                raise unknown("reset option", str(name), OPTIONS)
        given = {name: value for name, value in (options or {}).items() if value is not None}
        self.num_envs = num_envs
        self.mask = np.ones(num_envs, dtype=bool)
        if "reset_mask" in given:
            self.mask = self._row(given["reset_mask"], "reset_mask", np.bool_)
            if first and not self.mask.all():
                raise ConfigError("the first reset must be of all worlds; leave out reset_mask")
        if seed is None and first:
            seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
        # One number for all worlds; None: one for each, or the old ones.
        self.seed: int | None = None
        self._seeds = None if seed is None else self._check_seed(seed)
        self._world_ids, self._episodes = (
            self._row(given[name], name, np.int32) if name in given else None
            for name in ("world_ids", "episodes")
        )
        self.config: Any = given.get("config", {})
        self.parameters: Mapping[str, Any] = given.get("parameters", {})
        if not isinstance(self.parameters, Mapping):
            raise ConfigError(
                f"parameters: a mapping of names to numbers expected, got {self.parameters!r}"
            )

    def _row(self, values: Any, name: str, dtype: Any) -> np.ndarray:
        if hasattr(values, "cpu"):
            values = values.cpu().numpy()
        try:
            row = np.asarray(values)
        except ValueError as error:
            raise ConfigError(f"{name}: {error}") from error
        if row.shape != (self.num_envs,):
            raise ConfigError(f"{name}: shape ({self.num_envs},) expected, got {row.shape}")
        if dtype is np.bool_ and row.dtype != np.bool_:
            raise ConfigError(f"{name}: bool expected, got {row.dtype}")
        if dtype is np.int32:
            if not np.issubdtype(row.dtype, np.integer):
                raise ConfigError(f"{name}: integers expected, got {row.dtype}")
            if row.min() < 0 or row.max() > np.iinfo(np.int32).max:
                raise ConfigError(f"{name}: numbers from 0 to 2**31 - 1 expected")
        return row.astype(dtype)

    def _check_seed(self, seed: Any) -> np.ndarray:
        # One by one: NumPy makes a list of large and small numbers floating-point.
        single = np.ndim(seed) == 0
        try:
            given = (seed,) if single else tuple(seed)
            numbers = [-1 if isinstance(s, bool) else operator.index(s) for s in given]
        except TypeError:
            numbers = [-1]
        if any(not 0 <= number < _SEED_END for number in numbers):
            raise ConfigError(f"a seed is an integer from 0 to 2**64 - 1, got {seed}")
        if single:
            self.seed = numbers[0]
            return np.full(self.num_envs, numbers[0], dtype=np.uint64)
        if len(numbers) != self.num_envs:
            raise ConfigError(f"{self.num_envs} seeds expected, got {len(numbers)}")
        return np.array(numbers, dtype=np.uint64)

    def keys(
        self, now: Mapping[str, np.ndarray], phase_spread: float, max_episode_steps: int
    ) -> dict[str, np.ndarray]:
        """What the worlds' random numbers are keyed by, and the phase of their first episodes.

        Args:
            now: The worlds' present seed, world_id and episode, each (N,).
            phase_spread: As in `WarpVectorEnv`.
            max_episode_steps: Control steps of a whole episode.

        Returns:
            reset_mask, seed, world_id, episode, first_step, each (N,).
        """
        mask = self.mask
        seeds, world_id, episode = (now[name].copy() for name in ("seed", "world_id", "episode"))
        first_step = np.zeros(self.num_envs, dtype=np.int32)
        if self._seeds is None:
            episode[mask] += 1
        else:
            seeds[mask] = self._seeds[mask]
            world_id[mask] = np.arange(self.num_envs)[mask]
            episode[mask] = 0
        if self._world_ids is not None:
            world_id[mask] = self._world_ids[mask]
        if self._seeds is not None and phase_spread > 0.0:
            share = np.array(
                [
                    host_uniform(int(seeds[w]), int(world_id[w]), 0, STREAM_PHASE, 0)
                    for w in range(self.num_envs)
                ]
            ).reshape(self.num_envs)
            steps = np.floor(share * (phase_spread * max_episode_steps))
            first_step[:] = np.minimum(steps, max_episode_steps - 1)
        if self._episodes is not None:
            episode[mask] = self._episodes[mask]
        return {
            "reset_mask": mask,
            "seed": seeds,
            "world_id": world_id,
            "episode": episode,
            "first_step": first_step,
        }

    def overrides(self, now: np.ndarray, task: Task, pool: Pool) -> np.ndarray:
        """Values that replace random draws.

        Args:
            now: The present ones, (N, randomisations); NaN draws at random.
            task: Declares the randomisations.
            pool: Knows the quantities that they change.
        """
        declared = dict(task.randomizations)
        override = now.copy()
        override[self.mask] = np.nan
        for column, name in enumerate(declared):
            if name in self.parameters:
                values = real_numbers(f"parameter {name}", self.parameters[name], self.num_envs)
                check_parameter(name, declared[name], values, pool)
                override[self.mask, column] = values[self.mask]
        for name in self.parameters:
            if name not in declared:
                raise self._unknown(str(name), task)
        return override

    @staticmethod
    def _unknown(name: str, task: Task) -> Exception:
        group = task.config.randomization
        off = group.ranges.get(name)
        if off is not None and group.level == "off":
            return ConfigError(
                f"randomisation {name!r} is switched off by config.randomization.level"
            )
        if off is not None:
            return ConfigError(
                f"randomisation {name!r} is switched off: its range, {off.low:g} to {off.high:g}, "
                f"changes nothing; widen config.randomization.{name} to give it to single worlds"
            )
        return unknown("randomisation", name, dict(task.randomizations))


def check_parameter(name: str, declared: Any, values: np.ndarray, pool: Pool) -> None:
    """Raise `ConfigError` unless each value is one of the quantity that is randomised.

    Args:
        name: Of the randomisation.
        declared: The `Randomization`.
        values: (N,), NaN where a world draws its own.
        pool: Knows the quantity.
    """
    given = values[~np.isnan(values)]
    if not len(given):
        return
    low, high = float(given.min()), float(given.max())
    if max(-low, high) > FLOAT32_MAX:
        raise ConfigError(f"parameter {name}: finite numbers expected, or NaN for random")
    if declared.field == CONTROL_LATENCY and high > np.float32(declared.high):
        raise ConfigError(
            f"parameter {name}: at most {declared.high:g} s, the declared range, got {high:g}"
        )
    if declared.field in (CONTROL_LATENCY, OBSERVATION_NOISE):
        if low < 0.0:
            raise ConfigError(f"parameter {name}: not below 0, got {low:g}")
        return
    pool.check_parameter(name, (low, high))
