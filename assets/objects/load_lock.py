"""A load lock for one 300 mm wafer: a chamber with a slot in its wall, and three pins.

Its frame: the origin is the middle of the seat on the pins, z up, wafers come in along x. All
numbers are ours.
"""

from __future__ import annotations

from typing import Any

import mujoco

# Where the crowns of the pins are [m]: one between the tines of a fork, two beside them.
PINS = ((0.105, 0.0), (-0.055, -0.112), (-0.055, 0.112))
PIN_RADIUS = 0.004
# From the seat to the wall with the slot; half of the slot's width; its lower and upper edge [m].
WALL, SLOT, SILL, LINTEL = 0.190, 0.160, -0.015, 0.022
# Where the edge of a wafer can touch the jambs of the slot: two spheres of this radius [m].
GUIDE_RADIUS = 0.006
GUIDES = ((-WALL, -SLOT - GUIDE_RADIUS), (-WALL, SLOT + GUIDE_RADIUS))

_OUTSIDE, _BACK, _FLOOR, _ROOF, _PANEL = 0.215, 0.200, -0.030, 0.050, 0.006  # m
_BOX, _SPHERE = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_SPHERE
_CYLINDER = mujoco.mjtGeom.mjGEOM_CYLINDER
_HIDDEN, _DRAWN = 3, 2
_STEEL, _DARK = (0.62, 0.65, 0.68, 1.0), (0.25, 0.27, 0.30, 1.0)


def load_lock(*, roof: bool = True) -> mujoco.MjSpec:
    """A piece with the body "load_lock".

    Args:
        roof: Without it one sees what is inside.
    """
    spec = mujoco.MjSpec()
    spec.modelname = "load_lock"
    body = spec.worldbody.add_body(name="load_lock")
    add_chamber(body, roof=roof)
    add_pins(body)
    return spec


def add_pins(body: Any, **geom: Any) -> None:
    """Give a `mujoco.MjsBody` what a wafer can touch: "pin0" to 2, "jamb0" and 1.

    Args:
        body: The body.
        geom: More about the geoms.
    """
    for i, (x, y) in enumerate(PINS):
        body.add_geom(
            name=f"pin{i}", type=_SPHERE, size=[PIN_RADIUS, 0, 0], pos=[x, y, -PIN_RADIUS],
            group=_HIDDEN, mass=0.0, **geom,
        )  # fmt: skip
    for i, (x, y) in enumerate(GUIDES):
        body.add_geom(
            name=f"jamb{i}", type=_SPHERE, size=[GUIDE_RADIUS, 0, 0], pos=[x, y, 0.003],
            group=_HIDDEN, mass=0.0, **geom,
        )  # fmt: skip


def add_chamber(body: Any, *, roof: bool = True) -> None:
    """Give a `mujoco.MjsBody` the chamber and the shafts of the pins, only drawn."""
    deep, across = 0.5 * (WALL + _BACK), 0.5 * (_BACK - WALL)
    half, middle = 0.5 * (_ROOF - _FLOOR), 0.5 * (_ROOF + _FLOOR)
    jamb, thick = 0.5 * (_OUTSIDE - SLOT), 0.5 * _PANEL
    _draw(body, (deep, _OUTSIDE, thick), (across, 0.0, _FLOOR - thick), _STEEL)
    _draw(body, (thick, _OUTSIDE, half), (_BACK - thick, 0.0, middle), _STEEL)
    for low, high in ((_FLOOR, SILL), (LINTEL, _ROOF)):
        band = (-WALL, 0.0, 0.5 * (low + high))
        _draw(body, (thick, SLOT, 0.5 * (high - low)), band, _STEEL)
    for side in (-1.0, 1.0):
        _draw(body, (deep, thick, half), (across, side * (_OUTSIDE - thick), middle), _STEEL)
        _draw(body, (thick, jamb, half), (-WALL, side * (SLOT + jamb), middle), _STEEL)
    if roof:
        _draw(body, (deep, _OUTSIDE, thick), (across, 0.0, _ROOF + thick), _STEEL)
    for x, y in PINS:
        body.add_geom(
            type=_CYLINDER, size=[PIN_RADIUS, -0.5 * _FLOOR, 0], pos=[x, y, 0.5 * _FLOOR],
            rgba=_DARK, group=_DRAWN, contype=0, conaffinity=0, mass=0.0,
        )  # fmt: skip


def _draw(body: Any, half: tuple[float, ...], pos: tuple[float, ...], colour: Any) -> None:
    body.add_geom(
        type=_BOX, size=half, pos=pos, rgba=colour, group=_DRAWN, contype=0, conaffinity=0, mass=0.0
    )
