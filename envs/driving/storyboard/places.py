"""Where entities start: positions of the standard as places on a map, over all rows at once.

In float64 on the host. x, y, heading are the map's own. An orientation is from the direction of
traffic for positions on lanes and roads, from the entity for positions relative to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from proveout.assets.files.errors import ModelError
from proveout.assets.opendrive.road_map import RoadMap
from proveout.assets.scenario.positions import (
    LanePosition,
    RelativeLanePosition,
    RelativeObjectPosition,
    RelativeRoadPosition,
    RelativeWorldPosition,
    RoadPosition,
    WorldPosition,
)
from proveout.assets.scenario.schema import Element
from proveout.assets.scenario.scope import Frame, Value
from proveout.assets.scenario.types import to_text

SUPPORTED = (
    LanePosition,
    RelativeLanePosition,
    RelativeObjectPosition,
    RelativeRoadPosition,
    RelativeWorldPosition,
    RoadPosition,
    WorldPosition,
)
_OFF = "it is off the road; move it onto one."


@dataclass(eq=False)
class Places:
    """A place of each row; all arrays of shape (rows,).

    Attributes:
        x, y: [m]. heading: [rad].
        road: Id, an array of texts. lane: Number there. s: Along the road [m].
        offset: From the lane's middle, left by s [m].
        network_lane, arc, d: Lane of `RoadMap.network`, arc length along it and offset to the left
            of its middle as it is driven [m].
        turn: Heading from that lane's [rad].
        fault: What is wrong with a row, a sentence that says where; empty: nothing.
    """

    x: np.ndarray
    y: np.ndarray
    heading: np.ndarray
    road: np.ndarray
    lane: np.ndarray
    s: np.ndarray
    offset: np.ndarray
    network_lane: np.ndarray
    arc: np.ndarray
    d: np.ndarray
    turn: np.ndarray
    fault: np.ndarray


def resolve(
    position: Element, frame: Frame, road_map: RoadMap, others: Mapping[str, Places]
) -> Places:
    """Return the places of a position, one of `SUPPORTED`.

    Args:
        position: From the file.
        frame: Values of the rows.
        road_map: That it lies on.
        others: Places of the entities that it may refer to.
    """
    return _Resolver(position, frame, road_map, others).places()


class _Resolver:
    def __init__(
        self, position: Element, frame: Frame, road_map: RoadMap, others: Mapping[str, Places]
    ) -> None:
        self.position: Any = position
        self.frame = frame
        self.map = road_map
        n = frame.rows
        zeros = [np.zeros(n) for _ in range(7)]
        self.out = Places(
            zeros[0], zeros[1], zeros[2], np.full(n, "", object), np.zeros(n, int), zeros[3],
            zeros[4], np.full(n, -1), zeros[5], zeros[6], np.zeros(n), np.full(n, "", object),
        )  # fmt: skip
        reference = getattr(position, "entity_ref", None)
        self.reference = others.get(reference) if reference is not None else None
        if reference is not None:
            if self.reference is None:
                self._fault(slice(None), f"{reference} has no place before; put it first.")
            else:
                self.out.fault[:] = self.reference.fault

    def places(self) -> Places:
        position = self.position
        if isinstance(position, LanePosition):
            self._on_lane(
                self._text(position.road_id), self._number(position.lane_id),
                self._number(position.s), self._number(position.offset),
            )  # fmt: skip
        elif isinstance(position, RoadPosition):
            self._on_road(
                self._text(position.road_id), self._number(position.s), self._number(position.t)
            )
        elif self.reference is None and not isinstance(position, WorldPosition):
            pass
        elif isinstance(position, RelativeLanePosition):
            self._beside_lane(self.reference)
        elif isinstance(position, RelativeRoadPosition):
            base = self.reference
            assert base is not None
            t = np.array([self._t(base, k) for k in range(self.frame.rows)])
            s = base.s + self._number(position.ds)
            self._on_road(base.road, s, t + self._number(position.dt))
        else:
            self._in_plane()
        self._check_lanes()
        return self.out

    def _number(self, value: Value | None) -> np.ndarray:
        if value is None:
            return np.zeros(self.frame.rows)
        # A lane's number may stand in a text.
        return np.broadcast_to(np.array(value.over(self.frame), float), self.frame.rows)

    def _text(self, value: Value) -> np.ndarray:
        over = value.constant if isinstance(value.constant, str) else value.over(self.frame)
        if isinstance(over, str):
            return np.full(self.frame.rows, over, object)
        return np.array([to_text(v) for v in np.broadcast_to(over, self.frame.rows)], object)

    def _fault(self, rows: Any, reason: str) -> None:
        told = str(self.position.place.error(reason))
        for k in np.atleast_1d(np.arange(self.frame.rows)[rows]):
            self.out.fault[k] = self.out.fault[k] or told

    def _t(self, base: Places, k: int) -> float:
        if base.fault[k]:
            return 0.0
        return self.map.lane_t(base.road[k], int(base.lane[k]), base.s[k]) + float(base.offset[k])

    def _beside_lane(self, base: Places | None) -> None:
        assert base is not None
        position = self.position
        lane = base.lane + self._number(position.d_lane).astype(int)
        # There is no lane 0: from one side of it to the other is one lane.
        lane = np.where((lane >= 0) & (base.lane < 0), lane + 1, lane)
        lane = np.where((lane <= 0) & (base.lane > 0), lane - 1, lane)
        along = self._number(position.ds)
        if position.ds_lane is not None:
            travel = self._travel(base.network_lane)
            along = travel * self._number(position.ds_lane)
        self._on_lane(base.road, lane, base.s + along, self._number(position.offset))

    def _travel(self, network_lane: np.ndarray) -> np.ndarray:
        return np.array([self.map.origins[max(k, 0)].travel for k in network_lane])

    def _on_lane(
        self, road: np.ndarray, lane: np.ndarray, s: np.ndarray, offset: np.ndarray
    ) -> None:
        out = self.out
        out.road[:], out.lane[:], out.s[:], out.offset[:] = road, lane, s, offset
        for name, number in sorted({(str(r), int(k)) for r, k in zip(road, lane, strict=True)}):
            mine = np.flatnonzero((road == name) & (lane == number))
            if name not in self.map.roads:
                self._fault(mine, f"there is no road {name!r} on the map; correct it.")
                continue
            for k in mine:  # most are right, so that one call does all of them
                if not 0.0 <= s[k] <= self.map.roads[name].length:
                    self._fault(k, f"s = {s[k]:g} is past the ends of road {name!r}: {_OFF}")
            good = mine[[not out.fault[k] for k in mine]]
            try:
                poses = self.map.lane_poses(name, number, s[good], offset[good])
            except ModelError as error:
                self._fault(good, f"{error} So {_OFF}")
                continue
            out.x[good], out.y[good] = poses[:, 0], poses[:, 1]
            forward = self.map.travel(name, number, float(s[good[0]])) if len(good) else 1
            out.heading[good] = poses[:, 3] + (0.0 if forward > 0 else np.pi)
        self._orient()

    def _on_road(self, road: np.ndarray, s: np.ndarray, t: np.ndarray) -> None:
        lane = np.zeros(self.frame.rows, int)
        offset = np.zeros(self.frame.rows)
        for k in range(self.frame.rows):
            if self.out.fault[k]:
                continue
            try:
                found = self.map.lane_at(road[k], s[k], t[k])
                if found is None:
                    self._fault(k, _OFF)
                    continue
                lane[k] = found
                offset[k] = t[k] - self.map.lane_t(road[k], found, s[k])
            except ModelError as error:
                self._fault(k, f"{error} So {_OFF}")
        self._on_lane(road, lane, s, offset)

    def _in_plane(self) -> None:
        position, out, base = self.position, self.out, self.reference
        if isinstance(position, WorldPosition):
            out.x[:], out.y[:] = self._number(position.x), self._number(position.y)
            out.heading[:] = self._number(position.h)
        else:
            assert base is not None
            dx, dy = self._number(position.dx), self._number(position.dy)
            if isinstance(position, RelativeObjectPosition):
                c, n = np.cos(base.heading), np.sin(base.heading)
                dx, dy = dx * c - dy * n, dx * n + dy * c
            out.x[:], out.y[:] = base.x + dx, base.y + dy
            out.heading[:] = base.heading
            self._orient()
        for k in range(self.frame.rows):
            if out.fault[k]:
                continue
            found = self.map.locate(float(out.x[k]), float(out.y[k]), float(out.heading[k]))
            if found is None or not found.on_road:
                self._fault(k, _OFF)
                continue
            out.road[k], out.lane[k], out.s[k] = found.road, found.lane, found.s
            out.offset[k] = found.offset

    def _orient(self) -> None:
        orientation = getattr(self.position, "orientation", None)
        if orientation is not None and orientation.h is not None:
            own = self._number(orientation.h)
            absolute = orientation.type == "absolute"
            self.out.heading[:] = own if absolute else self.out.heading + own

    def _check_lanes(self) -> None:
        """Find the lanes of the network: of an agent beside them, the nearest on its road."""
        out = self.out
        by_road: dict[str, list[int]] = {}
        for number, origin in enumerate(self.map.origins):
            by_road.setdefault(origin.road, []).append(number)
        good = out.fault == ""
        for name, lane in sorted({(out.road[k], int(out.lane[k])) for k in np.flatnonzero(good)}):
            mine = np.flatnonzero(good & (out.road == name) & (out.lane == lane))
            for k in mine:
                self._network_lane(int(k), by_road.get(name, []), lane)

    def _network_lane(self, k: int, numbers: list[int], lane: int) -> None:
        out, network = self.out, self.map.network
        s = float(out.s[k])
        best, least, between = -1, np.inf, 0.0
        for number in numbers:
            origin = self.map.origins[number]
            low, high = sorted((origin.begin, origin.end))
            if not low - 1e-6 <= s <= high + 1e-6:
                continue
            apart = 0.0
            if origin.lane != lane:
                apart = self.map.lane_t(origin.road, lane, s) if lane else 0.0
                apart -= self.map.lane_t(origin.road, origin.lane, s)
            if abs(apart + out.offset[k]) < least:
                best, least, between = number, abs(apart + float(out.offset[k])), apart
        if best < 0:
            self._fault(k, f"road {out.road[k]!r} has no lane that is driven on there: {_OFF}")
            return
        origin = self.map.origins[best]
        points = network.points(best)
        station = abs(s - origin.begin)
        grid = np.linspace(0.0, network.length[best], network.num_points[best])
        out.network_lane[k] = best
        out.arc[k] = np.interp(station, network.station[points], grid)
        out.d[k] = origin.travel * (between + out.offset[k])
        along = np.interp(out.arc[k], grid, np.unwrap(network.heading[points]))
        out.turn[k] = (out.heading[k] - along + np.pi) % (2.0 * np.pi) - np.pi
