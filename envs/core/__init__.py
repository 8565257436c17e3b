"""What every environment shares, whatever the engine."""

import contextlib
import os
import sys
import tempfile

import warp as wp

_NO_DRIVER = b"Could not find or load the NVIDIA CUDA driver"


def _start_warp_quietly() -> None:
    """Start Warp without its greeting and without a warning that a laptop has no CUDA driver.

    The library writes that warning straight to file descriptor 2, once in every worker;
    everything else that it writes there is passed on. A log level the user has chosen stays.
    """
    chosen = wp.config.log_level
    wp.config.log_level = max(chosen, wp.LOG_WARNING)
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        original = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            wp.init()
        finally:
            os.dup2(original, 2)
            os.close(original)
        held.seek(0)
        for line in held.read().splitlines(keepends=True):
            if _NO_DRIVER not in line:
                os.write(2, line)
    if chosen != wp.LOG_INFO:
        wp.config.log_level = chosen


with contextlib.suppress(OSError):
    _start_warp_quietly()
