"""Where the worlds of a vector environment live: in this process, or split over workers."""

from __future__ import annotations

import os

import warp as wp

from proveout.envs.core import wire
from proveout.envs.core.errors import WorkerError
from proveout.envs.core.exchange import device_exchange
from proveout.envs.core.simulation import Simulation
from proveout.envs.core.startup_notice import startup_notice
from proveout.envs.core.task import Task
from proveout.envs.core.worker_pool import WorkerPool

Pool = Simulation | WorkerPool


def default_workers(num_worlds: int, device: wp.Device) -> int:
    """All cores this process may use, at most one a world; one on CUDA and without POSIX."""
    if not device.is_cpu or os.name != "posix":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, num_worlds))


def make_pool(task: Task, num_worlds: int, device: wp.Device, workers: int | None) -> Pool:
    """The one place that chooses where worlds live.

    Args:
        task: The task.
        num_worlds: Worlds.
        device: CUDA, or the CPU.
        workers: Processes on the CPU; None for `default_workers`.

    Raises:
        WorkerError: More workers than worlds, fewer than one, or workers on CUDA; or a worker
            makes an environment while it imports the script that defines the task.
    """
    if wire.is_worker():
        raise WorkerError(
            "a worker process tried to make an environment of its own: put the code that makes "
            'environments under `if __name__ == "__main__":`'
        )
    wanted = default_workers(num_worlds, device) if workers is None else workers
    if wanted < 1:
        raise WorkerError(f"workers must be at least 1, got {wanted}")
    if wanted > num_worlds:
        raise WorkerError(
            f"{wanted} workers for {num_worlds} world{'s' if num_worlds != 1 else ''}: "
            f"use at most {num_worlds}"
        )
    if wanted > 1 and not device.is_cpu:
        raise WorkerError(f"workers are for the CPU; on {device.alias} use workers=1")
    if wanted > 1 and os.name != "posix":
        raise WorkerError("worker processes need a POSIX system; use workers=1")
    with startup_notice(task.id or type(task).__name__):
        if wanted == 1:
            return Simulation(task, device_exchange(task, num_worlds, device), device)
        return WorkerPool(task, num_worlds, wanted)
