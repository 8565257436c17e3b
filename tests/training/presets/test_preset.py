"""Presets say what is wrong with them."""

from __future__ import annotations

import pytest
from fake_env import PointVectorEnv

from proveout.assets.files.errors import UnknownNameError
from proveout.training.learn.hyperparameters import parse_hyperparameters
from proveout.training.presets import PresetError, build_algorithm, make_preset
from proveout.training.sb3.vec_env import SB3VecEnv


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
