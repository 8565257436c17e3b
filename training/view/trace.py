"""Curves of the episode that is asked: what each reward term gave in each step."""

from __future__ import annotations

from collections import deque

import numpy as np

from proveout.envs.core.step_told import StepTold
from proveout.envs.core.task import Task

_MOST = 4000  # control steps that are kept


class Trace:
    """Rewards and KPIs of one world's present episode, step by step.

    Args:
        task: Names what there is.
    """

    def __init__(self, task: Task) -> None:
        self.terms = task.reward_terms
        self.kpis = tuple(kpi.name for kpi in task.kpis)
        self._dt = float(task.config.control_dt)
        self._rows: deque[np.ndarray] = deque(maxlen=_MOST)
        self._steps = 0

    def clear(self) -> None:
        """Begin anew."""
        self._rows.clear()
        self._steps = 0

    def add(self, told: StepTold, reward: float, weights: np.ndarray, begins: bool) -> None:
        """Add a step.

        Args:
            told: Of the step.
            reward: The weighted sum.
            weights: Of the terms, (terms,).
            begins: It is the first one of an episode.
        """
        if begins:
            self.clear()
        self._steps += 1
        weighted = told.reward_terms * weights
        row = np.concatenate([[self._steps * self._dt, reward], weighted, told.kpis])
        self._rows.append(row.astype(np.float64))

    @property
    def table(self) -> np.ndarray:
        """Time [s], reward, weighted terms, KPIs: (steps, 2 + terms + KPIs)."""
        width = 2 + len(self.terms) + len(self.kpis)
        return np.array(self._rows).reshape(-1, width)

    @property
    def sums(self) -> np.ndarray:
        """Sum of each weighted term over the episode so far, (terms,)."""
        table = self.table[:, 2 : 2 + len(self.terms)]
        sums: np.ndarray = table.sum(axis=0)
        return sums
