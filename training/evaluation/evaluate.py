"""Success, return and KPIs of a policy over a given number of episodes, without bias.

Every world contributes a number of episodes fixed beforehand. (Taking the first N that finish would
prefer short episodes, which are the failures of one task and the successes of another.)
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from proveout.envs.core.errors import ConfigError
from proveout.envs.core.finished import Finished
from proveout.envs.core.invalid import Invalid
from proveout.training.evaluation.episodes import Episodes, check_path, statistic_columns
from proveout.training.evaluation.policy_source import Policy, PolicySource, actions_of, load_policy
from proveout.training.evaluation.statistics import evaluation_worlds, sentence, summary
from proveout.training.run.progress import Progress
from proveout.training.tasks import VectorEnvSpec, make_vector_env

DEFAULT_EPISODES = 1000


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
        `return_std`, `length_mean`, `env_id`, `physics`, `seed`, `num_envs`, `device`, `workers`,
        `seconds`.
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
        result = summary(env, table)
        result.update(
            terminated_rate=float(ended.mean()) if len(ended) else None,
            invalid_worlds=len(bits),
            invalid_reasons=Invalid.count(bits),
            env_id=spec.env_id,
            physics=spec.physics,
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
        finished = Finished(terminated, truncated, info)
        wanted = np.flatnonzero(finished.ended & (done_count < quota))
        if not len(wanted):
            continue
        endings = finished.take(wanted)
        ended.append(
            (
                wanted,
                done_count[wanted],
                endings.counts,
                endings.reason,
                endings.terminated,
                np.stack([endings.statistics[column.name] for column in columns], axis=1),
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
