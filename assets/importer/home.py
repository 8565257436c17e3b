"""The pose that a robot starts in, and the commands that hold it there."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

from proveout.assets.files.errors import ModelError, unknown

KEY = "home"
SINGLE_JOINTS = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))


def home_pose(
    spec: mujoco.MjSpec,
    model: mujoco.MjModel,
    given: Mapping[str, float] | None,
    *,
    nearest: bool,
) -> tuple[NDArray[np.float64], list[str]]:
    """Return the home pose, and what was guessed.

    The keyframe "home" of the file, else its first keyframe, else zero, where a joint whose range
    does not hold its zero goes to the middle of it, or to the nearest end.

    Args:
        spec: The robot.
        model: The same, compiled.
        given: Positions of joints by name [rad or m], which go before all others.
        nearest: To the nearest end, as little away from zero as can be.

    Returns:
        Positions, shape (nq,).

    Raises:
        UnknownNameError: No joint of one degree of freedom has a given name.
        ModelError: A given position is outside of the joint's range.
    """
    notes: list[str] = []
    names = [key.name for key in spec.keys]
    if names:
        index = names.index(KEY) if KEY in names else 0
        home = np.array(model.key_qpos[index])
        if KEY not in names:
            notes.append(f"home: the keyframe {names[0] or 'without a name'}")
    else:
        home = np.array(model.qpos0)
    movable = {}
    for joint in range(model.njnt):
        if int(model.jnt_type[joint]) not in SINGLE_JOINTS:
            continue
        low, high = model.jnt_range[joint]
        address = int(model.jnt_qposadr[joint])
        limited = bool(model.jnt_limited[joint])
        movable[model.joint(joint).name] = (address, low, high, limited)
        if not names and limited and not low <= home[address] <= high:
            home[address] = np.clip(home[address], low, high) if nearest else 0.5 * (low + high)
            where = "at the end" if nearest else "in the middle"
            notes.append(f"home: joint {model.joint(joint).name} {where} of its range")
    for name, value in (given or {}).items():
        if name not in movable:
            raise unknown("joint", name, movable)
        address, low, high, limited = movable[name]
        if not np.isfinite(value) or (limited and not low <= value <= high):
            raise ModelError(
                f"home of joint {name!r} is {value:g}, outside of its range {low:g} to {high:g}."
            )
        home[address] = value
    _follow(model, home)
    return home, notes


def _follow(model: mujoco.MjModel, home: NDArray[np.float64]) -> None:
    """Put joints that follow others where these say; a chain of them needs several passes."""
    joints = mujoco.mjtEq.mjEQ_JOINT
    for _ in range(model.neq):
        for equality in range(model.neq):
            leads = int(model.eq_obj2id[equality])
            if model.eq_type[equality] != joints or leads < 0 or not model.eq_active0[equality]:
                continue
            follows = int(model.jnt_qposadr[model.eq_obj1id[equality]])
            other = int(model.jnt_qposadr[leads])
            offset = home[other] - model.qpos0[other]
            powers = offset ** np.arange(5)
            home[follows] = model.qpos0[follows] + float(powers @ model.eq_data[equality, :5])


def holding_command(model: mujoco.MjModel, home: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the commands at which position servos at home push with no force, shape (nu,).

    Other actuators get 0, or the end of their range that is nearest to it.
    """
    data = mujoco.MjData(model)
    data.qpos[:] = home
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_tendon(model, data)
    mujoco.mj_transmission(model, data)
    command = np.zeros(model.nu)
    for actuator in np.flatnonzero(position_servos(model)):
        gain = model.actuator_gainprm[actuator, 0]
        bias = model.actuator_biasprm[actuator]
        command[actuator] = -(bias[0] + bias[1] * data.actuator_length[actuator]) / gain
    limited = model.actuator_ctrllimited.astype(bool)
    low, high = model.actuator_ctrlrange[:, 0], model.actuator_ctrlrange[:, 1]
    return np.where(limited, np.clip(command, low, high), command)


def position_servos(model: mujoco.MjModel) -> NDArray[np.bool_]:
    """Which actuators pull towards a commanded position, shape (nu,)."""
    return (
        (model.actuator_gaintype == mujoco.mjtGain.mjGAIN_FIXED)
        & (model.actuator_biastype == mujoco.mjtBias.mjBIAS_AFFINE)
        & (model.actuator_gainprm[:, 0] > 0.0)
        & (model.actuator_biasprm[:, 1] < 0.0)
    )
