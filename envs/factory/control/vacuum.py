"""Suction cups, each on its own: does it seal, how deep is its vacuum, with what does it hold.

Whether a cup seals follows from where it is on the box below it: its whole lip on one face, near
enough, flat enough. Then a linear blower evacuates it, as far as what leaks in allows, and it holds
with pressure times area, which is the command of its adhesion actuator. When more than that pulls
the box comes off within the physics step, wherever the control step stands: adhesion acts through
contacts, and there is none beyond the stroke of the lip.
"""

from __future__ import annotations

import math
from typing import Any

import warp as wp

from proveout.assets.robots.vacuum_gripper.parameters import (
    CUP_RADIUS,
    EVACUATION,
    LIP_STROKE,
    MAX_TILT,
    VACUUM,
    VENTING,
)
from proveout.envs.factory import places
from proveout.envs.factory.arm import Arm

wp.set_module_options({"enable_backward": False})

vec4b: Any = wp.types.vector(4, bool)  # of four cups

_RADIUS, _STROKE = wp.constant(CUP_RADIUS), wp.constant(LIP_STROKE)
_LEVEL = wp.constant(math.cos(MAX_TILT))
_VACUUM, _AREA = wp.constant(VACUUM), wp.constant(math.pi * CUP_RADIUS**2)
_EVACUATION, _VENTING = wp.constant(EVACUATION), wp.constant(VENTING)


@wp.func
def seals(cup: wp.transform, box: wp.transform, half: wp.vec3) -> bool:
    """Whether a cup seals on a box.

    Args:
        cup: Pose of the middle of its lip, z away from the gripper, world frame [m].
        box: Pose of the box. half: Its half lengths [m].
    """
    to_box = wp.transform_inverse(box)
    middle = wp.transform_point(to_box, wp.transform_get_translation(cup))
    out = wp.quat_rotate(wp.transform_get_rotation(cup), wp.vec3(0.0, 0.0, 1.0))
    axis = wp.transform_vector(to_box, out)
    # The face that the cup looks at.
    face = int(0)
    for i in range(1, 3):
        if wp.abs(axis[i]) > wp.abs(axis[face]):
            face = i
    gap = wp.where(axis[face] < 0.0, middle[face], -middle[face]) - half[face]
    sealed = bool(wp.abs(axis[face]) > _LEVEL and wp.abs(gap) < _STROKE)
    for i in range(3):
        if i != face and wp.abs(middle[i]) + _RADIUS > half[i]:
            sealed = False  # air enters over the edge
    return sealed


@wp.func
def cups_on(
    arm: Arm, w: int, first: places.Site, box: wp.transform, half: wp.vec3, others: vec4b
) -> vec4b:
    """Which of four cups, whose sites stand one after another, seal on a box, or on others."""
    sealed = others
    for k in range(4):
        cup = places.site_pose(arm, w, places.next_site(first, k))
        sealed[k] = sealed[k] or seals(cup, box, half)
    return sealed


@wp.func
def next_vacuum(vacuum: wp.vec4, sealed: vec4b, on: bool, leakage: float, dt: float) -> wp.vec4:
    """Vacuum in each of four cups a control step later [Pa below the surroundings].

    A blower whose vacuum falls with its flow as a straight line, and a leak whose flow rises with
    the vacuum as one, meet at VACUUM / (1 + leakage).

    Args:
        vacuum: In the cups [Pa].
        sealed: Which are closed. on: Whether the valve to the blower is open.
        leakage: Conductance of the leak of a closed cup, as a share of the blower's.
        dt: Control step [s].
    """
    later = wp.vec4()
    for k in range(4):
        sucks = sealed[k] and on
        deepest = wp.where(sucks, _VACUUM / (1.0 + leakage), 0.0)
        time = wp.where(sucks, _EVACUATION / (1.0 + leakage), _VENTING)
        later[k] = deepest + (vacuum[k] - deepest) * wp.exp(-dt / time)
    return later


@wp.func
def holding_force(vacuum: float) -> float:
    """Force with which a cup holds [N]: the pull along its axis at which it breaks away."""
    return vacuum * _AREA
