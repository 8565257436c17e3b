"""One row of a sweep again, alone, and whether it has the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from proveout.envs.core.errors import ConfigError, RunError
from proveout.training.evaluation.episodes import statistic_columns
from proveout.training.evaluation.policy_source import PolicySource, load_policy
from proveout.training.evaluation.video import tile, write_video
from proveout.training.rows.acting import SteadyPolicy
from proveout.training.rows.stream import Ended, RowStream
from proveout.training.sweep.plan import Plan, identity, parsed
from proveout.training.sweep.store import RowWriter, Store
from proveout.training.tasks import VectorEnvSpec, make_vector_env

# Of a run, not of a row.
_OF_THE_RUN = ("attempts", "wall_seconds")


def replay(
    folder: Path | str,
    row: str,
    *,
    video: Path | None = None,
    trust_pickle: bool = False,
    num_envs: int = 1,
) -> dict[str, Any]:
    """Run a row of a sweep again, on the CPU.

    Args:
        folder: Of the sweep.
        row: Its id.
        video: Write a picture of each step to this .mp4.
        trust_pickle: As in `PolicySource`.
        num_envs: Worlds, of which one is used; the bits do not depend on it.

    Returns:
        `row` (name -> value), `stored` likewise, or None where the sweep has not done it yet, and
        `different`: names of columns whose bits are not the same.

    Raises:
        ConfigError: No such row in the study, or one that the environment refuses.
        RunError: No sweep, or a policy that is not the one of then.
    """
    store = Store.open(folder)
    plan = store.plan()
    number = _number(plan, row)
    cell, policy, _, _ = (int(part[0]) for part in plan.parts_of(np.array([number])))
    text = plan.study.policies[policy]
    if identity(text, plan.study.env) != plan.identities[policy]:
        raise RunError(
            f"policy {text} is not the one of the sweep any more, which had the SHA-256 "
            f"{plan.identities[policy]}; put that one back to replay its rows."
        )
    spec = VectorEnvSpec(
        plan.study.env, plan.config_of(cell), num_envs=num_envs, device="cpu", workers=1,
        render_worlds=(0,) if video is not None else (),
    )  # fmt: skip
    env = make_vector_env(spec)
    try:
        act = SteadyPolicy(
            load_policy(PolicySource(text, trust_pickle), env),
            int(env.single_observation_space.shape[0]),
        )
        frames: list[Ended] = []
        watched = _Watched(env, act) if video is not None else None
        stream = RowStream(env, watched or act, plan, np.array([number]))
        if watched is not None and video is not None:
            pictures = _pictures(stream, watched, frames)
            write_video(video, pictures, float(env.metadata.get("render_fps", 20)))
        else:
            frames += list(stream)
        table = RowWriter(plan, statistic_columns(env)).table(_columns(frames[0]))
    finally:
        env.close()
    again = table.to_pylist()[0]
    stored = _stored(store, row)
    return {"row": again, "stored": stored, "different": _different(again, stored)}


class _Watched:
    """A policy that has a picture taken before each action."""

    def __init__(self, env: Any, act: Any) -> None:
        self._env, self._act = env, act
        self.seen: list[np.ndarray] = []

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        self.seen.append(tile(self._env.render()))
        actions: np.ndarray = self._act(observation)
        return actions


def _pictures(stream: RowStream, watched: _Watched, told: list[Ended]) -> Iterator[np.ndarray]:
    for ended in stream:
        told.append(ended)
        yield from watched.seen
        watched.seen = []


def _number(plan: Plan, row: str) -> int:
    wanted = parsed([row])[0]
    found = np.flatnonzero(plan.ids(np.arange(len(plan))) == wanted)
    if not len(found):
        raise ConfigError(f"row {row} is none of this study's {len(plan)}; results name them")
    return int(found[0])


def _columns(ended: Ended) -> dict[str, Any]:
    return {
        "row": ended.row,
        "valid": ended.valid,
        "reason": ended.reason,
        "terminated": ended.terminated,
        "statistics": ended.statistics,
        "wall_seconds": ended.wall_seconds,
        "attempts": np.ones(len(ended), int),
    }


def _stored(store: Store, row: str) -> dict[str, Any] | None:
    import pyarrow.compute

    for _, table in store.read():
        if table is not None:
            found = table.filter(pyarrow.compute.equal(table.column("row"), row))
            if found.num_rows:
                stored: dict[str, Any] = found.to_pylist()[0]
                return stored
    return None


def _different(again: dict[str, Any], stored: dict[str, Any] | None) -> list[str]:
    if stored is None:
        return []
    names = [name for name in {**again, **stored} if name not in _OF_THE_RUN]
    return [name for name in names if again.get(name) != stored.get(name)]
