"""A training may begin as a clone of the task's expert."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensor_env
import torch
from fake_env import ID, PointConfig, PointExpert, PointTask, PointVectorEnv

from proveout.assets.files.errors import ProveoutError
from proveout.envs.core.errors import ConfigError
from proveout.policies.normalize import normalizers
from proveout.training.cli.program import main
from proveout.training.evaluation.evaluate import evaluate
from proveout.training.learn import clone as cloning
from proveout.training.learn import learning
from proveout.training.learn.clone import Clone
from proveout.training.learn.settings import ResumeConfig, TrainConfig
from proveout.training.learn.train import TrainingInterrupted, resume, train
from proveout.training.presets import build_algorithm, make_preset
from proveout.training.run.directory import Run
from proveout.training.run.networks import read_networks
from proveout.training.run.progress import Progress
from proveout.training.sb3.vec_env import SB3VecEnv
from proveout.training.tasks import VectorEnvSpec

WORLDS, STEPS, ROUNDS = 32, 240, 4
# The expert's actions are clipped lines; what small networks leave of their corners after these few
# samples is 0.03 to 0.06 of half the range, its own exploration being 0.1. It shows as a point that
# stops short of its goal, 0.2 m wide, in a few of a hundred episodes at most.
CLOSE, FEW = 0.1, 0.05
# As in `cloned`, for runs that are to reach something.
ENOUGH = {"warm_start_samples": WORLDS * STEPS, "warm_start_rounds": ROUNDS}
SQUASHED = {"use_sde": True, "policy_kwargs": {"squash_output": True}}


def settings(runs: Path, **changes: Any) -> TrainConfig:
    told: dict[str, Any] = {
        "total_timesteps": 1024,
        "evaluation_episodes": 0,
        "video": False,
        "warm_start": "expert",
        "warm_start_samples": 4000,
        "warm_start_rounds": 1,
    }
    return TrainConfig(runs=runs, **{**told, **changes})


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit in a few steps, where it does not matter how well."""
    monkeypatch.setattr(cloning, "_FEWEST_STEPS", 10)


def same(first: Run, second: Run) -> bool:
    """Return whether two policies have the same bits."""
    networks = [read_networks(run.folder / "policy.zip", "cpu")[0] for run in (first, second)]
    mine, others = (network["policy"] for network in networks)
    return all(torch.equal(value, others[name]) for name, value in mine.items())


def cloned(algo: str = "ppo", **overrides: Any) -> tuple[Any, Clone]:
    """Return an algorithm after cloning, without a run around it."""
    venv = SB3VecEnv(PointVectorEnv(WORLDS, phase_spread=1.0))
    preset = make_preset(algo, PointTask.presets, {"num_envs": WORLDS, **overrides})
    model = build_algorithm(preset, venv, seed=0, device="cpu")
    clone = Clone(model, venv, PointExpert(), 0, lambda: None)
    clone.learn(STEPS, ROUNDS, Progress("clone", 1, unit="samples", shown=False))
    return model, clone


def rolled_out(clone: Clone, steps: int) -> Any:
    return clone._roll_out(steps, Progress("", 1, unit="", shown=False), "", 0.0)


def success(policy: Any) -> float:
    spec = VectorEnvSpec(ID, PointConfig(), num_envs=50)
    return float(evaluate(policy, spec, episodes=200, seed=7)["success_rate"])


@pytest.mark.parametrize(
    ("algo", "overrides"),
    [
        ("ppo", {}),
        ("ppo", {"normalize_observations": True}),
        ("ppo", {"use_sde": True}),
        ("ppo", SQUASHED),
        ("a2c", {}),
    ],
    ids=["plain", "normalised", "gsde", "squashed", "a2c"],
)
def test_the_clone_does_what_the_expert_does(algo: str, overrides: dict[str, Any]) -> None:
    model, clone = cloned(algo, **overrides)
    assert clone.error < CLOSE
    assert success(model.policy) >= success(PointExpert()) - FEW
    # It explores with a tenth of half the range, on average over what it sees.
    seen = torch.as_tensor(rolled_out(clone, 20).observations).flatten(0, 1)
    with torch.no_grad():
        told = model.policy.get_distribution(seen)
    spread = float(told.distribution.stddev.square().mean().sqrt())
    assert spread == pytest.approx(0.1, rel=0.25)
    assert clone.narrowed < 0.5


def test_the_observation_statistics_are_those_of_what_was_learnt_from() -> None:
    model, clone = cloned(normalize_observations=True)
    for normalizer in normalizers(model.policy):
        np.testing.assert_allclose(normalizer.running_mean, clone._observations.mean(0), atol=1e-5)
        assert (normalizer.running_count == len(clone._observations)).all()
    # An eighth of the steps is for the value function.
    assert len(clone._observations) == WORLDS * STEPS * 7 // 8


def test_the_value_function_knows_what_the_clone_earns() -> None:
    """Its values at the start of an episode are the discounted rewards of the time after it."""
    model, _ = cloned()
    venv = SB3VecEnv(PointVectorEnv(200, PointConfig(episode_seconds=20.0)))
    venv.seed(1)
    seen = venv.reset()
    with torch.no_grad():
        values = model.policy.predict_values(torch.as_tensor(seen)).numpy().ravel()
    earned = np.zeros(200)
    for step in range(60):  # 0.9 ** 60 is nothing
        seen, reward, ended, _ = venv.step(model.policy.predict(seen)[0])
        assert not ended.any()
        earned += model.gamma**step * reward
    explained = 1.0 - (values - earned).var() / earned.var()
    assert explained > 0.8  # 0 for a constant, below 0 for a network that has not learnt
    assert abs(float((values - earned).mean())) < 0.2 * float(earned.std())


