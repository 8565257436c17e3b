"""Stock algorithms learn through the bridge, and the presets become what they say."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_env import ID, PointTask, PointVectorEnv
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.logger import Logger

from proveout.assets.files.errors import UnknownNameError
from proveout.training.evaluation.evaluate import evaluate
from proveout.training.learn.hyperparameters import parse_hyperparameters
from proveout.training.presets import DEFAULTS, PresetError, build_algorithm, make_preset
from proveout.training.presets.build import minibatches
from proveout.training.sb3.callbacks.adaptive_kl import AdaptiveKL
from proveout.training.sb3.vec_env import SB3VecEnv
from proveout.training.tasks import VectorEnvSpec

SMALL_OFF_POLICY = {
    "num_envs": 16,
    "learning_rate": 3e-3,
    "buffer_size": 20_000,
    "batch_size": 128,
    "learning_starts": 320,
    "gradient_steps": 4,
    "gamma": 0.9,
    "policy_kwargs": {"net_arch": [32, 32]},
}


def measure(model: Any) -> dict[str, Any]:
    return evaluate(model, VectorEnvSpec(ID), episodes=64, seed=99)


@pytest.mark.parametrize(
    ("algo", "samples"), [("ppo", 10_000), ("sac", 3_600), ("td3", 2_400), ("tqc", 3_600)]
)
def test_stock_algorithms_learn(algo: str, samples: int) -> None:
    overrides = {} if algo == "ppo" else SMALL_OFF_POLICY
    preset = make_preset(algo, PointTask.presets, overrides)
    venv = SB3VecEnv(PointVectorEnv(preset.num_envs, phase_spread=1.0))
    model = build_algorithm(preset, venv, seed=1)
    before = measure(model)
    model.learn(samples)
    after = measure(model)
    # Standing still gives about -20; straight to the goal gives -5.3.
    assert before["return_mean"] < -14.0
    assert after["return_mean"] > -9.0
    assert after["success_rate"] > 0.8


def test_eval_callback(tmp_path: Path) -> None:
    venv = SB3VecEnv(PointVectorEnv(8))
    preset = make_preset("ppo", PointTask.presets, {"num_envs": 8, "batch_size": 64})
    model = build_algorithm(preset, venv, seed=0)
    callback = EvalCallback(
        SB3VecEnv(PointVectorEnv(4)),
        n_eval_episodes=8,
        eval_freq=16,
        log_path=str(tmp_path),
        best_model_save_path=str(tmp_path),
        verbose=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no monitor missing, no environments of different types
        model.learn(256, callback=callback)
    told = np.load(tmp_path / "evaluations.npz")
    assert told["results"].shape == (2, 8)
    assert set(told["ep_lengths"].ravel()) == {20}
    assert told["successes"].shape == (2, 8)
    assert (tmp_path / "best_model.zip").is_file()


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


def test_bad_presets_name_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="learning_rate"):
        make_preset("ppo", {}, {"lerning_rate": 1e-3})
    with pytest.raises(UnknownNameError, match="ppo"):
        make_preset("pppo", {})
    with pytest.raises(UnknownNameError, match="elu"):
        make_preset("ppo", {}, {"policy_kwargs": {"activation_fn": "eluu"}})
    with pytest.raises(PresetError, match="num_envs"):
        make_preset("ppo", {}, {"num_envs": 0})
    for key, value, told in (
        ("gamma", 2, "at least 0 and at most 1, got 2"),
        ("gae_lambda", -0.1, "at least 0 and at most 1"),
        ("learning_rate", 0.0, "positive, got 0.0"),
        ("n_epochs", 0, "at least 1 and at most"),
        ("n_epochs", 1.5, "a whole number, got 1.5"),
        ("gamma", "abc", "a number, got 'abc'"),
        ("learning_rate", float("nan"), "a number, got nan"),
        ("ent_coef", "inf", "a number, got 'inf'"),
        ("normalize_advantage", "yes", "True or False, got 'yes'"),
    ):
        with pytest.raises(PresetError, match=f"{key} must be {told}"):
            make_preset("ppo", {}, {key: value})
    for key, value in (("train_freq", 0), ("gradient_steps", 0), ("ent_coef", "autoo")):
        with pytest.raises(PresetError, match=key):
            make_preset("sac", {}, {key: value})
    for layers in ("foo", [0], [64.0], {"pi": 64}, True):
        with pytest.raises(PresetError, match="net_arch must be a list of widths"):
            make_preset("ppo", {}, {"policy_kwargs": {"net_arch": layers}})
    arch = {"pi": [8], "vf": []}
    made = make_preset("ppo", {}, {"policy_kwargs": {"net_arch": arch}})
    assert made.policy["net_arch"] == arch
    with pytest.raises(PresetError, match="use --seed"):
        make_preset("ppo", {}, {"seed": 3})
    with pytest.raises(UnknownNameError, match="env"):
        make_preset("ppo", {}, {"env": "foo"})
    for key, value in (("ent_coef", "auto"), ("ent_coef", "auto_0.1"), ("gradient_steps", -1)):
        assert make_preset("sac", {}, {key: value}).algorithm[key] == value
    assert make_preset("ppo", {}, {"n_steps": 8.0}).algorithm["n_steps"] == 8
    with pytest.raises(PresetError, match="gamma is given twice"):
        parse_hyperparameters(["gamma=0.9", "gamma=0.8"])
    with pytest.raises(PresetError, match="key=value"):
        parse_hyperparameters(["gamma"])
    with pytest.raises(PresetError, match="adaptive_kl"):
        make_preset("sac", {}, {"adaptive_kl": 0.01})
    with pytest.raises(PresetError, match="cannot be built"):
        build_algorithm(
            make_preset("ppo", {}, {"num_envs": 2, "policy_kwargs": {"nonsense": 1}}),
            SB3VecEnv(PointVectorEnv(2)),
        )


def test_hyperparameters_are_parsed() -> None:
    told = parse_hyperparameters(
        [
            "learning-rate=3e-4",
            "policy_kwargs.net_arch=[64, 64]",
            "policy_kwargs.activation_fn=relu",
        ]
    )
    assert told == {
        "learning_rate": 3e-4,
        "policy_kwargs": {"net_arch": [64, 64], "activation_fn": "relu"},
    }


def test_too_many_minibatches_are_warned_about() -> None:
    overrides = {"num_envs": 64, "n_steps": 16, "batch_size": 32, "n_epochs": 4}
    preset = make_preset("ppo", {}, overrides)
    assert minibatches(preset) == 128
    with pytest.warns(UserWarning, match="128 minibatches"):
        build_algorithm(preset, SB3VecEnv(PointVectorEnv(64)))


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
