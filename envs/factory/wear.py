"""What wears in an arm and its gripper, as numbers that can differ from world to world."""

from __future__ import annotations

from dataclasses import dataclass

import warp as wp

from proveout.envs.core.number_groups import NumberGroup
from proveout.envs.core.task import quantity
from proveout.envs.factory.arm import Arm

wp.set_module_options({"enable_backward": False})


@dataclass(frozen=True, kw_only=True)
class ArmWear(NumberGroup):
    """Wear profile; a new arm has none."""

    joint_friction: float = quantity(
        0.0, "N m", "dry friction of each joint besides its own", low=0.0, high=200.0
    )
    backlash: float = quantity(
        0.0, "rad", "play of each joint between its servo and the link", low=0.0, high=0.1
    )
    sensor_drift: float = quantity(
        0.0, "m/s", "by which what is seen moves away along x and y", low=-0.1, high=0.1
    )


@dataclass(frozen=True, kw_only=True)
class GripperWear(ArmWear):
    """Wear profile; a new arm and gripper have none."""

    grip_loss: float = quantity(
        0.0, "1", "share of the grip force that is lost", low=0.0, high=0.95
    )


@dataclass(frozen=True, kw_only=True)
class VacuumWear(ArmWear):
    """Wear profile of an arm with suction cups and of the belt that feeds it."""

    leakage: float = quantity(
        0.0,
        "1",
        "leak of a closed cup, as a share of the blower's conductance",
        low=0.0,
        high=100.0,
    )
    belt_slip: float = quantity(
        0.0, "1", "share of the drum's speed that the belt is slower", low=0.0, high=1.0
    )


@wp.func
def start_worn(
    arm: Arm, command: wp.array2d[float], motor: wp.array2d[float], w: int, friction: float
):
    """For `reset` of a task with "joint_friction" in `writes`: motors at their joints, which have
    dry friction.

    Args:
        arm: The arm. w: The world.
        command: Joint targets [rad, m], (N, at least arm.joints).
        motor: Where the motors are told to go, likewise, out.
        friction: Besides what the model has [N m, N].
    """
    for j in range(arm.joints):
        motor[w, j] = command[w, j]
        arm.joint_friction[w, j] = arm.own_friction[j] + friction


@wp.func
def follow_with_play(
    arm: Arm, command: wp.array2d[float], motor: wp.array2d[float], w: int, play: float
):
    """Joint targets behind gears with play: they follow the motor at half of it (a play operator).

    Args:
        arm: The arm. w: The world.
        command: Joint targets [rad, m], (N, at least arm.joints), changed.
        motor: Where the motors are told to go, likewise.
        play: Between both ends [rad, m].
    """
    half = 0.5 * play
    for j in range(arm.joints):
        command[w, j] = wp.clamp(command[w, j], motor[w, j] - half, motor[w, j] + half)


@wp.func
def drifted(seen: wp.vec3, drift: float, seconds: float) -> wp.vec3:
    """Where something is seen that is at `seen` [m], after a time of drift along x and y."""
    away = drift * seconds
    return seen + wp.vec3(away, away, 0.0)
