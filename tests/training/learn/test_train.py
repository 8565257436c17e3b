"""A training leaves what it says, and a resumed run is the same run."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_env import ID, PointConfig

from proveout.envs.core.errors import RunError
from proveout.training.learn import checkpoint
from proveout.training.learn.settings import ResumeConfig, TrainConfig
from proveout.training.learn.train import resume, train
from proveout.training.run.directory import Run
from proveout.training.run.json_files import read_json
from proveout.training.run.networks import read_networks

MANIFEST_KEYS = {
    *("env_id", "seed", "state", "algo", "config", "preset", "train", "argv", "created"),
    *("packages", "git", "python", "platform", "device", "workers", "policies"),
}


def parameters(run: Path) -> dict[str, torch.Tensor]:
    networks, _ = read_networks(run / "policy.zip", "cpu")
    return networks["policy"]


def facts(run: Path) -> Mapping[str, Any]:
    return Run.open(run).read_policy().facts


def only_run(runs: Path) -> Path:
    folders = list((runs / "fake-Point-v0").iterdir())
    assert len(folders) == 1
    return folders[0]


def quick(runs: Path, **changes: Any) -> TrainConfig:
    settings: dict[str, Any] = {"total_timesteps": 2560, "evaluation_episodes": 0, "video": False}
    return TrainConfig(runs=runs, **{**settings, **changes})


def test_a_run_leaves_what_it_says(tmp_path: Path) -> None:
    run = train(ID, None, quick(tmp_path, evaluation_episodes=40, video=True), argv=["a", "b"])
    assert run.folder.parent == tmp_path / "fake-Point-v0"
    assert run.folder.name.endswith("-seed0")
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert set(manifest) >= MANIFEST_KEYS
    assert manifest["state"] == "complete"
    assert manifest["argv"] == ["a", "b"]
    assert facts(run.folder)["num_timesteps"] == 2560
    assert 0.0 < facts(run.folder)["training_seconds"] < 60.0
    assert facts(run.folder)["invalid_worlds"] == 0
    assert facts(run.folder)["preset"] == manifest["preset"]
    release = torch.__version__.partition("+")[0]
    assert manifest["packages"]["torch"].startswith(release)
    assert PointConfig.from_dict(manifest["config"]) == PointConfig()
    assert len(checkpoint.list_checkpoints(run.checkpoints)) == 1
    assert list(run.folder.glob("events.out.tfevents.*"))
    with (run.folder / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["time/total_timesteps"]) for row in rows] == [512.0 * i for i in range(1, 6)]
    assert "episode/final_distance" in rows[-1]
    evaluation = json.loads((run.folder / "evaluation.json").read_text())
    assert evaluation["episodes"] == 40
    assert run.evaluation() == evaluation
    assert (run.folder / "video.mp4").stat().st_size > 500
    assert not list(run.folder.rglob(".*"))


def test_resumed_is_the_same_as_undisturbed(tmp_path: Path) -> None:
    """The state at a checkpoint determines the rest, bit for bit.

    Without the adaptive rate, whose upper bound falls towards the planned end: a run that is
    extended has another plan. A run that is stopped and resumed is the subject further down.
    """
    fixed = {"hyperparameters": ("adaptive_kl=None",)}
    whole = train(ID, None, quick(tmp_path / "whole", **fixed))
    half = train(ID, None, quick(tmp_path / "half", total_timesteps=1024, **fixed))
    before = facts(half.folder)
    with pytest.raises(RunError, match="--total-timesteps"):
        resume(half.folder)
    again = resume(half.folder, ResumeConfig(total_timesteps=2560))
    assert facts(again.folder)["num_timesteps"] == 2560
    assert facts(again.folder)["training_seconds"] > before["training_seconds"]
    for name, value in parameters(whole.folder).items():
        assert torch.equal(value, parameters(again.folder)[name]), name
    with (again.folder / "progress.csv").open() as file:
        steps = [float(row["time/total_timesteps"]) for row in csv.DictReader(file)]
    assert steps == [512.0 * i for i in range(1, 6)]


@pytest.mark.parametrize("algo", ["sac", "td3"])
def test_off_policy_resumes_exactly_with_its_buffer(tmp_path: Path, algo: str) -> None:
    small = (
        "buffer_size=2000",
        "batch_size=32",
        "learning_starts=64",
        "gradient_steps=1",
        "policy_kwargs.net_arch=[8]",
    )
    settings = {"algo": algo, "hyperparameters": small, "num_envs": 8}
    whole = train(ID, None, quick(tmp_path / "whole", total_timesteps=480, **settings))
    half = train(ID, None, quick(tmp_path / "half", total_timesteps=240, **settings))
    again = resume(half.folder, ResumeConfig(total_timesteps=480))
    for name, value in parameters(whole.folder).items():
        assert torch.equal(value, parameters(again.folder)[name]), name


def start_training(
    runs: Path, *extra: str, total_timesteps: int = 10240
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "proveout.training.cli", "train", ID]
    command += ["--runs", str(runs), "--evaluation-episodes", "0"]
    command += ["--total-timesteps", str(total_timesteps)]
    command += ["--no-video", "--checkpoint-interval", "0.2", *extra]
    tasks = str(Path(__file__).parents[1] / "fake_env.py")
    return subprocess.Popen(
        command, env={**os.environ, "PROVEOUT_TASKS": tasks}, stderr=subprocess.PIPE
    )


def resume_training(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "proveout.training.cli", "train", "--resume", str(folder)]
    tasks = str(Path(__file__).parents[1] / "fake_env.py")
    return subprocess.Popen(
        command, env={**os.environ, "PROVEOUT_TASKS": tasks}, stderr=subprocess.DEVNULL
    )


def wait_for_a_later_checkpoint(folder: Path, samples: int) -> None:
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        found = checkpoint.list_checkpoints(folder / "checkpoints")
        if found and int(found[-1].name) > samples:
            return
        time.sleep(0.02)
    raise AssertionError("no later checkpoint within a minute")


def wait_for_checkpoints(runs: Path, count: int) -> None:
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        if len(list(runs.glob("*/*/checkpoints/[0-9]*"))) >= count:
            return
        time.sleep(0.02)
    raise AssertionError("no checkpoint within a minute")


def test_killed_and_resumed_is_the_same_as_undisturbed(tmp_path: Path) -> None:
    whole = train(ID, None, quick(tmp_path / "whole", total_timesteps=10240))
    process = start_training(tmp_path / "killed", "--env.step-seconds", "0.005")
    wait_for_checkpoints(tmp_path / "killed", 2)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    folder = only_run(tmp_path / "killed")
    assert not (folder / "policy.zip").exists()
    with pytest.raises(RunError, match="--resume"):
        Run.open(folder).policy_path()
    run = resume(folder)
    assert run.manifest["state"] == "complete"
    assert run.manifest["resumed"][0]["from"].isdigit()
    for name, value in parameters(whole.folder).items():
        assert torch.equal(value, parameters(run.folder)[name]), name


@pytest.mark.parametrize("kills", [4, pytest.param(10, marks=pytest.mark.slow)])
def test_kills_at_random_moments_change_nothing(tmp_path: Path, kills: int) -> None:
    """Also while a checkpoint is written: they come so often that several kills meet one."""
    samples = 40960
    whole = train(ID, None, quick(tmp_path / "whole", total_timesteps=samples))
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"the moments are drawn with seed {seed}")
    moments = np.random.default_rng(seed).uniform(0.0, 0.6, kills)
    slow = ("--env.step-seconds", "0.003")
    process = start_training(tmp_path / "killed", *slow, total_timesteps=samples)
    wait_for_checkpoints(tmp_path / "killed", 1)
    folder = only_run(tmp_path / "killed")
    for number, moment in enumerate(moments):
        time.sleep(moment)
        process.kill()
        assert process.wait(10) == -signal.SIGKILL, "it ended before it was killed"
        whole_ones = checkpoint.list_checkpoints(folder / "checkpoints")
        assert whole_ones
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # none is damaged
            last = checkpoint.latest_checkpoint(folder / "checkpoints")
        assert last == whole_ones[-1]
        if number < len(moments) - 1:
            process = resume_training(folder)
            wait_for_a_later_checkpoint(folder, int(last.name))
    run = resume(folder)
    assert len(run.manifest["resumed"]) == len(moments)
    for name, value in parameters(whole.folder).items():
        assert torch.equal(value, parameters(run.folder)[name]), name


def test_interrupt_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = start_training(tmp_path, "--env.step-seconds", "0.005")
    wait_for_checkpoints(tmp_path, 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    folder = only_run(tmp_path)
    last = errors.decode().strip().splitlines()[-1]
    assert last.endswith(f"proveout train --resume {folder}")
    assert b"Traceback" not in errors
    manifest = read_json(folder / "manifest.json")
    assert manifest["state"] == "interrupted"
    newest = checkpoint.latest_checkpoint(folder / "checkpoints")
    assert newest is not None
    assert checkpoint.read_checkpoint_state(newest)["stop_requested"] is True


def test_the_cost_of_each_session_is_kept(tmp_path: Path) -> None:
    run = train(ID, None, quick(tmp_path))
    (first,) = run.manifest["cost"]
    assert first["steps"] == facts(run.folder)["num_timesteps"]
    assert first["processor_seconds"] > 0
    assert first["wall_seconds"] >= facts(run.folder)["training_seconds"]
    run = resume(run.folder, ResumeConfig(total_timesteps=2 * 2560))
    assert len(run.manifest["cost"]) == 2
    steps = sum(cost["steps"] for cost in run.manifest["cost"])
    assert steps == facts(run.folder)["num_timesteps"]
