"""`load_road`: an OpenDRIVE file as a map that answers where things are, and as lane arrays.

Everything here is in double precision and in the map's own coordinates; the lane arrays are
`RoadMap.origin` away from them, so that single precision suffices on a device.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from proveout.assets.files.errors import ModelError, unknown
from proveout.assets.opendrive.compile import LaneOrigin, compile_network
from proveout.assets.opendrive.continuity import Gap, centre_pose, gaps
from proveout.assets.opendrive.cross_section import (
    lane_at,
    lane_centre,
    lane_height,
    lane_width,
    surface_point,
)
from proveout.assets.opendrive.elements import DRIVABLE, Controller, Junction, LaneSection, Road
from proveout.assets.opendrive.links import Joint, LaneEnd, joints
from proveout.assets.opendrive.meshes import road_meshes
from proveout.assets.opendrive.parse import Document, read_document
from proveout.assets.opendrive.search import LaneSearch
from proveout.assets.road import RoadNetwork
from proveout.assets.routes import Route, route_through

Floats = NDArray[np.float64]

_PAST_END = 1e-3  # m, by which an s may be past the end of its road
_FAR = 10_000.0  # m: coordinates beyond it move the origin
_ROUND = 1000.0  # m: the origin is a multiple of it


@dataclass(frozen=True)
class Pose:
    """A pose in the map.

    Attributes:
        x, y, z: [m].
        heading: About z, counterclockwise from x. pitch: About the y axis turned so, positive nose
            down. roll: About the x axis turned so, positive left side up. All [rad], as in ISO
            8855 and OpenSCENARIO.
    """

    x: float
    y: float
    z: float
    heading: float
    pitch: float = 0.0
    roll: float = 0.0


@dataclass(frozen=True)
class RoadPlace:
    """A point in coordinates of a road.

    Attributes:
        road: Id. lane: Number; the nearest where the point is beyond the outermost.
        s: Along the reference line [m]. t: Left of it [m].
        offset: t from the lane's middle [m].
        on_road: Whether the point is on the lane.
    """

    road: str
    lane: int
    s: float
    t: float
    offset: float
    on_road: bool


class RoadMap:
    """A road network as its file says it.

    Attributes:
        path: The file. name, version: From its header. geo_reference: Text of its projection.
        roads, junctions, controllers: By id, see `elements`.
        network: Lane arrays of the lanes that are driven on; coordinates minus `origin`.
        origins: Where each lane of `network` comes from.
        origin: x, y [m]; 0, 0 unless the map is far from there.
        warnings: What was odd or left out, each with its line.
    """

    def __init__(
        self,
        document: Document,
        *,
        spacing: float,
        speed_limit: float,
        kinds: Collection[str],
        surface: bool,
    ) -> None:
        self.path: Path = document.reader.path
        self.name, self.version = document.name, document.version
        self.geo_reference = document.geo_reference
        self.roads: dict[str, Road] = document.roads
        self.junctions: dict[str, Junction] = document.junctions
        self.controllers: dict[str, Controller] = document.controllers
        self.joints: list[Joint] = joints(document)
        self.origin = _origin(document)
        network, self.origins = compile_network(
            document, self.joints, self.origin, spacing=spacing, speed_limit=speed_limit,
            kinds=kinds,
        )  # fmt: skip
        if surface:
            network = replace(network, meshes=road_meshes(document, self.origin))
        self.network: RoadNetwork = network
        self._document = document
        self._lanes: dict[tuple[str, int], list[int]] = {}
        for number, lane in enumerate(self.origins):
            self._lanes.setdefault((lane.road, lane.lane), []).append(number)

    @property
    def warnings(self) -> tuple[str, ...]:
        return self._document.reader.warnings()

    # Where is it? -------------------------------------------------------------------------------

    def pose(self, road: str, s: float, t: float = 0.0, h: float = 0.0) -> Pose:
        """The pose at s, t [m] and height h [m] above the surface, along the reference line.

        Raises:
            UnknownNameError: No such road.
            ModelError: s is not on it.
        """
        found, at = self._at(road, s)
        _x, _y, heading, *_ = found.line.evaluate(at)
        return Pose(*(float(v) for v in _poses(found, at, np.array([t]), h, heading)[0]))

    def lane_pose(
        self, road: str, lane: int, s: float, offset: float = 0.0, h: float = 0.0
    ) -> Pose:
        """The pose `offset` [m] left (by s) of a lane's middle, along that middle towards larger s.

        Traffic faces that way where `travel` is +1; else the other way.

        Raises:
            UnknownNameError: No such road.
            ModelError: s is not on it, or it has no such lane there.
        """
        row = self.lane_poses(road, lane, np.array([s]), np.array([offset]), h)[0]
        return Pose(*(float(v) for v in row))

    def lane_poses(
        self, road: str, lane: int, s: Floats, offset: Floats | float = 0.0, h: float = 0.0
    ) -> Floats:
        """`lane_pose` for many places of a lane: rows of x, y, z, heading, pitch, roll, (n, 6)."""
        s = np.asarray(s, np.float64)
        offset = np.broadcast_to(np.asarray(offset, np.float64), s.shape)
        rows = np.empty((len(s), 6))
        sections = np.array([self._section_with(self._at(road, v)[0], lane, v) for v in s], int)
        for index in np.unique(sections):
            on = sections == index
            found = self.roads[road]
            at = np.clip(s[on], 0.0, found.length)
            section = found.sections[index]
            t = lane_centre(found, section, lane, at)[0] + offset[on]
            lift = lane_height(section, lane, at, 0.5)
            _x, _y, heading = centre_pose(found, int(index), lane, at)
            rows[on] = _poses(found, at, t, h + lift, heading)
        return rows

    def lane_t(self, road: str, lane: int, s: float) -> float:
        """t of a lane's middle [m]; of lane 0, the middle of the road."""
        found, at = self._at(road, s)
        section = found.sections[self._section_with(found, lane, s)]
        return float(lane_centre(found, section, lane, at)[0, 0])

    def lane_width(self, road: str, lane: int, s: float) -> float:
        """Width of a lane [m]."""
        found, at = self._at(road, s)
        section = found.sections[self._section_with(found, lane, s)]
        return float(lane_width(found, section, lane, at)[0])

    def lane_at(self, road: str, s: float, t: float) -> int | None:
        """The lane at s, t; None beyond the outermost."""
        found, at = self._at(road, s)
        return lane_at(found, found.sections[found.section_at(float(at[0]))], float(at[0]), t)

    def lanes_at(self, road: str, s: float) -> tuple[int, ...]:
        """Numbers of all lanes at s, from left to right, lane 0 among them."""
        found, at = self._at(road, s)
        return tuple(found.sections[found.section_at(float(at[0]))].lanes)

    def lane_kind(self, road: str, lane: int, s: float) -> str:
        """Type of a lane, such as "driving"."""
        found, _at = self._at(road, s)
        return found.sections[self._section_with(found, lane, s)].lanes[lane].kind

    def travel(self, road: str, lane: int, s: float = 0.0) -> int:
        """+1 where traffic on a lane goes towards larger s, -1 where towards smaller."""
        found, _at = self._at(road, s)
        return found.travels(found.sections[self._section_with(found, lane, s)].lanes[lane])

    def locate(
        self, x: float, y: float, heading: float | None = None, road: str | None = None
    ) -> RoadPlace | None:
        """The place of a point [m]: on a lane if any is there, else beside the nearest.

        Args:
            x: [m]. y: [m].
            heading: Of what is there [rad]: of lanes that lie over one another, as in junctions,
                that counts whose traffic goes most nearly so.
            road: Only on this road.

        Returns:
            None where no road is within 100 m.
        """
        if road is not None and road not in self.roads:
            raise unknown("road", road, self.roads)
        found = self._search.nearest(x, y, heading, road)
        return None if found is None else RoadPlace(*found)

    # Where does it lead? ------------------------------------------------------------------------

    def linked(self, road: str, lane: int, s: float, *, ahead: bool = True) -> list[LaneEnd]:
        """Ends of lanes that a lane goes on to past the end of its section towards larger s
        (`ahead`), or before its start."""
        found, _at = self._at(road, s)
        index = self._section_with(found, lane, s)
        own = LaneEnd(road, index, lane, "end" if ahead else "start")
        return [joint.b if joint.a == own else joint.a
                for joint in self.joints if own in (joint.a, joint.b)]  # fmt: skip

    def network_lane(self, road: str, lane: int, s: float) -> tuple[int, float]:
        """Number of a lane in `network` and arc length along it [m], as it is driven.

        Raises:
            ModelError: Nobody drives there.
        """
        self._at(road, s)
        for number in self._lanes.get((road, lane), []):
            origin = self.origins[number]
            low, high = sorted((origin.begin, origin.end))
            if low - _PAST_END <= s <= high + _PAST_END:
                points = self.network.points(number)
                station = abs(float(np.clip(s, low, high)) - origin.begin)
                arc = np.linspace(0.0, self.network.length[number], self.network.num_points[number])
                return number, float(np.interp(station, self.network.station[points], arc))
        raise ModelError(
            f"road {road!r} has no lane {lane} to drive on at s = {s:g}; there are "
            f"{sorted(k for r, k in self._lanes if r == road)}."
        )

    def road_lane(self, number: int, s: float) -> tuple[str, int, float]:
        """Road, lane and s of the road [m] of an arc length [m] along a lane of `network`."""
        origin = self.origins[number]
        points = self.network.points(number)
        arc = np.linspace(0.0, self.network.length[number], self.network.num_points[number])
        station = float(np.interp(s, arc, self.network.station[points]))
        return origin.road, origin.lane, origin.begin + origin.travel * station

    def route(self, places: Sequence[tuple[str, int, float]]) -> Route | None:
        """The shortest way from place to place (road, lane, s) as traffic goes; None without one.

        Its lanes are those of `network`.
        """
        return route_through(self.network, [self.network_lane(*place) for place in places])

    def continuity(self) -> list[Gap]:
        """What is between the ends of lanes that the file joins."""
        return gaps(self._document, self.joints)

    @cached_property
    def _search(self) -> LaneSearch:
        return LaneSearch(self.roads)

    def _at(self, road: str, s: float) -> tuple[Road, Floats]:
        if road not in self.roads:
            raise unknown("road", road, self.roads)
        found = self.roads[road]
        if not -_PAST_END <= s <= found.length + _PAST_END:
            raise ModelError(f"s = {s:g} is not on road {road!r}, 0 to {found.length:g} m.")
        return found, np.array([min(max(s, 0.0), found.length)])

    def _section_with(self, road: Road, lane: int, s: float) -> int:
        index = road.section_at(s)
        # A section ends where the next begins: there, both count.
        for candidate in (index, index - 1):
            section: LaneSection = road.sections[max(candidate, 0)]
            if lane in section.lanes and s <= section.end + _PAST_END:
                return max(candidate, 0)
        raise ModelError(
            f"road {road.id!r} has no lane {lane} at s = {s:g}; there are "
            f"{sorted(k for k in road.sections[index].lanes if k)}."
        )


