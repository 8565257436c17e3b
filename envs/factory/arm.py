"""An articulated model as kernels of a task see it: its state in all worlds, and its constants."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import warp as wp

from proveout.envs.core.errors import ModelError
from proveout.envs.core.rng import RandomKey, uniform
from proveout.envs.factory.kinematics import (
    Chain,
    chain_pose,
    make_chain,
    matrix_to_quat,
    rotation_vector,
)

wp.set_module_options({"enable_backward": False})

AROUND_HOME = "around_home"
_UNLIMITED = 1e4
_TRIES = wp.constant(16)


@wp.struct
class Arm:
    """Arrays of the engine, of all worlds (N), and constants of the model.

    Attributes:
        qpos: Generalised positions [m, rad], (N, nq). qvel: Velocities [m/s, rad/s], (N, nv).
        torque: Generalised forces of the actuators [N, N m], (N, nv).
        body_position, site_position: World frame [m], (N, bodies), (N, sites).
        body_orientation: (w, x, y, z), (N, bodies). site_rotation: (N, sites).
        geom_size: Sizes of the geoms [m], half lengths of a box, (N or 1, geoms).
        surface_velocity: Linear [m/s] and angular [rad/s] velocity of the surfaces of geoms in
            their own frames, as of belts, (N or 1, geoms); a task writes those that it has in
            `writes`.
        geom_friction: Sliding, torsional, rolling, (N or 1, geoms); written as `joint_friction`.
        joint_friction: Dry friction of the joints [N, N m], (N or 1, nv); a task that has it in
            `writes` writes it at a reset. own_friction: What the model has, (nv,).
        sensor: Data of the model's sensors, as of the last physics step, (N, numbers).
        mocap_position: Of the bodies that only a task moves, world frame [m], (N, mocap bodies).
        tcp: Index of the tool's site, -1 without one.
        joints: Hinges and slides with which the model begins, up to the tool if there is one: they
            have the same number in `qpos`, `qvel`, `low` and `high`.
        home: Positions of the keyframe "home", or the model's initial ones, (nq,).
        low, high: Limits of all joints [m, rad], +-1e4 where there is none, (model joints,).
        around: Half ranges about `home` from which to draw joint positions [m, rad], (joints,):
            the model's numeric "around_home", or two fifths of a joint's range and at most 0.7.
        rest: Commands of the keyframe "home", or zero, (actuators,).
        chain: The joints up to the tool, see `chain_pose`; empty without one.
    """

    qpos: wp.array2d[float]
    qvel: wp.array2d[float]
    torque: wp.array2d[float]
    body_position: wp.array2d[wp.vec3]
    body_orientation: wp.array2d[wp.quat]
    site_position: wp.array2d[wp.vec3]
    site_rotation: wp.array2d[wp.mat33]
    geom_size: wp.array2d[wp.vec3]
    surface_velocity: wp.array2d[wp.spatial_vector]
    geom_friction: wp.array2d[wp.vec3]
    joint_friction: wp.array2d[float]
    own_friction: wp.array[float]
    sensor: wp.array2d[float]
    mocap_position: wp.array2d[wp.vec3]
    tcp: int
    joints: int
    home: wp.array[float]
    low: wp.array[float]
    high: wp.array[float]
    around: wp.array[float]
    rest: wp.array[float]
    chain: Chain


def make_arm(model: Any, worlds: Any, data: Any, tool: str | None, device: wp.Device) -> Arm:
    """The struct for a compiled model.

    Args:
        model: `mujoco.MjModel`.
        worlds: MuJoCo Warp's model of it. data: Its data.
        tool: Name of the site at the end of a chain of hinges and slides that begins with the first
            joint; None for a model without one.
        device: Where the worlds are.

    Raises:
        ModelError: As `make_chain`.
    """

    def constant(values: np.ndarray) -> wp.array:
        return wp.array(np.asarray(values), dtype=float, device=device)

    arm = Arm()
    arm.qpos, arm.qvel, arm.torque = data.qpos, data.qvel, data.qfrc_actuator
    arm.body_position, arm.body_orientation = data.xpos, data.xquat
    arm.site_position, arm.site_rotation = data.site_xpos, data.site_xmat
    arm.geom_size, arm.sensor = worlds.geom_size, data.sensordata
    arm.surface_velocity = worlds.geom_surfacevel.view(wp.spatial_vector)
    arm.geom_friction = worlds.geom_friction
    arm.joint_friction = worlds.dof_frictionloss
    arm.own_friction = constant(model.dof_frictionloss)
    arm.mocap_position = data.mocap_pos
    arm.tcp = -1
    if tool is not None:
        arm.chain = make_chain(model, tool, device)
        arm.tcp = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, tool)
    named = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_KEY, "home") >= 0
    arm.home = constant(model.key("home").qpos if named else model.qpos0)
    arm.rest = constant(model.key("home").ctrl if named else np.zeros(model.nu))
    limited = model.jnt_limited.astype(bool)
    low = np.where(limited, model.jnt_range[:, 0], -_UNLIMITED)
    high = np.where(limited, model.jnt_range[:, 1], _UNLIMITED)
    arm.joints = arm.chain.joints if tool is not None else _leading_joints(model)
    arm.low, arm.high = constant(low), constant(high)
    arm.around = constant(_around_home(model, (high - low)[: arm.joints]))
    return arm


def _leading_joints(model: Any) -> int:
    """Joints of one number each before the first of another kind."""
    single = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
    others = [i for i, kind in enumerate(model.jnt_type) if int(kind) not in single]
    return others[0] if others else int(model.njnt)


def _around_home(model: Any, ranges: np.ndarray) -> np.ndarray:
    if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_NUMERIC, AROUND_HOME) < 0:
        return np.minimum(0.4 * ranges, 0.7)
    told = np.asarray(model.numeric(AROUND_HOME).data)
    if told.shape != ranges.shape or not (told >= 0.0).all():
        raise ModelError(
            f"numeric {AROUND_HOME!r} of the model: {len(ranges)} half ranges, none below zero, "
            f"expected, got {told.tolist()}"
        )
    return told


@wp.func
def reachable_pose(
    arm: Arm, w: int, key: RandomKey, positions: wp.array2d[float], lowest: float
) -> wp.transform:
    """A random pose of the tool in the world frame [m] that the arm can take.

    Joint positions are drawn within `around` of `home`, and again until the tool is above the
    lowest height; after some tries it is the pose of `home`.

    Args:
        arm: The arm, with a tool. w: The world.
        key: Of the random numbers.
        positions: Room for joint positions, (N, joints); those of the pose are left in it.
        lowest: Height above the floor [m].
    """
    pose = wp.transform_identity()
    found = bool(False)
    for attempt in range(_TRIES):
        if not found:
            share = wp.where(attempt < _TRIES - 1, 1.0, 0.0)
            for j in range(arm.joints):
                r = share * arm.around[j]
                position = arm.home[j] + uniform(key, attempt * arm.joints + j, -r, r)
                positions[w, j] = wp.clamp(position, arm.low[j], arm.high[j])
            pose = chain_pose(arm.chain, positions, w)
            found = wp.transform_get_translation(pose)[2] > lowest
    return pose


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
    """What the joints of the arm do: sum of squared speeds [rad2/s2], the fastest [rad/s],
    mechanical power [W], and the sum of angles beyond 95 % of the joint ranges [rad]."""
    squares = float(0.0)
    fastest = float(0.0)
    power = float(0.0)
    beyond = float(0.0)
    for j in range(arm.joints):
        v = arm.qvel[w, j]
        squares += v * v
        fastest = wp.max(fastest, wp.abs(v))
        power += wp.abs(arm.torque[w, j] * v)
        middle = 0.5 * (arm.low[j] + arm.high[j])
        half = 0.5 * (arm.high[j] - arm.low[j])
        beyond += wp.max(0.0, wp.abs(arm.qpos[w, j] - middle) - 0.95 * half)
    return squares, fastest, power, beyond
