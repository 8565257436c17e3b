"""What the command line says to bad input, to a machine that is full, and to faults of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from fake_env import ID

from proveout.training.cli.arguments import RANGES, UsageError, flag_range
from proveout.training.cli.benchmark import BenchmarkFlags
from proveout.training.cli.benchmark_training import BenchmarkTrainingFlags
from proveout.training.cli.capacities import CapacitiesFlags
from proveout.training.cli.check import CheckFlags
from proveout.training.cli.command import JsonFlags
from proveout.training.cli.evaluate import EvaluateFlags
from proveout.training.cli.export import ExportFlags
from proveout.training.cli.play import PlayFlags
from proveout.training.cli.program import COMMANDS, main
from proveout.training.cli.scenario import ConvertFlags, CountFlags
from proveout.training.learn.settings import ResumeConfig, TrainConfig
from proveout.training.learn.train import train

LONG = "x" * 5000
PATH = "n" * 4000  # short enough for an argument, too long for a name
HUGE = "99999999999999999999"
RANDOM = ("--policy", "random")
KINDS = (
    *(JsonFlags, EvaluateFlags, PlayFlags, BenchmarkFlags),
    *(BenchmarkTrainingFlags, ExportFlags, CheckFlags),
    *(CapacitiesFlags, TrainConfig, ResumeConfig),
    *(CountFlags, ConvertFlags),
)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A trained run in a folder whose name a shell would take apart."""
    runs = tmp_path_factory.mktemp("runs $(touch HACKED) `id`;x")
    settings = TrainConfig(
        total_timesteps=512, evaluation_episodes=0, video=False, runs=runs, workers=1
    )
    return str(train(ID, None, settings).folder)


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one sentence on standard error; with --json its object is all there is else."""
    assert main(list(arguments)) == 2
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("proveout: error: ")]
    sentence = line.removeprefix("proveout: error: ")
    assert len(sentence) < 2100
    if "--json" in arguments:
        assert json.loads(out) == {"error": sentence}
        assert out.count("\n") == 1
    else:
        assert out == ""
    return sentence


BAD_INPUT: list[tuple[tuple[str, ...], str]] = [
    # too large for any machine
    (("train", "proveout/Highway-v0", "--num-envs", "100000000000"), "--num-envs must be at most"),
    (("evaluate", ID, *RANDOM, "--num-envs", HUGE, "--json"), "--num-envs must be at most"),
    (("train", ID, "--num-envs", "9" * 4000), "--num-envs must be at most 1000000000, got a huge"),
    (("evaluate", "proveout/Highway-v0", *RANDOM, "--episodes", "900000000", "--num-envs",
      "900000000", "--json"), "worlds need more than"),
    (("benchmark", "proveout/Reach-v0", "--num-envs", "900000000"), "GiB in all; use at most"),
    (("capacities", "proveout/Reach-v0", "--num-envs", "900000000"), "GiB in all; use at most"),
    (("train", ID, "--torch-threads", "99999999"), "--torch-threads must be at most"),
    (("benchmark", "training", "--env", ID, "--torch-threads", "99999999", "--json"),
     "--torch-threads must be at most"),
    (("evaluate", ID, *RANDOM, "--workers", "100000"), "--workers must be at most"),
    (("train", ID, "--total-timesteps", "1" + "0" * 30), "--total-timesteps must be at most"),
    (("evaluate", ID, *RANDOM, "--episodes", HUGE, "--json"), "--episodes must be at most"),
    (("play", ID, *RANDOM, "--num-envs", "1000"), "--num-envs must be at most 64"),
    # out of range
    (("evaluate", ID, *RANDOM, "--seed", "-1", "--json"), "--seed must be at least 0, got -1"),
    (("play", ID, *RANDOM, "--seed", "-1"), "--seed must be at least 0, got -1"),
    (("benchmark", ID, "--seed", str(2**32)), "--seed must be at most 4294967295"),
    (("benchmark", ID, "--seconds", "inf", "--json"), "--seconds must be a finite number"),
    (("benchmark", ID, "--seconds", "nan"), "--seconds must be a finite number"),
    (("benchmark", ID, "--seconds", "1e300"), "--seconds must be at most"),
    (("check", ID, "--num-envs", "0"), "--num-envs must be at least 1"),
    (("check", ID, "--steps", "0"), "--steps must be at least 1"),
    (("check", ID, "--steps", "-1"), "--steps must be at least 1, got -1"),
    (("capacities", "proveout/Reach-v0", "--margin", "nan"), "--margin must be a finite number"),
    (("train", ID, "--checkpoint-interval", "inf"), "--checkpoint-interval must be a finite"),
    (("train", "--resume", ".", "--total-timesteps", "0"), "--total-timesteps must be at least 1"),
    # names and paths that cannot be
    (("evaluate", LONG, "--json"), "has 5000 characters; give at most 4096"),
    (("evaluate", ID, "--policy", LONG), "argument 4 ('xxxx"),
    (("evaluate", PATH, "--json"), "File name too long"),
    (("evaluate", f"./{PATH}"), "File name too long"),
    (("evaluate", ID, "--policy", PATH, "--json"), "File name too long"),
    (("train", "--resume", PATH), "File name too long"),
    ((LONG,), "has 5000 characters"),
    ((PATH, "--json"), "unknown subcommand"),
    (("play", f"a\0b{ID}"), "contains a null character"),
    (("evaluate", "a\udcffb", "--json"), "is not valid UTF-8"),
    (("benchmark", "proveout/Highway-v0", "--device", "a\nb\x1b[31m"), "device 'a"),
    (("list", "--josn", "--json"), "did you mean --json?"),
    (("evaluate", "fake/Piont-v0", "--json"), f"did you mean '{ID}'?"),
    (("evaluate", ID, "--policy", "expert", "--episodes", "x", "--json"), "episodes"),
    (("doctor", "stray", "--json"), "stray"),
    (("evaluate", "--json"), "which environment?"),
    (("train", ID, "--json"), "unknown flag --json"),
    # twice
    (("train", ID, "--seed", "1", "--seed", "2"), "--seed is given twice; give it once"),
    (("train", ID, "--num-envs", "4", "--num_envs=8"), "--num-envs is given twice"),
    (("train", ID, "--env.tolerance", "1", "--env.tolerance", "2"), "--env.tolerance is given twi"),
    (("train", ID, "--video", "--no-video"), "--video and --no-video contradict each other"),
    (("train", ID, "--hyperparameters", "gamma=0.9", "--hyperparameters", "n_epochs=2"),
     "--hyperparameters is given twice; give all its values after one"),
    (("train", "--resume", "a", "--resume=b"), "--resume is given twice"),
    (("list", "--json", "--json"), "--json is given twice"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), BAD_INPUT)
def test_bad_input_is_a_sentence(
    arguments: tuple[str, ...], words: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert words in refused(capfd, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_subcommand_answers_an_unknown_flag_in_json(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    targets = {
        "list": [], "doctor": [], "assets": ["inspect", "ur5e"],
        "scenario": ["inspect", "cut_in.xosc"],
    }  # fmt: skip
    target = targets.get(command, [ID])
    assert "--nonsense" in refused(capfd, command, *target, "--nonsense", "--json")


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_that_is_a_flag_has_a_range(kind: type) -> None:
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        parts = {hints[field.name], *typing.get_args(hints[field.name])}
        bounds = flag_range(field)
        if parts & {int, float}:
            assert "high" in bounds, field.name
            assert bounds.keys() & {"low", "above"}, field.name
        else:
            assert field.name not in RANGES, field.name


HYPERPARAMETERS = [
    (["policy_kwargs=5"], "policy_kwargs must be a dict"),
    (["policy_kwargs=5", "policy_kwargs.net_arch=[8]"], "policy_kwargs must be a dict"),
    (["policy_kwargs={1:2}"], "policy_kwargs must be a dict"),
    (["adaptive_kl=nan"], "adaptive_kl must be a number or a pair"),
    (["adaptive_kl=-1"], "adaptive_kl must be positive"),
    (["adaptive_kl=(1,2,3)"], "adaptive_kl must be a number or a pair"),
    (["ent_coef=auto"], "ent_coef must be a number, got 'auto'"),
    (["policy_kwargs.net_arch=[10000000000]"], "net_arch may have 64 layers of at most 16384"),
    ([f"policy_kwargs.net_arch={[16384] * 3}"], "net_arch may have 67108864 weights between its"),
    (["policy_kwargs.log_std_init=1e30"], "policy_kwargs.log_std_init must be at least -20"),
    (["policy_kwargs.ortho_init=5"], "policy_kwargs.ortho_init must be True or False"),
    (["policy_kwargs.activation_fn=[1]"], "policy_kwargs.activation_fn must be a name"),
    (["policy_kwargs.features_extractor_class=os.system"], "which only Python can give"),
    (["rollout_buffer_class=os.system"], "rollout_buffer_class must be a class"),
    (["learning_rate=1e10"], "learning_rate must be at least 0 and at most 1"),
    (["learning_rate=None"], "learning_rate must be a number"),
    (["vf_coef=1e300"], "vf_coef must be at least 0 and at most 1e+06"),
    (["n_steps=None"], "n_steps must be a number"),
    (["n_steps=" + "9" * 400], "n_steps must be at least 1 and at most 1e+06"),
    (["action_noise=5"], "action_noise is not a hyper-parameter here; use exploration_noise"),
    (["gamma={[]:1}"], "gamma must be a number"),
    (["gamma=" + "(" * 2000], "gamma must be a number"),
    (["sde_sample_freq=x"], "sde_sample_freq must be a number"),
    (["policy=5"], "policy must be a name such as"),
    (["policy=CnnPolicy"], "cannot be built with this preset: You should use NatureCNN"),
    (["total_timesteps=1e400"], "total_timesteps must be a number"),
]


@pytest.mark.parametrize(("given", "words"), HYPERPARAMETERS)
def test_a_hyper_parameter_that_cannot_be_is_a_sentence(
    given: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert words in refused(capfd, "train", ID, "--num-envs", "4", "--hyperparameters", *given)


def test_learning_after_episodes_of_several_worlds(capfd: pytest.CaptureFixture[str]) -> None:
    given = ["--hyperparameters", "train_freq=(2,'episode')"]
    told = refused(capfd, "train", ID, "--algo", "sac", "--num-envs", "4", *given)
    assert """train_freq=(2, 'episode') needs num_envs=1, got 4; count steps""" in told


@pytest.mark.parametrize(
    ("algo", "given"),
    [
        ("sac", ["ent_coef=auto_0.1", "train_freq=(1,'step')", "target_entropy=auto"]),
        ("sac", ["num_envs=1", "train_freq=(1,'episode')"]),
        ("td3", ["exploration_noise=None", "gradient_steps=-1", "policy_delay=2"]),
        ("ppo", ["target_kl=None", "policy_kwargs.net_arch={'pi':[],'vf':[]}"]),
        ("tqc", ["policy_kwargs.n_quantiles=5", "top_quantiles_to_drop_per_net=1"]),
    ],
)  # fmt: skip
def test_hyper_parameters_that_can_be_are_taken(algo: str, given: list[str]) -> None:
    from proveout.training.learn.hyperparameters import parse_hyperparameters
    from proveout.training.presets import make_preset

    make_preset(algo, {}, parse_hyperparameters(given))


def test_networks_that_diverge_are_a_sentence(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from proveout.training.presets import checks as preset_checks

    monkeypatch.setitem(preset_checks._RANGES, "learning_rate", (0.0, 1e30))
    flags = ["--num-envs", "4", "--no-video", "--hyperparameters", "adaptive_kl=None"]
    told = refused(capfd, "train", ID, *flags, "learning_rate=1e20")
    assert "the networks diverged within" in told
    assert "try a learning_rate lower than 1e+20" in told
    # In the last update, where nothing would act on them before they are saved.
    told = refused(capfd, "train", ID, *flags, "learning_rate=1e30", "total_timesteps=64")
    assert "the networks diverged within 64 samples" in told


def test_places_where_nothing_can_be_written(
    finished: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe.safetensors")
    places = {
        "folder.safetensors": "is a folder; name a file to write",
        "pipe.safetensors": "is no regular file",
        "file/p.safetensors": "is no folder",
        "/dev/full/p.safetensors": "/dev/full",
        "/proc/nosuch/p.safetensors": "/proc",
        f"{PATH}.safetensors": "File name too long",
        "p.gif": "must end in one of",
    }
    for place, words in places.items():
        assert words in refused(capfd, "export", finished, "--out", place), place
    for place, words in (("file/v.mp4", "is no folder"), (f"{PATH}.mp4", "name too long")):
        assert words in refused(capfd, "play", finished, "--video", place), place
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "file", "folder.safetensors", "pipe.safetensors"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError("Unable to allocate 745. GiB"), "out of memory (Unable to allocate 745. GiB)"),
        (RuntimeError("Failed to allocate 4 bytes on device 'cuda:0'"), "use fewer worlds"),
        (OverflowError("int too large to convert"), "a number is too large (int too large"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (
            UnicodeEncodeError("utf-8", "a\udcff", 1, 2, "surrogates not allowed"),
            "give it in UTF-8",
        ),
        (OSError(28, "No space left on device"), "No space left on device; free some space"),
        (OSError(24, "Too many open files", "a.py"), "a.py: Too many open files; raise the limit"),
        (PermissionError(13, "Permission denied", "runs/x"), "runs/x: Permission denied"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_limits_of_the_machine_are_sentences(
    error: Exception,
    words: str,
    flags: list[str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("proveout.training.tasks.described_tasks", fail)
    assert words in refused(capfd, "list", *flags)


@pytest.mark.parametrize("error", [KeyError("x"), OSError(9, "Bad file descriptor"), TypeError()])
def test_a_fault_of_our_own_keeps_its_traceback(
    error: Exception, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        print("on the way")
        raise error

    monkeypatch.setattr("proveout.training.tasks.described_tasks", fail)
    assert main(["list", "--json"]) == 70
    out, err = capfd.readouterr()
    assert json.loads(out)["error"].startswith(f"{type(error).__name__}: ")
    assert "Traceback" in err
    assert "please report it" in err
    assert main(["list"]) == 70
    assert capfd.readouterr().out == "on the way\n"


def test_an_interrupt_in_json(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("proveout.training.tasks.described_tasks", interrupted)
    assert main(["list", "--json"]) == 130
    assert json.loads(capfd.readouterr().out) == {"error": "stopped"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_full_standard_output(flags: list[str]) -> None:
    with open("/dev/full", "w") as full:
        told = subprocess.run(
            [sys.executable, "-m", "proveout.training.cli", "list", *flags],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=120,
        )  # fmt: skip
    assert told.returncode == 2
    (line,) = told.stderr.splitlines()
    assert line.startswith("proveout: error: No space left on device")


def test_the_target_is_no_flag_s_value(finished: str, capfd: pytest.CaptureFixture[str]) -> None:
    flags = ["--episodes", "4", "--json"]
    assert main(["evaluate", "--policy", finished, ID, *flags]) == 0
    result = json.loads(capfd.readouterr().out)
    assert (result["env_id"], result["policy"]) == (ID, finished)
    assert main(["evaluate", "--policy", "expert", *flags, ID]) == 0
    assert main(["evaluate", "--env.tolerance", "1.0", "--policy", "expert", *flags, ID]) == 0
    assert main(["evaluate", "--env.all-invalid", ID, "--policy", "expert", *flags]) == 1
    capfd.readouterr()
    assert "did you mean" in refused(capfd, "evaluate", "--policy", finished, "fake/Piont-v0")
    assert "which environment?" in refused(capfd, "evaluate", "--policy", finished)
    told = refused(capfd, "train", "--hyperparameters", "gamma=x", "n_epochs=2", ID)
    assert "gamma must be a number" in told


def test_printed_commands_can_be_pasted_into_a_shell(
    finished: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(text: str, before: str) -> list[str]:
        (line,) = [line for line in text.splitlines() if before in line]
        return shlex.split(line.partition(before)[2])

    settings = ["--total-timesteps", "512", "--evaluation-episodes", "0", "--no-video"]
    runs = str(Path(finished).parents[1])
    assert main(["train", ID, *settings, "--runs", runs]) == 0
    err = capfd.readouterr().err
    assert Path(command(err, "proveout play ")[0]).parents[1] == Path(runs)
    assert command(err, "--logdir ") == [runs]
    unfinished = Path(runs) / "un finished"
    unfinished.mkdir()
    (unfinished / "manifest.json").write_text((Path(finished) / "manifest.json").read_text())
    told = refused(capfd, "export", str(unfinished))
    assert command(told, "--resume ") == [str(unfinished)]
    from proveout.training.distributed.ranks import Ranks
    from proveout.training.distributed.torch_ranks import TorchRanks

    assert shlex.split(Ranks().resume_command(finished))[-1] == finished
    ranks = object.__new__(TorchRanks)
    ranks.local_size = 2
    assert shlex.split(ranks.resume_command(finished))[-1] == finished


def test_a_policy_of_another_task_is_told_in_one_sentence(
    capfd: pytest.CaptureFixture[str],
) -> None:
    from proveout.policies.pretrained import pretrained

    reach = str(pretrained("proveout/Reach-v0"))
    arguments = ["evaluate", "proveout/Highway-v0", "--policy", reach, "--episodes", "1"]
    told = refused(capfd, *arguments)
    assert "was trained on proveout/Reach-v0, not on proveout/Highway-v0" in told
    assert "missing" not in told


def test_a_terminal_without_utf_8() -> None:
    """Where tyro draws its boxes otherwise."""
    bad = ["train", "proveout/Reach-v0", "--seed", "x"]
    told = subprocess.run(
        [sys.executable, "-m", "proveout.training.cli", *bad],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert told.returncode == 2
    assert told.stderr == (
        "proveout: error: Error parsing --seed: invalid literal for int() with base 10: 'x'; "
        "see proveout train proveout/Reach-v0 --help\n"
    )


def test_a_usage_error_is_mendable() -> None:
    from proveout.training.run.failures import mendable

    assert mendable(UsageError("a\n\x1b[31mb")) == "a \\x1b[31mb"
    assert mendable(KeyError("x")) is None


def test_more_threads_than_cores(capfd: pytest.CaptureFixture[str]) -> None:
    from proveout.envs.core.errors import ConfigError
    from proveout.training.benchmark.training import TrainingLoad
    from proveout.training.run.threads import cores, usable_threads

    assert usable_threads(1) == 1
    assert capfd.readouterr().err == ""
    assert usable_threads(99_999_999) == cores()  # a run that was started on a larger machine
    assert "torch_threads is 99999999, but this machine has" in capfd.readouterr().err
    with pytest.raises(ConfigError, match="torch_threads must be from 1 to"):
        TrainingLoad(torch_threads=99_999_999)


def test_training_on_the_gpu_is_not_called_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stable-Baselines3 tells everybody who trains a small network there to use the CPU."""
    import warnings
    from types import SimpleNamespace

    import torch
    from fake_env import PointVectorEnv
    from stable_baselines3 import PPO

    from proveout.training.presets import build_algorithm, make_preset
    from proveout.training.sb3.vec_env import SB3VecEnv

    recommend = PPO._maybe_recommend_cpu
    asked = []

    def as_on_cuda(model: PPO) -> None:
        asked.append(model)
        cuda = SimpleNamespace(device=torch.device("cuda"), policy_class=model.policy_class)
        recommend(cuda)  # type: ignore[arg-type]

    monkeypatch.setattr(PPO, "_maybe_recommend_cpu", as_on_cuda)
    venv = SB3VecEnv(PointVectorEnv(4))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build_algorithm(make_preset("ppo", {}, {"num_envs": 4, "batch_size": 64}), venv)
        assert not caught
        PPO("MlpPolicy", venv, n_steps=16, batch_size=64)
        assert len(caught) == 1  # the warning that is meant
    assert len(asked) == 2
