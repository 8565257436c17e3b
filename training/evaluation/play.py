"""Watch a policy: frames to a video, or a window, and the statistics of each episode."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from proveout.envs.core.errors import ConfigError
from proveout.envs.core.finished import Finished
from proveout.envs.core.invalid import Invalid
from proveout.training.evaluation.policy_source import Policy, PolicySource, actions_of, load_policy
from proveout.training.evaluation.video import tile, write_video
from proveout.training.run.progress import Progress
from proveout.training.tasks import VectorEnvSpec, make_vector_env


def play(
    policy: Policy | PolicySource,
    spec: VectorEnvSpec,
    *,
    video: Path | None,
    episodes: int = 3,
    seed: int = 0,
    shown: bool = False,
) -> list[dict[str, float]]:
    """Roll out, and return the statistics of the episodes that finished.

    An invalid one has `invalid` and `invalid_reason` (bits of `Invalid`) instead.

    Args:
        policy: A policy, or where to load it from.
        spec: The worlds; all of `num_envs` are shown side by side.
        video: Where to write it (.mp4); None: no picture, statistics only.
        episodes: Episodes of each world.
        seed: Of the worlds.
        shown: Show progress on standard error.
    """
    if episodes < 1:
        raise ConfigError(f"episodes must be at least 1, got {episodes}.")
    drawn = () if video is None else tuple(range(spec.num_envs))
    workers = min(spec.workers or 1, spec.num_envs)
    env = make_vector_env(replace(spec, workers=workers, render_worlds=drawn, phase_spread=0.0))
    try:
        if isinstance(policy, PolicySource):
            policy = load_policy(policy, env)
        told: list[dict[str, float]] = []
        with Progress("play", episodes * env.num_envs, unit="episodes", shown=shown) as progress:
            frames = _frames(policy, env, episodes, seed, told, drawn != (), progress)
            if video is None:
                for _ in frames:
                    pass
            else:
                write_video(video, frames, float(env.metadata.get("render_fps", 20)))
        return told
    finally:
        env.close()


def episode_lines(task_class: Any, config: Any, episodes: Sequence[dict[str, float]]) -> list[str]:
    """Return a line for each episode that `play` told of, with its KPIs in their units."""
    lines, count = [], Counter[int]()
    for row in episodes:
        world = int(row["world"])
        count[world] += 1
        head = f"world {world}, episode {count[world]}: "
        if row.get("invalid"):
            why = Invalid(int(row["invalid_reason"])).words
            lines.append(f"{head}invalid ({why}), not counted")
            continue
        outcome = "success" if row["success"] > 0.5 else "failure"
        seconds = row["length"] * config.control_dt
        figures = [f"{outcome}, {seconds:.1f} s long", f"return {row['return']:.3g}"]
        for kpi in task_class.kpis:
            unit = "" if kpi.unit == "1" else f" {kpi.unit}"
            value = row[kpi.name]
            told = f"{value:.3g}{unit}" if math.isfinite(value) else "undefined"
            figures.append(f"{kpi.name} {told}")
        lines.append(head + ", ".join(figures))
    return lines


def _frames(
    policy: Policy,
    env: Any,
    episodes: int,
    seed: int,
    told: list[dict[str, float]],
    drawn: bool,
    progress: Progress,
) -> Iterator[np.ndarray]:
    """Yield a picture for each step; append the statistics of finished episodes to `told`."""
    observation, _ = env.reset(seed=seed)
    left = np.full(env.num_envs, episodes)
    frame = 0
    while (left > 0).any():
        frame += 1
        if drawn:
            yield tile(env.render())
        observation, _, terminated, truncated, info = env.step(actions_of(policy, observation))
        finished = Finished(terminated, truncated, info)
        endings = finished.take(np.flatnonzero(finished.ended & (left > 0)))
        left[endings.worlds] -= 1
        for row, world in enumerate(endings.worlds):
            if endings.invalid[row]:
                reason = float(endings.reason[row])
                told.append({"world": float(world), "invalid": 1.0, "invalid_reason": reason})
            else:
                told.append({"world": float(world), **endings.numbers(row)})
        progress.update(len(told), {"frames": str(frame)} if drawn else None)


def play_in_window(source: PolicySource, spec: VectorEnvSpec, *, episodes: int, seed: int) -> None:
    """Show one world in a window until the episodes are over or the window is closed.

    The policy is loaded for the vector environment of one world, then acts on the single one.
    """
    import gymnasium

    vector = make_vector_env(replace(spec, num_envs=1, device="cpu", workers=1))
    try:
        policy = load_policy(source, vector)
    finally:
        vector.close()
    env = gymnasium.make(spec.env_id, config=spec.config, physics=spec.physics, render_mode="human")
    try:
        for episode in range(episodes):
            observation, _ = env.reset(seed=seed + episode)
            over = False
            while not over:
                action = actions_of(policy, observation[None])[0]
                observation, _, terminated, truncated, _ = env.step(action)
                env.render()
                over = bool(terminated or truncated)
    finally:
        env.close()
