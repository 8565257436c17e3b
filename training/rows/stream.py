"""Rows stream through the worlds of one environment: whoever ends one takes the next at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from proveout.envs.core.errors import ConfigError
from proveout.envs.core.finished import Finished
from proveout.envs.core.invalid import Invalid
from proveout.training.rows.series import SeriesRecorder

_NONE = -1  # the row of a world that has none


@dataclass(frozen=True)
class Starts:
    """How n rows begin.

    Attributes:
        seed, world_id, episode: What their random numbers are keyed by, each (n,).
        kind: Rows of one kind have the same numbers, and are refused together, (n,) int.
        config: Numbers of the config by name, each (n,); NaN: as the environment has it.
        parameters: Values of randomisations by name, each (n,); NaN: drawn.
    """

    seed: np.ndarray
    world_id: np.ndarray
    episode: np.ndarray
    kind: np.ndarray
    config: Mapping[str, np.ndarray]
    parameters: Mapping[str, np.ndarray]


class RowTable(Protocol):
    """Where rows come from."""

    def starts(self, rows: np.ndarray) -> Starts:
        """How these rows begin; rows: (n,) int."""


@dataclass(frozen=True)
class Ended:
    """E rows that are done, in order of completion.

    Attributes:
        row: Their numbers, (E,).
        valid: Whether they are results, (E,) bool.
        reason: Why not, in words; "" for those that are.
        terminated: Whether the episode ended before its time, (E,) bool.
        statistics: Episode statistics, float32, (E, S); NaN in rows that never began.
        wall_seconds: From beginning to end, beside the others, (E,).
    """

    row: np.ndarray
    valid: np.ndarray
    reason: list[str]
    terminated: np.ndarray
    statistics: np.ndarray
    wall_seconds: np.ndarray

    def __len__(self) -> int:
        """Return E."""
        return len(self.row)


class RowStream:
    """One pass of rows through an environment.

    Attributes:
        acting_seconds: Time spent in the policy so far.
        stepping_seconds: Likewise in `env.step`.
        steps: Control steps of all worlds so far.
    """

    def __init__(
        self,
        env: Any,
        act: Callable[[np.ndarray], np.ndarray],
        table: RowTable,
        rows: np.ndarray,
        recorder: SeriesRecorder | None = None,
    ) -> None:
        """Prepare; nothing is reset yet.

        Args:
            env: Vector environment of a task, `array_type` "numpy".
            act: Observations (N, O) to actions (N, A).
            table: Says how rows begin.
            rows: Numbers of the rows, in the order in which they begin, (n,) int.
            recorder: Sees every step.
        """
        self.acting_seconds = self.stepping_seconds = 0.0
        self.steps = 0
        self._env, self._act, self._table, self._rows = env, act, table, rows
        self._recorder = recorder
        self._core = env.unwrapped
        self._next = 0
        self._current, self._waiting = (np.full(env.num_envs, _NONE, np.int64) for _ in range(2))
        # Kinds of rows that the environment refuses -> why; rows that are yet to be told.
        self._refused: dict[int, str] = {}
        self._untold: list[tuple[int, str]] = []

    def in_flight(self) -> np.ndarray:
        """Rows that have begun and not ended, (n,)."""
        return self._current[self._current != _NONE].copy()

    def __iter__(self) -> Iterator[Ended]:
        """Run them all.

        Yields:
            Rows, as soon as they are done.
        """
        env, names = self._env, [name for name, _ in self._core.statistics]
        observation, _ = env.reset(seed=0)

        def begin(seed: Any, options: dict[str, Any]) -> None:
            nonlocal observation
            observation, _ = env.reset(seed=seed, options=options)

        everyone = np.arange(env.num_envs)
        self._fill(begin, self._current, everyone)
        self._fill(self._reset_next, self._waiting, everyone)
        began = np.full(env.num_envs, time.monotonic())
        spoiled = np.zeros(env.num_envs, bool)
        yield from self._tell_refused(len(names))
        while (self._current != _NONE).any():
            clock = time.monotonic()
            actions = self._act(observation)
            # One policy that gives a NaN must not end the rows beside it.
            bad = ~np.isfinite(actions).all(axis=1)
            if bad.any():
                spoiled |= bad
                actions = np.where(bad[:, None], np.float32(0), actions)
            acted = time.monotonic()
            if self._recorder is not None:
                self._recorder.before(self._current, observation, actions)
            observation, reward, terminated, truncated, info = env.step(actions)
            if self._recorder is not None:
                self._recorder.after(reward)
            now = time.monotonic()
            self.acting_seconds += acted - clock
            self.stepping_seconds += now - acted
            self.steps += env.num_envs
            finished = Finished(terminated, truncated, info)
            worlds = np.flatnonzero(finished.ended)
            if not len(worlds):
                continue
            told = worlds[self._current[worlds] != _NONE]
            if len(told):
                yield self._ended(finished.take(told), names, now - began[told], spoiled[told])
            spoiled[worlds] = False
            self._current[worlds], self._waiting[worlds] = self._waiting[worlds], _NONE
            began[worlds] = now
            self._fill(self._reset_next, self._waiting, worlds)
            yield from self._tell_refused(len(names))

    def _ended(
        self, endings: Any, names: list[str], wall: np.ndarray, spoiled: np.ndarray
    ) -> Ended:
        bits = endings.reason | np.where(spoiled, int(Invalid.NON_FINITE_ACTION), 0)
        valid = endings.counts & (bits == 0)
        return Ended(
            row=self._current[endings.worlds].copy(),
            valid=valid,
            reason=["" if v else Invalid(int(b)).words for v, b in zip(valid, bits, strict=True)],
            terminated=endings.terminated,
            statistics=np.stack([endings.statistics[name] for name in names], axis=1),
            wall_seconds=wall,
        )

    def _tell_refused(self, size: int) -> Iterator[Ended]:
        if not self._untold:
            return
        rows, reasons = zip(*self._untold, strict=True)
        count = len(rows)
        self._untold = []
        yield Ended(
            row=np.array(rows, np.int64),
            valid=np.zeros(count, bool),
            reason=list(reasons),
            terminated=np.zeros(count, bool),
            statistics=np.full((count, size), np.nan, np.float32),
            wall_seconds=np.zeros(count),
        )

    def _reset_next(self, seed: Any, options: dict[str, Any]) -> None:
        self._core.reset_next(seed=seed, options=options)

    def _fill(
        self, give: Callable[[Any, dict[str, Any]], None], places: np.ndarray, worlds: np.ndarray
    ) -> None:
        """Give worlds their next rows, past those that are refused, while there are any."""
        while len(worlds) and self._next < len(self._rows):
            rows = self._rows[self._next : self._next + len(worlds)]
            self._next += len(rows)
            if self._refused:
                kinds = self._table.starts(rows).kind
                known = np.array([int(kind) in self._refused for kind in kinds], bool)
                for row, kind in zip(rows[known], kinds[known], strict=True):
                    self._untold.append((int(row), self._refused[int(kind)]))
                rows = rows[~known]
                if not len(rows):
                    continue
            taken = self._give(give, worlds[: len(rows)], rows)
            places[taken[0]] = taken[1]
            served = np.isin(worlds, taken[0])
            worlds = worlds[~served]

    def _give(
        self, give: Callable[[Any, dict[str, Any]], None], worlds: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give rows to worlds; return the worlds and rows that were taken, without refused ones."""
        starts = self._table.starts(rows)
        try:
            give(*self._options(worlds, starts))
        except ConfigError as error:
            if len(np.unique(starts.kind)) > 1:
                half = len(rows) // 2
                first = self._give(give, worlds[:half], rows[:half])
                second = self._give(give, worlds[half:], rows[half:])
                return np.append(first[0], second[0]), np.append(first[1], second[1])
            # The cause speaks of the numbers alone, without a world that nobody knows.
            why = str(error.__cause__ if isinstance(error.__cause__, ConfigError) else error)
            self._refused[int(starts.kind[0])] = why
            self._untold += [(int(row), why) for row in rows]
            return worlds[:0], rows[:0]
        return worlds, rows

    def _options(self, worlds: np.ndarray, starts: Starts) -> tuple[Any, dict[str, Any]]:
        number = self._env.num_envs

        def spread(values: np.ndarray, fill: Any, dtype: Any) -> np.ndarray:
            row = np.full(number, fill, dtype)
            row[worlds] = values
            return row

        mask = spread(np.ones(len(worlds), bool), False, np.bool_)
        one = (starts.seed == starts.seed[0]).all()
        seed = int(starts.seed[0]) if one else spread(starts.seed, 0, np.uint64).tolist()
        numbers = {name: spread(v, np.nan, np.float64) for name, v in starts.config.items()}
        drawn = {name: spread(v, np.nan, np.float64) for name, v in starts.parameters.items()}
        return seed, {
            "reset_mask": mask,
            "world_ids": spread(starts.world_id, 0, np.int32),
            "episodes": spread(starts.episode, 0, np.int32),
            "config": numbers,
            "parameters": drawn,
        }
