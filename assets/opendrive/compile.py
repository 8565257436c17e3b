"""Lane arrays from an OpenDRIVE file: each lane of each section, in the direction of its traffic.

A road of the arrays is what lanes of one road that go one way have in common between two places
where something changes: lane sections, and speed limits.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proveout.assets.files.errors import ModelError
from proveout.assets.opendrive.cross_section import (
    flat_offset,
    lane_centre,
    lane_height,
    lane_width,
)
from proveout.assets.opendrive.elements import PAVED, Lane, Road
from proveout.assets.opendrive.links import Joint, LaneEnd
from proveout.assets.opendrive.parse import Document
from proveout.assets.road import RoadNetwork, meets

Floats = NDArray[np.float64]

MAX_POINTS = 5_000_000
"""No network has more points."""

_SAG = 2e-3  # m, how far a centre line may leave the chord of two points
_FINEST = 0.05  # m between two points
_PANEL = 1.0  # m, of the quadrature of arc length; more where points lie further apart
_LEAST_LENGTH = 1e-6  # m, shorter pieces are left out
_LEAST_WIDTH = 0.01  # m, of a lane where it begins or ends
_LEAST_STRETCH = 0.02  # of a lane's middle against the reference line
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)


@dataclass(frozen=True)
class LaneOrigin:
    """Where a lane of the arrays comes from.

    Attributes:
        road: Id. section: Index. lane: Number.
        begin: s [m] of the road where traffic enters it. end: Where it leaves; smaller than `begin`
            where it goes against s.
        limited: Whether the file has a speed limit for it.
    """

    road: str
    section: int
    lane: int
    begin: float
    end: float
    limited: bool

    @property
    def travel(self) -> int:
        """+1 along s, -1 against it."""
        return 1 if self.end > self.begin else -1


def compile_network(
    document: Document,
    joints: Sequence[Joint],
    origin: tuple[float, float],
    *,
    spacing: float,
    speed_limit: float,
    kinds: Collection[str],
) -> tuple[RoadNetwork, tuple[LaneOrigin, ...]]:
    """All lanes of some types as arrays.

    Args:
        document: The file. joints: Which ends of lanes meet.
        origin: x, y [m] that is taken off all coordinates.
        spacing: Largest distance of two points [m]; less in bends.
        speed_limit: Where the file says none [m/s].
        kinds: Types of the lanes.

    Raises:
        ModelError: No lane is of such a type, or there would be too many points.
    """
    if not (np.isfinite(spacing) and spacing >= _FINEST):
        raise ModelError(f"spacing={spacing} must be finite and at least {_FINEST} m.")
    if not (np.isfinite(speed_limit) and speed_limit > 0.0):
        raise ModelError(f"speed_limit={speed_limit} must be finite and above 0.")
    pieces = [
        (road, index, a, b)
        for road in document.roads.values()
        for index in range(len(road.sections))
        for a, b in _pieces(road, index)
    ]
    total = sum((b - a) / spacing * len(r.sections[i].lanes) for r, i, a, b in pieces)
    if total > MAX_POINTS:
        raise _too_many(document, total, spacing)
    builder = _Builder(document, origin, spacing, speed_limit)
    for road, index, a, b in pieces:
        builder.add_piece(road, index, a, b, kinds)
    return builder.network(joints), tuple(builder.origins)


def _too_many(document: Document, points: float, spacing: float) -> ModelError:
    return ModelError(
        f"road file {document.reader.path} would need {points:.3g} points at {spacing:g} m; at "
        f"most {MAX_POINTS} are made: give a larger spacing."
    )


def _pieces(road: Road, index: int) -> list[tuple[float, float]]:
    """From the start to the end of a section, cut where a speed limit changes."""
    section = road.sections[index]
    cuts = {section.s, section.end}
    limits = [row for row in road.kinds if row[2] is not None]
    inner = [s for s, _kind, _limit in road.kinds] if limits else []
    inner += [
        section.s + s for lane in section.lanes.values() for s, _limit in lane.speeds if s > 0.0
    ]
    cuts.update(s for s in inner if section.s + 0.1 < s < section.end - 0.1)
    ordered = sorted(cuts)
    return [(a, b) for a, b in pairwise(ordered) if b - a > _LEAST_LENGTH]


class _Builder:
    def __init__(
        self, document: Document, origin: tuple[float, float], spacing: float, speed_limit: float
    ) -> None:
        self._document = document
        self._origin = np.array(origin)
        self._spacing = spacing
        self._speed_limit = speed_limit
        self._columns: list[dict[str, Floats]] = []
        self._lanes: list[dict[str, float]] = []
        self._roads = 0
        self._points = 0
        self.origins: list[LaneOrigin] = []

    def add_piece(self, road: Road, index: int, a: float, b: float, kinds: Collection[str]) -> None:
        """All lanes of a piece, from left to right."""
        section = road.sections[index]
        grid = np.minimum(np.linspace(a, b, 9), np.nextafter(b, a))
        wide = [
            lane for lane in section.lanes.values()
            if lane.id and lane_width(road, section, lane.id, grid).max() > _LEAST_WIDTH
        ]  # fmt: skip
        numbers: dict[int, int] = {}
        of_direction: dict[int, int] = {}
        previous: Lane | None = None
        for lane in wide:
            if lane.kind not in kinds:
                previous = None
                continue
            travel = road.travels(lane)
            if travel not in of_direction:
                of_direction[travel] = self._roads
                self._roads += 1
            number = len(self.origins)
            numbers[lane.id] = number
            self._add_lane(road, index, lane, a, b, of_direction[travel])
            if previous is not None and road.travels(previous) == travel:
                other = numbers[previous.id]
                # The previous one is to the left by s.
                left, right = (number, other) if travel > 0 else (other, number)
                self._lanes[left]["left"] = right
                self._lanes[right]["right"] = left
            previous = lane

    def _add_lane(
        self, road: Road, index: int, lane: Lane, a: float, b: float, number: int
    ) -> None:
        travel = road.travels(lane)
        if lane.direction == "both" or lane.kind == "bidirectional":
            self._document.reader.warn_of(
                f"lane {lane.id} of road {road.id!r}, line {lane.line}:",
                "is for both directions; it is used in that of its side only",
            )
        columns, length = self._sample(road, index, lane, a, b)
        if travel < 0:
            columns = {name: column[::-1] for name, column in columns.items()}
            columns["heading"] = columns["heading"] + np.pi
            columns["curvature"] = -columns["curvature"]
            columns["offset"] = -columns["offset"]
            columns["left_edge"], columns["right_edge"] = (
                columns["right_edge"], columns["left_edge"],
            )  # fmt: skip
        limit = _limit(road, index, lane, 0.5 * (a + b))
        s = columns.pop("s")
        columns["station"] = s - a if travel > 0 else b - s
        # A heading near zero is resolved best in single precision.
        columns["heading"] = columns["heading"] - 2.0 * np.pi * np.round(
            columns["heading"][0] / (2.0 * np.pi)
        )
        self._columns.append(columns)
        self._lanes.append(
            {
                "first_point": self._points, "num_points": len(s), "length": length,
                "speed_limit": self._speed_limit if limit is None else limit, "left": -1,
                "right": -1, "road": number,
            }
        )  # fmt: skip
        self._points += len(s)
        begin, end = (a, b) if travel > 0 else (b, a)
        self.origins.append(LaneOrigin(road.id, index, lane.id, begin, end, limit is not None))

    def _sample(
        self, road: Road, index: int, lane: Lane, a: float, b: float
    ) -> tuple[dict[str, Floats], float]:
        """Points along s, evenly spaced in the arc length of the lane's middle; its length."""
        last = np.nextafter(b, a)
        count = max(int(np.ceil((b - a) / max(_PANEL, 0.5 * self._spacing))), 4)
        knots = np.linspace(a, b, count + 1)
        half = 0.5 * (b - a) / count
        nodes = (knots[:-1, None] + half * (1.0 + _NODES)).ravel()
        _t, forward, sideways, _bend = _middle(road, index, lane, nodes)
        speed = np.hypot(forward, sideways).reshape(count, -1)
        arc = np.concatenate([[0.0], np.cumsum(half * (speed @ _WEIGHTS))])
        *_, tightest = _middle(road, index, lane, np.minimum(knots, last))
        bend = float(np.abs(tightest).max())
        step = self._spacing if bend == 0.0 else min(self._spacing, np.sqrt(8.0 * _SAG / bend))
        points = max(np.ceil(arc[-1] / max(step, _FINEST)) + 1.0, 2.0)
        if not self._points + points <= MAX_POINTS:
            raise _too_many(self._document, self._points + points, self._spacing)
        wanted = np.linspace(0.0, arc[-1], int(points))
        s = np.interp(wanted, arc, knots)
        for _ in range(3):
            panel = np.clip(np.searchsorted(knots, s, "right") - 1, 0, count - 1)
            width = 0.5 * (s - knots[panel])
            at = (knots[panel, None] + width[:, None] * (1.0 + _NODES)).ravel()
            _t, forward, sideways, _bend = _middle(road, index, lane, at)
            speed = np.hypot(forward, sideways).reshape(len(s), -1)
            ahead = arc[panel] + width * (speed @ _WEIGHTS) - wanted
            s = np.clip(s - ahead / np.maximum(speed[:, -1], _LEAST_STRETCH), a, b)
        inside = np.minimum(s, last)
        x, y, heading, _curvature, _rate = road.line.evaluate(inside)
        t, forward, sideways, bend_there = _middle(road, index, lane, inside)
        left, right, width_there = self._edges(road, index, lane, inside)
        across = lane_centre(road, road.sections[index], lane.id, inside)[0]
        tilt = road.superelevation(inside)
        height = lane_height(road.sections[index], lane.id, inside, 0.5)
        columns = {
            "x": x - t * np.sin(heading) - self._origin[0],
            "y": y + t * np.cos(heading) - self._origin[1],
            "heading": np.unwrap(heading + np.arctan2(sideways, forward)),
            "curvature": bend_there,
            "width": np.maximum(width_there, _LEAST_WIDTH),
            "offset": t,
            "left_edge": left,
            "right_edge": right,
            "elevation": road.elevation(inside) + across * np.sin(tilt) + height * np.cos(tilt),
            "s": s,
        }
        return columns, float(arc[-1])

    def _edges(
        self, road: Road, index: int, lane: Lane, s: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """From a lane's middle to the paved edges left and right of it, and its width, all [m]."""
        section = road.sections[index]
        shrunk = np.cos(road.superelevation(s))
        width = lane_width(road, section, lane.id, s)
        edges = []
        for step in (1, -1):
            edge = 0.5 * width
            paved = np.full(s.shape, True)
            number = lane.id + step
            while number in section.lanes:
                if number:
                    beside = lane_width(road, section, number, s)
                    paved &= (section.lanes[number].kind in PAVED) | (beside <= _LEAST_WIDTH)
                    edge = edge + np.where(paved, beside, 0.0)
                number += step
            edges.append(np.maximum(edge, 0.5 * _LEAST_WIDTH) * shrunk)
        return edges[0], edges[1], width * shrunk

    def network(self, joints: Sequence[Joint]) -> RoadNetwork:
        """The arrays."""
        if not self.origins:
            raise ModelError(
                f"road file {self._document.reader.path} has no lane to drive on; add one of type "
                "'driving'."
            )
        arrays: dict[str, Any] = {
            name: np.concatenate([columns[name] for columns in self._columns])
            for name in self._columns[0]
        }
        arrays |= {name: np.array([lane[name] for lane in self._lanes]) for name in self._lanes[0]}
        successors: list[list[int]] = [[] for _ in self.origins]
        predecessors: list[list[int]] = [[] for _ in self.origins]
        for before, after, line in self._edges_of_graph(joints):
            if after in successors[before]:
                continue
            if meets(arrays, before, after):
                successors[before].append(after)
                predecessors[after].append(before)
            else:
                a, b = self.origins[before], self.origins[after]
                self._document.reader.warn_of(
                    f"line {line}:",
                    f"lane {a.lane} of road {a.road!r} does not end where lane {b.lane} of road "
                    f"{b.road!r} begins; the link is left out",
                )
        return RoadNetwork(
            **arrays,
            successors=tuple(tuple(lanes) for lanes in successors),
            predecessors=tuple(tuple(lanes) for lanes in predecessors),
        )

    def _edges_of_graph(self, joints: Sequence[Joint]) -> list[tuple[int, int, int]]:
        """Pairs of lanes, one going on to the other, and the line that says so."""
        entries: dict[LaneEnd, int] = {}
        exits: dict[LaneEnd, int] = {}
        pairs = []
        previous: dict[tuple[str, int, int], int] = {}
        for number, lane in enumerate(self.origins):
            section = self._document.roads[lane.road].sections[lane.section]
            for ends, s in ((entries, lane.begin), (exits, lane.end)):
                if s == section.s:
                    ends[LaneEnd(lane.road, lane.section, lane.lane, "start")] = number
                elif s == section.end:
                    ends[LaneEnd(lane.road, lane.section, lane.lane, "end")] = number
            key = (lane.road, lane.section, lane.lane)
            if key in previous:
                other = previous[key]
                pairs.append((other, number, 0) if lane.travel > 0 else (number, other, 0))
            previous[key] = number
        for joint in joints:
            for a, b in ((joint.a, joint.b), (joint.b, joint.a)):
                if a in exits and b in entries:
                    pairs.append((exits[a], entries[b], joint.line))
            if (joint.a in exits and joint.b in exits) or (
                joint.a in entries and joint.b in entries
            ):
                self._document.reader.warn_of(
                    f"line {joint.line}:",
                    f"lane {joint.a.lane} of road {joint.a.road!r} and lane {joint.b.lane} of road "
                    f"{joint.b.road!r} meet head on; the link is left out",
                )
        return pairs


def _limit(road: Road, index: int, lane: Lane, s: float) -> float | None:
    """The limit at s [m/s]: of the lane, else of the road, else None."""
    limit: float | None = None
    for start, _kind, of_road in road.kinds:
        if start <= s:
            limit = of_road
    for start, of_lane in lane.speeds:
        if road.sections[index].s + start <= s:
            limit = of_lane
    return limit


def _middle(road: Road, index: int, lane: Lane, s: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Of a lane's middle in the plane: offset [m], its derivative by s along and across the
    reference line, and curvature [1/m].

    The parallel curve of varying offset T: (1 - k T, T') by s, turned with the line.
    """
    section = road.sections[index]
    *_place, curvature, rate = road.line.evaluate(s)
    t, slope, second = flat_offset(road, lane_centre(road, section, lane.id, s), s)
    forward = np.maximum(1.0 - curvature * t, _LEAST_STRETCH)
    forward_rate = -rate * t - curvature * slope
    square = forward**2 + slope**2
    turn = curvature + (forward * second - slope * forward_rate) / square
    return t, forward, slope, turn / np.sqrt(square)
