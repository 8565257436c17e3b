"""Speeds of axes whose accelerations are limited, and which can still stop within their ranges."""

from __future__ import annotations

import warp as wp

from proveout.envs.factory.arm import Arm
from proveout.envs.factory.places import Joint

wp.set_module_options({"enable_backward": False})

_MARGIN = wp.constant(0.001)  # from the end of a range [m, rad]


@wp.func
def next_speed(
    arm: Arm, w: int, axis: Joint, speed: float, wanted: float, most: float, dt: float
) -> float:
    """Speed of an axis at the end of a control step in which it accelerates evenly.

    Args:
        arm: The arm. w: The world. axis: The axis.
        speed: That its drive keeps now [m/s, rad/s]. wanted: That it shall have.
        most: Largest acceleration [m/s2, rad/s2].
        dt: Control step [s].
    """
    position = arm.qpos[w, axis.qpos]
    down = wp.sqrt(2.0 * most * wp.max(position - arm.low[axis.index] - _MARGIN, 0.0))
    up = wp.sqrt(2.0 * most * wp.max(arm.high[axis.index] - _MARGIN - position, 0.0))
    return speed + wp.clamp(wp.clamp(wanted, -down, up) - speed, -most * dt, most * dt)


@wp.func
def play_side(side: float, speed: float) -> float:
    """On which side of its play an axis is: that of the way it last went, -1, 0 or 1.

    Args:
        side: So far.
        speed: That its drive keeps [m/s, rad/s].
    """
    if wp.abs(speed) < 1.0e-4:
        return side
    return wp.sign(speed)
