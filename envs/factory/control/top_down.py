"""Tools that point straight down, and parts that half a turn about the vertical leaves alike."""

from __future__ import annotations

import warp as wp

from proveout.envs.factory.arm import Arm
from proveout.envs.factory.kinematics import matrix_to_quat

wp.set_module_options({"enable_backward": False})

# Tool down, its y axis, along which fingers close, along the world's -x (x, y, z, w).
_DOWN = wp.constant(wp.quat(0.70710678, -0.70710678, 0.0, 0.0))


@wp.func
def about_vertical(turn: float) -> wp.quat:
    """Rotation about the world's z axis [rad]."""
    return wp.quat_from_axis_angle(wp.vec3(0.0, 0.0, 1.0), turn)


@wp.func
def turn_of(rotation: wp.quat) -> float:
    """Turn about the vertical of an x axis that is about level [rad]."""
    x = wp.quat_rotate(rotation, wp.vec3(1.0, 0.0, 0.0))
    return wp.atan2(x[1], x[0])


@wp.func
def tilt_of(rotation: wp.quat) -> float:
    """Angle between the vertical and a z axis, whichever way that points [rad]."""
    z = wp.quat_rotate(rotation, wp.vec3(0.0, 0.0, 1.0))
    return wp.acos(wp.min(wp.abs(z[2]), 1.0))


@wp.func
def half_turn(angle: float) -> float:
    """The same angle for what looks alike after half a turn, within a quarter turn [rad]."""
    return angle - wp.pi * wp.round(angle / wp.pi)


@wp.func
def askew(rotation: wp.quat) -> float:
    """Larger one of turn, half turns alike, and tilt of a box that shall lie straight [rad]."""
    return wp.max(wp.abs(half_turn(turn_of(rotation))), tilt_of(rotation))


@wp.func
def tool_turn(arm: Arm, w: int) -> float:
    """Turn of the tool about the vertical, 0 where its fingers close along x [rad]."""
    return turn_of(matrix_to_quat(arm.site_rotation[w, arm.tcp]) * wp.quat_inverse(_DOWN))


@wp.func
def tool_pose(position: wp.vec3, turn: float) -> wp.transform:
    """Pose of a tool that points down, in the world frame [m]."""
    return wp.transform(position, about_vertical(turn) * _DOWN)


@wp.func
def next_target(
    target: wp.vec3, tcp: wp.vec3, way: wp.vec3, lead: float, low: wp.vec3, high: wp.vec3
) -> wp.vec3:
    """Where the tool shall go, a step on: a tool that is held up is not pushed ever harder.

    Args:
        target: The present one [m]. tcp: Where the tool is [m].
        way: How far the target moves [m].
        lead: By how much it may lead the tool along an axis [m].
        low, high: Corners of the box it stays in [m].
    """
    moved = wp.vec3()
    for i in range(3):
        ahead = wp.clamp(target[i] + way[i] - tcp[i], -lead, lead)
        moved[i] = wp.clamp(tcp[i] + ahead, low[i], high[i])
    return moved
