"""Calls between a vector environment and its own worker processes, over pipes."""

from __future__ import annotations

import os
import pickle
import select
import struct
import sys
import time
from typing import Any

from proveout.envs.core.errors import WorkerError
from proveout.envs.core.task import Task

WORKER_VARIABLE = "PROVEOUT_WORKER"
# Being woken takes about as long as what a step does beside its physics: both ends look for a while
# before they sleep.
SPIN_SECONDS = 0.0005
_HEADER = struct.Struct("<Q")


def is_worker() -> bool:
    """Whether this process is a worker of another one."""
    return WORKER_VARIABLE in os.environ


def send(fd: int, message: Any, deadline: float | None = None) -> None:
    """Write one message; both ends are our own processes, so it is pickled.

    Args:
        fd: A pipe's end; non-blocking where there is a deadline.
        message: Anything that can be pickled.
        deadline: `time.monotonic()` after which `TimeoutError` is raised; None waits for ever.
    """
    write(fd, pack(message), deadline)


def pack(message: Any) -> bytes:
    """A message as it goes through a pipe."""
    payload = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _HEADER.pack(len(payload)) + payload


def write(fd: int, packed: bytes, deadline: float | None = None) -> None:
    """As `send`, of a message from `pack`."""
    data = memoryview(packed)
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            _wait(fd, select.POLLOUT, deadline)


def receive(fd: int, deadline: float | None = None) -> Any:
    """Read one message; `EOFError` when the other end is gone, `TimeoutError` as for `send`.

    Call and reply take turns, so a pipe never holds more than one message, and a small one comes
    with a single read.
    """
    data = _read(fd, deadline)
    while len(data) < _HEADER.size:
        data += _read(fd, deadline)
    (size,) = _HEADER.unpack_from(data)
    missing = size - (len(data) - _HEADER.size)
    if missing:
        parts = [data]
        while missing:
            parts.append(_read(fd, deadline))
            missing -= len(parts[-1])
        data = b"".join(parts)
    return pickle.loads(memoryview(data)[_HEADER.size :])


def _wait(fd: int, event: int, deadline: float | None) -> None:
    poll = select.poll()
    poll.register(fd, event)
    awake_until = time.perf_counter() + SPIN_SECONDS
    while time.perf_counter() < awake_until:
        if poll.poll(0):
            return
    # A reply that is there counts, even if this process itself was stopped beyond the deadline.
    while not poll.poll(None if deadline is None else max(0.0, deadline - time.monotonic()) * 1e3):
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError


def _read(fd: int, deadline: float | None) -> bytes:
    while True:
        try:
            part = os.read(fd, 1 << 16)
        except BlockingIOError:
            _wait(fd, select.POLLIN, deadline)
            continue
        if not part:
            raise EOFError
        return part


def task_reference(task: Task) -> dict[str, Any]:
    """How another process finds the same task: module, file, class, plain config and physics."""
    cls = type(task)
    module = sys.modules[cls.__module__]
    return {
        "module": cls.__module__,
        "path": getattr(module, "__file__", None),
        "qualname": cls.__qualname__,
        "config": task.config.to_dict(),
        "physics": task.physics,
        "search_path": list(sys.path),
    }


def check_findable(task: Task) -> None:
    """Raise `WorkerError` when another process cannot find the task's class."""
    cls = type(task)
    file = getattr(sys.modules[cls.__module__], "__file__", None)
    if (cls.__module__ == "__main__" and file is None) or "<locals>" in cls.__qualname__:
        raise WorkerError(
            f"worker processes cannot find the task {cls.__qualname__}: define it at the top level "
            "of a file, or use workers=1"
        )
