"""A run folder: what belongs to its policy, who works on it, and what is not Proveout's."""

from __future__ import annotations

import errno
import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_env import ID

from proveout.assets.files import atomic
from proveout.envs.core.errors import RunError
from proveout.training.evaluation import policy_source
from proveout.training.export import export
from proveout.training.learn import checkpoint
from proveout.training.learn.divergence import DivergedError
from proveout.training.learn.settings import ResumeConfig, TrainConfig
from proveout.training.learn.train import resume, train
from proveout.training.run.directory import Run
from proveout.training.run.json_files import read_json, write_json
from proveout.training.run.lock import LOCK, working_on
from proveout.training.sb3.callbacks.loop import StopSignals

TASKS = {**os.environ, "PROVEOUT_TASKS": str(Path(__file__).parents[1] / "fake_env.py")}
CLI = [sys.executable, "-m", "proveout.training.cli"]
SMALL = ("n_steps=16", "batch_size=64", "n_epochs=1", "policy_kwargs.net_arch=[8]")


def quick(runs: Path, **changes: Any) -> TrainConfig:
    settings: dict[str, Any] = {
        "total_timesteps": 64,
        "num_envs": 4,
        "hyperparameters": SMALL,
        "evaluation_episodes": 8,
        "video": False,
    }
    return TrainConfig(runs=runs, **{**settings, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import fake_env

    fake_env.install()
    return train(ID, None, quick(tmp_path_factory.mktemp("runs"))).folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def stop_in_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("proveout.training.learn.finish.evaluate", interrupted)


def test_an_evaluation_counts_for_the_policy_it_measured_only(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = (folder / "evaluation.json").read_text()
    out = tmp_path / "p.safetensors"
    export(Run.open(folder), out)
    before = json.loads(out.with_suffix(".json").read_text())
    assert before["evaluation"]["return_mean"] == json.loads(older)["return_mean"]
    with monkeypatch.context() as patched:
        stop_in_evaluation(patched)
        with pytest.raises(KeyboardInterrupt):
            resume(folder, ResumeConfig(total_timesteps=128))
    assert not (folder / "evaluation.json").exists()
    (folder / "evaluation.json").write_text(older)  # as a release without digests left it
    with pytest.warns(UserWarning, match="measured another policy"):
        export(Run.open(folder), out)
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["evaluation"] is None
    assert card["training"]["samples"] == 128
    run = resume(folder)
    told = run.evaluation()
    assert told is not None
    assert told["return_mean"] != before["evaluation"]["return_mean"]
    assert run.manifest["state"] == "complete"


def test_what_a_manifest_does_not_tell_of_this_policy_is_not_known(
    folder: Path, tmp_path: Path
) -> None:
    manifest = read_json(folder / "manifest.json")
    (facts,) = manifest.pop("policies").values()
    write_json(folder / "manifest.json", {**manifest, "num_timesteps": facts["num_timesteps"]})
    export(Run.open(folder), tmp_path / "p.safetensors")
    told = json.loads((tmp_path / "p.json").read_text())["training"]
    assert (told["samples"], told["seconds"], told["preset"]) == (None, None, None)
    assert told["algo"] == "ppo"
    with pytest.raises(RunError, match="complete with 64 samples"):
        resume(folder)


@pytest.mark.parametrize(
    "name",
    ["checkpoints", "policy.zip", "manifest.json", "evaluation.json", "video.mp4", "progress.csv"],
)
def test_a_run_whose_files_are_links_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "home"
    (outside / ".ssh").mkdir(parents=True)
    (outside / ".ssh" / "id").write_text("key")
    path = folder / name
    if path.exists():
        path.rename(tmp_path / "elsewhere")
    path.symlink_to(outside)
    for use in (Run.open, resume):
        with pytest.raises(RunError, match=f"{name} is a symbolic link") as error:
            use(folder)
        assert "\n" not in str(error.value)
    assert (outside / ".ssh" / "id").read_text() == "key"
    assert [path.name for path in outside.iterdir()] == [".ssh"]


@pytest.mark.parametrize(
    "name", ["checkpoints", "policy.zip", "progress.csv.new", "run.lock", "evaluation.json"]
)
def test_a_run_with_pipes_is_refused_and_does_not_wait(folder: Path, name: str) -> None:
    path = folder / name
    if path.exists():
        path.rename(folder / "elsewhere")
    os.mkfifo(path)
    for use in (Run.open, resume):
        with pytest.raises(RunError, match=f"{name} is not a (folder|regular file)"):
            use(folder)


def test_only_what_proveout_made_is_pruned(folder: Path, tmp_path: Path) -> None:
    parent = folder / "checkpoints"
    kept = [".ssh/id", ".new-photos/a", ".new-abcdefgh/mine.txt", "000000000001/notes", "2024/a"]
    kept += [".old-000000000001/policy.zip/deeper", "000000000002/state.json/a"]
    for name in kept:
        (parent / name).parent.mkdir(parents=True, exist_ok=True)
        (parent / name).write_text("mine")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "state.json").write_text("{}")
    (parent / "000000000003").symlink_to(tmp_path / "outside")
    (parent / ".new-linklink").symlink_to(tmp_path / "outside")
    ours = [".new-abc_1234/policy.zip", ".old-000000000032/state.json"]
    for name in ours:
        (parent / name).parent.mkdir()
        (parent / name).write_text("half")
    (folder / ".policy-abcd1234.zip").write_text("half")
    (folder / ".policy-mine.zip").write_text("mine")
    resume(folder, ResumeConfig(total_timesteps=192))
    assert all((parent / name).read_text() == "mine" for name in kept)
    assert not any((parent / name).parent.exists() for name in ours)
    assert (tmp_path / "outside" / "state.json").read_text() == "{}"
    assert (parent / "000000000003").is_symlink()
    assert not (folder / ".policy-abcd1234.zip").exists()
    assert (folder / ".policy-mine.zip").exists()


def test_a_damaged_checkpoint_is_written_anew(folder: Path) -> None:
    (saved,) = checkpoint.list_checkpoints(folder / "checkpoints")
    (saved / "loop.npz").write_bytes(b"damaged")
    shutil.copytree(saved, saved.with_name("000000000128"))
    shutil.rmtree(saved)
    manifest = read_json(folder / "manifest.json")
    write_json(folder / "manifest.json", {**manifest, "state": "interrupted"})
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(RunError, match="no checkpoint"),
    ):
        resume(folder)
    (saved.with_name("000000000128") / "state.json").rename(saved.with_name("away"))
    shutil.rmtree(saved.with_name("000000000128"))
    resume(folder, ResumeConfig(total_timesteps=128))
    assert checkpoint.latest_checkpoint(folder / "checkpoints") == saved.with_name("000000000128")


# One process at a time


def test_a_second_process_is_told_who_works_on_a_run(folder: Path) -> None:
    before = (folder / "manifest.json").read_text()
    with working_on(folder):
        with pytest.raises(RunError, match=f"worked on by process {os.getpid()} on .* since 20"):
            resume(folder, ResumeConfig(total_timesteps=128))
        assert (folder / "manifest.json").read_text() == before
    assert not (folder / LOCK).exists()
    resume(folder, ResumeConfig(total_timesteps=128))
    assert not (folder / LOCK).exists()


def test_a_run_is_locked_while_it_is_trained_and_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> None:
        (folder,) = tmp_path.glob("*/*")
        with pytest.raises(RunError, match="worked on by process"), working_on(folder):
            pass
        raise KeyboardInterrupt

    monkeypatch.setattr("proveout.training.learn.finish.evaluate", busy)
    with pytest.raises(KeyboardInterrupt):
        train(ID, None, quick(tmp_path))


# A full disk


def no_room(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("kilobytes", [1, 6])
def test_a_limit_on_files_is_one_sentence(tmp_path: Path, kilobytes: int) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024,) * 2)

    flags = ["--total-timesteps", "64", "--num-envs", "4", "--no-video", "--runs", str(tmp_path)]
    flags += ["--hyperparameters", *SMALL]
    told = subprocess.run(
        [*CLI, "train", ID, *flags], env=TASKS, capture_output=True, text=True, preexec_fn=limited
    )
    assert told.returncode == 2
    last = told.stderr.strip().splitlines()[-1]
    assert last.startswith("proveout: error: ")
    assert "cannot be written (File too large)" in last
    assert "Traceback" not in told.stderr
    for folder in tmp_path.glob("*/*"):
        assert read_json(folder / "manifest.json")["state"] == "failed"
        assert not list((folder / "checkpoints").iterdir())
    assert not list(tmp_path.rglob(".*"))


