"""How well the lanes of a map fit together where the file joins them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from proveout.assets.opendrive.cross_section import flat_offset, lane_centre
from proveout.assets.opendrive.elements import Road
from proveout.assets.opendrive.links import Joint, LaneEnd
from proveout.assets.opendrive.parse import Document


@dataclass(frozen=True)
class Gap:
    """What is between two ends of lanes that meet: of their middles, in the plane.

    Attributes:
        joint: The two.
        position: [m].
        heading: [rad].
    """

    joint: Joint
    position: float
    heading: float


def gaps(document: Document, joints: list[Joint]) -> list[Gap]:
    """The gap of every joint."""
    found = []
    for joint in joints:
        (xa, ya, ha), (xb, yb, hb) = (_pose(document, end) for end in (joint.a, joint.b))
        turn = abs(float(np.angle(np.exp(1j * (ha - hb)))))
        # Two starts, or two ends, meet head on.
        if joint.a.end == joint.b.end:
            turn = np.pi - turn
        found.append(Gap(joint, float(np.hypot(xb - xa, yb - ya)), turn))
    return found


def centre_pose(road: Road, section: int, lane: int, s: np.ndarray) -> tuple[np.ndarray, ...]:
    """x [m], y [m] of a lane's middle and its heading [rad] along s, in the plane."""
    x, y, heading, curvature, _rate = road.line.evaluate(s)
    t, slope, _second = flat_offset(road, lane_centre(road, road.sections[section], lane, s), s)
    turned = heading + np.arctan2(slope, 1.0 - curvature * t)
    return x - t * np.sin(heading), y + t * np.cos(heading), turned


def _pose(document: Document, end: LaneEnd) -> tuple[float, float, float]:
    road = document.roads[end.road]
    section = road.sections[end.section]
    # The records that hold inside the section count, not those of what lies behind its end.
    at = section.s if end.end == "start" else np.nextafter(section.end, 0.0)
    x, y, heading = centre_pose(road, end.section, end.lane, np.array([at]))
    return float(x[0]), float(y[0]), float(heading[0])
