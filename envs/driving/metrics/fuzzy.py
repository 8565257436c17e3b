"""Fuzzy surrogate measures of safety: 0 safe, 1 unsafe, how far braking is from enough between.

Source: K. Mattas et al., "Fuzzy surrogate safety metrics for real-time assessment of rear-end
collision risk", Accident Analysis and Prevention 148 (2020) 105794, with the numbers of
`proveout.envs.driving.drivers.r157.constants`.
"""

import warp as wp

from proveout.envs.driving.drivers.r157 import constants as c

wp.set_module_options({"enable_backward": False})

_REACTION_TIME = wp.constant(c.REACTION_TIME)
_COMFORTABLE, _MAXIMUM = wp.constant(c.FSM_COMFORTABLE), wp.constant(c.FSM_MAXIMUM)
_LEADER = wp.constant(c.FSM_LEADER)
_MARGIN, _SAFE_MARGIN = wp.constant(c.FSM_MARGIN), wp.constant(c.FSM_SAFE_MARGIN)


@wp.func
def _between(gap: float, safe: float, unsafe: float) -> float:
    """0 above `safe`, 1 below `unsafe`, linear between."""
    if gap > safe:
        return 0.0
    if gap < unsafe:
        return 1.0
    return (gap - safe) / (unsafe - safe)


@wp.func
def proactive_fuzzy_metric(gap: float, velocity: float, leader_velocity: float) -> float:
    """Whether the rear vehicle could stop if the leader braked hard (PFS).

    Args:
        gap: Bumper to bumper [m].
        velocity: Of the rear vehicle [m/s].
        leader_velocity: [m/s].
    """
    reaction = velocity * _REACTION_TIME
    square = velocity * velocity
    leader = leader_velocity * leader_velocity / (2.0 * _LEADER)
    safe = reaction + square / (2.0 * _COMFORTABLE) - leader + _SAFE_MARGIN
    unsafe = reaction + square / (2.0 * _MAXIMUM) - leader
    return _between(gap - _MARGIN, safe, unsafe)


@wp.func
def critical_fuzzy_metric(
    gap: float, velocity: float, leader_velocity: float, acceleration: float
) -> float:
    """Whether the rear vehicle could slow down to a leader that keeps its speed (CFS).

    Args:
        gap: Bumper to bumper [m].
        velocity: Of the rear vehicle [m/s].
        leader_velocity: [m/s].
        acceleration: Of the rear vehicle [m/s^2].
    """
    closing = velocity - leader_velocity
    if closing <= 0.0:
        return 0.0
    kept = wp.max(acceleration, -_COMFORTABLE)
    after = closing + _REACTION_TIME * kept
    if after < 0.0:
        return wp.where(gap < closing * closing / wp.abs(2.0 * acceleration), 1.0, 0.0)
    during = (closing + 0.5 * kept * _REACTION_TIME) * _REACTION_TIME
    square = after * after
    safe = during + square / (2.0 * _COMFORTABLE)
    return _between(gap, safe, during + square / (2.0 * _MAXIMUM))
