"""One training by several processes: who they are, how they talk, and how a lost one is noticed.

torchrun starts the ranks and tells each its number in environment variables. Numbers and objects
travel over gloo, gradients on CUDA over NCCL. A program that torchrun did not start is the only
rank of its run, and its `Ranks` does nothing.

A rank that is killed breaks its connections, but one that hangs, or whose machine is gone, does
not. So each rank has a thread that counts up a number in torchrun's store every second, and reads
those of the others. Collectives may wait long (kernels compile, checkpoints are written); it is the
missing pulse that tells a dead rank from a slow one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from proveout.envs.core.errors import ConfigError, DeviceError, ProveoutError
from proveout.training.presets import PRESET_OF
from proveout.training.progress import say
from proveout.training.run import Run

BEAT = 1.0  # s between two signs of life
SILENT = 30.0  # s without one after which a rank is given up
SUSPECT = 5.0  # s, the same once talking to the ranks has failed
# s that a process is given to notice by itself that another is lost, before it is ended.
GRACE = 10.0
JOINING = 300.0  # s for all ranks to come up
PATIENCE = 1800.0  # s that a rank may wait for the others, which are alive


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


class TorchRanks(Ranks):
    """The ranks that torchrun started."""

    def __init__(self, device: str) -> None:
        """Join the others.

        Args:
            device: "auto", "cpu" or "cuda".

        Raises:
            RankError: torchrun's variables are missing, or not all ranks came up.
            DeviceError: there is not one device for each rank.
        """
        import torch
        import torch.distributed as dist

        # Its functions take the process group that there is at its import as the default of an
        # argument. Imported later (the optimisers do), it would keep the group, and its threads
        # would outlive `leave`, of which some end by SIGABRT with the interpreter.
        import torch.distributed.nn.functional

        self._dist = dist
        self._torch = torch
        env = os.environ
        try:
            self.rank, self.size = int(env["RANK"]), int(env["WORLD_SIZE"])
            host, port = env["MASTER_ADDR"], int(env["MASTER_PORT"])
        except (KeyError, ValueError) as error:
            raise RankError(
                f"WORLD_SIZE is {env.get('WORLD_SIZE')}, but the other variables of torchrun are "
                f"missing or wrong ({error}); start with torchrun, or unset WORLD_SIZE."
            ) from error
        self.local_rank = int(env.get("LOCAL_RANK", self.rank))
        self.local_size = int(env.get("LOCAL_WORLD_SIZE", self.size))
        own = self.device(device)
        held_by_torchrun = env.get("TORCHELASTIC_USE_AGENT_STORE") == str(True)
        attempt = env.get("TORCHELASTIC_RESTART_COUNT", "0")

        def store(name: str, *, holds: bool) -> Any:
            made = dist.TCPStore(
                host,
                port,
                self.size,
                holds,
                timedelta(seconds=JOINING),
                wait_for_workers=False,
            )
            return dist.PrefixStore(f"proveout/{attempt}/{name}", made)

        try:
            meeting = store("meeting", holds=self.first and not held_by_torchrun)
            dist.init_process_group(
                "gloo",
                store=meeting,
                rank=self.rank,
                world_size=self.size,
                timeout=timedelta(seconds=PATIENCE),
            )
            self._on_cuda = None
            if own.startswith("cuda"):
                torch.cuda.set_device(own)
                self._on_cuda = dist.new_group(backend="nccl", timeout=timedelta(seconds=PATIENCE))
            # A connection of its own: a store serves one call at a time.
            holder = "torchrun" if held_by_torchrun else "rank 0"
            self._pulse = _Pulse(store("pulse", holds=False), self.rank, self.size, holder)
        except RuntimeError as error:
            raise RankError(
                f"rank {self.rank} has not found the others within {JOINING:.0f} s "
                f"({_first_line(error)})."
            ) from error
        self._joined = True
        self._pulse.report()
        dist.barrier()  # the pulse of every rank can be read
        self._pulse.start()

    def means(self, values: Sequence[float]) -> list[float]:
        return [value / self.size for value in self._reduced(values, self._dist.ReduceOp.SUM)]

    def total(self, value: float) -> float:
        return self._reduced([value], self._dist.ReduceOp.SUM)[0]

    def highest(self, *values: float) -> list[float]:
        return self._reduced(values, self._dist.ReduceOp.MAX)

    def _reduced(self, values: Sequence[float], operation: Any) -> list[float]:
        if not values:
            return []
        numbers = self._torch.tensor([float(v) for v in values], dtype=self._torch.float64)
        with self._talking():
            self._dist.all_reduce(numbers, operation)
        result: list[float] = numbers.tolist()
        return result

    def broadcast(self, value: Any) -> Any:
        box = [value if self.first else None]
        with self._talking():
            self._dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        box: list[Any] = [None] * self.size
        with self._talking():
            self._dist.all_gather_object(box, value)
        return box

    def collect(self, value: Any) -> list[Any] | None:
        box: list[Any] | None = [None] * self.size if self.first else None
        with self._talking():
            self._dist.gather_object(value, box, dst=0)
        return box

    def sum_(self, tensor: Any) -> Any:
        with self._talking():
            self._dist.all_reduce(tensor, group=self._group(tensor))
        return tensor

    def broadcast_(self, tensor: Any) -> Any:
        with self._talking():
            self._dist.broadcast(tensor, src=0, group=self._group(tensor))
        return tensor

    def barrier(self) -> None:
        with self._talking():
            self._dist.barrier()

    def leave(self) -> None:
        if not self._joined:
            return
        self.barrier()
        self._joined = False
        self._pulse.stop(left=True)
        self._dist.destroy_process_group()

    def fail(self, error: BaseException) -> None:
        """Tell the others why this rank stops without them."""
        if not self._joined:
            return
        self._joined = False
        if isinstance(error, RankError):
            self._pulse.stop(lost=str(error))
        elif isinstance(error, ProveoutError):
            self._pulse.stop(error=str(error))
        else:
            self._pulse.stop(error=f"{type(error).__name__} {_first_line(error)}".strip())

    def device(self, name: str) -> str:
        """Return "cpu", or the CUDA device with the number of the local rank.

        Raises:
            DeviceError: a device was named that the ranks would share, or there are too few.
        """
        there = self._torch.cuda.device_count() if self._torch.cuda.is_available() else 0
        if name == "cpu" or (name == "auto" and there == 0):
            return "cpu"
        if name not in ("auto", "cuda") and self.local_size > 1:
            raise DeviceError(
                f"{self.local_size} ranks cannot share device '{name}'; leave --device out, and "
                "each takes the CUDA device of its local rank."
            )
        if there < self.local_size:
            raise DeviceError(
                f"torchrun started {self.local_size} ranks on a machine with {there} CUDA "
                f"device(s); use --nproc-per-node {max(there, 1)}, or --device cpu."
            )
        return name if ":" in name else f"cuda:{self.local_rank}"

    def workers(self, asked: int | None, num_envs: int, device: str) -> int | None:
        """Return what was asked, or this rank's share of the machine's cores."""
        if asked is not None or device != "cpu":
            return asked
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return max(1, min((cores or 1) // self.local_size, num_envs))

    def share(self, run: Run | None) -> Run:
        told = self.broadcast((str(run.folder), run.manifest) if run is not None else None)
        folder, manifest = told
        self._pulse.advice = self.resume_command(folder)
        if self.first:
            assert run is not None
            return run
        return _Following(Path(folder), manifest)

    def resume_command(self, folder: Path | str) -> str:
        return (
            f"torchrun --nproc-per-node {self.local_size} -m proveout.training.train "
            f"--resume {shlex.quote(str(folder))}"
        )

    def _group(self, tensor: Any) -> Any:
        return self._on_cuda if tensor.is_cuda else None

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        """Turn a broken connection into a sentence that names the rank at its other end."""
        try:
            yield
        except RuntimeError as error:
            culprit = self._pulse.culprit()
            if culprit is None:
                culprit = f"rank {self.rank} lost the other ranks ({_first_line(error)})"
            raise RankError(self._pulse.sentence(culprit)) from error


class _Following(Run):
    """A run whose manifest another rank writes."""

    def save_manifest(self) -> None:
        """Write nothing."""


class _Pulse(threading.Thread):
    """Says that this rank is alive, and knows of which ranks nothing is heard any more."""

    def __init__(self, store: Any, rank: int, size: int, holder: str) -> None:
        """Set up.

        Args:
            store: A store of torch, for this thread.
            rank: Of this process.
            size: Number of ranks.
            holder: Who keeps the store.
        """
        super().__init__(name="pulse", daemon=True)
        self._store = store
        self._rank = rank
        self._others = [other for other in range(size) if other != rank]
        self._holder = holder
        self.advice = "torchrun ... -m proveout.training.train --resume RUN"
        self._beats = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._heard: dict[int, dict[str, Any]] = {}
        self._changed: dict[int, float] = {}  # when, on this process's clock [s]
        self._read = 0.0
        self._store_gone = False

    def report(self, **news: Any) -> None:
        """Write a sign of life, and news: `left`, or why this rank stops (`error`, `lost`)."""
        self._beats += 1
        with self._lock:
            self._store.set(str(self._rank), json.dumps({"beat": self._beats, **news}))

    def stop(self, **news: Any) -> None:
        """End the thread, then make a last report, which no beat overwrites.

        A thread that is still in a call of torch's store when the interpreter shuts down would
        end the process by SIGABRT.
        """
        self._over.set()
        if self.is_alive() and threading.current_thread() is not self:
            self.join(GRACE)
        if not self._store_gone:  # each further try would print a page of torch's
            with contextlib.suppress(RuntimeError):
                self.report(**news)

    def run(self) -> None:
        """Beat and listen; end the process if another is lost and the main thread hangs."""
        while not self._over.wait(BEAT):
            self._listen()
            reason = self.verdict(SILENT)
            if reason is None:
                continue
            if self._over.wait(GRACE):
                return
            print(f"proveout: error: {self.sentence(reason)}", file=sys.stderr, flush=True)
            self.stop(lost=reason)
            # The main thread waits in a collective or a kernel and cannot be woken. Files appear
            # whole or not at all, and worker processes end with their parent.
            os._exit(2)

    def _listen(self) -> None:
        if self._store_gone:
            return
        try:
            self.report()
            for other in self._others:
                with self._lock:
                    heard = json.loads(self._store.get(str(other)))
                if heard != self._heard.get(other):
                    self._heard[other] = heard
                    self._changed[other] = time.monotonic()
            self._read = time.monotonic()
        except RuntimeError:
            self._store_gone = True

    def verdict(self, silence: float) -> str | None:
        """Return which rank has failed, or has been silent for so long [s]; None: none."""
        heard = sorted(self._heard.items())
        for rank, news in heard:
            if "error" in news:
                return f"rank {rank} stopped: {news['error']}"
        for _, news in heard:
            if "lost" in news:
                return str(news["lost"])
        gone = [
            rank
            for rank, news in heard
            if "left" not in news and self._read - self._changed[rank] >= silence
        ]
        if gone:
            names = " and ".join(f"rank {rank}" for rank in gone)
            return f"{names} died or hangs: no sign of life for {silence:.0f} s"
        if self._store_gone:
            return f"{self._holder} died: it no longer answers rank {self._rank}"
        return None

    def sentence(self, culprit: str) -> str:
        """Return a verdict as an error message."""
        if "--resume" in culprit:  # another rank has said it
            return culprit
        return (
            f"{culprit.rstrip('.')}; this rank stops too. What was saved is whole: go on with "
            f"{self.advice}"
        )

    def culprit(self) -> str | None:
        """Return who has broken a connection, once it is known; None if all seem well."""
        deadline = time.monotonic() + SUSPECT + 5.0 * BEAT
        while time.monotonic() < deadline:
            reason = self.verdict(SUSPECT)
            if reason is not None:
                return reason
            time.sleep(0.1)
        return None


@contextlib.contextmanager
def joined(algo: str, device: str) -> Iterator[Ranks]:
    """Yield the ranks of this run; a rank that fails inside tells the others why.

    Args:
        algo: Key of `presets.ALGORITHMS`.
        device: "auto", "cpu" or "cuda:N".

    Raises:
        ConfigError: an algorithm that several ranks cannot train together.
        RankError: another rank is lost; on another rank than the first, any error, with its number.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Ranks()
        return
    if PRESET_OF.get(algo, algo) != "ppo":
        raise ConfigError(
            f"several ranks train ppo or tensor_ppo, not {algo}; start without torchrun: "
            f"proveout train ENV --algo {algo}."
        )
    ranks = TorchRanks(device)
    try:
        yield ranks
        ranks.leave()
    except BaseException as error:
        ranks.fail(error)
        own = isinstance(error, ProveoutError) and not isinstance(error, RankError)
        if own and not ranks.first:
            raise RankError(f"rank {ranks.rank}: {error}") from error
        raise


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
