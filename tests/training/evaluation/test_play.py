"""What is shown and told of a policy."""

from __future__ import annotations

from pathlib import Path

import imageio.v2 as imageio
from fake_env import ID, PointConfig, PointTask

from proveout.training.evaluation.play import episode_lines, play
from proveout.training.evaluation.policy_source import PolicySource
from proveout.training.tasks import VectorEnvSpec


def test_play_writes_every_step(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    spec = VectorEnvSpec(ID, num_envs=2)
    told = play(PolicySource("expert"), spec, video=path, episodes=2)
    assert [(int(row["world"]), row["success"]) for row in told] == [(0, 1), (1, 1), (0, 1), (1, 1)]
    frames = imageio.mimread(path, format="FFMPEG")
    assert len(frames) == 40
    assert frames[0].shape == (34, 70, 3)
    assert list(tmp_path.iterdir()) == [path]


def test_played_episodes_are_told_with_their_length() -> None:
    """Success may have come earlier than the end."""
    told = play(PolicySource("expert"), VectorEnvSpec(ID, num_envs=1), video=None, episodes=1)
    (line,) = episode_lines(PointTask, PointConfig(), told)
    assert line.startswith("world 0, episode 1: success, 2.0 s long, return ")
