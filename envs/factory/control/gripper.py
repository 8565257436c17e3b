"""Commands of a parallel gripper whose actuator is a position servo of the opening."""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def next_opening(
    command: float, opening: float, target: float, travel: float, force: float, stiffness: float
) -> float:
    """The next position target of the opening: at a speed, and with no more than a force.

    Args:
        command: The present one [m].
        opening: Measured [m].
        target: Where the fingers shall go [m].
        travel: How far the target may move now: speed times control step [m].
        force: With which the pads press when something is between them [N].
        stiffness: Position gain of the servo [N/m].

    Returns:
        A target that leads the fingers by no more than makes the servo press with the force [m].
    """
    lead = force / stiffness
    moved = command + wp.clamp(target - command, -travel, travel)
    return wp.clamp(moved, opening - lead, opening + lead)
