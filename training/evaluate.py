"""Success, return and KPIs of a policy over a given number of episodes, without bias.

Every world contributes a number of episodes fixed beforehand. (Taking the first N that finish would
prefer short episodes, which are the failures of one task and the successes of another.)
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from proveout.envs.core.errors import ConfigError
from proveout.envs.core.invalid import Invalid, explained
from proveout.training.episodes import Episodes, check_path, statistic_columns
from proveout.training.policy_source import Policy, PolicySource, actions_of, load_policy
from proveout.training.progress import Progress
from proveout.training.tasks import VectorEnvSpec, make_vector_env

DEFAULT_EPISODES = 1000
_MAX_WORLDS = 512
# Standard normal quantile of a two-sided 95 % interval.
_Z95 = 1.959963984540054


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


def evaluation_worlds(episodes: int, most: int = _MAX_WORLDS) -> int:
    """Return a number of worlds, at most `most`, that divides the episodes evenly if one is near.

    Without a divisor in the upper half, some worlds contribute one episode more than others, which
    is as free of bias, as it is fixed beforehand.
    """
    most = min(episodes, most)
    return next((n for n in range(most, most // 2, -1) if episodes % n == 0), most)


def evaluate(
    policy: Policy | PolicySource,
    spec: VectorEnvSpec,
    *,
    episodes: int = DEFAULT_EPISODES,
    seed: int = 0,
    policy_device: str = "cpu",
    shown: bool = False,
    episodes_out: Path | str | None = None,
) -> dict[str, Any]:
    """Run a deterministic policy for exactly `episodes` episodes.

    An invalid episode takes its place among them, but is never counted as a result: replacing it
    would prefer the states that stay valid. `episodes` in the result are those that count.

    Args:
        policy: A policy, or where to load it from.
        spec: The worlds; `num_envs` 0: chosen here.
        episodes: Episodes to run.
        seed: Of the worlds.
        policy_device: Torch device of a policy that is loaded here.
        shown: Show progress on standard error.
        episodes_out: Write a row for each episode to this .csv or .parquet (see `Episodes.write`).

    Returns:
        JSON data: `success_rate`, `success_interval` [low, high] (95 %), `episodes`,
        `invalid_worlds`, `invalid_reasons` (words -> episodes), `kpis` (name -> mean, std, unit,
        episodes), `reward_terms` (name -> mean of the raw term over the steps of an episode),
        `terminated_rate` (share of episodes that ended before their time), `return_mean`,
        `return_std`, `length_mean`, `env_id`, `seed`, `num_envs`, `device`, `workers`, `seconds`.
        A figure that no episode gave is None.

    Raises:
        ConfigError: A number is out of its range, or `episodes_out` cannot be written; what can be
            found before the first episode is.
    """
    if episodes_out is not None:
        check_path(Path(episodes_out))
    result, table = evaluate_episodes(
        policy, spec, episodes=episodes, seed=seed, policy_device=policy_device, shown=shown
    )
    if episodes_out is not None:
        try:
            table.write(episodes_out)
        except ConfigError as error:  # a disk that is full by now must not cost the result
            raise ConfigError(f"{error} The result: {sentence(result)}") from error
    return result


def evaluate_episodes(
    policy: Policy | PolicySource,
    spec: VectorEnvSpec,
    *,
    episodes: int = DEFAULT_EPISODES,
    seed: int = 0,
    policy_device: str = "cpu",
    shown: bool = False,
) -> tuple[dict[str, Any], Episodes]:
    """Return what `evaluate` does, and every episode; arguments and errors are the same."""
    if episodes < 1:
        raise ConfigError(f"episodes must be at least 1, got {episodes}.")
    worlds = spec.num_envs or evaluation_worlds(episodes)
    if worlds > episodes:
        raise ConfigError(
            f"{worlds} worlds for {episodes} episodes: some would contribute none; "
            f"use --num-envs {evaluation_worlds(episodes)}."
        )
    env = make_vector_env(
        replace(spec, num_envs=worlds, array_type="numpy", phase_spread=0.0, render_worlds=())
    )
    try:
        if isinstance(policy, PolicySource):
            policy = load_policy(policy, env, policy_device)
        began = time.monotonic()
        with Progress("evaluate", episodes, unit="episodes", shown=shown) as progress:
            table = _roll_out(policy, env, episodes, seed, progress)
        ended, bits = table.terminated[table.valid], table.reason[~table.valid]
        result = _summary(env, table)
        result.update(
            terminated_rate=float(ended.mean()) if len(ended) else None,
            invalid_worlds=len(bits),
            invalid_reasons=Invalid.count(bits),
            env_id=spec.env_id,
            seed=seed,
            num_envs=worlds,
            device=str(env.unwrapped.device),
            workers=int(env.unwrapped.workers),
            seconds=time.monotonic() - began,
        )
        return result, table
    finally:
        env.close()


def _roll_out(policy: Policy, env: Any, episodes: int, seed: int, progress: Progress) -> Episodes:
    """Run the episodes."""
    columns = statistic_columns(env)
    quota = (episodes + np.arange(env.num_envs)[::-1]) // env.num_envs
    done_count = np.zeros(env.num_envs, np.int64)
    ended: list[tuple[np.ndarray, ...]] = []
    observation, _ = env.reset(seed=seed)
    while (done_count < quota).any():
        actions = actions_of(policy, observation)
        observation, _, terminated, truncated, info = env.step(actions)
        wanted = np.flatnonzero((terminated | truncated) & (done_count < quota))
        if not len(wanted):
            continue
        statistics = info["episode_statistics"]
        reasons = info.get("invalid_reason", np.zeros(env.num_envs, np.int32))
        ended.append(
            (
                wanted,
                done_count[wanted],
                ~np.asarray(info["invalid"], bool)[wanted],
                np.asarray(reasons)[wanted],
                np.asarray(terminated, bool)[wanted],
                np.stack([statistics[column.name][wanted] for column in columns], axis=1),
            )
        )
        done_count[wanted] += 1
        progress.update(int(done_count.sum()))
    world, episode, valid, reason, early, table = (
        np.concatenate(parts) for parts in zip(*ended, strict=True)
    )
    order = np.lexsort((episode, world))
    return Episodes(
        env_id=str(env.unwrapped.task.id),
        config=env.unwrapped.config.to_dict(),
        seed=seed,
        world=world[order],
        episode=episode[order],
        valid=valid[order],
        reason=reason[order],
        terminated=early[order],
        statistics=table[order],
        columns=columns,
    )


def _summary(env: Any, table: Episodes) -> dict[str, Any]:
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
            lines.append(f"  {name:<28} {kpi['mean']:.4g} +- {kpi['std']:.3g} {kpi['unit']}")
    return lines


def sentence(result: dict[str, Any]) -> str:
    """Return an evaluation in words."""
    invalid, why = result["invalid_worlds"], explained(result["invalid_reasons"], result["env_id"])
    if not result["episodes"]:
        return f"No valid episode: all {invalid} were invalid: {why}"
    low, high = result["success_interval"]
    text = (
        f"Success {result['success_rate']:.3f} (95 % interval {low:.3f} to {high:.3f}) over "
        f"{result['episodes']} episodes, mean return {result['return_mean']:.2f}"
    )
    if invalid:
        return f"{text}. {invalid} further episodes were invalid and are not counted: {why}"
    return text + "."
