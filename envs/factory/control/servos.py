"""Which actuators of a model are position servos of its joints."""

from __future__ import annotations

from typing import Any

import mujoco

from proveout.envs.core.errors import ModelError
from proveout.envs.factory.kinematics import chain_links


def servo_joints(model: Any, tool: str) -> int:
    """Joints from the base to a tool, each with its position servo.

    Args:
        model: `mujoco.MjModel`.
        tool: Name of a site.

    Raises:
        ModelError: As `kinematics.chain_links` and `check_joint_servos`.
    """
    joints = chain_links(model, tool).joints
    check_joint_servos(model, joints)
    return joints


def check_joint_servos(model: Any, joints: int) -> None:
    """Refuse a model whose first actuators are not position servos of its first joints, in order.

    Args:
        model: `mujoco.MjModel`.
        joints: How many.

    Raises:
        ModelError: The message names the joint, and what drives it instead.
    """
    for i in range(joints):
        name = model.joint(i).name
        if i >= model.nu:
            raise ModelError(
                f"joint {name!r} has no actuator: {joints} position servos expected, in the order "
                "of the joints"
            )
        driven = model.actuator_trntype[i] == mujoco.mjtTrn.mjTRN_JOINT
        if not driven or model.actuator_trnid[i, 0] != i:
            raise ModelError(
                f"actuator {model.actuator(i).name!r} does not drive joint {name!r}: position "
                "servos in the order of the joints expected"
            )
        gain, bias = model.actuator_gainprm[i, 0], model.actuator_biasprm[i, 1]
        if not (gain > 0.0 and bias == -gain):
            raise ModelError(
                f"actuator {model.actuator(i).name!r} of joint {name!r} is no position servo: "
                "make it `<position .../>`"
            )
