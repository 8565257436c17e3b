"""Time to collision with the leader.

Source: J. C. Hayward, "Near miss determination through use of a scale of danger" (1972): the time
until two vehicles collide if both keep speed and path.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def time_to_collision(gap: float, relative_speed: float) -> float:
    """Time [s] until the gap closes; 0 where there is none left, infinite where it opens.

    Args:
        gap: bumper to bumper [m], infinite without a leader.
        relative_speed: of the leader minus the own [m/s].
    """
    if gap <= 0.0:
        return 0.0
    if relative_speed >= 0.0 or not gap < wp.inf:
        return wp.inf
    return gap / -relative_speed
