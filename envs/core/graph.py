"""Record a sequence of launches once, then replay it: the same on CPU and CUDA."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import warp as wp

from proveout.envs.core.errors import ConfigError, ProveoutError
from proveout.envs.core.watch import Watcher, watched

# Methods of a Warp array, and what calling one means; the private ones are where every array with
# memory of its own is made.
_NOT_IN_A_GRAPH = {
    wp.array.numpy: "reads an array on the host",
    wp.array.list: "reads an array on the host",
    wp.array._init_new: "allocates an array",
    wp.array._init_from_data: "uploads values from the host",
}

# One thread at a time makes or uses worlds: Warp compiles kernels into modules that the whole
# process shares and records what is allocated meanwhile, MuJoCo Warp's CPU kernels use one arena
# of scratch memory, and Python's collector is switched for all threads.
ONE_AT_A_TIME = threading.RLock()
if hasattr(os, "register_at_fork"):
    # No child is forked while another thread, which it does not have, holds the lock.
    os.register_at_fork(
        before=ONE_AT_A_TIME.acquire,
        after_in_parent=ONE_AT_A_TIME.release,
        after_in_child=ONE_AT_A_TIME.release,
    )

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
    """Refuse what a recorded graph would silently leave out, do once only or do to other worlds.

    A host read, an upload or an allocation happens while the launches are recorded, and never
    again when they are replayed. A copy between arrays of different shapes goes by bytes, across
    the rows of the worlds.

    Args:
        where: What is running, for the message.

    Raises:
        ConfigError: One of them was tried inside the block, or Warp refused a launch.
    """

    def refuse(what: str) -> Watcher:
        def refused(_: Mapping[str, Any]) -> None:
            raise ConfigError(
                f"{where} {what}: its launches are recorded once and replayed, so this would not "
                "happen again in later steps. Allocate in `build`, and compute in kernels"
            )

        return refused

    def check_copy(given: Mapping[str, Any]) -> None:
        target, source = given["dest"], given["src"]
        partly = given["dest_offset"] or given["src_offset"] or given["count"]
        if not partly and tuple(target.shape) != tuple(source.shape):
            raise ConfigError(
                f"{where} copies an array of shape {tuple(source.shape)} onto one of shape "
                f"{tuple(target.shape)}, so rows would go to other worlds; write the columns in a "
                "kernel"
            )

    watchers = {method: refuse(what) for method, what in _NOT_IN_A_GRAPH.items()}
    watchers[wp.copy] = check_copy
    try:
        with watched(watchers):
            yield
    except ProveoutError:
        raise
    except Exception as error:
        told = f"{where}{_line_of(error)} fails: {type(error).__name__}: {error}"
        raise ConfigError(told) from error


def _line_of(error: Exception) -> str:
    """The innermost line of a task that an error passed through, as " (file, line N)"."""
    ours = (os.path.dirname(wp.__file__), os.path.dirname(__file__))
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(ours) and frame.filename != contextlib.__file__
    ]
    if not frames:
        return ""
    return f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})"


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
