"""Record a sequence of launches once, then replay it: the same on CPU and CUDA."""

from __future__ import annotations

import gc
from collections.abc import Callable

import warp as wp


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
