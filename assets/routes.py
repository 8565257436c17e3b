"""Routes over the lanes of a road network: the shortest way by length, lane changes included."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from proveout.assets.files.errors import ModelError
from proveout.assets.road import RoadNetwork

Place = tuple[int, float]
"""Lane and arc length along it [m]."""

LANE_CHANGE = 10.0
"""What a lane change costs, as metres of way: of two ways the one with fewer counts, unless it is
longer by so much."""


@dataclass(frozen=True)
class Leg:
    """A part of a route: along one lane from `begin` to `end` [m]."""

    lane: int
    begin: float
    end: float


@dataclass(frozen=True)
class Route:
    """Legs one after another: the next one's lane goes on from the last, or lies beside it.

    Attributes:
        legs: At least one.
    """

    legs: tuple[Leg, ...]

    @property
    def lanes(self) -> tuple[int, ...]:
        """The lanes, in order."""
        return tuple(leg.lane for leg in self.legs)

    @cached_property
    def _starts(self) -> list[float]:
        return [0.0, *(float(v) for v in np.cumsum([leg.end - leg.begin for leg in self.legs]))]

    @property
    def length(self) -> float:
        """[m]."""
        return self._starts[-1]

    def at(self, distance: float) -> Place:
        """Lane and arc length [m] after some way along the route, from 0 to `length` [m]."""
        for leg, start, end in zip(self.legs, self._starts, self._starts[1:], strict=False):
            if distance < end:
                return leg.lane, leg.begin + max(distance - start, 0.0)
        return self.legs[-1].lane, self.legs[-1].end

    def distance(self, lane: int, s: float) -> float | None:
        """The way along the route to a place on one of its legs [m], None where it is on none."""
        for leg, start in zip(self.legs, self._starts, strict=False):
            if leg.lane == lane and leg.begin <= s <= leg.end:
                return start + s - leg.begin
        return None


def route_through(network: RoadNetwork, places: Sequence[Place]) -> Route | None:
    """The shortest ways from each place to the next, one after another; None where there is none.

    Raises:
        ModelError: Fewer than two places, or one that is not on its lane.
    """
    if len(places) < 2:
        raise ModelError("A route needs two places or more.")
    legs: list[Leg] = []
    for begin, end in pairwise(places):
        part = shortest_route(network, begin, end)
        if part is None:
            return None
        legs += part.legs
    return Route(tuple(_joined(legs)))


def shortest_route(network: RoadNetwork, begin: Place, end: Place) -> Route | None:
    """The shortest way from one place to another, as traffic goes; None without one.

    By Dijkstra's algorithm over lanes; a change to a lane beside costs `LANE_CHANGE` and keeps the
    share of the lane's length.

    Raises:
        ModelError: A place that is not on its lane.
    """
    for lane, s in (begin, end):
        if not 0 <= lane < network.num_lanes:
            raise ModelError(f"Lane {lane} is none of the network's {network.num_lanes}.")
        if not 0.0 <= s <= network.length[lane]:
            raise ModelError(f"s = {s:g} is not on lane {lane}, 0 to {network.length[lane]:.6g} m.")
    length = network.length
    share = {False: 0.0, True: begin[1] / length[begin[0]]}
    end_share = end[1] / length[end[0]]
    # A node is a lane, entered at its start or at the share at which the way begins.
    first = (begin[0], True)
    known: dict[tuple[int, bool], float] = {first: 0.0}
    came: dict[tuple[int, bool], tuple[int, bool]] = {}
    queue = [(0.0, first)]
    target, best = None, np.inf
    while queue:
        cost, node = heapq.heappop(queue)
        if cost > known[node] or cost >= best:
            continue
        lane, started = node
        if lane == end[0] and end_share >= share[started]:
            whole = cost + (end_share - share[started]) * length[lane]
            if whole < best:
                target, best = node, whole
        for following, price in _onward(network, lane, started, share[started]):
            if cost + price < known.get(following, np.inf):
                known[following] = cost + price
                came[following] = node
                heapq.heappush(queue, (cost + price, following))
    if target is None:
        return None
    nodes = [target]
    while nodes[-1] in came:
        nodes.append(came[nodes[-1]])
    nodes.reverse()
    legs = []
    for (lane, started), (onto, still_started) in pairwise(nodes):
        start = share[started] * float(length[lane])
        goes_on = onto in network.successors[lane] and not still_started
        legs.append(Leg(lane, start, float(length[lane]) if goes_on else start))
    legs.append(Leg(target[0], share[target[1]] * float(length[target[0]]), end[1]))
    return Route(tuple(legs))


def _onward(
    network: RoadNetwork, lane: int, started: bool, share: float
) -> Iterator[tuple[tuple[int, bool], float]]:
    """Nodes that follow, and what the way there costs."""
    for successor in network.successors[lane]:
        yield (successor, False), (1.0 - share) * float(network.length[lane])
    for beside in (int(network.left[lane]), int(network.right[lane])):
        if beside >= 0:
            yield (beside, started), LANE_CHANGE


def _joined(legs: Sequence[Leg]) -> list[Leg]:
    """Legs of one lane that go on from each other as one."""
    joined: list[Leg] = []
    for leg in legs:
        if joined and joined[-1].lane == leg.lane and joined[-1].end == leg.begin:
            joined[-1] = Leg(leg.lane, joined[-1].begin, leg.end)
        else:
            joined.append(leg)
    return joined