def test_a_full_disk_while_saving_keeps_what_there_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Run.open(folder)
    with monkeypatch.context() as patched:
        patched.setattr("proveout.training.learn.checkpoint.np.savez", no_room)
        with pytest.raises(RunError, match=r"000000000128 cannot be written \(No space left"):
            resume(folder, ResumeConfig(total_timesteps=128))
    run = Run.open(folder)
    assert run.manifest["state"] == "failed"
    assert run.read_policy() == before.read_policy()
    assert run.evaluation() == before.evaluation()
    assert len(checkpoint.list_checkpoints(folder / "checkpoints")) == 1
    assert not list(folder.rglob(".*"))

    def no_policy(path: Path, data: bytes | str) -> None:
        if path.name == "policy.zip":
            no_room()
        atomic.write_atomic(path, data)

    with monkeypatch.context() as patched:
        patched.setattr("proveout.training.run.directory.write_atomic", no_policy)
        with pytest.raises(RunError, match=r"policy.zip cannot be written \(No space left"):
            resume(folder)
    assert Run.open(folder).read_policy() == before.read_policy()
    assert Run.open(folder).evaluation() == before.evaluation()
    assert resume(folder).read_policy().facts["num_timesteps"] == 128


def test_curves_that_cannot_be_written_are_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", no_room)
    with pytest.raises(RunError, match=r"read or written \(No space left.*--resume"):
        resume(folder, ResumeConfig(total_timesteps=6400))
    assert "Traceback" not in capfd.readouterr().err
    assert Run.open(folder).manifest["state"] == "failed"


