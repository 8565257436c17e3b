"""Kernels of a start are compiled on all cores at once, as far as they are known before it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

import warp as wp

# Each compilation takes some hundred megabytes.
_MOST_THREADS = 8


def load_modules(names: Iterable[str], device: wp.Device) -> None:
    """Compile Warp modules, or take them from the cache, several at a time.

    A launch loads its own module too, but one after the other. What cannot be compiled is told
    there: where it is known what was launched.

    Args:
        names: Python modules in which kernels are written; one without kernels is passed over.
        device: For which.
    """
    known = [wp.get_module(name) for name in dict.fromkeys(names)]
    with_kernels = [module for module in known if module.kernels]
    # macOS and Windows do not know which cores are ours.
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # Warp keeps the error of a module for its first launch.
    with suppress(Exception):
        wp.force_load(device, with_kernels, max_workers=min(ours or 1, _MOST_THREADS))
