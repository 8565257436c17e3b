"""Several ranks train as one: the same parameters, decisions, checkpoints; and a lost rank."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import ranks_at_work
import torch
import torch.distributed as dist
from fake_env import ID
from toy_point import Point

from proveout.assets.files.errors import ProveoutError
from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.training.distributed.joining import joined
from proveout.training.distributed.pulse import Pulse
from proveout.training.distributed.ranks import RankError, Ranks
from proveout.training.learn import checkpoint
from proveout.training.learn.settings import ResumeConfig, TrainConfig
from proveout.training.learn.train import resume, train
from proveout.training.run.networks import read_networks
from proveout.training.sb3.callbacks.synchronous import begin_together
from proveout.training.sb3.vec_env import SB3VecEnv

HERE = Path(__file__).parent
TOKEN = "PROVEOUT_TEST_RUN"


class Started:
    """Two ranks, started by torchrun or, faster, by hand with its variables."""

    def __init__(self, arguments: Sequence[str], *, by_torchrun: bool, log: Path) -> None:
        self.token = uuid.uuid4().hex
        self.log = log
        environment = {
            **os.environ,
            TOKEN: self.token,
            "PROVEOUT_TASKS": str(HERE.parent / "fake_env.py"),
            "OMP_NUM_THREADS": "1",
        }
        commands = [([sys.executable, *arguments], environment)]
        if by_torchrun:
            torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
            commands = [([*torchrun, "--nproc-per-node", "2", *arguments], environment)]
        else:
            shared = {
                **{"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"},
                "MASTER_PORT": str(_free_port()),
            }
            commands = [
                (commands[0][0], {**environment, **shared, "RANK": rank, "LOCAL_RANK": rank})
                for rank in ("0", "1")
            ]
        with log.open("wb") as out:
            self.processes = [
                subprocess.Popen(command, env=env, stderr=out, stdout=out)
                for command, env in commands
            ]

    def wait(self, seconds: float = 120.0) -> list[int]:
        """Return the exit statuses."""
        deadline = time.monotonic() + seconds
        return [process.wait(deadline - time.monotonic()) for process in self.processes]

    def text(self) -> str:
        """Return what they have printed."""
        return self.log.read_text()

    def pid_of_rank(self, rank: int) -> int:
        """Return the process of a rank."""
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    lines = (folder / "environ").read_text().split("\0")
                    if {f"{TOKEN}={self.token}", f"RANK={rank}"} <= set(lines):
                        return int(folder.name)
        raise AssertionError(f"no process of rank {rank}")

    def end(self) -> None:
        """Kill what is left."""
        for rank in (0, 1):
            with contextlib.suppress(AssertionError, ProcessLookupError):
                os.kill(self.pid_of_rank(rank), signal.SIGKILL)
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    started: list[Started] = []

    def begin(*arguments: Any, by_torchrun: bool = False) -> Started:
        log = tmp_path / f"log{len(started)}.txt"
        started.append(Started([str(a) for a in arguments], by_torchrun=by_torchrun, log=log))
        return started[-1]

    yield begin
    for one in started:
        one.end()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_two_ranks_have_the_same_parameters(start: Any, tmp_path: Path) -> None:
    ranks = start(HERE / "ranks_at_work.py", tmp_path)
    # In the end rank 1 hangs, and rank 0 does not wait for ever.
    assert ranks.processes[0].wait(120.0) == 2, ranks.text()
    assert "rank 1 died or hangs: no sign of life for 3 s; this rank stops too" in ranks.text()
    assert "--resume" in ranks.text()
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1))

    for name, minibatches in (("plain", 4), ("early", 4), ("tensor", 4)):
        a, b = one[name], other[name]
        assert all(torch.equal(a["policy"][key], b["policy"][key]) for key in a["policy"]), name
        assert a["rate"] == b["rate"]
        assert a["optimizer_steps"] == b["optimizer_steps"]
        assert not torch.equal(a["goals"], b["goals"])  # other worlds on each
        updates = 20 if name == "tensor" else 50
        assert a["samples"] == updates * ranks_at_work.STEPS * 8 * 2
        most = updates * 2 * minibatches
        if name == "plain":
            assert a["optimizer_steps"] == most
            continue
        assert updates <= a["optimizer_steps"] < 0.8 * most  # stopped early
        assert a["target_kl"] == 0.002  # a number again, as it is saved
        # The ranks did not agree each for itself: deciding alone, one would have waited for ever.
        assert a["lonely"] + b["lonely"] > 0

    numbers = [case.pop("numbers") for case in (one, other)]
    assert numbers[0].pop("collect") == [0, 1]
    assert numbers[1].pop("collect") is None
    told = {"mean": 0.5, "highest": [0.0, 1.0], "any": [True, False], "gather": [0, 1]}
    assert numbers == [{**told, "broadcast": "from 0"}] * 2
    for case in (one, other):
        assert "the parameters of rank 1 differ from those of rank 0" in case["differing"]

    # The same as one process with twice the worlds. Sums of float32 in another order differ by
    # 1e-7 of their size, and Adam passes on relative differences of gradients, however small.
    whole = ranks_at_work.learn(
        Ranks(), "ppo", 16, 12, same_noise=True,
        batch_size=16 * ranks_at_work.STEPS, **ranks_at_work.WHOLE_BATCH,
    )  # fmt: skip
    assert whole["samples"] == one["half"]["samples"]
    assert whole["rate"] == pytest.approx(one["half"]["rate"], rel=1e-12)
    assert largest_difference(whole["policy"], one["half"]["policy"]) < 1e-5
    assert largest_difference(whole["policy"], one["plain"]["policy"]) > 1e-2


def cli(runs: Path, *extra: str) -> list[str]:
    settings = ["--runs", str(runs), "--total-timesteps", "8192", "--num-envs", "16"]
    settings += ["--evaluation-episodes", "8", "--no-video", "--checkpoint-interval", "0.2"]
    # Keys of the preset: all that ranks share is at work.
    presets = ["batch_size=128", "normalize_observations=True", "target_kl=0.02"]
    command = ["-m", "proveout.training.cli", "train", ID, *settings, *extra]
    return [*command, "--hyperparameters", *presets]


def wait_for_checkpoint(runs: Path, after: int) -> None:
    deadline = time.monotonic() + 120.0
    while time.monotonic() < deadline:
        found = runs.glob("*/*/checkpoints/[0-9]*/state.json")
        if any(int(path.parent.name) > after for path in found):
            return
        time.sleep(0.02)
    raise AssertionError("no checkpoint within two minutes")


def parameters(run: Path) -> dict[str, torch.Tensor]:
    networks, _ = read_networks(run / "policy.zip", "cpu")
    return networks["policy"]


@pytest.mark.slow
def test_stopped_killed_and_resumed_is_the_same_as_undisturbed(
    start: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = start(*cli(tmp_path / "whole"))
    assert whole.wait() == [0, 0], whole.text()
    assert whole.text().count("Run directory") == 1
    (undisturbed,) = (tmp_path / "whole").glob("*/*")
    manifest = json.loads((undisturbed / "manifest.json").read_text())
    assert manifest["state"] == "complete"
    assert manifest["ranks"] == 2
    (facts,) = manifest["policies"].values()
    assert facts["num_timesteps"] == 8192
    assert json.loads((undisturbed / "evaluation.json").read_text())["episodes"] == 8
    with (undisturbed / "progress.csv").open() as file:
        rows = [float(row["time/total_timesteps"]) for row in csv.DictReader(file)]
    assert rows == [512.0 * i for i in range(1, 17)]

    # Stopped by a signal to torchrun.
    runs = tmp_path / "disturbed"
    stopped = start(*cli(runs, "--env.step-seconds", "0.01"), by_torchrun=True)
    wait_for_checkpoint(runs, 0)
    stopped.processes[0].send_signal(signal.SIGTERM)
    assert stopped.wait() != [0], stopped.text()
    (folder,) = runs.glob("*/*")
    command = f"torchrun --nproc-per-node 2 -m proveout.training.cli train --resume {folder}"
    assert stopped.text().count(f"Stopped; everything is saved. Go on with: {command}\n") == 1
    assert json.loads((folder / "manifest.json").read_text())["state"] == "interrupted"
    reached = int(checkpoint.list_checkpoints(folder / "checkpoints")[-1].name)
    assert 0 < reached < 8192

    # Resumed, and one rank killed.
    again = ["-m", "proveout.training.cli", "train", "--resume", str(folder)]
    killed = start(*again, by_torchrun=True)
    wait_for_checkpoint(runs, reached)
    os.kill(killed.pid_of_rank(1), signal.SIGKILL)
    began = time.monotonic()
    assert killed.wait() != [0], killed.text()
    assert time.monotonic() - began < 30.0
    assert killed.text().count("rank 1 died") == 1
    assert f"this rank stops too. What was saved is whole: go on with {command}\n" in killed.text()
    last = checkpoint.latest_checkpoint(folder / "checkpoints")
    assert last is not None
    assert int(last.name) < 8192
    assert {"env.npz", "env-1.npz", "loop.npz", "loop-1.npz"} <= {p.name for p in last.iterdir()}
    goals = [checkpoint.read_arrays(last / name)["env/goal"] for name in ("env.npz", "env-1.npz")]
    assert not np.isclose(goals[0], goals[1]).any()

    # Resumed by two ranks: bit for bit. By one: worlds start anew.
    finished = start(*again)
    assert finished.wait() == [0, 0], finished.text()
    for name, value in parameters(undisturbed).items():
        assert torch.equal(value, parameters(folder)[name]), name
    resume(folder, ResumeConfig(total_timesteps=8448))
    assert "2 rank(s) saved this checkpoint and 1 go(es) on" in capsys.readouterr().err


def test_ranks_have_the_worlds_of_one_process() -> None:
    def worlds(count: int) -> SB3VecEnv:
        return SB3VecEnv(WarpVectorEnv(Point(), count, device="cpu", workers=1, phase_spread=1.0))

    whole, half = worlds(6), worlds(3)
    whole.seed(5)
    whole.reset()
    second = Ranks()
    second.rank = 1
    model = SimpleNamespace(policy=torch.nn.Linear(1, 1))
    begin_together(second, model, half, 5)
    half.reset()
    expected, state = whole.env.state_dict(), half.env.state_dict()
    assert {"seed", "world_id", "episode", "elapsed"} <= {name.split("/")[-1] for name in state}
    for name, value in state.items():
        if np.shape(value)[:1] == (3,) and np.shape(expected[name])[:1] == (6,):
            assert np.array_equal(value, expected[name][3:], equal_nan=True), name
    for venv in (whole, half):
        venv.close()


def test_a_failing_rank_tells_the_others_why() -> None:
    """Three ranks by their pulse alone: the last fails, and one that follows it is not blamed."""
    stores = dist.TCPStore("127.0.0.1", 0, is_master=True)
    pulses = [Pulse(stores, rank, 3, "rank 0") for rank in range(3)]
    for pulse in pulses:
        pulse.report()
    pulses[0]._listen()
    assert pulses[0].verdict(60.0) is None
    time.sleep(0.05)
    pulses[1].report()
    pulses[0]._listen()
    assert pulses[0].verdict(0.05) == "rank 2 died or hangs: no sign of life for 0 s"
    pulses[1].stop(lost="rank 2 stopped: the device is on fire")
    pulses[0]._listen()
    assert pulses[0].verdict(60.0) == "rank 2 stopped: the device is on fire"
    pulses[2].stop(error="the device is on fire")
    for pulse in pulses[:2]:
        pulse._listen()
        assert pulse.verdict(60.0) == "rank 2 stopped: the device is on fire"
    for pulse in pulses:
        pulse.report(left=True)
    pulses[0]._listen()
    assert pulses[0].verdict(0.0) is None


PARTING = """
import threading
from pathlib import Path

