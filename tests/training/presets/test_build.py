"""A preset becomes the algorithm that it says."""

from __future__ import annotations

import numpy as np
import pytest
from fake_env import PointTask, PointVectorEnv

from proveout.training.presets import DEFAULTS, build_algorithm, make_preset
from proveout.training.presets.build import minibatches
from proveout.training.sb3.vec_env import SB3VecEnv


def test_a_preset_becomes_the_algorithm() -> None:
    preset = make_preset("ppo", PointTask.presets, {"gamma": 0.8})
    venv = SB3VecEnv(PointVectorEnv(preset.num_envs))
    model = build_algorithm(preset, venv, seed=0)
    assert (model.n_steps, model.batch_size, model.gamma) == (16, 256, 0.8)
    assert [type(m).__name__ for m in model.policy.mlp_extractor.policy_net][1] == "ELU"
    assert model.policy.log_std.detach().numpy() == pytest.approx([-0.5, -0.5])
    assert preset.adaptive_kl == (0.005, 0.02)
    assert model._stats_window_size == 100
    assert make_preset("ppo", {"ppo": preset.to_plain()}) == preset


@pytest.mark.parametrize("algo", ["ppo", "sac", "td3", "tqc"])
def test_the_action_head_is_scaled(algo: str) -> None:
    presets = {algo: {**DEFAULTS[algo], "num_envs": 2, "policy_kwargs": {"net_arch": [16]}}}
    if algo == "ppo":
        presets[algo]["policy_kwargs"]["ortho_init"] = False
    else:
        presets[algo]["buffer_size"] = 100
    observation = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    actions = []
    for scale in (1.0, 0.01):
        overrides = {"policy_kwargs": {"action_head_scale": scale}}
        model = build_algorithm(
            make_preset(algo, presets, overrides), SB3VecEnv(PointVectorEnv(2)), seed=4
        )
        actions.append(model.predict(observation, deterministic=True)[0])
    # Small enough for tanh to be linear: the ratio is the ratio of the scales.
    large, small = np.arctanh(np.clip(actions[0], -0.999, 0.999)), actions[1]
    if algo == "ppo":
        large = actions[0]
    np.testing.assert_allclose(small, 0.01 * large, atol=1e-4)
    assert np.abs(actions[0]).max() > 0.05


def test_a_training_without_updates_is_told() -> None:
    preset = make_preset("sac", {}, {"num_envs": 2, "total_timesteps": 50, "learning_starts": 50})
    with pytest.warns(UserWarning, match="policy will stay as it begins"):
        build_algorithm(preset, SB3VecEnv(PointVectorEnv(2)))


def test_too_many_minibatches_are_warned_about() -> None:
    overrides = {"num_envs": 64, "n_steps": 16, "batch_size": 32, "n_epochs": 4}
    preset = make_preset("ppo", {}, overrides)
    assert minibatches(preset) == 128
    with pytest.warns(UserWarning, match="128 minibatches"):
        build_algorithm(preset, SB3VecEnv(PointVectorEnv(64)))
