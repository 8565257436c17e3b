"""`proveout capacities`: whose actions are measured, and what is said."""

from __future__ import annotations

import numpy as np
import pytest

from proveout.envs import make_task
from proveout.envs.factory.engine import Capacities
from proveout.envs.factory.reach import Reach
from proveout.training.cli.program import main
from proveout.training.evaluation import capacities
from proveout.training.evaluation.capacities import policy_capacities
from proveout.training.evaluation.policy_source import PolicySource

REACH = "proveout/Reach-v0"
SMALL = ["--num-envs", "2", "--episodes", "1", "--env.episode-seconds", "0.3"]


@pytest.fixture
def acted(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Collects the actions for random observations; measures nothing."""
    seen: list[np.ndarray] = []

    def measure(task, num_worlds, episodes, margin, seed, act):
        observations = np.random.default_rng(0).normal(size=(num_worlds, task.layout.size))
        seen.append(act(observations.astype(np.float32)))
        return Capacities(contacts=3, constraints=7)

    monkeypatch.setattr(capacities, "measure_capacities", measure)
    return seen


def test_each_source_acts(acted: list[np.ndarray], capsys: pytest.CaptureFixture[str]) -> None:
    for policy in ("random", "expert", "pretrained"):
        assert main(["capacities", REACH, "--policy", policy, *SMALL]) == 1
        out = capsys.readouterr().out
        assert f"measured with the policy {policy}, times 1.5: contacts=3, constraints=7" in out
        assert ("random actions seldom push" in out) == (policy == "random")
        assert "in Reach: contacts=0, constraints=6\ntoo small" in out
    assert main(["capacities", REACH, *SMALL]) == 1
    assert "with the policy random" in capsys.readouterr().out
    random, expert, pretrained, again = acted
    assert random.shape == expert.shape == pretrained.shape == (2, 6)
    assert np.array_equal(random, again)
    assert not np.array_equal(random, expert)
    assert not np.array_equal(expert, pretrained)


def test_a_policy_object_or_a_source(acted: list[np.ndarray]) -> None:
    task = make_task(REACH)
    policy_capacities(task, task.expert(task.config), num_worlds=2)
    policy_capacities(task, PolicySource("expert"), num_worlds=2)
    assert np.array_equal(acted[0], acted[1])


def test_a_real_measurement(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capacities", REACH, "--policy", "expert", *SMALL]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "enough"


def test_a_class_without_capacities_is_told_what_to_write(
    acted: list[np.ndarray], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(Reach, "capacities")
    assert main(["capacities", REACH, *SMALL]) == 1
    told = "Reach has none yet: write capacities = Capacities(contacts=3, constraints=7)"
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("policy", "named"), [("exprt", "did you mean 'expert'?"), ("a.zip", "does not exist")]
)
def test_a_policy_that_cannot_be_had(
    policy: str, named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["capacities", REACH, "--policy", policy]) == 2
    (told,) = capfd.readouterr().err.splitlines()
    assert named in told


def test_a_zip_needs_trust(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.zip").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert main(["capacities", REACH, "--policy", "model.zip"]) == 2
    assert "add --trust-pickle" in capfd.readouterr().err
    assert main(["capacities", REACH, "--policy", "model.zip", "--trust-pickle"]) == 2
    assert "cannot be loaded by any algorithm" in capfd.readouterr().err


def test_a_run_acts(
    acted: list[np.ndarray],
    tmp_path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    short = ["--total-timesteps", "512", "--num-envs", "32", "--evaluation-episodes", "2"]
    assert main(["train", REACH, *short, "--no-video", "--workers", "1"]) == 0
    (run,) = (tmp_path / "runs" / "proveout-Reach-v0").iterdir()
    assert main(["capacities", REACH, "--policy", str(run), *SMALL]) == 1
    assert f"measured with the policy {run}" in capsys.readouterr().out
    assert acted[0].shape == (2, 6)