from proveout.training.distributed.joining import joined

with joined("ppo", "cpu") as ranks:
    import torch.distributed.nn.functional
    ranks.sum_(torch.ones(3))
assert threading.enumerate() == [threading.main_thread()]
names = [file.read_text() for file in Path("/proc/self/task").glob("*/comm")]
assert not any("gloo" in name for name in names), names
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are listed by Linux")
def test_no_thread_outlives_the_ranks(start: Any) -> None:
    """One that is within torch when the interpreter shuts down ends its process by SIGABRT."""
    ranks = start("-c", PARTING)
    assert ranks.wait() == [0, 0], ranks.text()


@pytest.mark.parametrize("algo", ["sac", "td3", "tqc", "tensor_sac", "a2c"])
def test_only_ppo_is_trained_by_several_ranks(
    algo: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ProveoutError, match=f"ppo or tensor_ppo, not {algo}"):
        train(ID, None, TrainConfig(algo=algo, runs=tmp_path))
    assert not list(tmp_path.iterdir())


def test_half_of_the_variables_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(RankError, match="MASTER_ADDR"), joined("ppo", "cpu"):
        pass


def test_alone_nothing_is_distributed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")  # torchrun --nproc-per-node 1
    with joined("sac", "cpu") as ranks:
        assert type(ranks) is Ranks
    assert ranks.seed(7) == 7
    assert ranks.highest(1, False) == [1.0, 0.0]
    assert ranks.gather("a") == ["a"] == ranks.collect("a")
