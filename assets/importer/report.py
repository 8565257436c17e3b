"""What is in a robot, as numbers for programs and as a table for people."""

from __future__ import annotations

import math
from typing import Any

import mujoco

from proveout.assets.robot import Robot


def describe(robot: Robot) -> dict[str, Any]:
    """Return everything that a person asks of an unknown robot, ready for JSON.

    Masses in kg, moments in kg m2 (principal, ascending), ranges in rad or m, efforts in N m or N,
    speeds in rad/s or m/s; None where there is no bound.
    """
    model = robot.spec.copy().compile()
    collides = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    bodies = []
    for index in range(1, model.nbody):
        body = model.body(index)
        own = model.geom_bodyid == index
        bodies.append(
            {
                "name": body.name,
                "parent": model.body(int(body.parentid[0])).name,
                "mass": float(body.mass[0]),
                "moments": sorted(float(value) for value in body.inertia),
                "collision_shapes": int((own & collides).sum()),
                "mesh_parts": robot.parts.get(body.name, 0),
                "drawn_shapes": int((own & ~collides).sum()),
            }
        )
    joints = [
        {
            "name": joint.name, "kind": joint.kind, "body": joint.body,
            "low": _finite(joint.low), "high": _finite(joint.high),
            "effort": _finite(joint.effort), "velocity": _finite(joint.velocity),
            "follows": joint.follows,
        }
        for joint in robot.joints
    ]  # fmt: skip
    actuators = []
    for index in range(model.nu):
        limited = bool(model.actuator_ctrllimited[index])
        low, high = (float(value) for value in model.actuator_ctrlrange[index])
        actuators.append(
            {
                "name": robot.actuators[index],
                "on": _target(model, index),
                "gain": float(model.actuator_gainprm[index, 0]),
                "low": low if limited else None,
                "high": high if limited else None,
            }
        )
    return {
        "name": robot.name,
        "file": str(robot.path),
        "mass": float(model.body_mass.sum()),
        "bodies": bodies,
        "joints": joints,
        "actuators": actuators,
        "frames": {key: f"{frame.kind} {frame.name}" for key, frame in robot.frames.items()},
        "home": [float(value) for value in robot.home],
        "warnings": list(robot.warnings),
    }


def table(robot: Robot) -> str:
    """Return the same as lines of text."""
    told = describe(robot)
    frames = ", ".join(f"{key}: {value}" for key, value in told["frames"].items())
    lines = [
        f"{told['name']}: {len(told['bodies'])} bodies, {len(told['joints'])} joints, "
        f"{len(told['actuators'])} actuators, {told['mass']:.4g} kg",
        f"frames: {frames}",
        "",
        *_columns(
            ("body", "parent", "mass [kg]", "moments [kg m2]", "collision", "of meshes", "drawn"),
            [
                (
                    body["name"], body["parent"], f"{body['mass']:.4g}",
                    " ".join(f"{value:.2e}" for value in body["moments"]),
                    str(body["collision_shapes"]), str(body["mesh_parts"]),
                    str(body["drawn_shapes"]),
                )
                for body in told["bodies"]
            ],
        ),
    ]  # fmt: skip
    if told["joints"]:
        lines += ["", *_columns(
            ("joint", "kind", "low", "high", "effort", "speed", "follows"),
            [
                (joint["name"], joint["kind"], *(_number(joint[key]) for key in
                 ("low", "high", "effort", "velocity")), joint["follows"] or "")
                for joint in told["joints"]
            ],
        )]  # fmt: skip
    if told["actuators"]:
        lines += ["", *_columns(
            ("actuator", "on", "gain", "low", "high"),
            [
                (actuator["name"], actuator["on"], f"{actuator['gain']:.4g}",
                 _number(actuator["low"]), _number(actuator["high"]))
                for actuator in told["actuators"]
            ],
        )]  # fmt: skip
    warnings = [f"  {warning}" for warning in told["warnings"]]
    lines += [
        "",
        "changed or guessed:" if warnings else "nothing was changed or guessed",
        *warnings,
    ]
    return "\n".join(lines)


def _target(model: mujoco.MjModel, actuator: int) -> str:
    """What an actuator pulls on."""
    index = int(model.actuator_trnid[actuator, 0])
    kind = mujoco.mjtTrn(int(model.actuator_trntype[actuator]))
    named = {
        mujoco.mjtTrn.mjTRN_JOINT: model.joint,
        mujoco.mjtTrn.mjTRN_JOINTINPARENT: model.joint,
        mujoco.mjtTrn.mjTRN_TENDON: model.tendon,
        mujoco.mjtTrn.mjTRN_SITE: model.site,
        mujoco.mjtTrn.mjTRN_BODY: model.body,
    }
    words = kind.name.removeprefix("mjTRN_").lower()
    return f"{words} {named[kind](index).name}" if kind in named else words


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _columns(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Columns side by side, each as wide as its widest entry."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
