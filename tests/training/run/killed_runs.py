"""Kills a run at every step of saving, evaluating and exporting its policy; see test_kills.py.

Usage: killed_runs.py FOLDER. A run of 64 samples is resumed to 128 by forked processes, each of
which kills itself just before one of the steps that could leave something half done: a file reaches
the disk, a file gets its name, a file goes, an episode is evaluated. After each kill, all that is
found must belong together, and the run must end as an undisturbed one. Prints the kills.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import fake_env
import torch

from proveout.policies.actor import load_actor
from proveout.policies.errors import PolicyError
from proveout.training.evaluation import evaluate as evaluating
from proveout.training.export import export
from proveout.training.learn.settings import ResumeConfig, TrainConfig
from proveout.training.learn.train import resume, train
from proveout.training.run.directory import Run

_SMALL = ("n_steps=16", "batch_size=64", "n_epochs=1", "policy_kwargs.net_arch=[8]")


class Steps:
    """Counts the steps after `begin`, and kills the process before one of them."""

    def __init__(self, last: int) -> None:
        """Kill before step `last`; 0: never."""
        self.count = 0
        self._last = last
        self._begun = False

    def begin(self) -> None:
        """Count from now on."""
        self._begun = True

    def step(self) -> None:
        """One more."""
        self.count += self._begun
        if self._begun and self.count == self._last:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, place: Any, name: str) -> None:
        """Count the calls of a function."""
        original = getattr(place, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.step()
            return original(*args, **kwargs)

        setattr(place, name, counted)


def in_child(work: Callable[[], int]) -> tuple[int | None, int]:
    """Run a function in a forked process; return the signal that ended it, and its number."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(writable, str(work()).encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writable)
    with os.fdopen(readable) as told:
        text = told.read()
    _, ended = os.waitpid(child, 0)
    if os.WIFSIGNALED(ended):
        return os.WTERMSIG(ended), 0
    assert os.WEXITSTATUS(ended) == 0, "a process failed"
    return None, int(text)


def resumed(folder: Path, last: int) -> int:
    """Resume to 128 samples; return the steps from the saving of the policy on."""
    steps = Steps(last)
    publish = Run.publish_policy

    def begun(self: Run, *args: Any) -> str:
        steps.begin()
        return publish(self, *args)

    Run.publish_policy = begun  # type: ignore[method-assign]
    for name in ("fsync", "replace", "unlink"):
        steps.before(os, name)
    acting, calls = evaluating.actions_of, [0]

    def act(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == 7:  # in the middle of an evaluation
            steps.step()
        return acting(*args, **kwargs)

    evaluating.actions_of = act
    resume(folder, ResumeConfig(total_timesteps=128))
    return steps.count


def exported(folder: Path, out: Path, last: int) -> int:
    """Export, and return the steps."""
    steps = Steps(last)
    for name in ("fsync", "replace", "unlink"):
        steps.before(os, name)
    steps.begin()
    export(Run.open(folder), out)
    return steps.count


def card_of(path: Path) -> dict[str, Any]:
    """Return the card of an exported policy that loads."""
    load_actor(path)
    card: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    return card


def samples(folder: Path) -> int:
    """Return what the policy itself says of its training."""
    with zipfile.ZipFile(folder / "policy.zip") as archive:
        return int(json.loads(archive.read("data"))["num_timesteps"])


def check(folder: Path, returns: dict[int, float], out: Path) -> int:
    """Assert that all of a run belongs together; return its samples."""
    run = Run.open(folder)
    trained = samples(folder)
    assert run.read_policy().facts["num_timesteps"] == trained
    assert run.read_policy().facts["preset"]["total_timesteps"] == trained
    told = run.evaluation()
    assert told is None or told["return_mean"] == returns[trained]
    assert run.manifest["state"] != "complete" or told is not None
    export(run, out)
    card = card_of(out)
    assert card["training"]["samples"] == trained
    assert card["training"]["preset"]["total_timesteps"] == trained
    measured = card["evaluation"]
    assert (measured is None) == (told is None)
    assert measured is None or measured["return_mean"] == returns[trained]
    return trained


def evaluation_of(folder: Path) -> float:
    """Return the mean return in a finished run."""
    told = Run.open(folder).evaluation()
    assert told is not None
    return float(told["return_mean"])


def main(place: Path) -> None:
    """Kill, and check after each kill."""
    torch.set_num_threads(1)
    fake_env.install()
    warnings.simplefilter("ignore")  # of an evaluation that is left out
    settings = TrainConfig(
        total_timesteps=64,
        num_envs=4,
        hyperparameters=_SMALL,
        evaluation_episodes=8,
        video=False,
        runs=place / "runs",
    )
    first = train(fake_env.ID, None, settings).folder
    whole = shutil.copytree(first, place / "whole")
    _, saving = in_child(lambda: resumed(whole, 0))
    returns = {64: evaluation_of(first), 128: evaluation_of(whole)}
    assert returns[64] != returns[128]
    kills, found = 0, set()
    for last in range(1, saving + 1):
        folder = shutil.copytree(first, place / f"saving-{last}")
        ended, _ = in_child(lambda folder=folder, last=last: resumed(folder, last))  # type: ignore[misc]
        assert ended == signal.SIGKILL
        kills += 1
        found.add(check(folder, returns, place / "p.safetensors"))
        if Run.open(folder).manifest["state"] != "complete":
            in_child(lambda folder=folder: resumed(folder, 0))  # type: ignore[misc]
        assert check(folder, returns, place / "p.safetensors") == 128
        assert Run.open(folder).manifest["state"] == "complete"
        assert evaluation_of(folder) == returns[128]
        assert not [path for path in folder.rglob(".*") if path.is_file()]
    assert found == {64, 128}

    old, new = place / "old.safetensors", place / "new.safetensors"
    export(Run.open(first), old)
    _, writing = in_child(lambda: exported(whole, new, 0))
    absent = 0
    for last in range(1, writing + 1):
        out = place / f"export-{last}" / "p.safetensors"
        out.parent.mkdir()
        shutil.copy(old, out)
        shutil.copy(old.with_suffix(".json"), out.with_suffix(".json"))
        ended, _ = in_child(lambda out=out, last=last: exported(whole, out, last))  # type: ignore[misc]
        assert ended == signal.SIGKILL
        kills += 1
        if not out.with_suffix(".json").exists():
            absent += 1
            try:
                load_actor(out)
            except PolicyError:
                continue
            raise AssertionError("a policy without a card was loaded")
        card = card_of(out)
        assert card["evaluation"]["return_mean"] == returns[card["training"]["samples"]]
    assert 0 < absent < writing
    print(kills)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
