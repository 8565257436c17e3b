"""Safe distances of responsibility-sensitive safety (RSS).

Source: S. Shalev-Shwartz, S. Shammah, A. Shashua, "On a formal model of safe and scalable
self-driving cars", arXiv:1708.06374, definitions 1 and 6. The lateral one is for a vehicle beside
one that has no lateral speed and takes no lateral action.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def rss_longitudinal_distance(
    velocity: float,
    leader_velocity: float,
    response_time: float,
    acceleration: float,
    braking: float,
    leader_braking: float,
) -> float:
    """Gap [m] from which the rear vehicle can still stop behind a leader that brakes; it may be
    negative, where the leader is faster.

    Args:
        velocity: Of the rear vehicle [m/s].
        leader_velocity: [m/s].
        response_time: During which the rear vehicle accelerates [s].
        acceleration: With which it does at most [m/s^2].
        braking: At least, after it [m/s^2], positive.
        leader_braking: At most [m/s^2], positive.
    """
    after = velocity + response_time * acceleration
    return (
        velocity * response_time
        + 0.5 * acceleration * response_time * response_time
        + after * after / (2.0 * braking)
        - leader_velocity * leader_velocity / (2.0 * leader_braking)
    )


@wp.func
def rss_lateral_distance(
    lateral_velocity: float, response_time: float, acceleration: float, margin: float
) -> float:
    """Distance of the sides [m] from which a vehicle that moves sideways can still stop doing so.

    Args:
        lateral_velocity: Of either sign [m/s].
        response_time: During which it accelerates sideways [s].
        acceleration: With which it does, and stops after it [m/s^2], positive.
        margin: That is to be left [m].
    """
    speed = wp.abs(lateral_velocity)
    after = speed + acceleration * response_time
    return margin + 0.5 * (speed + after) * response_time + after * after / (2.0 * acceleration)


PUBLISHED_LONGITUDINAL = (0.75, 3.0, 6.0, 6.0)
"""Response time [s], acceleration and brakings [m/s^2] of the R157 comparison (JRC-FSM)."""
PUBLISHED_LATERAL = (0.75, 1.0, 0.3)
"""Response time [s], acceleration [m/s^2] and margin [m] of it."""
