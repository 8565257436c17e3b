"""Record a sequence of launches once, then replay it: the same on CPU and CUDA."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import warp as wp

from proveout.envs.core.errors import ConfigError

# Methods of a Warp array, and what calling one means; the private ones are where every array with
# memory of its own is made.
_NOT_IN_A_GRAPH = {
    "numpy": "reads an array on the host",
    "list": "reads an array on the host",
    "_init_new": "allocates an array",
    "_init_from_data": "uploads values from the host",
}

# A start that compiles is told after so many seconds, and looked at so often.
_NOTICE_AFTER = 3.0
_NOTICE_INTERVAL = 0.5


class Graph:
    """A recorded sequence of kernel launches.

    The first run is eager: it compiles and loads every kernel, which must not happen while a
    CUDA stream is being captured. Recording itself executes nothing.

    Args:
        launches: Launches kernels on `device`; must not read from the device or allocate.
        device: Where the kernels run.
        after_first_run: Called between the eager run and the recording.
    """

    def __init__(
        self,
        launches: Callable[[], None],
        device: wp.Device,
        after_first_run: Callable[[], None] | None = None,
    ) -> None:
        self.device = device
        launches()
        wp.synchronize_device(device)
        if after_first_run is not None:
            after_first_run()
        # Python's collector may free CUDA memory in the middle of a capture (error 901).
        enabled = gc.isenabled()
        gc.disable()
        try:
            with wp.ScopedCapture(device=device) as capture:
                launches()
        finally:
            if enabled:
                gc.enable()
        self._graph = capture.graph

    def replay(self) -> None:
        """Run the recorded launches; on CUDA this returns before they have finished."""
        wp.capture_launch(self._graph)


@contextmanager
def launches_only(where: str) -> Iterator[None]:
    """Refuse what a recorded graph would silently leave out or do once only.

    A host read, an upload or an allocation happens while the launches are recorded, and never
    again when they are replayed.

    Args:
        where: What is running, for the message.

    Raises:
        ConfigError: One of them was tried inside the block.
    """

    def refuse(name: str, what: str) -> Callable[..., Any]:
        def refused(*_: Any, **__: Any) -> Any:
            raise ConfigError(
                f"{where} {what}: its launches are recorded once and replayed, so this would not "
                "happen again in later steps. Allocate in `build`, and compute in kernels"
            )

        refused.__name__ = name
        return refused

    before = {name: getattr(wp.array, name) for name in _NOT_IN_A_GRAPH}
    for name, what in _NOT_IN_A_GRAPH.items():
        setattr(wp.array, name, refuse(name, what))
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(wp.array, name, method)


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


def resolve_device(name: str) -> wp.Device:
    """The Warp device for "auto", "cpu", "cuda" or "cuda:N"; `DeviceError` when it is not there."""
    from proveout.envs.core.errors import DeviceError

    cuda = [device.alias for device in wp.get_cuda_devices()]
    if name == "auto":
        return wp.get_device(cuda[0] if cuda else "cpu")
    if name == "cuda" and cuda:
        return wp.get_device(cuda[0])
    if name == "cpu" or name in cuda:
        return wp.get_device(name)
    there = ", ".join(["cpu", *cuda])
    raise DeviceError(
        f"device {name!r} is not there (this machine has: {there}); "
        "use one of these or 'auto', and see `proveout doctor`"
    )
