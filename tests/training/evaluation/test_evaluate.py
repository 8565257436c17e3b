"""Evaluation without bias, and what is shown of a policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
import pytest
from fake_env import ID, PointConfig, PointExpert, PointTask, PointVectorEnv

from proveout.envs.core.errors import ConfigError, RenderError
from proveout.policies.errors import PolicyError
from proveout.training.evaluation.evaluate import evaluate
from proveout.training.evaluation.play import episode_lines, play
from proveout.training.evaluation.policy_source import PolicySource
from proveout.training.evaluation.statistics import evaluation_worlds, sentence, wilson_interval
from proveout.training.evaluation.video import tile, write_video
from proveout.training.tasks import VectorEnvSpec


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # Newcombe, Two-sided confidence intervals for the single proportion (1998), table I, row 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson_interval(trials - successes, trials)
    assert mirrored == pytest.approx((1.0 - high, 1.0 - low), abs=5e-5)


def test_worlds_divide_the_episodes_where_possible() -> None:
    assert evaluation_worlds(1000) == 500
    assert evaluation_worlds(64) == 64
    assert evaluation_worlds(997) == 512
    assert evaluation_worlds(1) == 1


class Sleeper:
    """Stands still in half of the worlds and leaves the square in the others."""

    def predict(self, observation: np.ndarray) -> np.ndarray:
        actions = np.zeros((len(observation), 2), np.float32)
        actions[::2, 0] = 1.0
        return actions


def test_every_world_contributes_the_same_number_of_episodes() -> None:
    """Worlds with short episodes must not crowd out those with long ones."""
    spec = VectorEnvSpec(ID, PointConfig(episode_seconds=20.0), num_envs=8)
    result = evaluate(Sleeper(), spec, episodes=40)
    assert result["episodes"] == 40
    # By hand: a leaving world needs 10 to 31 steps to the wall, a standing one has 200.
    assert 105.0 < result["length_mean"] < 116.0


def test_figures_against_a_roll_out_by_hand() -> None:
    result = evaluate(PointExpert(), VectorEnvSpec(ID, num_envs=5), episodes=10, seed=3)
    env = PointVectorEnv(5)
    observation, _ = env.reset(seed=3)
    returns, distances = [], []
    for _ in range(40):
        observation, _, _, _, info = env.step(PointExpert().predict(observation))
        rows = info["_episode_statistics"]
        returns += list(info["episode_statistics"]["return"][rows])
        distances += list(info["episode_statistics"]["final_distance"][rows])
    assert result["return_mean"] == pytest.approx(np.mean(returns))
    assert result["kpis"]["final_distance"] == {
        "mean": pytest.approx(np.mean(distances)),
        "std": pytest.approx(np.std(distances)),
        "unit": "m",
        "episodes": 10,
    }
    assert result["kpis"]["undefined"]["mean"] is None
    assert (result["success_rate"], result["invalid_worlds"]) == (1.0, 0)


def test_invalid_episodes_are_told_and_not_counted() -> None:
    spec = VectorEnvSpec(ID, PointConfig(invalid_world=1), num_envs=4)
    result = evaluate(PointExpert(), spec, episodes=12)
    assert (result["episodes"], result["invalid_worlds"]) == (9, 3)
    assert result["success_rate"] == 1.0
    assert result["invalid_reasons"] == {"contact lost (arena full)": 3}
    assert set(result["reward_terms"]) == {"distance", "effort"}
    assert result["reward_terms"]["distance"] > 0.0
    assert result["terminated_rate"] == 0.0
    text = sentence(result)
    assert "3 further episodes were invalid" in text
    assert "contact lost (arena full) (3); measure the room" in text
    assert f"proveout capacities {ID}" in text
    alone = evaluate(
        PointExpert(), VectorEnvSpec(ID, PointConfig(invalid_world=0), num_envs=1), episodes=2
    )
    assert alone["success_rate"] is None
    assert "all 2 were invalid" in sentence(alone)


def test_uneven_quotas_still_give_the_exact_number() -> None:
    result = evaluate(PointExpert(), VectorEnvSpec(ID, num_envs=7), episodes=23)
    assert result["episodes"] == 23


def test_a_world_without_an_episode_is_refused() -> None:
    with pytest.raises(ConfigError, match="--num-envs 5"):
        evaluate(PointExpert(), VectorEnvSpec(ID, num_envs=9), episodes=5)
    with pytest.raises(ConfigError, match="at least 1"):
        evaluate(PointExpert(), VectorEnvSpec(ID), episodes=0)


def test_random_actions_depend_on_the_seed_alone() -> None:
    def run(seed: int) -> dict[str, Any]:
        return evaluate(PolicySource("random", seed=seed), VectorEnvSpec(ID), episodes=8)

    assert run(1)["return_mean"] == run(1)["return_mean"] != run(2)["return_mean"]


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


def test_tiles() -> None:
    frames = [np.full((2, 3, 3), i, np.uint8) for i in range(1, 4)]
    picture = tile(frames)
    assert picture[..., 0].tolist() == [[1, 1, 1, 2, 2, 2]] * 2 + [[3, 3, 3, 0, 0, 0]] * 2
    with pytest.raises(RenderError, match="no frame"):
        tile([])


def test_a_video_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"must end in \.mp4"):
        write_video(tmp_path / "v.gif", [], 10.0)


class _Mistaken:
    def predict(self, observation: np.ndarray) -> np.ndarray:
        return np.zeros((len(observation), 1), np.float32)


def test_an_expert_with_the_wrong_shape_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PointTask, "expert", classmethod(lambda cls, config: _Mistaken()))
    with pytest.raises(PolicyError, match=rf"the expert of {ID} gave actions of shape \(4, 1\)"):
        evaluate(PolicySource("expert"), VectorEnvSpec(ID, PointConfig(), num_envs=4), episodes=4)
