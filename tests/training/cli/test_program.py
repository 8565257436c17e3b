"""The command line: one sentence and status 2 for bad input, JSON alone where it is asked for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_env import ID

from proveout.training.benchmark.stepping import KEYS
from proveout.training.cli.arguments import UsageError, combine, mirror, parse
from proveout.training.cli.command import JsonFlags
from proveout.training.cli.program import COMMANDS, main
from proveout.training.tasks import task_class

TASKS = str(Path(__file__).parents[1] / "fake_env.py")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "proveout.training.cli", *arguments],
        env={**os.environ, "PROVEOUT_TASKS": TASKS},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["trian"], "did you mean 'train'?"),
        (["--hlep"], "did you mean '--help'?"),
        (["train", "fake/Piont-v0"], f"did you mean '{ID}'?"),
        (["train", ID, "--sead", "1"], "did you mean --seed?"),
        (["train", ID, "--env.tolerence", "1"], "did you mean --env.tolerance?"),
        (
            ["train", ID, "--env.reward-weights.distnce", "1"],
            "did you mean --env.reward-weights.distance?",
        ),
        (["train", ID, "--algo", "ppoo"], "did you mean 'ppo'?"),
        (["train", ID, "--hyperparameters", "gama=0.9"], "did you mean 'gamma'?"),
        (["train", ID, "--seed", "x"], "--seed"),
        (["train", ID, "--seed"], "--seed"),
        (["train", ID, "--checkpoint-interval", "0"], "--checkpoint-interval must be positive"),
        (["train", ID, "--env.control-dt", "-1"], "control_dt"),
        (["train", ID, "stray"], "stray"),
        (["train"], "which environment?"),
        (["train", "--resume"], "needs a run directory"),
        (["train", "--resume", "nowhere"], "no such folder"),
        (["evaluate", ID], "which policy?"),
        (["evaluate", "./nowhere"], "no such folder"),
        (["evaluate", "runs/nowhere"], "neither a run directory"),
        (["play", "point"], f"did you mean '{ID}'?"),
        (["evaluate", ID, "--policy", "randm"], "did you mean 'random'?"),
        (["evaluate", ID, "--policy", "expert", "--episodes", "0"], "at least 1"),
        (["play", ID, "--video", "a.gif", "--policy", "expert"], "must end in .mp4"),
        (["benchmark", ID, "--seconds", "0"], "positive"),
        (["export"], "which run?"),
    ],
)
def test_bad_input_is_one_sentence_and_status_two(
    arguments: list[str],
    named: str,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    sentences = [line for line in err.splitlines() if line.startswith("proveout: error: ")]
    assert len(sentences) == 1
    assert named in sentences[0]
    assert out == ""
    assert "Traceback" not in err


def test_bad_input_in_a_process_of_its_own() -> None:
    told = run("train", "fake/Piont-v0")
    assert (told.returncode, told.stdout) == (2, "")
    message = "proveout: error: unknown environment 'fake/Piont-v0'; did you mean 'fake/Point-v0'?"
    assert told.stderr.splitlines()[-1] == message


def test_json_alone_on_standard_output() -> None:
    told = run("evaluate", ID, "--policy", "expert", "--episodes", "20", "--json")
    assert told.returncode == 0, told.stderr
    result = json.loads(told.stdout)
    assert told.stdout.count("\n") == 1
    wanted = {"success_rate", "success_interval", "episodes", "invalid_worlds", "kpis"}
    assert wanted <= set(result)
    assert result["episodes"] == 20
    assert result["kpis"]["undefined"] == {"mean": None, "std": None, "unit": "s", "episodes": 0}


def test_worlds_that_are_never_valid_are_explained_and_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    invalid = ["--env.all-invalid", "--num-envs", "4"]
    assert main(["evaluate", ID, "--policy", "expert", "--episodes", "8", *invalid]) == 1
    out = capfd.readouterr().out
    assert "all 8 were invalid: contact lost (arena full) (8)" in out
    assert f"proveout capacities {ID}" in out
    assert main(["train", ID, "--no-video", *invalid]) == 2
    err = capfd.readouterr().err
    assert "episodes were all invalid, so that nothing can be learnt: contact lost" in err
    (path,) = tmp_path.glob("runs/*/*/manifest.json")
    manifest = json.loads(path.read_text())
    assert manifest["state"] == "failed"
    assert manifest["error"] in err
    assert main(["export", str(path.parent)]) == 2
    assert f"its training failed: {manifest['error']}" in capfd.readouterr().err
    flags = ["--policy", "expert", "--episodes", "1", *invalid[:1]]
    assert main(["play", ID, *flags]) == 0
    told = "world 0, episode 1: invalid (contact lost (arena full)), not counted"
    assert told in capfd.readouterr().out


def test_an_interrupted_evaluation_leaves_the_trained_policy_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("proveout.training.learn.finish.evaluate", interrupted)
    assert main(["train", ID, "--total-timesteps", "512", "--no-video"]) == 130
    (folder,) = (tmp_path / "runs" / "fake-Point-v0").iterdir()
    assert (folder / "policy.zip").is_file()
    told = capfd.readouterr().err
    assert f"the policy is trained and saved: runs/fake-Point-v0/{folder.name}/policy.zip" in told
    assert f"proveout evaluate runs/fake-Point-v0/{folder.name}" in told


def test_a_number_given_twice_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", ID, "--num-envs", "4", "--hyperparameters", "num_envs=8"]) == 2
    assert "num_envs is given twice" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flags", [["--workers", "99"], ["--device", "cuda:99"]])
def test_a_training_that_cannot_begin_leaves_no_folder(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "proveout/Highway-v0", "--num-envs", "4", *flags]) == 2
    assert not list(tmp_path.iterdir())


def test_a_broken_task_file_is_told_and_leaves_the_others(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import math\nmath.no_such_thing\n")
    taken = tmp_path / "fake_env.py"
    taken.write_text(
        f"from proveout.envs import register\n\n\n@register({ID!r})\nclass Other:\n    pass\n"
    )
    files = os.pathsep.join([TASKS, str(broken), str(taken)])
    told = subprocess.run(
        [sys.executable, "-m", "proveout.training.cli", "list"],
        env={**os.environ, "PROVEOUT_TASKS": files},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert told.returncode == 0
    assert ID in told.stdout
    first, second = told.stderr.splitlines()
    assert f"{broken}, line 2, cannot be loaded: AttributeError" in first
    assert f"task id '{ID}' is taken by PointTask in {TASKS}" in second


def test_a_flag_that_help_only_names_works() -> None:
    config_class = task_class("proveout/Reach-v0").config_class
    kind = combine(mirror(JsonFlags, JsonFlags()), mirror(config_class, config_class()))
    flag = "--env.randomization.link-mass.distribution"
    told = parse([flag, "normal"], kind, prog="x", description="")
    assert told.env.randomization.link_mass.distribution == "normal"
    with pytest.raises(UsageError, match=f"did you mean {flag}"):
        parse([flag + "s", "normal"], kind, prog="x", description="")


def test_list_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    rows = json.loads(capfd.readouterr().out)["environments"]
    row = next(row for row in rows if row["id"] == ID)
    assert row["presets"] == ["ppo"]
    assert row["config"]["reward_weights"] == {"distance": -1.0, "effort": -0.01}
    assert row["pretrained"] is False


def test_benchmark_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", ID, "--num-envs", "32", "--seconds", "0.3", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert tuple(result) == KEYS
    assert (result["device"], result["workers"], result["num_envs"]) == ("cpu", 1, 32)
    assert result["contacts_per_world"] is None
    assert result["agent_steps_per_s"] is None
    assert result["physics_steps_per_s"] > result["env_steps_per_s"] > 0.0
    # One control step is five physics steps here, so the ratio of the medians tells the share.
    share = 5.0 * result["env_steps_per_s"] / result["physics_steps_per_s"]
    assert result["efficiency"] == pytest.approx(share, rel=0.7)
    assert 0.0 < result["training_steps_per_s"] < result["env_steps_per_s"]
    assert result["invalid_worlds"] == 0


def test_benchmark_tells_invalid_worlds(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["--num-envs", "4", "--seconds", "0.2", "--no-training", "--json"]
    assert main(["benchmark", ID, *arguments, "--env.invalid-world", "1"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["invalid_worlds"] > 0
    assert result["training_steps_per_s"] is None


def test_train_evaluate_export_play(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of a user, from a config changed by flags to a file that another one plays."""
    monkeypatch.chdir(tmp_path)
    flags = ["--total-timesteps", "2048", "--evaluation-episodes", "20", "--no-video"]
    changed = ["--seed", "3", "--env.tolerance", "0.7"]
    assert main(["train", ID, *flags, "--runs", "runs", *changed]) == 0
    (folder,) = (tmp_path / "runs" / "fake-Point-v0").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["config"]["tolerance"] == 0.7
    assert manifest["argv"][:3] == ["proveout", "train", ID]
    capfd.readouterr()

    run_path = str(folder.relative_to(tmp_path))
    assert main(["evaluate", run_path, "--episodes", "30", "--json"]) == 0
    of_run = json.loads(capfd.readouterr().out)
    assert main(["evaluate", run_path, "--episodes", "30", "--json", "--env.tolerance", "9"]) == 0
    assert json.loads(capfd.readouterr().out)["success_rate"] == 1.0

    assert main(["export", run_path, "--out", "p.safetensors"]) == 0
    card = json.loads((tmp_path / "p.json").read_text())
    assert (card["env_id"], card["control_dt"]) == (ID, 0.1)
    assert card["training"]["samples"] == 2048
    assert card["training"]["command"] == " ".join(["proveout train", ID, *flags, *changed])
    assert card["training"]["warm_start"] is None
    assert card["evaluation"]["episodes"] == 20
    assert [e["name"] for e in card["observation"]["entries"]] == ["position", "goal", "to_goal"]
    capfd.readouterr()
    arguments = ["--policy", "p.safetensors", "--episodes", "30", "--env.tolerance", "0.7"]
    assert main(["evaluate", ID, *arguments, "--json"]) == 0
    of_file = json.loads(capfd.readouterr().out)
    assert of_file["return_mean"] == pytest.approx(of_run["return_mean"], rel=1e-5)

    assert main(["play", run_path, "--video", "v.mp4", "--episodes", "1"]) == 0
    out = capfd.readouterr().out
    line = r"world 0, episode 1: (success|failure), 2\.0 s long, return -?[\d.]+, final_distance"
    assert re.match(line, out)
    assert "undefined undefined" in out
    assert (tmp_path / "v.mp4").is_file()


def test_check_finds_what_is_wrong(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", ID, "--steps", "60"]) == 0
    out = capfd.readouterr().out
    assert "final_obs" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    out = capfd.readouterr().out
    assert f"proveout {command}" in out
    assert "examples:" in out


def test_help_of_an_environment_has_units(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main(["train", ID, "--help"])
    out = capfd.readouterr().out
    assert "--env.reward-weights.distance" in out
    assert "success within this distance of the goal [m]" in out
    assert max(len(line) for line in out.splitlines()) <= 100


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys, proveout.training.cli as cli; cli.main(['--help']); "
        "print({'torch', 'warp', 'gymnasium', 'tyro', 'numpy'} & set(sys.modules))"
    )
    began = time.perf_counter()
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert time.perf_counter() - began < 5.0  # 0.05 s on an idle core
    assert told.stdout.splitlines()[-1] == "set()"
    for command in COMMANDS:
        assert f"  {command} " in told.stdout
