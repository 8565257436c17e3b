"""Time headway.

Source: ISO 15622, which calls it time gap: the time in which the following vehicle covers the gap.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def time_headway(gap: float, velocity: float) -> float:
    """Time [s] in which the vehicle covers the gap; infinite at rest, 0 where there is no gap.

    Args:
        gap: Bumper to bumper [m], infinite without a leader.
        velocity: Of the following vehicle [m/s].
    """
    if gap <= 0.0:
        return 0.0
    if velocity <= 0.0:
        return wp.inf
    return gap / velocity
