"""A flat belt conveyor as a piece to attach to a scene; its dimensions are free, its looks ours.

The belt is a box whose surface moves and whose body stands still: `surfacevel` of MuJoCo, the
velocity towards which friction draws what lies on it.
"""

from __future__ import annotations

import math

import mujoco

BELT = 0.04  # thickness of belt and bed [m]
RAIL = (0.03, 0.02)  # width of a side rail, and how far it stands above the belt [m]
# Friction coefficient of a rubberised belt, below which nothing else's counts; ours.
FRICTION = 0.6

_BOX, _CYLINDER = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
_HIDDEN, _DRAWN = 3, 2


def belt_conveyor(
    length: float, width: float, height: float, speed: float, *, friction: float = FRICTION
) -> mujoco.MjSpec:
    """A piece with the body "conveyor", whose origin is on the belt, in the middle of its end.

    The belt runs along x, towards that end, from x = -length to 0, and z points up.

    Args:
        length: Of the belt [m].
        width: Of the belt, without rails [m].
        height: Of the belt above the ground [m].
        speed: Of the surface [m/s]; it can be changed in every world, see `control.belt`, if it is
            not zero here.
        friction: Coefficient between the belt and what lies on it.

    Returns:
        Belt and rails collide: geoms "belt", "left_rail" and "right_rail".
    """
    spec = mujoco.MjSpec()
    spec.modelname = "conveyor"
    body = spec.worldbody.add_body(name="conveyor")
    middle = -0.5 * length
    belt = {"size": [0.5 * length, 0.5 * width, 0.5 * BELT], "pos": [middle, 0, -0.5 * BELT]}
    body.add_geom(
        name="belt", type=_BOX, friction=[friction, 0.005, 0.0001], priority=1, group=_HIDDEN,
        surfacevel=[speed, 0, 0, 0, 0, 0], **belt,
    )  # fmt: skip
    drawn = {"contype": 0, "conaffinity": 0, "group": _DRAWN}
    half = [0.5 * RAIL[0], 0.5 * (BELT + RAIL[1])]
    for name, side in (("left_rail", 1.0), ("right_rail", -1.0)):
        body.add_geom(
            name=name, type=_BOX, size=[0.5 * length, *half], group=_DRAWN,
            pos=[middle, side * (0.5 * width + half[0]), 0.5 * (RAIL[1] - BELT)],
            rgba=[0.55, 0.58, 0.62, 1.0],
        )  # fmt: skip

    # Only drawn: the belt between its drums, and the stand.
    dark, grey = [0.16, 0.17, 0.18, 1.0], [0.42, 0.45, 0.48, 1.0]
    top = [0.5 * length - 0.5 * BELT, 0.5 * width, 0.5 * BELT]
    body.add_geom(type=_BOX, size=top, pos=belt["pos"], rgba=dark, **drawn)
    across = [math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0]
    for x in (-0.5 * BELT, 0.5 * BELT - length):
        body.add_geom(
            type=_CYLINDER, size=[0.5 * BELT, 0.5 * width, 0], pos=[x, 0, -0.5 * BELT],
            quat=across, rgba=dark, **drawn,
        )  # fmt: skip
    leg = 0.5 * (height - BELT)
    for x in (-0.12, 0.12 - length):
        for side in (1.0, -1.0):
            body.add_geom(
                type=_BOX, size=[0.02, 0.02, leg], pos=[x, side * 0.5 * width, -BELT - leg],
                rgba=grey, **drawn,
            )  # fmt: skip
        body.add_geom(
            type=_BOX, size=[0.015, 0.5 * width, 0.015], pos=[x, 0, -0.7 * height], rgba=grey,
            **drawn,
        )  # fmt: skip
    body.add_geom(
        type=_BOX, size=[0.09, 0.05, 0.05], pos=[-0.3, 0.0, -BELT - 0.05],
        rgba=[0.10, 0.32, 0.55, 1.0], **drawn,
    )  # fmt: skip
    return spec
