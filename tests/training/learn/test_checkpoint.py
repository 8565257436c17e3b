"""Checkpoints: whole or not there, of one network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_env import PointTask, PointVectorEnv

from proveout.envs.core.errors import RunError
from proveout.training.learn import checkpoint
from proveout.training.presets import build_algorithm, make_preset
from proveout.training.sb3.vec_env import SB3VecEnv

SMALL = {"num_envs": 4, "batch_size": 64}


def point_model() -> tuple[Any, SB3VecEnv]:
    venv = SB3VecEnv(PointVectorEnv(4))
    model = build_algorithm(make_preset("ppo", PointTask.presets, SMALL), venv, seed=0)
    model.learn(64)
    return model, venv


def test_a_failing_save_leaves_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, venv = point_model()
    first = checkpoint.save_checkpoint(tmp_path, model, venv, 1.0)
    monkeypatch.setattr(venv, "state_dict", lambda: 1 / 0)
    model.num_timesteps += 64
    with pytest.raises(ZeroDivisionError):
        checkpoint.save_checkpoint(tmp_path, model, venv, 2.0)
    assert checkpoint.list_checkpoints(tmp_path) == [first]
    assert checkpoint.latest_checkpoint(tmp_path) == first


def test_two_checkpoints_are_kept_and_a_damaged_one_is_skipped(tmp_path: Path) -> None:
    model, venv = point_model()
    for _ in range(4):
        checkpoint.save_checkpoint(tmp_path, model, venv, 1.0)
        model.num_timesteps += 64
    older, newer = checkpoint.list_checkpoints(tmp_path)
    data = (newer / "policy.zip").read_bytes()
    (newer / "policy.zip").write_bytes(data[: len(data) // 2])
    with pytest.warns(UserWarning, match="damaged"):
        assert checkpoint.latest_checkpoint(tmp_path) == older
    (older / "state.json").write_text('{"num_timesteps": 1')
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(RunError, match="train again"):
        checkpoint.latest_checkpoint(tmp_path)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    model, venv = point_model()
    saved = checkpoint.save_checkpoint(tmp_path, model, venv, 1.0)
    overrides = {**SMALL, "policy_kwargs": {"net_arch": [8]}}
    other = build_algorithm(make_preset("ppo", PointTask.presets, overrides), venv)
    with pytest.raises(RunError, match="another network"):
        checkpoint.load_checkpoint(saved, other, venv)
