"""The arrays that cross the boundary between a simulation and whoever drives it."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp

from proveout.envs.core.task import Task

_ALIGNMENT = 64


@dataclass(frozen=True)
class ArraySpec:
    """One array of the exchange: per world, `columns` numbers of one type (0: a flat array)."""

    name: str
    dtype: Any
    numpy_dtype: Any
    columns: int

    def shape(self, num_worlds: int) -> tuple[int, ...]:
        """Shape for so many worlds."""
        return (num_worlds, self.columns) if self.columns else (num_worlds,)


def exchange_specs(task: Task) -> tuple[ArraySpec, ...]:
    """The exchange of a task.

    In: action; for a reset: reset_mask, seed, world_id, episode, first_step, parameter_override,
    number_override; of the episodes that wait: next_waits, next_seed, ...
    Out: observation, final_observation, reward, terminated, truncated, done (either of them),
    invalid_reason, invalid (any reason), times_invalid (steps since the worlds were made),
    statistics, statistics_mask, elapsed.
    """
    f, i, b = (wp.float32, np.float32), (wp.int32, np.int32), (wp.bool, np.bool_)
    u = (wp.uint64, np.uint64)
    parameters = max(1, len(task.randomizations))
    return (
        ArraySpec("action", *f, task.action_layout.size),
        ArraySpec("reset_mask", *b, 0),
        ArraySpec("seed", *u, 0),
        ArraySpec("world_id", *i, 0),
        ArraySpec("episode", *i, 0),
        ArraySpec("first_step", *i, 0),
        ArraySpec("parameter_override", *f, parameters),
        ArraySpec("number_override", *f, max(1, len(task.numbers.names))),
        ArraySpec("next_waits", *b, 0),
        ArraySpec("next_seed", *u, 0),
        ArraySpec("next_world_id", *i, 0),
        ArraySpec("next_episode", *i, 0),
        ArraySpec("next_parameter_override", *f, parameters),
        ArraySpec("next_number_override", *f, max(1, len(task.numbers.names))),
        ArraySpec("observation", *f, task.layout.size),
        ArraySpec("final_observation", *f, task.layout.size),
        ArraySpec("reward", *f, 0),
        ArraySpec("terminated", *b, 0),
        ArraySpec("truncated", *b, 0),
        ArraySpec("done", *b, 0),
        ArraySpec("invalid_reason", *i, 0),
        ArraySpec("invalid", *b, 0),
        ArraySpec("times_invalid", *i, 0),
        ArraySpec("statistics", *f, len(task.statistics)),
        ArraySpec("statistics_mask", *b, 0),
        ArraySpec("elapsed", *i, 0),
    )


def device_exchange(task: Task, num_worlds: int, device: wp.Device) -> dict[str, wp.array]:
    """The exchange as Warp arrays of their own on a device."""
    return {
        spec.name: wp.zeros(spec.shape(num_worlds), dtype=spec.dtype, device=device)
        for spec in exchange_specs(task)
    }


class SharedExchange:
    """The exchange of all worlds in memory that processes share.

    The memory is anonymous: it has no name in the file system, so it is gone with the last
    process that maps it, however that process ended.

    Args:
        task: Gives the arrays.
        num_worlds: Worlds of all processes together.
        fd: File descriptor from the process that made the memory; None makes it.
    """

    def __init__(self, task: Task, num_worlds: int, fd: int | None = None) -> None:
        self._specs = exchange_specs(task)
        self._num_worlds = num_worlds
        offsets, size = {}, 0
        for spec in self._specs:
            offsets[spec.name] = size
            count = int(np.prod(spec.shape(num_worlds)))
            nbytes = count * np.dtype(spec.numpy_dtype).itemsize
            size += -(-nbytes // _ALIGNMENT) * _ALIGNMENT
        self._offsets = offsets
        self.fd = _anonymous_file(size) if fd is None else fd
        self._memory = mmap.mmap(self.fd, size)

    def arrays(self) -> dict[str, np.ndarray]:
        """Numpy views on all worlds."""
        views = {}
        for spec in self._specs:
            shape = spec.shape(self._num_worlds)
            views[spec.name] = np.ndarray(
                shape, spec.numpy_dtype, buffer=self._memory, offset=self._offsets[spec.name]
            )
        return views

    def slice(self, first: int, count: int) -> dict[str, wp.array]:
        """Warp arrays (CPU) on the worlds first to first + count - 1, without a copy."""
        views = self.arrays()
        arrays = {}
        for spec in self._specs:
            part = views[spec.name][first : first + count]
            array = wp.array(ptr=part.ctypes.data, dtype=spec.dtype, shape=part.shape, device="cpu")
            array._owner = part  # keeps the memory mapped as long as the array lives
            arrays[spec.name] = array
        return arrays

    def close(self) -> None:
        """Give the memory back as far as no array still looks at it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        with contextlib.suppress(BufferError):
            self._memory.close()


def _anonymous_file(size: int) -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("proveout-worlds", os.MFD_CLOEXEC)
    else:
        # macOS: a temporary file without a name does the same.
        handle = tempfile.TemporaryFile()  # noqa: SIM115
        fd = os.dup(handle.fileno())
        handle.close()
    os.ftruncate(fd, max(size, 1))
    return fd


def host_views(exchange: Mapping[str, wp.array]) -> dict[str, np.ndarray]:
    """Numpy views of CPU exchange arrays, without a copy."""
    return {name: array.numpy() for name, array in exchange.items()}
