"""The ranks that torchrun started, and how they talk."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from proveout.envs.core.errors import DeviceError, ProveoutError
from proveout.training.distributed.pulse import Pulse
from proveout.training.distributed.ranks import RankError, Ranks, first_line
from proveout.training.run.directory import Run

JOINING = 300.0  # s for all ranks to come up
PATIENCE = 1800.0  # s that a rank may wait for the others, which are alive


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
            self._pulse = Pulse(store("pulse", holds=False), self.rank, self.size, holder)
        except RuntimeError as error:
            raise RankError(
                f"rank {self.rank} has not found the others within {JOINING:.0f} s "
                f"({first_line(error)})."
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
            self._pulse.stop(error=f"{type(error).__name__} {first_line(error)}".strip())

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
            f"torchrun --nproc-per-node {self.local_size} -m proveout.training.cli train "
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
                culprit = f"rank {self.rank} lost the other ranks ({first_line(error)})"
            raise RankError(self._pulse.sentence(culprit)) from error


class _Following(Run):
    """A run whose manifest another rank writes."""

    def save_manifest(self) -> None:
        """Write nothing."""
