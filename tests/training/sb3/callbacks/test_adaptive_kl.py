"""The learning rate follows the divergence of the updates."""

from __future__ import annotations

import pytest
import torch
from fake_env import PointTask, PointVectorEnv
from stable_baselines3.common.logger import Logger

from proveout.training.presets import build_algorithm, make_preset
from proveout.training.sb3.callbacks.adaptive_kl import AdaptiveKL
from proveout.training.sb3.vec_env import SB3VecEnv


def test_the_learning_rate_follows_the_divergence() -> None:
    rule = AdaptiveKL(0.005, 0.02, factor=1.5, lowest=1e-5, highest=1e-2)
    assert rule.adapted(1e-3, 0.05) == pytest.approx(1e-3 / 1.5)
    assert rule.adapted(1e-3, 0.001) == pytest.approx(1.5e-3)
    assert rule.adapted(1e-3, 0.01) == 1e-3
    assert rule.adapted(1.2e-5, 0.05) == 1e-5
    assert rule.adapted(9e-3, 0.0) == 1e-2
    # The upper bound falls to a hundredth; the lower one stays.
    assert rule.adapted(9e-3, 0.01, progress=0.5) == pytest.approx(5e-3)
    assert rule.adapted(9e-3, 0.01, progress=1.0) == pytest.approx(1e-4)
    assert rule.adapted(1e-5, 0.05, progress=1.0) == 1e-5
    fixed = AdaptiveKL(0.005, 0.02, highest=1e-2, annealed=False)
    assert fixed.adapted(9e-3, 0.01, progress=1.0) == 9e-3


def test_the_adapted_rate_reaches_the_optimiser() -> None:
    overrides = {"num_envs": 8, "learning_rate": 1e-3, "batch_size": 128}
    preset = make_preset("ppo", PointTask.presets, overrides)
    model = build_algorithm(preset, SB3VecEnv(PointVectorEnv(8)), seed=0)
    model.set_logger(Logger(None, []))
    rates = []

    class Watch(AdaptiveKL):
        def _on_rollout_end(self) -> None:
            super()._on_rollout_end()
            rates.append(float(self.model.lr_schedule(1.0)))

    # The divergence never reaches 10: up each time.
    model.learn(5 * 128, callback=Watch(10.0, 20.0, highest=1.0, annealed=False))
    assert rates == pytest.approx([1e-3 * 1.5**i for i in range(5)])
    assert model.policy.optimizer.param_groups[0]["lr"] == pytest.approx(rates[-1])
    assert torch.isfinite(model.policy.log_std).all()
