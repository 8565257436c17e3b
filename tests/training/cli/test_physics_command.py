"""`--physics c` from the command line: evaluated, trained, resumed, and on the card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proveout.training.cli import main
from proveout.training.evaluation.statistics import sentence
from proveout.training.run.directory import Run

REACH, HIGHWAY = "proveout/Reach-v0", "proveout/Highway-v0"
SMALL = ["--num-envs", "8", "--workers", "1", "--no-video", "--evaluation-episodes", "8"]


def test_the_pretrained_policy_is_worth_the_same_with_mujoco_c(
    capfd: pytest.CaptureFixture[str],
) -> None:
    arguments = ["evaluate", REACH, "--policy", "pretrained", "--episodes", "32", "--workers", "1"]
    told = {}
    for physics in ("warp", "c"):
        assert main([*arguments, "--physics", physics, "--json"]) == 0
        told[physics] = json.loads(capfd.readouterr().out)
        assert told[physics]["physics"] == physics
    # The same start states and goals; the engines differ by rounding.
    assert told["c"]["success_rate"] == told["warp"]["success_rate"] > 0.8
    assert told["c"]["return_mean"] == pytest.approx(told["warp"]["return_mean"], abs=1e-2)
    assert "over 32 episodes with MuJoCo C, mean return" in sentence(told["c"])
    assert "over 32 episodes, mean return" in sentence(told["warp"])


def test_a_run_keeps_its_physics_and_what_another_one_says(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    length = ["--hyperparameters", "n_steps=16", "batch_size=64", "n_epochs=1"]
    told = ["train", REACH, "--physics", "c", "--total-timesteps", "128", *SMALL, *length]
    assert main(told) == 0
    (folder,) = (tmp_path / "runs" / "proveout-Reach-v0").iterdir()
    assert Run.open(folder).physics == "c"
    assert main(["train", "--resume", str(folder), "--total-timesteps", "256"]) == 0
    own = json.loads((folder / "evaluation.json").read_text())
    assert (own["physics"], own["episodes"], own["invalid_worlds"]) == ("c", 8, 0)
    capfd.readouterr()

    evaluate = ["evaluate", str(folder), "--episodes", "8", "--workers", "1"]
    assert main(evaluate) == 0
    out = capfd.readouterr().out
    assert "with MuJoCo C" in out
    assert "Kept" not in out
    assert main([*evaluate, "--physics", "warp"]) == 0
    out = capfd.readouterr().out
    assert "Sim to sim: success" in out
    assert f"Kept, for the card of `proveout export`: {folder / 'evaluation_warp.json'}" in out

    assert main(["export", str(folder), "--out", "p.safetensors"]) == 0
    card = json.loads((tmp_path / "p.json").read_text())
    assert (card["training"]["physics"], card["evaluation"]["physics"]) == ("c", "c")
    assert card["sim_to_sim"]["warp"]["episodes"] == 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([REACH, "--physics", "d"], "unknown physics 'd'; known are c, warp."),
        ([HIGHWAY, "--physics", "c"], "Highway-v0 cannot run with physics 'c'"),
        ([REACH, "--physics", "c", "--device", "cuda:0"], "runs on the CPU and not on 'cuda:0'"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "train"])
def test_what_cannot_be_is_refused_in_a_sentence(
    command: str,
    arguments: list[str],
    words: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    policy = ["--policy", "random"] if command == "evaluate" else []
    assert main([command, *arguments, *policy]) == 2
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("proveout: error: ")
    assert words in error
    assert not list(tmp_path.rglob("manifest.json"))
