"""A front-opening unified pod (FOUP) for 25 wafers of 300 mm, without its door.

    y          | <- opening          its frame: the origin is the middle of the lowest seat,
    ^   +------+------+              z up, wafers come in along x
    |   | shelf       |
    o-> x  seat       |  <- back
        | shelf       |
        +------+------+

Source:
    SEMI E47.1, Mechanical Specification for FOUPs Used to Transport and Store 300 mm Wafers: 25
    wafers at a pitch of 10 mm. Shell, shelves and clearances are ours, of about that size.
"""

from __future__ import annotations

from typing import Any

import mujoco

SLOTS, PITCH = 25, 0.010  # distance of two seats, m
# From the middle of a seat to the side walls, the opening and the back wall: inner faces [m].
SIDE, FRONT, BACK = 0.154, 0.170, 0.156
OUTSIDE = 0.195  # half of the outer width [m]
BELOW, ABOVE = 0.030, 0.030  # from the lowest seat to the floor, from the highest to the roof [m]
# A wafer lies on four crowns in the plane of its seat, two on each shelf, and its edge can touch
# the walls in five places; both are spheres of these radii [m].
CROWNS = ((-0.07, -0.132), (-0.07, 0.132), (0.07, -0.132), (0.07, 0.132))
CROWN_RADIUS, GUIDE_RADIUS = 0.004, 0.006
GUIDES = (
    (-0.1, -SIDE - GUIDE_RADIUS), (-0.1, SIDE + GUIDE_RADIUS),
    (0.0, -SIDE - GUIDE_RADIUS), (0.0, SIDE + GUIDE_RADIUS),
    (BACK + GUIDE_RADIUS, 0.0),
)  # fmt: skip

_BOX, _SPHERE = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_SPHERE
_HIDDEN, _DRAWN = 3, 2
_WALL, _SHELF = 0.006, (0.10, 0.015, 0.001)  # thickness; half lengths of a shelf [m]
_SHELL, _SHELVES = (0.78, 0.80, 0.84, 1.0), (0.90, 0.90, 0.93, 1.0)


def foup(slots: tuple[int, ...] = tuple(range(SLOTS))) -> mujoco.MjSpec:
    """A piece with the body "foup": what is drawn, and the seats of some slots.

    Args:
        slots: From 0 at the bottom; only on these can a wafer lie.
    """
    spec = mujoco.MjSpec()
    spec.modelname = "foup"
    body = spec.worldbody.add_body(name="foup")
    add_shell(body)
    for slot in slots:
        add_seat(body, seat_height(slot), f"slot{slot}_")
    return spec


def seat_height(slot: int) -> float:
    """Height of a slot's seat above the lowest one [m].

    Raises:
        ValueError: There is no such slot.
    """
    if not 0 <= slot < SLOTS:
        raise ValueError(f"slot {slot}: 0 to {SLOTS - 1} expected")
    return slot * PITCH


def add_seat(body: Any, height: float, prefix: str, **geom: Any) -> None:
    """Give a `mujoco.MjsBody` what a wafer on one seat can touch: "crown0" to 3, "guide0" to 4.

    Args:
        body: The body.
        height: Of the seat in its frame [m].
        prefix: Before the names.
        geom: More about the geoms.
    """
    for i, (x, y) in enumerate(CROWNS):
        body.add_geom(
            name=f"{prefix}crown{i}", type=_SPHERE, size=[CROWN_RADIUS, 0, 0], mass=0.0,
            pos=[x, y, height - CROWN_RADIUS], group=_HIDDEN, **geom,
        )  # fmt: skip
    for i, (x, y) in enumerate(GUIDES):
        body.add_geom(
            name=f"{prefix}guide{i}", type=_SPHERE, size=[GUIDE_RADIUS, 0, 0], mass=0.0,
            pos=[x, y, height + 0.002], group=_HIDDEN, **geom,
        )  # fmt: skip


def add_shell(body: Any) -> None:
    """Give a `mujoco.MjsBody` walls, floor, roof and the shelves of all slots, only drawn."""
    top = (SLOTS - 1) * PITCH + ABOVE
    middle, half = 0.5 * (top - BELOW), 0.5 * (top + BELOW)
    deep, across = 0.5 * (FRONT + BACK), 0.5 * (BACK - FRONT)
    _draw(body, (deep, OUTSIDE, 0.5 * _WALL), (across, 0.0, -BELOW - 0.5 * _WALL), _SHELL)
    _draw(body, (deep, OUTSIDE, 0.5 * _WALL), (across, 0.0, top + 0.5 * _WALL), _SHELL)
    _draw(body, (0.5 * _WALL, OUTSIDE, half), (BACK + 0.5 * _WALL, 0.0, middle), _SHELL)
    flange = 0.5 * (OUTSIDE - SIDE)
    for side in (-1.0, 1.0):
        wall = (across, side * (SIDE + 0.5 * _WALL), middle)
        _draw(body, (deep, 0.5 * _WALL, half), wall, _SHELL)
        _draw(body, (0.01, flange, half), (0.01 - FRONT, side * (SIDE + flange), middle), _SHELL)
        for slot in range(SLOTS):
            seat = (0.0, side * (SIDE - _SHELF[1]), seat_height(slot) - _SHELF[2])
            _draw(body, _SHELF, seat, _SHELVES)


def _draw(body: Any, half: tuple[float, ...], pos: tuple[float, ...], colour: Any) -> None:
    body.add_geom(
        type=_BOX, size=half, pos=pos, rgba=colour, group=_DRAWN, contype=0, conaffinity=0, mass=0.0
    )
