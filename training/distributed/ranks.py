"""The processes of a run, as one of them sees them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proveout.envs.core.errors import ProveoutError
from proveout.training.run.directory import Run
from proveout.training.run.progress import say


class RankError(ProveoutError):
    """A rank died, failed, or has other parameters than the others; the message names it."""


class Ranks:
    """The processes of a run, as one of them sees them; this class: there is only one.

    What is decided or summed "over the ranks" must be called by all of them in the same order.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
        local_rank, local_size: The same on this machine.
    """

    rank = 0
    size = 1
    local_rank = 0
    local_size = 1

    @property
    def first(self) -> bool:
        """Whether this rank is the one that logs, saves, evaluates and speaks."""
        return self.rank == 0

    def mean(self, value: float) -> float:
        """Return the mean of a number over the ranks, the same bits everywhere."""
        return self.means([value])[0]

    def means(self, values: Sequence[float]) -> list[float]:
        """Return the mean of each number over the ranks."""
        return [float(value) for value in values]

    def total(self, value: float) -> float:
        """Return the sum of a number over the ranks."""
        return self.mean(value) * self.size

    def highest(self, *values: float) -> list[float]:
        """Return the highest of each number over the ranks."""
        return [float(value) for value in values]

    def any(self, flag: bool) -> bool:
        """Return whether a flag is set on some rank."""
        return bool(self.highest(flag)[0])

    def broadcast(self, value: Any) -> Any:
        """Return the first rank's value."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in order, on each."""
        return [value]

    def collect(self, value: Any) -> list[Any] | None:
        """Return the values of all ranks, in order, on the first; None on the others."""
        return [value]

    def sum_(self, tensor: Any) -> Any:
        """Sum a tensor over the ranks, in place; return it."""
        return tensor

    def broadcast_(self, tensor: Any) -> Any:
        """Overwrite a tensor with the first rank's; return it."""
        return tensor

    def barrier(self) -> None:
        """Wait until all ranks are here."""

    def leave(self) -> None:
        """Part from the others after a common end; a second call does nothing."""

    def say(self, text: str) -> None:
        """Print one line of narration, on the first rank."""
        if self.first:
            say(text)

    def seed(self, seed: int) -> int:
        """Return the seed of this rank's exploration; the first one's is that of the run.

        The others are hashed, so that no rank repeats what a run with the next seed does.
        """
        if self.first:
            return seed
        return int(np.random.SeedSequence(seed, spawn_key=(self.rank,)).generate_state(1)[0])

    def device(self, name: str) -> str:
        """Return this rank's device for what was asked: "auto", "cpu" or "cuda:N"."""
        return name

    def workers(self, asked: int | None, num_envs: int, device: str) -> int | None:
        """Return the worker processes of this rank's worlds; None: all cores."""
        return asked

    def share(self, run: Run | None) -> Run:
        """Return the first rank's run; on the others, one that changes nothing on the disk."""
        assert run is not None
        return run

    def resume_command(self, folder: Path | str) -> str:
        """Return how a run that has stopped goes on."""
        return f"proveout train --resume {shlex.quote(str(folder))}"


def first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
