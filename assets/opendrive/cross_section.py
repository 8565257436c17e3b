"""Across a road: where its lanes lie, and points of its surface.

`t` is measured along the road's surface, which superelevation tilts about the reference line (ASAM
OpenDRIVE 1.8, 8.3): in the plane it shrinks by the cosine of the angle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from proveout.assets.opendrive.elements import Lane, LaneSection, Road

Floats = NDArray[np.float64]


def outer_border(road: Road, section: LaneSection, lane: int, s: Floats) -> Floats:
    """t [m] of a lane's outer border and its first two derivatives by s, shape (3, n).

    Lane 0 has its middle there, which is shifted by the lane offset.
    """
    s = np.asarray(s, np.float64)
    t = np.stack([road.lane_offset(s, order) for order in range(3)])
    side = 1 if lane > 0 else -1
    for number in range(side, lane + side, side) if lane else ():
        inner = section.lanes.get(number)
        if inner is not None and inner.borders is not None:
            t = np.stack([inner.borders(s - section.s, order) for order in range(3)])
            # Whether the file counts distances or coordinates, the lane is on its side.
            t = t * np.where(t[0] * side < 0.0, -1.0, 1.0)
        elif inner is not None and inner.widths is not None:
            t = t + side * _width(inner, section, s)
    return t


def lane_width(road: Road, section: LaneSection, lane: int, s: Floats) -> Floats:
    """Width [m] of a lane at each s, at least 0."""
    found = section.lanes.get(lane)
    if lane == 0 or found is None:
        return np.zeros(np.shape(s))
    if found.widths is not None:
        return _width(found, section, np.asarray(s, np.float64))[0]
    side = 1 if lane > 0 else -1
    outer, inner = (outer_border(road, section, k, s)[0] for k in (lane, lane - side))
    return np.maximum(side * (outer - inner), 0.0)


def lane_centre(road: Road, section: LaneSection, lane: int, s: Floats) -> Floats:
    """t [m] of a lane's middle and its first two derivatives by s, shape (3, n)."""
    if lane == 0:
        return outer_border(road, section, 0, s)
    inner = lane - (1 if lane > 0 else -1)
    return 0.5 * (outer_border(road, section, lane, s) + outer_border(road, section, inner, s))


def flat_offset(road: Road, t: Floats, s: Floats) -> Floats:
    """t with derivatives, (3, n), as it appears in the plane: times cos(superelevation)."""
    if len(road.superelevation.start) == 0:
        return t
    angle, rate, second = (road.superelevation(s, order) for order in range(3))
    c, d = np.cos(angle), np.sin(angle)
    return np.stack(
        [
            t[0] * c,
            t[1] * c - t[0] * d * rate,
            t[2] * c - 2.0 * t[1] * d * rate - t[0] * (c * rate**2 + d * second),
        ]
    )


def surface_point(road: Road, s: Floats, t: Floats, h: Floats | float = 0.0) -> Floats:
    """x, y, z [m] at s, t and height h above the surface [m], shape (n, 3)."""
    x, y, heading, _curvature, _rate = road.line.evaluate(s)
    angle = road.superelevation(s)
    across = t * np.cos(angle) - h * np.sin(angle)
    up = road.elevation(s) + t * np.sin(angle) + h * np.cos(angle)
    return np.stack([x - across * np.sin(heading), y + across * np.cos(heading), up], -1)


def lane_height(section: LaneSection, lane: int, s: Floats, across: float) -> Floats:
    """Height [m] of a lane above the road, `across` from 0 at its inner border to 1 at its outer.

    A record holds up to the next.
    """
    s = np.asarray(s, np.float64)
    rows = section.lanes[lane].heights if lane in section.lanes else ()
    if not rows:
        return np.zeros(s.shape)
    starts, inner, outer = np.array(rows, np.float64).T
    index = np.searchsorted(starts, s - section.s, side="right") - 1
    height = (1.0 - across) * inner[index] + across * outer[index]
    return np.where(index >= 0, height, 0.0)


def lane_at(road: Road, section: LaneSection, s: float, t: float) -> int | None:
    """The lane at s, t; None beyond the outermost borders.

    On a border it is the lane on its right; where all lanes there have no width, lane 0.
    """
    at = np.array([s])
    middle = float(outer_border(road, section, 0, at)[0, 0])
    if t == middle:
        return -1 if -1 in section.lanes else (1 if 1 in section.lanes else 0)
    side = 1 if t > middle else -1
    lane = side
    while lane in section.lanes:
        if side * (t - float(outer_border(road, section, lane, at)[0, 0])) <= 0.0:
            return lane
        lane += side
    return None


def _width(lane: Lane, section: LaneSection, s: Floats) -> Floats:
    """Width with derivatives, (3, n); not below 0."""
    assert lane.widths is not None
    width = np.stack([lane.widths(s - section.s, order) for order in range(3)])
    return np.where(width[0] > 0.0, width, 0.0)
