"""Calls between a vector environment and its own worker processes, over pipes."""

from __future__ import annotations

import os
import pickle
import struct
import sys
from typing import Any

from proveout.envs.core.task import Task

WORKER_VARIABLE = "PROVEOUT_WORKER"
_HEADER = struct.Struct("<Q")


def is_worker() -> bool:
    """Whether this process is a worker of another one."""
    return WORKER_VARIABLE in os.environ


def send(fd: int, message: Any) -> None:
    """Write one message; both ends are our own processes, so it is pickled."""
    payload = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    data = memoryview(_HEADER.pack(len(payload)) + payload)
    while data:
        data = data[os.write(fd, data) :]


def receive(fd: int) -> Any:
    """Read one message; `EOFError` when the other end is gone."""
    (size,) = _HEADER.unpack(_read(fd, _HEADER.size))
    return pickle.loads(_read(fd, size))


def _read(fd: int, size: int) -> bytes:
    parts = []
    while size:
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def task_reference(task: Task) -> dict[str, Any]:
    """How another process finds the same task: module, file, class and plain config."""
    cls = type(task)
    module = sys.modules[cls.__module__]
    return {
        "module": cls.__module__,
        "path": getattr(module, "__file__", None),
        "qualname": cls.__qualname__,
        "config": task.config.to_dict(),
        "search_path": list(sys.path),
    }
