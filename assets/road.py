"""Road networks on the host: lanes as centre lines sampled uniformly in arc length.

Everything the road engine needs is in flat arrays, whatever the source of the road. Coordinates
follow OpenDRIVE: a road has a reference line; `station` is the arc length along it, `offset` the
lateral distance from it (left positive). A lane has an arc length `s` of its own, along its centre
line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proveout.assets.files.errors import ModelError

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

Links = tuple[tuple[int, ...], ...]
"""For each lane, the lanes that it is linked to."""

Segment = tuple[float, float, float]
"""Length [m], curvature at the start [1/m], curvature at the end [1/m] (linear in between)."""

_POINT_FIELDS = (
    "x",
    "y",
    "heading",
    "curvature",
    "width",
    "station",
    "offset",
    "left_edge",
    "right_edge",
    "elevation",
)
_LANE_FIELDS = (
    "first_point",
    "num_points",
    "length",
    "speed_limit",
    "left",
    "right",
    "road",
)
_BESIDE = ("left", "right")
_LINKS = ("successors", "predecessors")
# Largest gap between the end of a lane and the start of its successor [m], along it; across it, as
# far beyond the successor's border.
_JOINT_TOLERANCE = 0.1
# A parallel curve degenerates where 1 - curvature * offset reaches zero; stay clear of it.
_MINIMUM_STRETCH = 0.1
# Longest panel of the quadrature along the reference line [m].
_PANEL = 1.0


@dataclass(frozen=True, eq=False)
class RoadMesh:
    """A part of a road to be drawn.

    Attributes:
        material: "asphalt", "marking", "yellow", "pavement", "curb" or "verge".
        vertices: (n, 3) [m]. faces: (m, 3), counterclockwise from above.
    """

    material: str
    vertices: Floats
    faces: Ints


@dataclass(frozen=True, eq=False, kw_only=True)
class RoadNetwork:
    """Lanes of all roads in one flat set.

    Point arrays, shape (total_points,), sampled at s = k * step of the lane:
        x, y: centre line [m]. heading: tangent [rad], continuous along a lane. curvature [1/m],
        left positive. width: of the lane [m]. station, offset: position in the road's
        reference-line coordinates [m]. left_edge, right_edge: distance from the centre line to
        the left and right edge of the paved road [m], both positive. elevation: height of the
        centre line [m], for pictures only; 0 by default.
    Lane arrays, shape (num_lanes,):
        first_point: index of the first point. num_points. length [m]. speed_limit [m/s].
        left, right: neighbour lane, -1 for none. road: id of the road.
    Lists of each lane:
        successors, predecessors: lanes that go on past the end, or before the start; several where
        the road forks or joins, none where it ends.
    meshes: what a picture shows; without any, a motorway is drawn along every lane.

    Raises:
        ModelError: arrays that do not fit together.
    """

    x: Floats
    y: Floats
    heading: Floats
    curvature: Floats
    width: Floats
    station: Floats
    offset: Floats
    left_edge: Floats
    right_edge: Floats
    first_point: Ints
    num_points: Ints
    length: Floats
    speed_limit: Floats
    left: Ints
    right: Ints
    road: Ints
    successors: Links
    predecessors: Links
    elevation: Floats = field(default_factory=lambda: np.zeros(0))
    meshes: tuple[RoadMesh, ...] = ()

    def __post_init__(self) -> None:
        for name in _LINKS:
            links = tuple(tuple(int(lane) for lane in lanes) for lanes in getattr(self, name))
            object.__setattr__(self, name, links)
        if np.size(self.elevation) == 0:
            object.__setattr__(self, "elevation", np.zeros(np.shape(self.x)))
        for item in fields(self):
            if item.name in _LINKS or item.name == "meshes":
                continue
            integer = item.type is Ints
            array = np.array(getattr(self, item.name), np.int32 if integer else np.float64)
            array.setflags(write=False)
            object.__setattr__(self, item.name, array)
        self._validate()

    @property
    def num_lanes(self) -> int:
        return len(self.length)

    @property
    def step(self) -> Floats:
        """Arc length between two points of each lane [m], shape (num_lanes,)."""
        return self.length / (self.num_points - 1)

    @property
    def road_length(self) -> Floats:
        """Length of the reference line of each lane's road [m], shape (num_lanes,)."""
        last = self.station[self.first_point + self.num_points - 1]
        return np.array([last[self.road == road].max() for road in self.road], np.float64)

    def points(self, lane: int) -> slice:
        """Slice of the point arrays that belongs to `lane`."""
        first = int(self.first_point[lane])
        return slice(first, first + int(self.num_points[lane]))

    def _validate(self) -> None:
        for names, count in ((_POINT_FIELDS, self.x.size), (_LANE_FIELDS, self.length.size)):
            for name in names:
                array = getattr(self, name)
                if array.shape != (count,):
                    raise ModelError(
                        f"RoadNetwork.{name} has shape {array.shape}, expected ({count},)."
                    )
                if not np.all(np.isfinite(array)):
                    raise ModelError(f"RoadNetwork.{name} holds a value that is not finite.")
        if self.num_lanes == 0:
            raise ModelError("RoadNetwork has no lanes; give at least one.")
        if np.any(self.num_points < 2) or np.any(self.length <= 0.0):
            raise ModelError("Every lane of a RoadNetwork needs two points and a positive length.")
        if np.any(self.first_point < 0) or np.any(self.first_point + self.num_points > self.x.size):
            raise ModelError("RoadNetwork.first_point and num_points reach past the point arrays.")
        if np.any(self.width <= 0.0):
            raise ModelError("RoadNetwork.width must be positive at every point.")
        for name in _BESIDE:
            link = getattr(self, name)
            if np.any((link < -1) | (link >= self.num_lanes)):
                raise ModelError(
                    f"RoadNetwork.{name} names a lane outside -1 ... {self.num_lanes - 1}."
                )
        for name in _LINKS:
            links = getattr(self, name)
            if len(links) != self.num_lanes:
                raise ModelError(
                    f"RoadNetwork.{name} has {len(links)} lists, expected one for each of "
                    f"{self.num_lanes} lanes."
                )
            for lanes in links:
                if any(not 0 <= lane < self.num_lanes for lane in lanes):
                    raise ModelError(
                        f"RoadNetwork.{name} names a lane outside 0 ... {self.num_lanes - 1}."
                    )
                if len(set(lanes)) != len(lanes):
                    raise ModelError(f"RoadNetwork.{name} names a lane twice in {lanes}.")
        arrays = {name: getattr(self, name) for name in (*_POINT_FIELDS, *_LANE_FIELDS)}
        for lane, following in enumerate(self.successors):
            for successor in following:
                if not meets(arrays, lane, successor):
                    gap = float(np.hypot(*_gap(arrays, lane, successor)[0]))
                    raise ModelError(
                        f"Lane {lane} ends {gap:.2f} m from the start of its successor "
                        f"{successor}; they must meet within {_JOINT_TOLERANCE} m."
                    )


