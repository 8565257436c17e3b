"""Cartons on the modules of ISO 3394, as pieces to attach to a scene.

Source:
    Plan dimensions: ISO 3394, "Packaging - Complete, filled transport packages and unit loads -
    Dimensions of rigid rectangular packages": base module 600 x 400 mm, and its fractions, which
    are largest outer dimensions. Heights, masses, friction and the tape across the lid are ours.
"""

from __future__ import annotations

import mujoco

MODULE = (0.6, 0.4)  # m; four by two, turned and not, fill a Euro pallet
QUARTER_MODULE = (0.3, 0.2)
# Friction coefficient of corrugated board on itself, on a belt and on wood; ours, mid-range.
FRICTION = 0.5
_TAPE = 0.048  # width of adhesive tape [m]
_BOX = mujoco.mjtGeom.mjGEOM_BOX
_HIDDEN, _DRAWN = 3, 2
_BOARD_COLOUR, _TAPE_COLOUR = (0.72, 0.53, 0.33, 1.0), (0.85, 0.74, 0.55, 1.0)


def carton(
    size: tuple[float, float, float],
    mass: float,
    *,
    name: str = "carton",
    friction: float = FRICTION,
    free: bool = True,
) -> mujoco.MjSpec:
    """A piece with one body, whose origin is in its middle.

    Args:
        size: Whole lengths [m].
        mass: Of carton and contents, spread evenly [kg].
        name: Of the body, of its free joint and of its box.
        friction: Coefficient of its faces, where the other thing's is no larger.
        free: With a free joint; without one it stands where it is attached.

    Returns:
        The box collides, in geom group 3; what is drawn, with a tape, is in group 2.
    """
    spec = mujoco.MjSpec()
    spec.modelname = "carton"
    body = spec.worldbody.add_body(name=name)
    if free:
        body.add_freejoint(name=name)
    half = [0.5 * s for s in size]
    body.add_geom(
        name=name, type=_BOX, size=half, mass=mass, friction=[friction, 0.005, 0.0001],
        group=_HIDDEN, rgba=_BOARD_COLOUR,
    )  # fmt: skip
    drawn = {"type": _BOX, "contype": 0, "conaffinity": 0, "mass": 0.0, "group": _DRAWN}
    body.add_geom(size=half, rgba=_BOARD_COLOUR, **drawn)
    flap = 0.35 * size[2]  # the tape reaches down the short sides
    for sizes, pos in (
        ((half[0] + 2e-4, 0.5 * _TAPE, 1e-4), (0.0, 0.0, half[2] + 1e-4)),
        ((1e-4, 0.5 * _TAPE, 0.5 * flap), (half[0] + 1e-4, 0, half[2] - 0.5 * flap)),
        ((1e-4, 0.5 * _TAPE, 0.5 * flap), (-half[0] - 1e-4, 0, half[2] - 0.5 * flap)),
    ):
        body.add_geom(size=sizes, pos=pos, rgba=_TAPE_COLOUR, **drawn)
    return spec