def test_a_run_tells_what_its_clone_reached(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = train(ID, None, settings(tmp_path, evaluation_episodes=40, **ENOUGH))
    told = Run.open(run.folder).manifest["warm_start"]
    assert told["expert"] == "expert"
    assert told["rounds"] == ROUNDS
    assert told["samples"] == ENOUGH["warm_start_samples"]
    assert told["error"] < CLOSE
    assert told["episodes"] == 40
    assert told["success_rate"] >= 0.95
    errors = capfd.readouterr().err
    assert "warm start:" in errors
    assert "The clone without exploration: Success" in errors
    evaluation = run.evaluation()
    assert evaluation is not None
    assert evaluation["success_rate"] >= 0.95  # PPO goes on from the clone
    plain = TrainConfig(runs=tmp_path, total_timesteps=1024, evaluation_episodes=40, video=False)
    without = train(ID, None, plain)
    started = without.evaluation()
    assert started is not None
    assert started["success_rate"] < 0.8  # as many samples from nothing


def test_tensor_ppo_begins_as_a_clone_too(tmp_path: Path) -> None:
    tensor_env.install()
    small = (
        *("n_steps=16", "batch_size=256", "policy_kwargs.net_arch=[32,32]"),
        "learning_rate=3e-3",
    )
    told = settings(tmp_path, algo="tensor_ppo", num_envs=WORLDS, hyperparameters=small, **ENOUGH)
    run = train(tensor_env.ID, None, told)
    assert run.manifest["warm_start"]["error"] < CLOSE


@pytest.mark.usefixtures("hasty")
def test_the_same_seed_is_the_same_clone(tmp_path: Path) -> None:
    first, again, other = (
        train(ID, None, settings(tmp_path / name, seed=seed))
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert same(first, again)
    assert not same(first, other)


def test_without_the_flag_nothing_is_different(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code is not reached, and its numbers are refused."""
    monkeypatch.setattr(learning, "warm_start", lambda *_: 1 / 0)
    plain = train(
        ID,
        None,
        TrainConfig(runs=tmp_path, total_timesteps=1024, evaluation_episodes=0, video=False),
    )
    assert "warm_start" not in plain.manifest
    with pytest.raises(ConfigError, match="warm_start_samples is of a warm start; add"):
        train(ID, None, settings(tmp_path, warm_start=None))


@pytest.mark.usefixtures("hasty")
def test_a_run_that_stops_during_the_warm_start_begins_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = train(ID, None, settings(tmp_path / "whole"))
    ask, calls = learning._stop_if_asked, [0]

    def interrupted(signals: Any, ranks: Any) -> None:
        calls[0] += 1
        if calls[0] == 60:
            signals.received = signal.SIGINT
        ask(signals, ranks)

    monkeypatch.setattr(learning, "_stop_if_asked", interrupted)
    with pytest.raises(TrainingInterrupted) as stopped:
        train(ID, None, settings(tmp_path / "stopped"))
    assert calls[0] == 60
    assert "The warm start is not kept" in capfd.readouterr().err
    folder = stopped.value.run.folder
    assert Run.open(folder).manifest["state"] == "interrupted"
    run = resume(folder)
    assert "it starts from the beginning" in capfd.readouterr().err
    assert same(run, whole)


@pytest.mark.usefixtures("hasty")
def test_a_run_that_stops_later_does_not_clone_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The adaptive rate follows the planned end, which is another for the half.
    fixed = ("adaptive_kl=None",)
    whole = train(ID, None, settings(tmp_path / "whole", hyperparameters=fixed))
    half = train(ID, None, settings(tmp_path / "half", hyperparameters=fixed, total_timesteps=512))
    monkeypatch.setattr(learning, "warm_start", lambda *_: 1 / 0)
    run = resume(half.folder, ResumeConfig(total_timesteps=1024))
    assert same(run, whole)


@pytest.mark.parametrize("algo", ["sac", "td3", "tensor_sac"])
def test_an_algorithm_without_a_gaussian_policy_is_refused(tmp_path: Path, algo: str) -> None:
    with pytest.raises(ProveoutError, match=f"Gaussian policy, which {algo} has not"):
        train(ID, None, settings(tmp_path, algo=algo))
    assert not list(tmp_path.iterdir())


def test_a_task_without_an_expert_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PointTask, "expert", classmethod(lambda cls, config: None))
    with pytest.raises(ProveoutError, match=f"{ID} has no scripted expert"):
        train(ID, None, settings(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--warm-start", "exprt"], "unknown warm start 'exprt'; did you mean 'expert'?"),
        (["--warm-start", "expert", "--warm-start-samples", "0"], "must be at least 1, got 0"),
        (["--warm-start", "expert", "--warm-start-rounds", "-1"], "must be at least 0, got -1"),
        (["--warm-start", "expert", "--algo", "td3"], "use --algo ppo, tensor_ppo or a2c"),
    ],
)
def test_flags_that_cannot_be_are_told_in_a_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    assert main(["train", ID, "--runs", str(tmp_path), *flags]) == 2
    errors = capfd.readouterr().err
    assert words in errors
    assert len(errors.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
