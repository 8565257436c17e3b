"""A robot arm as kernels of a task see it: its state in all worlds, and what does not change."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import warp as wp

from proveout.envs.factory.kinematics import Chain, make_chain, matrix_to_quat, rotation_vector

wp.set_module_options({"enable_backward": False})


@wp.struct
class Arm:
    """Arrays of the engine, of all worlds (N), and constants of the model.

    Attributes:
        qpos: Joint angles [rad], (N, joints). qvel: Joint speeds [rad/s], likewise.
        torque: Of the actuators on the joints [N m], likewise.
        site_position: World frame [m], (N, sites). site_rotation: Likewise.
        tcp: Index of the tool's site.
        home: Angles of the keyframe "home" [rad], (joints,).
        low, high: Joint limits [rad], (joints,).
        chain: The joints up to the tool, see `chain_pose`.
    """

    qpos: wp.array2d[float]
    qvel: wp.array2d[float]
    torque: wp.array2d[float]
    site_position: wp.array2d[wp.vec3]
    site_rotation: wp.array2d[wp.mat33]
    tcp: int
    home: wp.array[float]
    low: wp.array[float]
    high: wp.array[float]
    chain: Chain


def make_arm(model: Any, data: Any, tool: str, device: wp.Device) -> Arm:
    """The arm of a compiled model whose joints are all hinges of one chain.

    Args:
        model: `mujoco.MjModel` with a keyframe "home".
        data: MuJoCo Warp's data of its worlds.
        tool: Name of the tool's site.
        device: Where the worlds are.

    Raises:
        ModelError: The site is missing, or a joint on the way is not a hinge.
    """

    def constant(values: np.ndarray) -> wp.array:
        return wp.array(np.asarray(values), dtype=float, device=device)

    arm = Arm()
    arm.qpos, arm.qvel, arm.torque = data.qpos, data.qvel, data.qfrc_actuator
    arm.site_position, arm.site_rotation = data.site_xpos, data.site_xmat
    arm.chain = make_chain(model, tool, device)
    arm.tcp = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, tool)
    arm.home = constant(model.key("home").qpos)
    arm.low, arm.high = constant(model.jnt_range[:, 0]), constant(model.jnt_range[:, 1])
    return arm


@wp.func
def tcp_position(arm: Arm, w: int) -> wp.vec3:
    """Tool centre point in the world frame [m]."""
    return arm.site_position[w, arm.tcp]


@wp.func
def tcp_to(arm: Arm, w: int, goal: wp.transform):
    """Way from the tool to a pose of the world frame: offset [m] and rotation vector [rad]."""
    offset = wp.transform_get_translation(goal) - arm.site_position[w, arm.tcp]
    rotation = rotation_vector(
        matrix_to_quat(arm.site_rotation[w, arm.tcp]), wp.transform_get_rotation(goal)
    )
    return offset, rotation


@wp.func
def joint_load(arm: Arm, w: int):
    """What the joints do: sum of squared speeds [rad2/s2], the fastest [rad/s], mechanical power
    [W], and the sum of angles beyond 95 % of the joint ranges [rad]."""
    squares = float(0.0)
    fastest = float(0.0)
    power = float(0.0)
    beyond = float(0.0)
    for j in range(arm.low.shape[0]):
        v = arm.qvel[w, j]
        squares += v * v
        fastest = wp.max(fastest, wp.abs(v))
        power += wp.abs(arm.torque[w, j] * v)
        middle = 0.5 * (arm.low[j] + arm.high[j])
        half = 0.5 * (arm.high[j] - arm.low[j])
        beyond += wp.max(0.0, wp.abs(arm.qpos[w, j] - middle) - 0.95 * half)
    return squares, fastest, power, beyond