def meets(arrays: Mapping[str, NDArray], lane: int, successor: int) -> bool:
    """Whether a lane ends where another begins: on it, as a lane that merges does.

    arrays: Those of a `RoadNetwork`, by name.
    """
    (along, across), half_width = _gap(arrays, lane, successor)
    return abs(along) <= _JOINT_TOLERANCE and abs(across) <= half_width + _JOINT_TOLERANCE


def _gap(
    arrays: Mapping[str, NDArray], lane: int, successor: int
) -> tuple[tuple[float, float], float]:
    """From a lane's end to the start of another, along it and across it, and half the width of the
    wider of both there [m]."""
    end = int(arrays["first_point"][lane] + arrays["num_points"][lane] - 1)
    start = int(arrays["first_point"][successor])
    dx, dy = (float(arrays[name][start] - arrays[name][end]) for name in ("x", "y"))
    cos, sin = np.cos(arrays["heading"][start]), np.sin(arrays["heading"][start])
    half = 0.5 * float(max(arrays["width"][start], arrays["width"][end]))
    return (dx * cos + dy * sin, dy * cos - dx * sin), half


class _ReferenceLine:
    """Curve of piecewise linear curvature through the given start pose."""

    # Gauss-Legendre with five nodes on panels of a metre leaves only rounding errors.
    _NODES, _WEIGHTS = np.polynomial.legendre.leggauss(5)

    def __init__(self, segments: Sequence[Segment], start: tuple[float, float, float]) -> None:
        table = np.array(segments, np.float64)
        if table.ndim != 2 or table.shape[1:] != (3,) or len(table) == 0:
            raise ModelError("segments must be a list of (length, start curvature, end curvature).")
        if not np.all(np.isfinite(table)) or np.any(table[:, 0] <= 0.0):
            raise ModelError("Every segment needs a positive length and finite curvatures.")
        self._length, self._k0, self._k1 = table.T
        turn = 0.5 * (self._k0 + self._k1) * self._length
        self._start = np.concatenate([[0.0], np.cumsum(self._length)[:-1]])
        self._heading = start[2] + np.concatenate([[0.0], np.cumsum(turn)[:-1]])
        self.length = float(self._length.sum())
        self.start_heading = start[2]
        panels = [
            np.linspace(begin, begin + length, int(np.ceil(length / _PANEL)) + 1)[:-1]
            for begin, length in zip(self._start, self._length, strict=True)
        ]
        self._knots = np.concatenate([*panels, [self.length]])
        steps = self._integrate(self._knots[:-1], self._knots[1:])
        self._position = np.array(start[:2]) + np.vstack([np.zeros(2), np.cumsum(steps, axis=0)])

    def _segment(self, station: Floats) -> Ints:
        index = np.searchsorted(self._start, station, side="right") - 1
        return np.clip(index, 0, len(self._start) - 1).astype(np.int32)

    def curvature(self, station: Floats) -> Floats:
        i = self._segment(station)
        u = (station - self._start[i]) / self._length[i]
        return self._k0[i] + (self._k1[i] - self._k0[i]) * u

    def heading(self, station: Floats) -> Floats:
        i = self._segment(station)
        u = station - self._start[i]
        slope = (self._k1[i] - self._k0[i]) / self._length[i]
        return self._heading[i] + u * (self._k0[i] + 0.5 * slope * u)

    def position(self, station: Floats) -> Floats:
        """Position [m], shape (n, 2)."""
        i = np.clip(np.searchsorted(self._knots, station, "right") - 1, 0, len(self._knots) - 2)
        return self._position[i] + self._integrate(self._knots[i], station)

    def _integrate(self, begin: Floats, end: Floats) -> Floats:
        half = 0.5 * (end - begin)
        heading = self.heading(0.5 * (begin + end)[:, None] + half[:, None] * self._NODES)
        return np.stack(
            [half * (np.cos(heading) @ self._WEIGHTS), half * (np.sin(heading) @ self._WEIGHTS)], 1
        )

    def parallel_length(self, offset: float) -> float:
        """Length of the parallel curve at `offset` [m]: ds = (1 - curvature offset) dstation."""
        end = self.heading(np.array([self.length]))[0]
        return self.length - offset * float(end - self.start_heading)

    def station_of(self, s: Floats, offset: float) -> Floats:
        """Stations at which the parallel curve at `offset` has the arc lengths `s`."""
        arc = self._knots - offset * (self.heading(self._knots) - self.start_heading)
        station = np.interp(s, arc, self._knots)
        for _ in range(4):
            residual = station - offset * (self.heading(station) - self.start_heading) - s
            station = station - residual / (1.0 - self.curvature(station) * offset)
            station = np.clip(station, 0.0, self.length)
        return station


