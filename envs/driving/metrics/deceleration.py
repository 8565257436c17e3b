"""Decelerations that avoid a rear-end collision.

Sources: for DRAC D. F. Cooper, N. Ferguson, "Traffic studies at T-junctions: a conflict simulation
record", Traffic Engineering and Control 17 (1976). The required deceleration is the same behind a
leader that brakes, from the equations of uniformly accelerated motion.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def deceleration_to_avoid_crash(gap: float, closing: float) -> float:
    """DRAC [m/s^2]: constant braking that just avoids a leader that keeps its speed; 0 where the
    gap does not close, infinite where it closes and there is none left.

    Args:
        gap: Bumper to bumper [m], infinite without a leader.
        closing: The own speed minus the leader's [m/s].
    """
    if closing <= 0.0 or not gap < wp.inf:
        return 0.0
    if gap <= 0.0:
        return wp.inf
    return closing * closing / (2.0 * gap)


@wp.func
def required_deceleration(
    gap: float, velocity: float, leader_velocity: float, leader_braking: float
) -> float:
    """Constant braking [m/s^2] that just avoids a leader that brakes to a standstill; 0 where none
    is needed, infinite where there is no gap left and it closes.

    Args:
        gap: Bumper to bumper [m], infinite without a leader.
        velocity: Own speed [m/s], 0 or above.
        leader_velocity: [m/s], 0 or above.
        leader_braking: Of the leader [m/s^2], positive; negative where it accelerates.
    """
    closing = velocity - leader_velocity
    if not gap < wp.inf or (closing <= 0.0 and leader_braking <= 0.0):
        return 0.0
    if gap <= 0.0:
        return wp.where(closing > 0.0, wp.inf, leader_braking)
    # Alike speeds come at 2 gap / closing, unless the leader stands before.
    if closing > 0.0 and 2.0 * gap * leader_braking <= closing * leader_velocity:
        return wp.max(leader_braking + closing * closing / (2.0 * gap), 0.0)
    if leader_braking <= 0.0:
        return closing * closing / (2.0 * gap)
    stops_in = leader_velocity * leader_velocity / (2.0 * leader_braking)
    return velocity * velocity / (2.0 * (gap + stops_in))
