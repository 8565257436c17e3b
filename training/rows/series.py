"""Time series of chosen rows: what is observed, commanded, earned, and the state behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from proveout.envs.core.errors import ConfigError, unknown

REWARD = "reward"
# Groups of `WarpVectorEnv.state_dict` of which a number says something.
_STATE = ("engine", "task", "core")
_NONE = -1  # the row of a world that has none


@dataclass(frozen=True)
class Signal:
    """One column of a time series.

    Attributes:
        name: "observation/joint_velocity[2]", "action/acceleration", "reward", "engine/qpos[0]".
        unit: SI unit; "" where it is not told.
        text: What it means.
    """

    name: str
    unit: str
    text: str


@dataclass(frozen=True)
class Samples:
    """M samples of rows, in order of time.

    Attributes:
        row: Number of the row, (M,).
        step: Control steps since the episode began, (M,) int32.
        values: (M, signals) float32: observation, state before the step; action and reward of it.
    """

    row: np.ndarray
    step: np.ndarray
    values: np.ndarray


def known_signals(env: Any) -> list[str]:
    """Names of what an environment can give, without the indices of single numbers.

    Args:
        env: Vector environment of a task, after its first reset.
    """
    core = env.unwrapped
    names = [f"observation/{name}" for name in core.layout.names]
    names += [f"action/{name}" for name in core.action_layout.names]
    states = [name for name in core.state_dict() if name.partition("/")[0] in _STATE]
    return ["observation", "action", REWARD, *names, *states]


class SeriesRecorder:
    """Watches the rows of a stream.

    Attributes:
        signals: Columns of what is recorded.
        control_dt: Time between two control steps [s].
    """

    def __init__(
        self, env: Any, names: Sequence[str], every: int, wanted: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        """Look up the signals; the environment is reset once.

        Args:
            env: Vector environment of a task, `array_type` "numpy".
            names: As of `known_signals`.
            every: Control steps between two samples; the first step is always one.
            wanted: Numbers of rows (n,) -> which of them are recorded, (n,) bool.

        Raises:
            UnknownNameError: No such signal; the nearest is told.
        """
        env.reset(seed=0)
        known = known_signals(env)
        core = env.unwrapped
        self.control_dt = float(core.config.control_dt)
        self._core, self._every, self._wanted = core, every, wanted
        self._parts: list[tuple[str, str, slice]] = []  # group, name, columns
        self.signals: list[Signal] = []
        for name in names:
            if name not in known:
                raise unknown("signal", name, known)
            self._add(name)
        self._needs_state = any(group in _STATE for group, _, _ in self._parts)
        self._steps = np.zeros(env.num_envs, np.int32)
        self._recorded = np.zeros(env.num_envs, bool)
        self._rows = np.full(env.num_envs, _NONE, np.int64)
        self._open: tuple[np.ndarray, np.ndarray, np.ndarray, int] | None = None
        self._held: list[Samples] = []

    def _add(self, name: str) -> None:
        group, _, rest = name.partition("/")
        if name == REWARD:
            self._parts.append((REWARD, "", slice(0, 1)))
            self.signals.append(Signal(REWARD, "1", "reward of the step"))
            return
        if group in _STATE:
            array = self._core.state_dict()[name]
            size = math.prod(array.shape[1:])
            self._parts.append((group, name, slice(0, size)))
            self.signals += _numbered(name, size, "", "state before the step")
            return
        layout = self._core.layout if group == "observation" else self._core.action_layout
        for entry in layout.entries:
            if rest in ("", entry.name):
                self._parts.append((group, entry.name, layout.slices[entry.name]))
                told = f"{entry.description} ({entry.frame})" if entry.frame else entry.description
                self.signals += _numbered(f"{group}/{entry.name}", entry.size, entry.unit, told)

    def before(self, rows: np.ndarray, observation: np.ndarray, actions: np.ndarray) -> None:
        """See what comes before a step.

        Args:
            rows: Which row each world runs, -1: none, (N,).
            observation: (N, O). actions: (N, A).
        """
        begun = rows != self._rows
        self._steps[begun] = 0
        self._recorded[begun] = self._wanted(rows[begun]) & (rows[begun] != _NONE)
        self._rows[begun] = rows[begun]
        worlds = np.flatnonzero(self._recorded & (self._steps % self._every == 0))
        self._open = None
        if len(worlds):
            self._open = self._sample(worlds, rows[worlds], observation, actions)
        self._steps += 1

    def _sample(
        self, worlds: np.ndarray, rows: np.ndarray, observation: np.ndarray, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        state = self._core.state_dict() if self._needs_state else {}
        columns: list[np.ndarray] = []
        reward = _NONE
        for group, name, where in self._parts:
            if group == REWARD:
                reward = sum(column.shape[1] for column in columns)
                columns.append(np.full((len(worlds), 1), np.nan, np.float32))
            elif group in _STATE:
                array = state[name][worlds]
                columns.append(array.reshape(len(worlds), -1).astype(np.float32))
            else:
                source = observation if group == "observation" else actions
                columns.append(np.asarray(source[worlds, where], np.float32))
        values = np.concatenate(columns, axis=1)
        self._held.append(Samples(rows.copy(), self._steps[worlds].copy(), values))
        return worlds, rows, values, reward

    def after(self, reward: np.ndarray) -> None:
        """See what a step gave, (N,)."""
        if self._open is not None:
            worlds, _, values, column = self._open
            if column != _NONE:
                values[:, column] = reward[worlds]
            self._open = None

    def take(self, done: np.ndarray, kept: np.ndarray) -> Samples:
        """Samples of rows that have ended; those of others that have are forgotten.

        Args:
            done: Numbers of rows that have ended, (n,).
            kept: Which of them are kept, (n,) bool.
        """
        nothing = Samples(
            np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros((0, len(self.signals)), "f4")
        )
        held = [nothing, *self._held]
        every = Samples(
            np.concatenate([part.row for part in held]),
            np.concatenate([part.step for part in held]),
            np.concatenate([part.values for part in held]),
        )
        ended = np.isin(every.row, done)
        self._held = [_picked(every, np.flatnonzero(~ended))]
        mine = np.flatnonzero(np.isin(every.row, done[kept]))
        order = np.lexsort((every.step[mine], every.row[mine]))
        return _picked(every, mine[order])


def steps_between(rate: float, control_dt: float) -> int:
    """Control steps between two samples at a rate [Hz]; 0: every step.

    Raises:
        ConfigError: Faster than the control.
    """
    if not rate:
        return 1
    if rate * control_dt > 1.0 + 1e-9:
        raise ConfigError(
            f"series: a rate of {rate:g} Hz is above that of the control, {1.0 / control_dt:g} Hz"
        )
    return max(1, round(1.0 / (rate * control_dt)))


def _numbered(name: str, size: int, unit: str, text: str) -> list[Signal]:
    if size == 1:
        return [Signal(name, unit, text)]
    return [Signal(f"{name}[{i}]", unit, text) for i in range(size)]


def _picked(samples: Samples, which: np.ndarray) -> Samples:
    return Samples(samples.row[which], samples.step[which], samples.values[which])
