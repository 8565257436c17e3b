"""Belts: geoms whose surface moves, at a speed of each world; and the light barrier that stops one.

The geom is that of `assets.objects.belt_conveyor`, whose belt runs along its x axis.
"""

from __future__ import annotations

import warp as wp

from proveout.envs.factory.arm import Arm
from proveout.envs.factory.places import Geom

wp.set_module_options({"enable_backward": False})


@wp.func
def run_belt(arm: Arm, w: int, belt: Geom, speed: float, slip: float):
    """Set the speed of a belt's surface; for `control`, in every step.

    Args:
        arm: The engine's arrays. w: The world.
        belt: Its geom, whose own surface velocity in the model is not zero.
        speed: Of the drum [m/s].
        slip: Share by which the belt, worn, falls behind the drum: 0 none, 1 it stands still.
    """
    velocity = arm.surface_velocity[w, belt.index]
    velocity[0] = speed * (1.0 - slip)
    arm.surface_velocity[w, belt.index] = velocity


@wp.func
def front_of(box: wp.transform, half: wp.vec3, along: wp.vec3) -> float:
    """How far a box reaches along a direction of the world frame [m].

    Args:
        box: Its pose. half: Its half lengths [m].
        along: Unit vector.
    """
    own = wp.quat_rotate_inv(wp.transform_get_rotation(box), along)
    reach = wp.abs(own[0]) * half[0] + wp.abs(own[1]) * half[1] + wp.abs(own[2]) * half[2]
    return wp.dot(wp.transform_get_translation(box), along) + reach
