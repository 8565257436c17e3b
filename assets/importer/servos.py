"""Position servos for robots whose file knows no actuators, as URDF."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

FREQUENCY = (
    50.0  # rad/s: a tenth of a radian a step of 2 ms, and settled within a tenth of a second
)
_FULL_EFFORT_ERROR = 0.02  # rad or m, at which the servo uses all of its effort at the latest
_LEAST_INERTIA = 1e-4  # kg m2 or kg: lighter joints get this as armature, as float32 needs it


def add_servos(
    spec: mujoco.MjSpec,
    home: NDArray[np.float64],
    efforts: Mapping[str, float],
    *,
    compensate_gravity: bool,
) -> list[str]:
    """Add a position servo to each joint, and tell by which rule.

    With M the inertia that the joint feels at home (the diagonal of the mass matrix), the stiffness
    is kp = M w^2 with w = 50 rad/s, but at most effort / 0.02 rad (or m), and the damping is
    critical: kv = 2 sqrt(kp M), less what the joint has itself. Joints that feel less than
    1e-4 kg m2 (or kg) get an armature that makes up for it.

    Args:
        spec: To which the actuators are added, each with the name of its joint.
        home: Positions, shape (nq,).
        efforts: Joints to drive, with the largest torque or force of each [N m or N]; 0: unknown.
        compensate_gravity: The servos also carry the robot's weight, within their effort.
    """
    if not efforts:
        return []
    model = spec.copy().compile()
    data = mujoco.MjData(model)
    data.qpos[:] = home
    mujoco.mj_forward(model, data)
    inertia = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, inertia)
    light, unknown_effort, weak = [], [], []
    for name, effort in efforts.items():
        joint = spec.joint(name)
        felt = float(inertia[(dof := int(model.joint(name).dofadr[0])), dof])
        if felt < _LEAST_INERTIA:
            joint.armature = _LEAST_INERTIA - felt
            felt = _LEAST_INERTIA
            light.append(name)
        stiffness = felt * FREQUENCY**2
        if effort > 0.0:
            stiffness = min(stiffness, effort / _FULL_EFFORT_ERROR)
            weight = abs(float(data.qfrc_bias[dof]))
            if compensate_gravity and weight > effort:
                weak.append(f"{name} ({weight:.3g} of {effort:.3g})")
        else:
            unknown_effort.append(name)
        damping = max(0.0, 2.0 * np.sqrt(stiffness * felt) - float(joint.damping[0]))
        actuator = spec.add_actuator(
            name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT,
            ctrllimited=mujoco.mjtLimited.mjLIMITED_FALSE,
        )  # fmt: skip
        actuator.set_to_position(kp=stiffness, kv=damping)
        low, high = model.joint(name).range
        if model.jnt_limited[model.joint(name).id]:
            actuator.ctrllimited = mujoco.mjtLimited.mjLIMITED_TRUE
            actuator.ctrlrange = [low, high]
        if effort > 0.0:
            actuator.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
            actuator.forcerange = [-effort, effort]
    notes = [
        f"actuators: {len(efforts)} position servos added (stiffness M w^2 with w = "
        f"{FREQUENCY:g} rad/s, at most effort / {_FULL_EFFORT_ERROR:g}; critically damped)"
    ]
    if light:
        notes.append(f"armature: at least {_LEAST_INERTIA:g} kg m2 or kg for {_some(light)}")
    if unknown_effort:
        notes.append(f"effort: not said and not bounded for {_some(unknown_effort)}")
    if weak:
        notes.append(f"effort: too small to carry the weight at home, N m or N: {_some(weak)}")
    if compensate_gravity:
        for body in spec.bodies:
            if body != spec.worldbody:
                body.gravcomp = 1.0
        for name, effort in efforts.items():
            # Counts against actuatorfrcrange, so a joint carries no more than its effort.
            spec.joint(name).actgravcomp = effort > 0.0
        notes.append("gravity: carried by the servos, as controllers of arms do")
    return notes


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more
