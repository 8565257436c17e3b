"""Record a sequence of kernel launches once, then replay it: the same on CPU and CUDA."""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import warp as wp

from proveout.envs.core.errors import DeviceError
from proveout.envs.core.interrupts import InterruptsHeld

_RECORDING: ContextVar[_Recording | None] = ContextVar("recording", default=None)


class Graph:
    """A recorded sequence of kernel launches, and of calls on the host between them.

    The first run is eager: it compiles and loads every kernel, which must not happen while a
    CUDA stream is being captured. Recording itself executes nothing.

    Args:
        launches: Launches kernels on `device`; must not read from the device or allocate, but in
            what it hands to `on_host`.
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
        with _collector_off(), _Recording(device) as recording:
            launches()
        self._parts = recording.parts

    def replay(self) -> None:
        """Run what was recorded; on CUDA this returns before it has finished."""
        if len(self._parts) == 1:
            self._parts[0]()
            return
        # An interrupt between two parts would leave the worlds in the middle of a step.
        with InterruptsHeld():
            for part in self._parts:
                part()


def on_host(call: Callable[[], None], device: wp.Device) -> None:
    """Call something between two launches: at once, or, in a recording, in every replay.

    Raises:
        DeviceError: Not on the CPU, where launches have finished when they return.
    """
    if not device.is_cpu:
        raise DeviceError(f"a call on the host cannot be part of a step on {device.alias}")
    recording = _RECORDING.get()
    if recording is None:
        call()
    else:
        recording.interrupt(call)


class _Recording:
    """Graphs of Warp, with the calls on the host between them."""

    def __init__(self, device: wp.Device) -> None:
        self.parts: list[Callable[[], None]] = []
        self._device = device

    def __enter__(self) -> _Recording:
        self._token = _RECORDING.set(self)
        self._capture = wp.ScopedCapture(device=self._device)
        self._capture.__enter__()
        return self

    def interrupt(self, call: Callable[[], None]) -> None:
        """End a graph, and begin another one after the call."""
        self._end()
        self.parts.append(call)
        self._capture.__enter__()

    def _end(self, *error: object) -> None:
        self._capture.__exit__(*(error or (None, None, None)))
        self.parts.append(functools.partial(wp.capture_launch, self._capture.graph))

    def __exit__(self, *error: object) -> None:
        _RECORDING.reset(self._token)
        self._end(*error)


@contextlib.contextmanager
def _collector_off() -> Iterator[None]:
    """Python's collector may free CUDA memory in the middle of a capture (error 901)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