def bend(radius: float, angle: float, transition: float) -> list[Segment]:
    """Clothoid, arc, clothoid.

    Args:
        radius: of the arc [m].
        angle: total change of heading [rad], left positive.
        transition: length of each clothoid [m].
    """
    arc = radius * abs(angle) - transition
    if radius <= 0.0 or transition <= 0.0 or arc <= 0.0:
        raise ModelError(
            f"A bend of radius {radius} m over {angle} rad has no room for two clothoids of "
            f"{transition} m; shorten transition."
        )
    curvature = float(np.copysign(1.0 / radius, angle))
    return [
        (transition, 0.0, curvature),
        (arc, curvature, curvature),
        (transition, curvature, 0.0),
    ]


def motorway(
    lanes: int = 3,
    length: float = 3000.0,
    lane_width: float = 3.5,
    speed_limit: float = 36.1,
    segments: Sequence[Segment] | None = None,
    *,
    spacing: float = 1.0,
    start: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> RoadNetwork:
    """One carriageway of parallel lanes; lane 0 is the rightmost, the reference line is the middle.

    Args:
        lanes: number of lanes.
        length: of the straight road [m]; unused where `segments` are given.
        lane_width: [m].
        speed_limit: [m/s].
        segments: reference line as (length [m], start curvature, end curvature [1/m]).
        spacing: aimed arc length between points [m]; each lane takes the nearest that divides it.
        start: x [m], y [m] and heading [rad] of the reference line's first point.

    Raises:
        ModelError: a value out of range, or curvature too tight for the offset of a lane.
    """
    if lanes < 1:
        raise ModelError(f"A motorway needs at least one lane, not {lanes}.")
    for name, value in (("length", length), ("lane_width", lane_width), ("spacing", spacing)):
        if not (np.isfinite(value) and value > 0.0):
            raise ModelError(f"motorway({name}={value}) must be positive and finite.")
    line = _ReferenceLine([(length, 0.0, 0.0)] if segments is None else segments, start)
    half_road = 0.5 * lanes * lane_width
    tightest = max(max(abs(k0), abs(k1)) for _, k0, k1 in segments or [(length, 0.0, 0.0)])
    if 1.0 - tightest * half_road < _MINIMUM_STRETCH:
        raise ModelError(
            f"A curvature of {tightest:.4g} 1/m is too tight for {lanes} lanes of {lane_width} m."
        )

    points: dict[str, list[Floats]] = {name: [] for name in _POINT_FIELDS}
    counts, lengths = [], []
    for lane in range(lanes):
        offset = (lane + 0.5) * lane_width - half_road
        lane_length = line.parallel_length(offset)
        count = max(round(lane_length / spacing), 1) + 1
        station = line.station_of(np.linspace(0.0, lane_length, count), offset)
        heading, curvature = line.heading(station), line.curvature(station)
        normal = np.stack([-np.sin(heading), np.cos(heading)], 1)
        position = line.position(station) + offset * normal
        values = {
            "x": position[:, 0],
            "y": position[:, 1],
            "heading": heading,
            "curvature": curvature / (1.0 - curvature * offset),
            "width": np.full(count, lane_width),
            "station": station,
            "offset": np.full(count, offset),
            "left_edge": np.full(count, half_road - offset),
            "right_edge": np.full(count, half_road + offset),
            "elevation": np.zeros(count),
        }
        for name, column in values.items():
            points[name].append(column)
        counts.append(count)
        lengths.append(lane_length)
    index = np.arange(lanes)
    arrays: dict[str, Any] = {name: np.concatenate(values) for name, values in points.items()}
    return RoadNetwork(
        **arrays,
        first_point=np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32),
        num_points=np.array(counts, np.int32),
        length=np.array(lengths),
        speed_limit=np.full(lanes, float(speed_limit)),
        left=np.where(index + 1 < lanes, index + 1, -1).astype(np.int32),
        right=(index - 1).astype(np.int32),
        road=np.zeros(lanes, np.int32),
        successors=((),) * lanes,
        predecessors=((),) * lanes,
    )


