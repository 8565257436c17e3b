"""A 300 mm silicon wafer, without its notch, as a piece to attach to a scene.

Source:
    SEMI M1, Specification for Polished Single Crystal Silicon Wafers: diameter and nominal
    thickness of the 300 mm category.
"""

from __future__ import annotations

import math
from typing import Any

import mujoco

RADIUS, THICKNESS = 0.150, 0.000775  # m
DENSITY = 2329.0  # of crystalline silicon at room temperature, kg/m3
MASS = DENSITY * math.pi * RADIUS**2 * THICKNESS  # of a bare wafer: 128 g

# Polished silicon.
COLOUR = (0.34, 0.36, 0.46, 1.0)
_CYLINDER = mujoco.mjtGeom.mjGEOM_CYLINDER


def add_wafer(body: Any, **geom: Any) -> None:
    """Give a `mujoco.MjsBody` the disc, its middle in the body's origin, its axis along z.

    Args:
        body: The body.
        geom: More about the geom, such as its name; `contype=0, conaffinity=0` only draws it.
    """
    given = {"density": DENSITY, "rgba": COLOUR, **geom}
    body.add_geom(type=_CYLINDER, size=[RADIUS, 0.5 * THICKNESS, 0.0], **given)


def wafer() -> mujoco.MjSpec:
    """A piece with the free body "wafer" and its one geom."""
    spec = mujoco.MjSpec()
    spec.modelname = "wafer"
    body = spec.worldbody.add_body(name="wafer")
    body.add_freejoint(name="wafer")
    add_wafer(body, name="wafer")
    return spec
