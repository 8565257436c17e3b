"""Stock algorithms learn through the bridge."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_env import ID, PointTask, PointVectorEnv
from stable_baselines3.common.callbacks import EvalCallback

from proveout.training.evaluation.evaluate import evaluate
from proveout.training.presets import build_algorithm, make_preset
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
