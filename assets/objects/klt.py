"""Small load carriers (KLT) of the automotive industry, as pieces to attach to a scene.

Source:
    VDA 4500, "Kleinladungstraeger (KLT)-System": plans of 300 x 200, 400 x 300 and 600 x 400 mm
    nominal with their outer and inner dimensions, heights of 147.5 and 280 mm. The thickness of the
    floor, the density and so the mass are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco

from proveout.assets.files.errors import unknown


@dataclass(frozen=True)
class Klt:
    """Dimensions of a bin [m].

    Attributes:
        outer: Length, width and height.
        inner: Length and width between the walls at the floor, which ribs and grips make thick.
    """

    outer: tuple[float, float, float]
    inner: tuple[float, float]


# The first digits are length and width in decimetres, the last ones the height.
KLT = {
    "3147": Klt((0.297, 0.198, 0.1475), (0.243, 0.162)),
    "4147": Klt((0.396, 0.297, 0.1475), (0.346, 0.265)),
    "4280": Klt((0.396, 0.297, 0.280), (0.346, 0.265)),
    "6147": Klt((0.594, 0.396, 0.1475), (0.544, 0.364)),
    "6280": Klt((0.594, 0.396, 0.280), (0.544, 0.364)),
}
FLOOR = 0.018  # m
SKIN = 0.003  # thickness of the plastic that has the mass [m]
POLYPROPYLENE = 905.0  # kg/m3

_BOX = mujoco.mjtGeom.mjGEOM_BOX


def klt(kind: str, *, free: bool = True, load: float = 0.0) -> mujoco.MjSpec:
    """An open bin: the body "klt", whose origin is below the middle of its floor.

    Args:
        kind: One of `KLT`, such as "6280".
        free: With a free joint.
        load: Mass on its floor [kg], spread evenly.

    Returns:
        Its five boxes, "floor" and four walls, are drawn and collide.

    Raises:
        UnknownNameError: No such kind.
    """
    if kind not in KLT:
        raise unknown("KLT", kind, sorted(KLT))
    (length, width, height), (clear_x, clear_y) = KLT[kind].outer, KLT[kind].inner
    spec = mujoco.MjSpec()
    spec.modelname = "klt"
    body = spec.worldbody.add_body(name="klt")
    if free:
        body.add_freejoint(name="klt")
    wall = 0.5 * (height - FLOOR)
    thick_x, thick_y = 0.25 * (length - clear_x), 0.25 * (width - clear_y)
    skin = SKIN * POLYPROPYLENE
    x, y, z = 0.5 * length - thick_x, 0.5 * width - thick_y, FLOOR + wall
    for name, half, pos, mass in (
        ("floor", (0.5 * length, 0.5 * width, 0.5 * FLOOR), (0.0, 0.0, 0.5 * FLOOR),
         skin * length * width + load),
        ("front", (thick_x, 0.5 * width, wall), (x, 0.0, z), skin * width * height),
        ("back", (thick_x, 0.5 * width, wall), (-x, 0.0, z), skin * width * height),
        ("left", (0.5 * clear_x, thick_y, wall), (0.0, y, z), skin * length * height),
        ("right", (0.5 * clear_x, thick_y, wall), (0.0, -y, z), skin * length * height),
    ):  # fmt: skip
        body.add_geom(
            name=name, type=_BOX, size=half, pos=pos, mass=mass, friction=[0.35, 0.005, 0.0001],
            rgba=[0.35, 0.42, 0.55, 1.0],
        )  # fmt: skip
    return spec
