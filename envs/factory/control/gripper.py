"""Commands and force of the parallel gripper, whose actuator is a position servo of the opening."""

from __future__ import annotations

import warp as wp

from proveout.assets.robots.gripper_2f.parameters import STIFFNESS, VELOCITY_GAIN

wp.set_module_options({"enable_backward": False})

_STIFFNESS, _VELOCITY_GAIN = wp.constant(STIFFNESS), wp.constant(VELOCITY_GAIN)


@wp.func
def next_opening(
    command: float, opening: float, target: float, travel: float, force: float
) -> float:
    """The next position target of the opening: at a speed, and with no more than a force.

    Args:
        command: The present one [m].
        opening: Measured [m].
        target: Where the fingers shall go [m].
        travel: How far the target may move now: speed times control step [m].
        force: With which the pads press when something is between them [N].

    Returns:
        A target that leads the fingers by no more than makes the servo press with the force [m].
    """
    lead = force / _STIFFNESS
    moved = command + wp.clamp(target - command, -travel, travel)
    return wp.clamp(moved, opening - lead, opening + lead)


@wp.func
def pad_force(command: float, opening: float, speed: float) -> float:
    """Force with which the servo closes each finger [N], from its law and nominal gains.

    It belongs to the present state, also where the engine's own force is of an earlier one.

    Args:
        command: Position target of the opening [m].
        opening: Measured [m].
        speed: Its change [m/s].
    """
    return _STIFFNESS * (opening - command) + _VELOCITY_GAIN * speed
