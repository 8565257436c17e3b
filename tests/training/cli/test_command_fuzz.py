"""Arguments drawn at random from the real flags: whatever they are, there is no traceback.

Parsing, checking, building and reporting are real; worlds are made small and never step.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from fake_env import ID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensor_env import TensorPointVectorEnv

from proveout.assets.files.errors import ProveoutError
from proveout.training import doctor
from proveout.training.cli.arguments import combine, known_flags, mirror
from proveout.training.cli.benchmark import BenchmarkFlags
from proveout.training.cli.benchmark_training import BenchmarkTrainingFlags
from proveout.training.cli.capacities import CapacitiesFlags
from proveout.training.cli.check import CheckFlags
from proveout.training.cli.command import JsonFlags
from proveout.training.cli.evaluate import EvaluateFlags
from proveout.training.cli.export import ExportFlags
from proveout.training.cli.new import NewFlags
from proveout.training.cli.play import PlayFlags
from proveout.training.cli.program import main
from proveout.training.learn import learning
from proveout.training.learn.settings import ResumeConfig, TrainConfig
from proveout.training.learn.train import train
from proveout.training.presets import ALGORITHMS, algorithm_class
from proveout.training.presets.checks import _FLAGS, _POLICY_FLAGS, _POLICY_RANGES, _RANGES
from proveout.training.tasks import task_class

KINDS: dict[str, Any] = {
    "list": JsonFlags,
    "training": BenchmarkTrainingFlags,
    "resume": ResumeConfig,
    "train": TrainConfig,
    "evaluate": EvaluateFlags,
    "play": PlayFlags,
    "benchmark": BenchmarkFlags,
    "doctor": JsonFlags,
    "export": ExportFlags,
    "check": CheckFlags,
    "capacities": CapacitiesFlags,
    "new": NewFlags,
}
WITH_CONFIG = ("train", "evaluate", "play", "benchmark", "check", "capacities")
ENVIRONMENTS = (ID, "proveout/Highway-v0", "proveout/Reach-v0")
NUMBERS = (
    *("0", "1", "2", "4", "-1", "-0.0", "1e-300", "1e308", "1e400", "nan", "inf", "-inf", "0x10"),
    *("9" * 30, "-" + "9" * 30, "9" * 4000, "1_000", "٣", "1.5", "4294967296", str(2**64)),
)
TEXTS = (
    *("", " ", "\0", "\udcff", "\n", "\x1b[31m", "ﷺ", "None", "True", "[1]", "{}", "(" * 300),
    *("x" * 5000, "y" * 4000, "random", "expert", "pretrained", "cpu", "cuda:99", "auto", "normal"),
    *("/dev/full/x", "/proc/nosuch/x.mp4", "/dev/null", "a.mp4", "a.zip", "a.onnx"),
    *("--", "-", "-x", "=", "a=b", "RUN", "damaged.zip"),
    *("a.safetensors", "folder.safetensors", "pipe.safetensors"),
    *ENVIRONMENTS,
)  # fmt: skip
HYPERPARAMETERS = (
    *_RANGES, *_FLAGS, "adaptive_kl", "network", "policy", "policy_kwargs", "seed", "env", "x",
    *(f"policy_kwargs.{key}" for key in (*_POLICY_RANGES, *_POLICY_FLAGS, "net_arch", "y")),
    *("policy_kwargs.activation_fn", "policy_kwargs.optimizer_class", "rollout_buffer_class"),
)  # fmt: skip
LITERALS = (
    *("5", "0", "-1", "None", "True", "'a'", "auto", "[1]", "[-1]", "[10**9]", "[10000000000]"),
    *("{}", "{1:2}", "{'pi':[1]}", "{'pi':[1],'vf':[1]}", "{[]:1}", "(1,'step')", "(1,)", "1j"),
    *("nan", "1e10", "1e300", "1e400", "b'x'", "...", "", "MlpPolicy", "CnnPolicy", "set", "elu"),
    *("MultiInputPolicy", "os.system", "9" * 400, "[[[[]]]]", "mlp"),
    *("0.5", "64", "0.5", "64", "0.01", "8", "2", "1", "[8]", "relu"),
)  # fmt: skip

values = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(TEXTS), st.text(max_size=8))
assignments = st.builds("{}={}".format, st.sampled_from(HYPERPARAMETERS), st.sampled_from(LITERALS))


class Reached(ProveoutError):
    """The worlds would be used now."""


class StillEnv(TensorPointVectorEnv):
    """Worlds that do not even start."""

    def reset(self, **_: Any) -> Any:
        """Say that they would."""
        raise Reached("reset")


def make_vec(env_id: str, num_envs: int, **arguments: Any) -> Any:
    del arguments["vectorization_mode"]
    if env_id != ID or num_envs > 64:
        raise Reached("made")
    return StillEnv(num_envs, **arguments)


def reach(*_: Any, **__: Any) -> Any:
    raise Reached("called")


@pytest.fixture(scope="module", autouse=True)
def _nothing_really_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    import fake_env

    fake_env.install()
    folder = tmp_path_factory.mktemp("fuzz")
    quick = TrainConfig(total_timesteps=512, evaluation_episodes=0, video=False, workers=1,
                                 runs=folder / "runs")  # fmt: skip
    run = train(ID, None, quick)
    (folder / "RUN").symlink_to(run.folder)
    (folder / "folder.safetensors").mkdir()
    os.mkfifo(folder / "pipe.safetensors")
    (folder / "damaged.zip").write_bytes(b"PK")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(gymnasium, "make_vec", make_vec)
        patch.setattr(gymnasium, "make", reach)
        patch.setattr(learning, "_warm_up", lambda *_: None)
        patch.setattr("proveout.training.learn.divergence.learn", reach)
        patch.setattr("proveout.training.evaluation.capacities.measure_capacities", reach)
        patch.setattr("proveout.envs.check.run.check_hooks", reach)
        patch.setattr(doctor, "examine", lambda: {"ok": False, "checks": []})
        yield


def flags_of(name: str, env_id: str) -> tuple[list[str], list[str]]:
    """Return the flags of a subcommand, and those of a config."""
    kind = KINDS[name]
    own = known_flags(mirror(kind, kind()))
    if name not in WITH_CONFIG:
        return list(own), []
    config = task_class(env_id).config_class
    return list(own), list(known_flags(combine(mirror(kind, kind()), mirror(config, config()))))


def chance(draw: st.DrawFn, percent: int) -> bool:
    return draw(st.integers(1, 100)) <= percent


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    name = draw(st.sampled_from([*WITH_CONFIG, *WITH_CONFIG, *KINDS, "training", "resume", ""]))
    runs = ["RUN"] * 3 if name in ("evaluate", "play", "export", "resume") else []
    target = draw(st.sampled_from([*ENVIRONMENTS, ID, *runs]))
    line = [name, target]
    if name in ("list", "doctor"):
        line = [name]
    elif name == "training":
        line = ["benchmark", "training", "--env", target]
    elif name == "resume":
        line = ["train", "--resume", target]
    if chance(draw, 10):
        line[-1] = draw(values)
    if name in KINDS:
        own, all_of_them = flags_of(name, target if target in ENVIRONMENTS else ID)
        known = st.one_of(st.sampled_from(own), st.sampled_from(all_of_them or own))
        flags = draw(st.lists(known, max_size=4, unique=not chance(draw, 10)))
        for flag in flags:
            value = "2" if chance(draw, 40) else draw(values)
            line += [f"{flag}={value}"] if chance(draw, 25) else [flag, value]
    if name == "train" and chance(draw, 40):
        line += ["--algo", draw(st.sampled_from([*ALGORITHMS, "ppoo"]))] * ("--algo" not in line)
        line += ["--hyperparameters", *draw(st.lists(assignments, max_size=3))]
    if name == "evaluate" and chance(draw, 60) and "--policy" not in line:
        line += ["--policy", draw(st.sampled_from(TEXTS))]
    if chance(draw, 5):
        line.insert(draw(st.integers(0, len(line))), draw(values))
    knows_json = name in ("list", "doctor", "evaluate", "benchmark", "training")
    if "--json" not in line and chance(draw, 60 if knows_json else 15):
        line.append("--json")
    return line


def possible(name: str) -> st.SearchStrategy[str]:
    """Return values that a hyper-parameter can have, as far as its type goes."""
    ranges = {**_RANGES, **{f"policy_kwargs.{k}": ends for k, ends in _POLICY_RANGES.items()}}
    if name in (*_FLAGS, *(f"policy_kwargs.{flag}" for flag in _POLICY_FLAGS)):
        return st.sampled_from(["True", "False"])
    if name not in ranges:
        return st.sampled_from(LITERALS)
    low, high = ranges[name]
    whole = isinstance(low, int)
    return (st.integers(int(low), 64) if whole else st.floats(low, high)).map(str)


@st.composite
def trainings(draw: st.DrawFn) -> list[str]:
    """An algorithm that is built with whatever it is given, on a few worlds."""
    algo = draw(st.sampled_from(list(ALGORITHMS)))
    known = inspect.signature(algorithm_class(algo).__init__).parameters
    own = [name for name in HYPERPARAMETERS if name in known or name.startswith("policy_kwargs.")]
    names = draw(st.lists(st.sampled_from(own), min_size=1, max_size=4, unique=True))
    told = [f"{n}={draw(possible(n) if chance(draw, 85) else st.sampled_from(LITERALS))}"
            for n in names]  # fmt: skip
    return ["train", ID, "--num-envs", "4", "--algo", algo, "--hyperparameters", *told]


def outcome(arguments: list[str]) -> tuple[int, str, str]:
    """Return the exit status and what was written to both outputs."""
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        contextlib.ExitStack() as s,
    ):
        for number, file in ((1, out), (2, err)):
            saved = os.dup(number)
            s.callback(os.close, saved)
            s.callback(os.dup2, saved, number)
            os.dup2(file.fileno(), number)
        stdout = io.TextIOWrapper(os.fdopen(os.dup(1), "wb"), errors="strict", write_through=True)
        stderr = io.TextIOWrapper(
            os.fdopen(os.dup(2), "wb"), errors="backslashreplace", write_through=True
        )
        with stdout, stderr, contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            try:
                status = main(arguments)
            except SystemExit as stop:  # after --help
                status = int(stop.code or 0)
        told = []
        for file in (out, err):
            file.seek(0)
            told.append(file.read().decode())
    return status, told[0], told[1]


def check(arguments: list[str]) -> None:
    """A status that is documented, no traceback, and JSON where it was asked for."""
    status, out, err = outcome(arguments)
    assert "Traceback" not in err, err[-3000:]
    assert status in ((0, 1, 2) if arguments[0] in ("doctor", "check") else (0, 2))
    if status == 2:
        assert [line.startswith("proveout: error: ") for line in err.splitlines()].count(True) == 1
    if "--json" in arguments and not {"-h", "--help"} & set(arguments):
        assert isinstance(json.loads(out), dict)
        assert status != 2 or json.loads(out).keys() == {"error"}


_SETTINGS = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


@settings(max_examples=150, **_SETTINGS)  # type: ignore[arg-type]
@given(trainings())
def test_any_hyper_parameter(arguments: list[str]) -> None:
    check(arguments)


@settings(max_examples=400, **_SETTINGS)  # type: ignore[arg-type]
@given(command_lines())
def test_any_command_line(arguments: list[str]) -> None:
    check(arguments)


@pytest.mark.slow
@settings(max_examples=4000, **_SETTINGS)  # type: ignore[arg-type]
@given(command_lines() | trainings())
def test_many_more_command_lines(arguments: list[str]) -> None:
    check(arguments)


def test_what_worlds_would_be_made_for_is_reached() -> None:
    """The stand-ins are where the work would begin, so that everything before them is met."""
    reached = {
        "called": ["train", ID, "--num-envs", "4", "--hyperparameters", "n_steps=16"],
        "reset": ["evaluate", "RUN", "--episodes", "4"],
        "made": ["play", "proveout/Highway-v0"],
    }
    for where, arguments in reached.items():
        status, _, err = outcome(arguments)
        assert status == 2
        assert err.splitlines()[-1] == f"proveout: error: {where}"
    assert Path("RUN").exists()
