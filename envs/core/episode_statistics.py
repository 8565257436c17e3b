"""What an episode adds up to, told when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import warp as wp

from proveout.envs.core.finite import is_finite

if TYPE_CHECKING:
    from proveout.envs.core.simulation import Simulation

wp.set_module_options({"enable_backward": False})

_MEAN, _LAST, _MIN, _MAX, _SUM = (wp.constant(i) for i in range(5))
_REDUCE = {"mean": _MEAN, "last": _LAST, "min": _MIN, "max": _MAX, "sum": _SUM}


@wp.struct
class Sums:
    """Of all worlds (N), since their episodes began.

    Attributes:
        total: Sum of the rewards, (N,).
        steps: Control steps, (N,); fewer than `elapsed` where the first one began late.
        terms: Sums of the raw reward terms, (N, terms).
        kpis: KPIs reduced so far, (N, KPIs). reduce: How, (KPIs,).
        partial: The episode began late and does not count, (N,).
        drawn: Drawn values of the randomisations, (N, randomisations).
        statistics: Those of the last episode that ended, (N, statistics).
        counted: An episode ended in this step, and counts, (N,).
        num_terms, num_kpis, num_drawn: Columns in use; no array is narrower than one.
    """

    total: wp.array[float]
    steps: wp.array[int]
    terms: wp.array2d[float]
    kpis: wp.array2d[float]
    reduce: wp.array[int]
    partial: wp.array[wp.bool]
    drawn: wp.array2d[float]
    statistics: wp.array2d[float]
    counted: wp.array[wp.bool]
    num_terms: int
    num_kpis: int
    num_drawn: int


@wp.func
def stay_finite(sums: Sums, w: int, reward: float, terms: wp.array2d[float]) -> bool:
    """Whether the sums would stay finite with this step's reward and raw reward terms."""
    finite = is_finite(sums.total[w] + reward)
    for t in range(sums.num_terms):
        if not is_finite(sums.terms[w, t] + terms[w, t]):
            finite = False
    return finite


@wp.func
def add_step(sums: Sums, w: int, reward: float, terms: wp.array2d[float], kpi: wp.array2d[float]):
    """Add this step's reward, raw reward terms and KPIs."""
    steps = sums.steps[w] + 1
    sums.steps[w] = steps
    sums.total[w] = sums.total[w] + reward
    for t in range(sums.num_terms):
        sums.terms[w, t] = sums.terms[w, t] + terms[w, t]
    for k in range(sums.num_kpis):
        value = kpi[w, k]
        so_far = sums.kpis[w, k]
        how = sums.reduce[k]
        if how == _MEAN or how == _SUM:
            value = so_far + value
        elif how == _MIN and steps > 1:
            value = wp.min(so_far, value)
        elif how == _MAX and steps > 1:
            value = wp.max(so_far, value)
        sums.kpis[w, k] = value


@wp.func
def tell(sums: Sums, w: int, succeeded: bool):
    """Write the statistics of an episode that ends, in the order of `Task.statistics`."""
    steps = float(sums.steps[w])
    sums.statistics[w, 0] = sums.total[w]
    sums.statistics[w, 1] = steps
    sums.statistics[w, 2] = wp.where(succeeded, 1.0, 0.0)
    column = 3
    for t in range(sums.num_terms):
        sums.statistics[w, column + t] = sums.terms[w, t] / steps
    column += sums.num_terms
    for k in range(sums.num_kpis):
        value = sums.kpis[w, k]
        if sums.reduce[k] == _MEAN:
            value = value / steps
        sums.statistics[w, column + k] = value
    column += sums.num_kpis
    for r in range(sums.num_drawn):
        sums.statistics[w, column + r] = sums.drawn[w, r]


@wp.func
def forget(sums: Sums, w: int):
    """Begin anew."""
    sums.total[w] = 0.0
    sums.steps[w] = 0
    for t in range(sums.terms.shape[1]):
        sums.terms[w, t] = 0.0
    for k in range(sums.kpis.shape[1]):
        sums.kpis[w, k] = 0.0


class EpisodeStatistics:
    """The sums of a simulation's episodes, as a part of its saved state.

    Args:
        sim: Has its task, its exchange and `drawn`.

    Attributes:
        sums: For kernels.
    """

    def __init__(self, sim: Simulation) -> None:
        task = sim.task
        terms, kpis = len(task.reward_terms), len(task.kpis)
        self.sums = Sums()
        self.sums.total = sim.array("core/episode_return", ())
        self.sums.steps = sim.array("core/episode_steps", (), dtype=wp.int32)
        self.sums.terms = sim.array("core/term_sums", (max(1, terms),))
        self.sums.kpis = sim.array("core/kpi_sums", (max(1, kpis),), finite=False)
        reduce = np.asarray([_REDUCE[kpi.reduce] for kpi in task.kpis], np.int32)
        self.sums.reduce = sim.constant(reduce, wp.int32)
        self.sums.partial = sim.array("core/partial", (), dtype=wp.bool)
        self.sums.drawn = sim.drawn
        self.sums.statistics = sim.exchange["statistics"]
        self.sums.counted = sim.exchange["statistics_mask"]
        self.sums.num_terms, self.sums.num_kpis = terms, kpis
        self.sums.num_drawn = len(task.randomizations)