def _poses(road: Road, s: Floats, t: Floats, h: Floats | float, heading: Floats) -> Floats:
    """Rows of x, y, z, heading, pitch, roll."""
    pitch = -np.arctan(road.elevation(s, 1))
    roll = road.superelevation(s)
    return np.column_stack([surface_point(road, s, t, h), heading, pitch, roll])


def load_road(
    path: str | Path,
    *,
    spacing: float = 1.0,
    speed_limit: float = 130.0 / 3.6,
    kinds: Collection[str] = DRIVABLE,
    surface: bool = True,
) -> RoadMap:
    """Read an OpenDRIVE file.

    Args:
        path: Of the .xodr file.
        spacing: Largest distance of two points of a lane's centre line [m]; less in bends.
        speed_limit: Of lanes whose road has none in the file [m/s].
        kinds: Types of the lanes that go into the arrays.
        surface: Whether the arrays have meshes for pictures, too.

    Raises:
        ModelError: The file is missing, no road file, or says what makes no road.
    """
    return RoadMap(
        read_document(Path(path)), spacing=spacing, speed_limit=speed_limit, kinds=kinds,
        surface=surface,
    )  # fmt: skip


def _origin(document: Document) -> tuple[float, float]:
    """A round point amid the roads where they are far from 0, 0."""
    places = np.array([(p.x, p.y) for r in document.roads.values() for p in r.line.pieces])
    if np.abs(places).max() <= _FAR:
        return (0.0, 0.0)
    middle = 0.5 * (places.min(0) + places.max(0))
    x, y = (float(v) for v in np.round(middle / _ROUND) * _ROUND)
    return (x, y)


__all__ = ["LaneOrigin", "Pose", "RoadMap", "RoadPlace", "load_road"]
