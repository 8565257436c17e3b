"""Who leads while a policy is cloned, and what counts as the same action."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from fake_env import PointExpert, PointTask, PointVectorEnv

from proveout.training.learn.clone import EXPLORATION, Clone
from proveout.training.presets import build_algorithm, make_preset
from proveout.training.run.progress import Progress
from proveout.training.sb3.vec_env import SB3VecEnv

WORLDS = 160


class Constant(PointExpert):
    """The point's expert, which acts alike everywhere: 0.5 and -0.25."""

    def predict(self, observation: np.ndarray) -> np.ndarray:
        return np.tile(np.array([[0.5, -0.25]], np.float32), (len(observation), 1))


class Watched(SB3VecEnv):
    """Keeps the actions it is given."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.acted: list[np.ndarray] = []

    def step_async(self, actions: np.ndarray) -> None:
        self.acted.append(np.array(actions))
        super().step_async(actions)


@pytest.fixture
def clone() -> Clone:
    """A clone whose own actions are about 0, within a hundredth."""
    venv = Watched(PointVectorEnv(WORLDS))
    kwargs = {"log_std_init": -5.0, "action_head_scale": 1e-3}
    preset = make_preset("ppo", PointTask.presets, {"num_envs": WORLDS, "policy_kwargs": kwargs})
    model = build_algorithm(preset, venv, seed=0, device="cpu")
    return Clone(model, venv, Constant(), 0, lambda: None)


def rolled_out(clone: Clone, steps: int, share: float) -> tuple[np.ndarray, Any]:
    """Return the actions (T, N, 2), and the roll-out."""
    clone._venv.acted.clear()
    told = clone._roll_out(steps, Progress("", 1, unit="", shown=False), "", share)
    return np.stack(clone._venv.acted), told


def led(actions: np.ndarray) -> np.ndarray:
    """Return which worlds the expert led (T, N): its noise is a tenth, the clone's a hundredth."""
    return np.abs(actions).max(axis=2) > 0.06


def test_the_expert_leads_with_the_noise_of_the_exploration(clone: Clone) -> None:
    actions, told = rolled_out(clone, 30, 1.0)
    np.testing.assert_allclose(told.labels[..., 0], 0.5)
    noise = actions - told.labels
    assert noise.std() == pytest.approx(EXPLORATION, rel=0.05)
    assert abs(noise.mean()) < 0.01
    alone, told = rolled_out(clone, 5, 0.0)
    assert np.abs(alone).max() < 0.05
    np.testing.assert_allclose(told.labels[..., 0], 0.5)  # the expert still says what it would do


def test_a_share_of_the_worlds_is_led_and_leaders_change_within_an_episode(clone: Clone) -> None:
    actions, _ = rolled_out(clone, 100, 0.3)
    leads = led(actions)
    assert leads.mean() == pytest.approx(0.3, abs=0.03)
    # Drawn anew in one of 20 steps: the other leads with the probability of both kinds of change.
    changes = (leads[1:] != leads[:-1]).mean()
    assert changes == pytest.approx(2 * 0.3 * 0.7 / 20, rel=0.25)


def test_beyond_a_bound_is_the_same_action_as_far_as_it_explores(clone: Clone) -> None:
    seen = torch.zeros(5, 6)
    labels = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, -1.0], [0.5, 0.5], [-1.0, 1.0]])
    means = torch.tensor([[1.05, 1.3], [0.9, 1.0], [0.2, -1.3], [0.7, 1.2], [1.2, -1.2]])
    policy = clone._policy
    policy.get_distribution = lambda _: type("D", (), {"mode": staticmethod(lambda: means)})
    learnt = clone._difference(seen, labels, EXPLORATION)
    expected = [[0.0, 0.2], [-0.1, 0.0], [-0.8, -0.2], [0.2, 0.7], [2.2, -2.2]]
    np.testing.assert_allclose(learnt, expected, atol=1e-6)
    told = clone._difference(seen, labels, math.inf)  # of the actions themselves
    expected = [[0.0, 0.0], [-0.1, 0.0], [-0.8, 0.0], [0.2, 0.7], [2.2, -2.2]]
    np.testing.assert_allclose(told, expected, atol=1e-6)


def test_every_step_is_used_and_the_last_eighth_is_for_the_values(clone: Clone) -> None:
    lengths: list[tuple[int, float]] = []
    roll_out = clone._roll_out

    def counted(steps: int, progress: Progress, stage: str, share: float) -> Any:
        lengths.append((steps, share))
        return roll_out(steps, progress, stage, share)

    clone._roll_out = counted  # type: ignore[method-assign]
    clone.learn(48, 6, Progress("", 1, unit="", shown=False))
    assert [steps for steps, _ in lengths] == [6] * 7 + [6]
    # All, then fewer until a fifth after a third of the rounds, and none at the end.
    shares = [share for _, share in lengths]
    assert shares == pytest.approx([1.0, 1 - 1 / 1.8, 0.2, 0.2, 0.2, 0.2, 0.2, 0.0])


@pytest.mark.parametrize(("steps", "rounds"), [(2, 0), (5, 3), (9, 7), (100, 60)])
def test_no_round_is_empty(clone: Clone, steps: int, rounds: int) -> None:
    lengths: list[int] = []
    roll_out = clone._roll_out

    def counted(steps: int, progress: Progress, stage: str, share: float) -> Any:
        lengths.append(steps)
        return roll_out(steps, progress, stage, share)

    clone._roll_out = counted  # type: ignore[method-assign]
    clone._fit_actions = lambda *_, **__: None  # type: ignore[method-assign]
    clone._fit_values = lambda *_: None  # type: ignore[method-assign]
    clone.learn(steps, rounds, Progress("", 1, unit="", shown=False))
    assert len(lengths) == rounds + 2
    assert sum(lengths) == steps
    assert min(lengths) >= 1
