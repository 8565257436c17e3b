"""Two policies on the same start states, and the interval of their difference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from proveout.envs.core.errors import ConfigError
from proveout.training.evaluation.episodes import Episodes
from proveout.training.evaluation.evaluate import DEFAULT_EPISODES, evaluate_episodes
from proveout.training.evaluation.policy_source import Policy, PolicySource
from proveout.training.tasks import VectorEnvSpec

_Z95 = 1.959963984540054  # normal quantile of a two-sided 95 % interval


def compare(
    policy: Policy | PolicySource,
    other: Policy | PolicySource,
    spec: VectorEnvSpec,
    *,
    episodes: int = DEFAULT_EPISODES,
    seed: int = 0,
    policy_device: str = "cpu",
    shown: bool = False,
) -> dict[str, Any]:
    """Run two policies from the same start states, with the same random numbers.

    Args:
        policy: The one that is judged, as in `evaluate`. other: That which it is compared with.
        spec, episodes, seed, policy_device, shown: As in `evaluate`.

    Returns:
        JSON data: `policy` and `other` (as `evaluate` returns them), `pairs` (start states from
        which both episodes are valid) and `differences`: "success", "return" and KPIs ->
        `difference` (the first less the other, over pairs that have the figure), `interval` (95 %;
        None for fewer than two pairs), `pairs`, `unit`.

    Raises:
        ConfigError: As in `evaluate`.
        PolicyError, RunError: A policy that cannot be loaded.
    """
    told, tables = [], []
    for one in (policy, other):
        result, table = evaluate_episodes(
            one, spec, episodes=episodes, seed=seed, policy_device=policy_device, shown=shown
        )
        told.append(result)
        tables.append(table)
    units = {name: kpi["unit"] for name, kpi in told[0]["kpis"].items()}
    return {"policy": told[0], "other": told[1], **differences(tables[0], tables[1], units)}


def differences(first: Episodes, second: Episodes, units: Mapping[str, str]) -> dict[str, Any]:
    """`pairs` and `differences` of `compare`, from the episodes of both.

    Args:
        first, second: From the same worlds, seed and number of episodes.
        units: Of the KPIs.

    Raises:
        ConfigError: They began in other states.
    """
    same = first.seed == second.seed and np.array_equal(
        np.stack([first.world, first.episode]), np.stack([second.world, second.episode])
    )
    if not same:
        raise ConfigError("the episodes of the two policies are of other worlds, or another seed")
    both = first.valid & second.valid
    columns = [_whole(table)["success"][both] > 0.5 for table in (first, second)]
    told = {"success": {**_of_rates(columns[0], columns[1]), "unit": "1"}}
    for name, unit in {"return": "1", **units}.items():
        values = [_whole(table)[name][both] for table in (first, second)]
        told[name] = {**_of_means(values[0] - values[1]), "unit": unit}
    return {"pairs": int(both.sum()), "differences": told}


def _whole(table: Episodes) -> dict[str, np.ndarray]:
    """Statistics of all episodes, valid or not, by name."""
    return {
        column.name: table.statistics[:, i].astype(float) for i, column in enumerate(table.columns)
    }


def _of_rates(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Bonett and Price, Adjusted Wald confidence interval for a difference of binomial proportions
    based on paired data, J. Educ. Behav. Stat. 37 (2012): one more of each kind of pair that
    differs, so that two policies without a difference are not told to be the same for sure.
    """
    pairs = len(first)
    if pairs < 2:
        return {"difference": None, "interval": None, "pairs": pairs}
    won, lost = int((first & ~second).sum()), int((second & ~first).sum())
    up, down = (won + 1) / (pairs + 2), (lost + 1) / (pairs + 2)
    half = _Z95 * math.sqrt((up + down - (up - down) ** 2) / (pairs + 2))
    interval = [max(up - down - half, -1.0), min(up - down + half, 1.0)]
    return {"difference": (won - lost) / pairs, "interval": interval, "pairs": pairs}


def _of_means(difference: np.ndarray) -> dict[str, Any]:
    """Student's t of the differences."""
    known = difference[np.isfinite(difference)]
    if len(known) < 2:
        return {"difference": None, "interval": None, "pairs": len(known)}
    mean = float(known.mean())
    error = float(known.std(ddof=1)) / math.sqrt(len(known))
    half = float(stats.t.ppf(0.975, len(known) - 1)) * error
    return {"difference": mean, "interval": [mean - half, mean + half], "pairs": len(known)}


def difference_lines(told: Mapping[str, Any]) -> list[str]:
    """A line for each difference: its interval, and whether it is one."""
    lines = [f"Difference over {told['pairs']} pairs of the same start state (95 % interval)"]
    for name, one in told["differences"].items():
        if one["interval"] is None:
            lines.append(f"  {name:<28} undefined in nearly every pair")
            continue
        low, high = one["interval"]
        unit = "" if one["unit"] == "1" else f" {one['unit']}"
        verdict = "higher" if low > 0.0 else "lower" if high < 0.0 else "no difference shown"
        lines.append(
            f"  {name:<28} {one['difference']:+.4g}{unit} ({low:+.4g} to {high:+.4g}): {verdict}"
        )
    return lines
