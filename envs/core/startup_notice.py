"""Say on standard error that kernels are being compiled, when that makes a start long."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import warp as wp

# A start that compiles is told after so many seconds, and looked at so often.
_NOTICE_AFTER = 3.0
_NOTICE_INTERVAL = 0.5


@contextmanager
def startup_notice(what: str) -> Iterator[None]:
    """Say on standard error why a start takes long, and how it goes on.

    Args:
        what: What is being started.
    """
    started = time.perf_counter()
    finished = threading.Event()
    before = _cached_kernels()

    def tell() -> None:
        compiling = False
        while not compiling:
            if finished.wait(_NOTICE_INTERVAL):
                return
            elapsed = time.perf_counter() - started
            # A kernel that is being compiled has a place in the cache already.
            compiling = elapsed > _NOTICE_AFTER and _cached_kernels() != before
        sys.stderr.write(
            f"{what}: compiling kernels, which takes up to a minute, and only once: later starts "
            "take them from the cache\n"
        )
        interactive = sys.stderr.isatty()
        while not finished.wait(1.0 if interactive else 30.0):
            end = "\r" if interactive else "\n"
            sys.stderr.write(f"  {time.perf_counter() - started:.0f} s so far{end}")
            sys.stderr.flush()
        sys.stderr.write(f"  ready after {time.perf_counter() - started:.0f} s\n")

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def _cached_kernels() -> set[str]:
    """Names in Warp's kernel cache."""
    cache = wp.config.kernel_cache_dir
    try:
        return set(os.listdir(cache)) if cache else set()
    except OSError:
        return set()
