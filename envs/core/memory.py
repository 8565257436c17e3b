"""Whether so many worlds can fit, told before they are made: a system that runs out of memory while
it fills it ends the process without a word."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import warp as wp

from proveout.envs.core.errors import ConfigError
from proveout.envs.core.exchange import exchange_specs
from proveout.envs.core.task import Task

# Bytes of a world beside its row of the exchange. Measured with 20,000 worlds on the CPU: 4,600 for
# Highway and 4,000 for Reach in all, of which 760 and 416 are the row.
_ENGINE_BYTES = 2048
_GIB = 2**30


def least_bytes(task: Task) -> int:
    """What a world needs at least: its row of the exchange, once more as a copy, and its state."""
    row = sum(
        max(1, spec.columns) * np.dtype(spec.numpy_dtype).itemsize for spec in exchange_specs(task)
    )
    return 2 * row + _ENGINE_BYTES


def check_memory(task: Task, num_envs: int, device: wp.Device) -> None:
    """Refuse more worlds than the device's memory can hold.

    Args:
        task: The task.
        num_envs: Worlds.
        device: Where they are to live.

    Raises:
        ConfigError: They cannot fit; the message says how many could.
    """
    there = _total_bytes(device)
    each = least_bytes(task)
    if there is not None and num_envs * each > there:
        raise ConfigError(
            f"{num_envs} worlds need more than {num_envs * each // _GIB} GiB and {device.alias} "
            f"has {there / _GIB:.3g} GiB in all; use at most {there // each}"
        )


def _total_bytes(device: Any) -> int | None:
    """Memory of a device [byte], or None where the system does not tell."""
    if device.is_cuda:
        return int(device.total_memory)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
