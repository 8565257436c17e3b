"""Evaluation without bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fake_env import ID, PointConfig, PointExpert, PointTask, PointVectorEnv

from proveout.envs.core.errors import ConfigError
from proveout.policies.errors import PolicyError
from proveout.training.evaluation.evaluate import evaluate
from proveout.training.evaluation.policy_source import PolicySource
from proveout.training.evaluation.statistics import sentence
from proveout.training.tasks import VectorEnvSpec


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


class _Mistaken:
    def predict(self, observation: np.ndarray) -> np.ndarray:
        return np.zeros((len(observation), 1), np.float32)


def test_an_expert_with_the_wrong_shape_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PointTask, "expert", classmethod(lambda cls, config: _Mistaken()))
    with pytest.raises(PolicyError, match=rf"the expert of {ID} gave actions of shape \(4, 1\)"):
        evaluate(PolicySource("expert"), VectorEnvSpec(ID, PointConfig(), num_envs=4), episodes=4)
