"""Whether a number is finite, as kernels ask it."""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def is_finite(value: float) -> bool:
    """Neither infinite nor NaN; `wp.isfinite` is a call on the CPU, which long rows feel."""
    return wp.abs(value) < wp.inf
