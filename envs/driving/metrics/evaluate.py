"""Metrics on the host: the same functions, over arrays."""

from typing import Any

import numpy as np
import warp as wp
from numpy.typing import ArrayLike, NDArray


def evaluate_metric(
    function: Any, *values: ArrayLike, device: Any = "cpu"
) -> NDArray[np.float32] | NDArray[np.int32] | NDArray[np.bool_]:
    """A metric over arrays, by the very function that kernels call.

    Args:
        function: A metric, a `wp.func` of floats, as `time_to_collision`.
        *values: Its arguments in order; they broadcast. In float32.
        device: Where it is computed.

    Returns:
        What the function returns, in the shape of the arguments together.
    """
    arrays = np.broadcast_arrays(*(np.asarray(value, np.float32) for value in values))
    shape = arrays[0].shape
    flat = [wp.array(np.ascontiguousarray(a).ravel(), dtype=float, device=device) for a in arrays]
    return wp.map(function, *flat).numpy().reshape(shape)
