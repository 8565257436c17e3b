"""What episodes say of a policy: success with its interval, indicators, and both in words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from proveout.envs.core.invalid import explained
from proveout.envs.core.task import PHYSICS
from proveout.training.evaluation.episodes import Episodes

# Standard normal quantile of a two-sided 95 % interval.
_Z95 = 1.959963984540054
_MAX_WORLDS = 512


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a success rate.

    Wilson, Probable inference, the law of succession, and statistical inference (1927), eq. 4.
    """
    if trials == 0:
        return 0.0, 1.0
    rate = successes / trials
    z2 = _Z95**2 / trials
    centre = (rate + z2 / 2.0) / (1.0 + z2)
    half = _Z95 / (1.0 + z2) * math.sqrt(rate * (1.0 - rate) / trials + z2 / (4.0 * trials))
    # At the ends the bound is exactly 0 or 1; rounding must not leave it just inside.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return low, high


def wilson_widths(successes: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """Widths of those intervals, upper less lower end, for arrays of counts; 1 without a trial."""
    number = np.maximum(trials, 1)
    rate = successes / number
    z2 = _Z95**2 / number
    spread = np.sqrt(rate * (1.0 - rate) / number + z2 / (4.0 * number))
    return np.where(trials < 1, 1.0, 2.0 * _Z95 / (1.0 + z2) * spread)


def evaluation_worlds(episodes: int, most: int = _MAX_WORLDS) -> int:
    """Return a number of worlds, at most `most`, that divides the episodes evenly if one is near.

    Without a divisor in the upper half, some worlds contribute one episode more than others, which
    is as free of bias, as it is fixed beforehand.
    """
    most = min(episodes, most)
    return next((n for n in range(most, most // 2, -1) if episodes % n == 0), most)


def summary(env: Any, table: Episodes) -> dict[str, Any]:
    column = {one.name: table.statistic(one.name) for one in table.columns}
    count = int(table.valid.sum())
    successes = int((column["success"] > 0.5).sum())
    kpis = {}
    for kpi in env.unwrapped.task.kpis:
        # An indicator may be undefined in an episode, such as a time to collision without traffic.
        values = column[kpi.name][np.isfinite(column[kpi.name])]
        kpis[kpi.name] = {
            "mean": float(values.mean()) if len(values) else None,
            "std": float(values.std()) if len(values) else None,
            "unit": kpi.unit,
            "episodes": len(values),
        }
    return {
        "success_rate": successes / count if count else None,
        "success_interval": list(wilson_interval(successes, count)) if count else None,
        "episodes": count,
        "kpis": kpis,
        "reward_terms": {
            name.removeprefix("reward/"): float(values.mean()) if count else None
            for name, values in column.items()
            if name.startswith("reward/")
        },
        "return_mean": float(column["return"].mean()) if count else None,
        "return_std": float(column["return"].std()) if count else None,
        "length_mean": float(column["length"].mean()) if count else None,
    }


def kpi_lines(result: dict[str, Any]) -> list[str]:
    """Return a line for each KPI of an evaluation."""
    lines = []
    for name, kpi in result["kpis"].items():
        if kpi["mean"] is None:
            lines.append(f"  {name:<28} undefined in every episode")
        else:
            unit = "" if kpi["unit"] == "1" else f" {kpi['unit']}"
            lines.append(f"  {name:<28} {kpi['mean']:.4g} +- {kpi['std']:.3g}{unit}")
    return lines


def sim_to_sim(trained: dict[str, Any], other: dict[str, Any]) -> str:
    """Return what a policy is worth in the physics of its training and in another, in words."""
    parts = [
        f"{_success(result)} with {PHYSICS[result.get('physics', 'warp')]}"
        for result in (trained, other)
        if result["episodes"]
    ]
    return f"Sim to sim: success {' and '.join(parts)}."


def _success(result: dict[str, Any]) -> str:
    low, high = result["success_interval"]
    return f"{result['success_rate']:.3f} (95 % interval {low:.3f} to {high:.3f})"


def sentence(result: dict[str, Any]) -> str:
    """Return an evaluation in words."""
    invalid, why = result["invalid_worlds"], explained(result["invalid_reasons"], result["env_id"])
    if not result["episodes"]:
        return f"No valid episode: all {invalid} were invalid: {why}"
    physics = result.get("physics", "warp")
    stepped = "" if physics == "warp" else f" with {PHYSICS[physics]}"
    text = (
        f"Success {_success(result)} over {result['episodes']} episodes{stepped}, mean return "
        f"{result['return_mean']:.2f}"
    )
    if invalid:
        return f"{text}. {invalid} further episodes were invalid and are not counted: {why}"
    return text + "."
