"""Damped least-squares inverse kinematics of one serial chain, in functions of one world.

Nothing is stored and the number of joints is any: the chain is followed once for the tool, once for
the Jacobian's square, and twice for the changes of the joints.

Source: Wampler, "Manipulator inverse kinematic solutions based on vector formulations and
damped least-squares methods", IEEE Trans. SMC 16(1), 1986.
"""

from __future__ import annotations

import warp as wp

from proveout.envs.factory.arm import Arm
from proveout.envs.factory.kinematics import Chain, chain_pose, rotation_vector

wp.set_module_options({"enable_backward": False})

_HINGE, _SLIDE = wp.constant(1), wp.constant(2)
_START_STEPS = wp.constant(20)


@wp.func
def _next_link(chain: Chain, link: int, frame: wp.transform, position: float):
    """Follow one link from the frame before it.

    Returns:
        Its frame, and of its joint, if it has one, a point on the axis and the axis, all in the
        world frame.
    """
    quat = wp.transform_get_rotation(frame)
    pos = wp.transform_get_translation(frame) + wp.quat_rotate(quat, chain.pos[link])
    quat = quat * chain.quat[link]
    anchor = pos + wp.quat_rotate(quat, chain.anchor[link])
    axis = wp.quat_rotate(quat, chain.axis[link])
    if chain.kind[link] == _HINGE:
        quat = quat * wp.quat_from_axis_angle(chain.axis[link], position)
        pos = anchor - wp.quat_rotate(quat, chain.anchor[link])
    elif chain.kind[link] == _SLIDE:
        pos = pos + position * axis
    return wp.transform(pos, quat), anchor, axis


@wp.func
def _column(kind: int, tip: wp.vec3, anchor: wp.vec3, axis: wp.vec3) -> wp.spatial_vector:
    """Velocity and rotation of the tip for each unit of a joint."""
    if kind == _HINGE:
        return wp.spatial_vector(wp.cross(axis, tip - anchor), axis)
    return wp.spatial_vector(axis, wp.vec3(0.0, 0.0, 0.0))


@wp.func
def solve_positive(a: wp.spatial_matrix, b: wp.spatial_vector) -> wp.spatial_vector:
    """The x of a x = b for a symmetric, positive definite a, by Cholesky's decomposition."""
    lower = wp.spatial_matrix()
    for i in range(6):
        for j in range(i + 1):
            rest = a[i, j]
            for k in range(j):
                rest = rest - lower[i, k] * lower[j, k]
            if i == j:
                # Damping keeps it above zero; rounding must not turn it.
                lower[i, i] = wp.sqrt(wp.max(rest, 1.0e-12))
            else:
                lower[i, j] = rest / lower[j, j]
    x = wp.spatial_vector()
    for i in range(6):
        rest = b[i]
        for k in range(i):
            rest = rest - lower[i, k] * x[k]
        x[i] = rest / lower[i, i]
    for back in range(6):
        i = 5 - back
        rest = x[i]
        for k in range(i + 1, 6):
            rest = rest - lower[k, i] * x[k]
        x[i] = rest / lower[i, i]
    return x


@wp.func
def pose_error(chain: Chain, q: wp.array2d[float], w: int, goal: wp.transform) -> wp.spatial_vector:
    """Way from the tool at the joint positions q[w] to a pose, both in the world frame.

    Returns:
        Offset [m], then rotation vector [rad].
    """
    here = chain_pose(chain, q, w)
    return wp.spatial_vector(
        wp.transform_get_translation(goal) - wp.transform_get_translation(here),
        rotation_vector(wp.transform_get_rotation(here), wp.transform_get_rotation(goal)),
    )


@wp.func
def _held(low: float, high: float, position: float, gradient: float) -> bool:
    """Whether a joint stands at a limit and would help only by going beyond it."""
    return (position <= low and gradient < 0.0) or (position >= high and gradient > 0.0)


@wp.func
def move_tool(
    arm: Arm,
    q: wp.array2d[float],
    w: int,
    way: wp.spatial_vector,
    damping: float,
    largest: float,
):
    """Change the joint positions q[w] so that the tool moves along a small way.

    The change is J^T (J J^T + damping^2 I)^-1 way, so it stays bounded where the arm is singular.
    A joint that stands at a limit and would go beyond it is left out of J, so the others do its
    part; every joint ends within its limits.

    Args:
        arm: The arm, with a tool.
        q: Joint positions [rad, m], (N, at least arm.joints), in/out; such as `step.command`.
        w: The world.
        way: In the world frame: translation [m], rotation vector [rad]. A twist is this over time.
        damping: Damping factor of the least squares, above zero [m, rad].
        largest: Largest change of a joint [rad, m]; the change of all is scaled to it.
    """
    chain = arm.chain
    tip = wp.transform_get_translation(chain_pose(chain, q, w))
    square = damping * damping * wp.identity(n=6, dtype=float)
    frame = wp.transform_identity()
    joint = int(0)
    for link in range(chain.pos.shape[0]):
        kind = chain.kind[link]
        position = float(0.0)
        if kind > 0:
            position = q[w, joint]
        frame, anchor, axis = _next_link(chain, link, frame, position)
        if kind > 0:
            column = _column(kind, tip, anchor, axis)
            if not _held(arm.low[joint], arm.high[joint], position, wp.dot(column, way)):
                square = square + wp.outer(column, column)
            joint += 1
    solved = solve_positive(square, way)

    fastest = float(0.0)
    for turn in range(2):  # the largest change, then all of them
        scale = wp.min(1.0, largest / wp.max(fastest, 1.0e-9))
        frame = wp.transform_identity()
        joint = int(0)
        for link in range(chain.pos.shape[0]):
            kind = chain.kind[link]
            position = float(0.0)
            if kind > 0:
                position = q[w, joint]
            frame, anchor, axis = _next_link(chain, link, frame, position)
            if kind > 0:
                column = _column(kind, tip, anchor, axis)
                change = float(0.0)
                if not _held(arm.low[joint], arm.high[joint], position, wp.dot(column, way)):
                    change = wp.dot(column, solved)
                if turn == 0:
                    fastest = wp.max(fastest, wp.abs(change))
                else:
                    moved = position + scale * change
                    q[w, joint] = wp.clamp(moved, arm.low[joint], arm.high[joint])
                joint += 1


@wp.func
def move_tool_to(
    arm: Arm, q: wp.array2d[float], w: int, goal: wp.transform, damping: float, largest: float
):
    """One step of `move_tool` from where q[w] puts the tool to a pose of the world frame."""
    move_tool(arm, q, w, pose_error(arm.chain, q, w, goal), damping, largest)


@wp.func
def start_at(arm: Arm, command: wp.array2d[float], w: int, goal: wp.transform):
    """For `reset`: put the arm, and its joint targets, where its tool is at a pose near home.

    Args:
        arm: The arm, with a tool.
        command: Its first columns are the joint targets [rad, m], (N, at least arm.joints), out.
        w: The world.
        goal: Pose of the tool in the world frame [m].
    """
    for j in range(arm.joints):
        arm.qpos[w, j] = arm.home[j]
    for _ in range(_START_STEPS):
        move_tool_to(arm, arm.qpos, w, goal, 0.03, 0.5)
    for j in range(arm.joints):
        command[w, j] = arm.qpos[w, j]