def join(*networks: RoadNetwork) -> RoadNetwork:
    """All lanes of all networks in one; lane, point and road ids of later networks move up."""
    if not networks:
        raise ModelError("join() needs at least one network.")
    parts: dict[str, list[NDArray]] = {name: [] for name in (*_POINT_FIELDS, *_LANE_FIELDS)}
    links: dict[str, Any] = dict.fromkeys(_LINKS, ())
    lane_base = point_base = road_base = 0
    for network in networks:
        for name, part in parts.items():
            array = getattr(network, name)
            if name in _BESIDE:
                array = np.where(array >= 0, array + lane_base, -1)
            elif name == "first_point":
                array = array + point_base
            elif name == "road":
                array = array + road_base
            part.append(array)
        for name in _LINKS:
            links[name] += tuple(
                tuple(lane + lane_base for lane in lanes) for lanes in getattr(network, name)
            )
        lane_base += network.num_lanes
        point_base += network.x.size
        road_base += int(network.road.max()) + 1
    arrays: dict[str, Any] = {name: np.concatenate(part) for name, part in parts.items()}
    meshes = tuple(mesh for network in networks for mesh in network.meshes)
    return RoadNetwork(**arrays, **links, meshes=meshes)


def connect(network: RoadNetwork, links: Mapping[int, Sequence[int]]) -> RoadNetwork:
    """Let lanes go on to others, besides those that they go on to already.

    Args:
        network: Of all these lanes, as `join` makes it.
        links: For a lane, those that begin where it ends.

    Raises:
        ModelError: A lane that is not there, is named twice, or begins elsewhere.
    """
    successors = [list(lanes) for lanes in network.successors]
    predecessors = [list(lanes) for lanes in network.predecessors]
    for lane, following in links.items():
        for successor in following:
            for number in (lane, successor):
                if not 0 <= number < network.num_lanes:
                    raise ModelError(
                        f"connect() names lane {number}; there are 0 ... {network.num_lanes - 1}."
                    )
            successors[lane].append(successor)
            predecessors[successor].append(lane)
    return replace(
        network,
        successors=tuple(map(tuple, successors)),
        predecessors=tuple(map(tuple, predecessors)),
    )
