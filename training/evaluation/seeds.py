"""What several seeds of one training say together: interquartile means with intervals.

After Agarwal, Schwarzer, Castro, Courville, Bellemare, Deep Reinforcement Learning at the Edge of
the Statistical Precipice, NeurIPS 2021: the mean of the middle half of the runs, which one run
that failed does not move, and a bootstrap over runs for its interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_RESAMPLES = 5000
_TRIMMED = 0.25  # share that is left out at each end


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the middle half of the last axis; of a quarter that is not whole, less is cut."""
    ordered = np.sort(values, axis=-1)
    cut = int(_TRIMMED * values.shape[-1])
    return np.asarray(ordered[..., cut : values.shape[-1] - cut].mean(axis=-1))


def iqm_interval(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """95 % interval of the interquartile mean by the percentile bootstrap over runs.

    Args:
        values: (..., runs), finite; at least two runs.
        seed: Of the draws.

    Returns:
        (..., 2): low and high.
    """
    runs = values.shape[-1]
    draws = np.random.default_rng(seed).integers(0, runs, (_RESAMPLES, runs))
    # One row of outcomes after the other: a curve has hundreds.
    flat = values.reshape(-1, runs)
    ends = [np.percentile(interquartile_mean(row[draws]), [2.5, 97.5]) for row in flat]
    return np.array(ends).reshape(*values.shape[:-1], 2)


def over_seeds(evaluations: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up evaluations.

    Args:
        evaluations: Seed -> what `evaluate` returned.

    Returns:
        `seeds`, `runs` (a dict for each: `seed`, `success_rate`, `success_interval`,
        `return_mean`), and `figures`: "success", "return" and KPIs -> `unit`, `seeds` that have
        it, `iqm`, `interval` (None for fewer than three seeds), `mean`, `lowest`, `highest`.
    """
    seeds = sorted(evaluations)
    told = [evaluations[seed] for seed in seeds]
    figures = {
        "success": _figure([one["success_rate"] for one in told], "1"),
        "return": _figure([one["return_mean"] for one in told], "1"),
    }
    for name in told[0]["kpis"] if told else ():
        kpis = [one["kpis"].get(name) or {} for one in told]
        unit = str(told[0]["kpis"][name]["unit"])
        figures[name] = _figure([kpi.get("mean") for kpi in kpis], unit)
    return {
        "seeds": seeds,
        "runs": [
            {
                "seed": seed,
                "success_rate": one["success_rate"],
                "success_interval": one["success_interval"],
                "return_mean": one["return_mean"],
            }
            for seed, one in zip(seeds, told, strict=True)
        ],
        "figures": figures,
    }


def _figure(values: Sequence[float | None], unit: str) -> dict[str, Any]:
    known = np.array([value for value in values if value is not None], float)
    if not len(known):
        nothing = dict.fromkeys(("iqm", "interval", "mean", "lowest", "highest"))
        return {"unit": unit, "seeds": 0, **nothing}
    return {
        "unit": unit,
        "seeds": len(known),
        "iqm": float(interquartile_mean(known)),
        "interval": iqm_interval(known).tolist() if len(known) > 2 else None,
        "mean": float(known.mean()),
        "lowest": float(known.min()),
        "highest": float(known.max()),
    }


def curve_over_seeds(
    curves: Sequence[tuple[np.ndarray, np.ndarray]], points: int = 100
) -> dict[str, list[float]]:
    """A learning curve over runs.

    Args:
        curves: Of each run: samples (n,), ascending, and values (n,).
        points: Most points.

    Returns:
        `samples`, `iqm`, and `low` and `high` of its interval (empty for fewer than three runs):
        values between those of a run are interpolated, from where all runs have begun to where the
        first one ends.
    """
    curves = [(x[np.isfinite(y)], y[np.isfinite(y)]) for x, y in curves]
    curves = [(x, y) for x, y in curves if len(x)]
    if not curves:
        return {"samples": [], "iqm": [], "low": [], "high": []}
    first, last = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    longest = max(len(x) for x, _ in curves)
    samples = np.linspace(first, max(first, last), min(points, longest))
    values = np.stack([np.interp(samples, x, y) for x, y in curves], axis=1)
    interval = iqm_interval(values) if len(curves) > 2 else np.zeros((0, 2))
    return {
        "samples": samples.tolist(),
        "iqm": interquartile_mean(values).tolist(),
        "low": interval[:, 0].tolist(),
        "high": interval[:, 1].tolist(),
    }


def difference_of_means(
    first: Sequence[float], second: Sequence[float]
) -> tuple[float, list[float] | None]:
    """How much larger the first mean is, with its 95 % interval.

    Welch, The generalization of 'Student's' problem when several different population variances
    are involved, Biometrika 34 (1947).

    Args:
        first: A value for each run. second: Likewise, of others.

    Returns:
        The difference, and its interval; None for fewer than two runs on a side.
    """
    from scipy import stats

    difference = float(np.mean(first) - np.mean(second))
    if min(len(first), len(second)) < 2:
        return difference, None
    squares = [float(np.var(side, ddof=1)) / len(side) for side in (first, second)]
    error = float(np.sqrt(sum(squares)))
    if not error > 0.0:
        return difference, [difference, difference]
    weights = squares[0] ** 2 / (len(first) - 1) + squares[1] ** 2 / (len(second) - 1)
    half = float(stats.t.ppf(0.975, sum(squares) ** 2 / weights)) * error
    return difference, [difference - half, difference + half]