# Ends


def test_a_training_that_is_cut_short_says_so(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        stop_in_evaluation(patched)
        with pytest.raises(KeyboardInterrupt):
            resume(folder, ResumeConfig(total_timesteps=192))
    capfd.readouterr()
    run = resume(folder, ResumeConfig(total_timesteps=100))
    told = capfd.readouterr().err
    assert "The training is cut short: 100 samples, not 192." in told
    assert "192 samples are trained already: nothing is added" in told
    assert run.read_policy().facts["num_timesteps"] == 192


def test_a_network_that_has_diverged_is_not_saved(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: Any, *_: Any, **__: Any) -> None:
        model.num_timesteps = 128
        next(model.policy.parameters()).data[:] = float("nan")

    monkeypatch.setattr("proveout.training.learn.divergence.learn", broken)
    before = Run.open(folder).read_policy()
    with pytest.raises(DivergedError, match="learning_rate"):
        resume(folder, ResumeConfig(total_timesteps=128))
    assert Run.open(folder).manifest["state"] == "failed"
    assert Run.open(folder).read_policy() == before
    assert len(checkpoint.list_checkpoints(folder / "checkpoints")) == 1


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), 1e30])
def test_a_policy_that_has_diverged_is_not_used(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weight: float
) -> None:
    read = policy_source.read_networks

    def diverged(*args: Any) -> Any:
        parameters, variables = read(*args)
        parameters["policy"]["action_net.bias"][0] = weight
        return parameters, variables

    monkeypatch.setattr(policy_source, "read_networks", diverged)
    with pytest.raises(RunError, match=r"policy\.zip holds numbers .* diverged"):
        export(Run.open(folder), tmp_path / "p.safetensors")


def test_a_terminal_that_is_closed_leaves_a_checkpoint(tmp_path: Path) -> None:
    """The training's terminal is a real one, which goes away with all that could be printed."""
    flags = ["--total-timesteps", "1000000", "--num-envs", "4", "--no-video", "--runs"]
    command = [*CLI, "train", ID, *flags, str(tmp_path), "--env.step-seconds", "0.002"]
    command += ["--hyperparameters", *SMALL]
    child, terminal = pty.fork()
    if child == 0:
        # Tests that are run by nohup ignore it, and so would the training, as it should.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.execve(sys.executable, command, TASKS)
    for _ in read_until(terminal, b"train: ", tmp_path):
        pass
    os.close(terminal)
    deadline = time.monotonic() + 30.0
    ended = 0
    while ended == 0 and time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.05)
    if ended == 0:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended == child
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    (folder,) = tmp_path.glob("*/*")
    assert Run.open(folder).manifest["state"] == "interrupted"
    newest = checkpoint.latest_checkpoint(folder / "checkpoints")
    assert newest is not None
    assert checkpoint.read_checkpoint_state(newest)["stop_requested"] is True


def read_until(terminal: int, text: bytes, runs: Path) -> Iterator[None]:
    """Read what a terminal shows until the first roll-outs are over."""
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        os.read(terminal, 4096)
        rows = [path.read_text().count("\n") for path in runs.glob("*/*/progress.csv")]
        if rows and rows[0] >= 3:
            return
        yield
    raise AssertionError("the training has not begun within a minute")


def test_under_nohup_the_end_of_the_terminal_is_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals(shown=False) as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.received is None
    finally:
        signal.signal(signal.SIGHUP, before)
