"""Time to collision with the leader.

Source: J. C. Hayward, "Near miss determination through use of a scale of danger" (1972): the time
until two vehicles collide if both keep speed and path.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def time_to_collision(gap: float, velocity: float, leader_velocity: float) -> float:
    """Time [s] until the gap closes; 0 where there is none left, infinite where it opens.

    Args:
        gap: bumper to bumper [m], infinite without a leader.
        velocity: [m/s]. leader_velocity: [m/s].
    """
    if gap <= 0.0:
        return 0.0
    closing = velocity - leader_velocity
    if closing <= 0.0 or not gap < wp.inf:
        return wp.inf
    return gap / closing
