"""Which lane of all roads a point is on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.spatial import cKDTree

from proveout.assets.opendrive.cross_section import (
    flat_offset,
    lane_at,
    lane_centre,
    lane_width,
)
from proveout.assets.opendrive.elements import Road

_SPACING = 2.0  # m between two points of a lane's middle
_MOST = 2_000_000  # points in all
_REACH = 100.0  # m
_CANDIDATES = 32
_ITERATIONS = 12
_ON_BORDER = 1e-6  # m

Found = tuple[str, int, float, float, float, bool]
"""Road, lane, s, t, offset from the lane's middle, whether it is on the lane."""


class LaneSearch:
    """Points of the middles of all lanes, for the nearest of them.

    Args:
        roads: By id.
    """

    def __init__(self, roads: Mapping[str, Road]) -> None:
        self._roads = roads
        lanes = sum(r.length * max(len(s.lanes) for s in r.sections) for r in roads.values())
        spacing = max(_SPACING, lanes / _MOST)
        places, rows = [], []
        for road in roads.values():
            for index, section in enumerate(road.sections):
                count = max(int(np.ceil((section.end - section.s) / spacing)), 1) + 1
                s = np.linspace(section.s, np.nextafter(section.end, 0.0), count)
                x, y, heading, *_ = road.line.evaluate(s)
                for lane in section.lanes:
                    width = lane_width(road, section, lane, s)
                    if lane and width.max() <= 0.0:
                        continue
                    t = flat_offset(road, lane_centre(road, section, lane, s), s)[0]
                    places.append(np.stack([x - t * np.sin(heading), y + t * np.cos(heading)], 1))
                    rows += [(road.id, index, float(at)) for at in s]
        self._rows = rows
        self._points = np.concatenate(places)
        self._tree = cKDTree(self._points)
        self._trees: dict[str, tuple[cKDTree, np.ndarray]] = {}

    def nearest(self, x: float, y: float, heading: float | None, road: str | None) -> Found | None:
        """The lane a point is on, or the nearest; see `RoadMap.locate`."""
        if not (np.isfinite(x) and np.isfinite(y)):
            return None
        tree, numbers = self._tree, None
        if road is not None:
            if road not in self._trees:
                own = np.array([i for i, row in enumerate(self._rows) if row[0] == road])
                self._trees[road] = (cKDTree(self._points[own]), own)
            tree, numbers = self._trees[road]
        distances, found = tree.query((x, y), k=_CANDIDATES, distance_upper_bound=_REACH)
        best: tuple[float, Found] | None = None
        tried: set[tuple[str, int]] = set()
        for distance, number in zip(distances, found, strict=True):
            if not np.isfinite(distance):
                break
            name, index, s = self._rows[number if numbers is None else int(numbers[number])]
            if (name, index) in tried:
                continue
            tried.add((name, index))
            rated = self._rate(self._roads[name], s, x, y, heading)
            if best is None or rated[0] < best[0]:
                best = rated
        return None if best is None else best[1]

    def _rate(
        self, road: Road, s: float, x: float, y: float, heading: float | None
    ) -> tuple[float, Found]:
        """How bad an answer is, and the answer: outside first by distance, inside by direction."""
        s, t, along = project(road, s, x, y)
        index = road.section_at(s)
        section = road.sections[index]
        number = lane_at(road, section, s, t)
        at = np.array([s])
        outside = abs(along)
        if number is None:
            number = max(section.lanes) if t > 0.0 else min(section.lanes)
            middle = float(lane_centre(road, section, number, at)[0, 0])
            half = 0.5 * float(lane_width(road, section, number, at)[0])
            outside = float(np.hypot(along, max(abs(t - middle) - half, 0.0)))
        middle = float(lane_centre(road, section, number, at)[0, 0])
        offset = t - middle
        on_road = outside <= _ON_BORDER
        badness = 10.0 + outside
        if on_road:
            # At most 1 by direction; among equals the one whose middle is nearer.
            badness = 1e-3 * min(abs(offset), 100.0)
            if heading is not None:
                direction = float(road.line.evaluate(at)[2][0])
                if road.travels(section.lanes[number]) < 0:
                    direction += np.pi
                badness += 0.5 * (1.0 - np.cos(heading - direction))
        return badness, (road.id, number, s, t, offset, on_road)


def project(road: Road, s: float, x: float, y: float) -> tuple[float, float, float]:
    """s and t [m] of a point, from a guess of s; and how far past an end of the road it is [m].

    Newton on (point - line) . tangent = 0, whose slope is 1 - curvature * offset.
    """
    along = 0.0
    for _ in range(_ITERATIONS):
        px, py, heading, curvature, _rate = (
            float(v[0]) for v in road.line.evaluate(np.array([s]))
        )  # fmt: skip
        dx, dy = x - px, y - py
        along = dx * np.cos(heading) + dy * np.sin(heading)
        flat = dy * np.cos(heading) - dx * np.sin(heading)
        step = along / max(1.0 - curvature * flat, 0.1)
        moved = min(max(s + step, 0.0), road.length)
        if abs(moved - s) < 1e-10:
            s = moved
            break
        s = moved
    px, py, heading = (float(v[0]) for v in road.line.evaluate(np.array([s]))[:3])
    dx, dy = x - px, y - py
    along = dx * np.cos(heading) + dy * np.sin(heading)
    flat = dy * np.cos(heading) - dx * np.sin(heading)
    tilt = float(road.superelevation(np.array([s]))[0])
    return s, flat / np.cos(tilt), along if abs(along) > 1e-7 else 0.0
