"""Where another agent is, as one agent sees it: along the road, across it, and how fast."""

# A struct made at run time is a variable to the checker.
# mypy: disable-error-code="valid-type"

import warp as wp

from proveout.envs.driving.agents import AgentArrays
from proveout.envs.driving.bodies import Body, bumper_distance
from proveout.envs.driving.roads.lanes import LaneArrays, lane_station, valid_lane

wp.set_module_options({"enable_backward": False})

_MOST_LANES = wp.constant(16)
_Lanes = wp.types.vector(length=16, dtype=int)
_Starts = wp.types.vector(length=16, dtype=float)


@wp.struct
class Neighbour:
    """The nearest one ahead or behind in a lane.

    Attributes:
        agent: Its index, -1 for none.
        gap: Bumper to bumper [m], negative side by side, infinite for none.
        speed: Its speed minus the own [m/s], 0 for none.
    """

    agent: int
    gap: float
    speed: float


@wp.struct
class Relative:
    """Another agent, wherever it is.

    Attributes:
        related: Whether a way along successors leads from one to the other.
        distance: Along that way, of the reference points [m]: positive ahead, negative behind;
            infinite where there is none.
        gap: Bumper to bumper [m], negative where the bodies are side by side; likewise infinite.
        lateral: Of its body's centre from the own one, across the road [m], left positive; 0 where
            there is no way.
        speed: Its speed minus the own [m/s].
    """

    related: wp.bool
    distance: float
    gap: float
    lateral: float
    speed: float


@wp.func
def relative_speed(agents: AgentArrays, world: int, agent: int, other: int) -> float:
    """Speed of the other minus the own [m/s], each along its own heading."""
    return agents.velocity[world, other] - agents.velocity[world, agent]


@wp.func
def neighbour(
    agents: AgentArrays,
    other_in: wp.array3d[int],
    gap_in: wp.array3d[float],
    world: int,
    agent: int,
    side: int,
) -> Neighbour:
    """An entry of the tables of leaders or followers, with the speed."""
    found = Neighbour()
    found.agent = other_in[world, agent, side]
    found.gap = gap_in[world, agent, side]
    found.speed = wp.float32(0.0)
    if found.agent >= 0:
        found.speed = relative_speed(agents, world, agent, found.agent)
    return found


@wp.func
def distance_on(
    road: LaneArrays, lane: int, s: float, other_lane: int, other_s: float, reach: float
):
    """How far ahead [m] another place is along successors, infinite if not within `reach` [m].

    The shortest of all ways counts, among the nearest `_MOST_LANES` lanes. Also the lane on the
    other's road at which the way arrives, -1 for none: the continuation of `lane`.
    """
    other_road = road.lane[other_lane].road
    lanes = _Lanes()
    starts = _Starts()  # of these lanes, ahead of the place
    lanes[0] = lane
    starts[0] = -s
    known = int(1)
    arrived = int(-1)
    nearest = float(wp.inf)
    for i in range(_MOST_LANES):
        if i < known:
            here = lanes[i]
            ahead = starts[i]
            length = road.lane[here].length
            if road.lane[here].road == other_road:
                at = other_s
                if here != other_lane:
                    # Lanes of one road begin and end together.
                    at = other_s * length / road.lane[other_lane].length
                if ahead + at >= 0.0 and ahead + at < nearest and ahead + at <= reach:
                    nearest = ahead + at
                    arrived = here
            ahead += length
            if ahead <= reach:
                for k in range(road.first_link[here], road.first_link[here + 1]):
                    if known < _MOST_LANES:
                        lanes[known] = road.links[k]
                        starts[known] = ahead
                        known += 1
    return arrived, nearest


@wp.func
def _from_centre_line(
    road: LaneArrays, agents: AgentArrays, world: int, agent: int, lane: int
) -> float:
    """Lateral offset [m] of an agent's body from the centre line of a lane of its road."""
    on = agents.lane[world, agent]
    at = agents.s[world, agent]
    if lane != on:
        at = at * road.lane[lane].length / road.lane[on].length
    _station, offset, _stretch = lane_station(road, lane, at)
    return agents.lateral[world, agent] - offset


@wp.func
def relative_between(
    road: LaneArrays,
    agents: AgentArrays,
    bodies: wp.array2d[Body],
    world: int,
    agent: int,
    other: int,
    reach: float,
) -> Relative:
    """Another agent relative to an agent, ahead of it or behind, up to `reach` [m] along the road.

    At the same place the other is ahead. On a ring the shorter way round counts. Both must be
    active.
    """
    lane = valid_lane(road, agents.lane[world, agent])
    other_lane = valid_lane(road, agents.lane[world, other])
    s = agents.s[world, agent]
    other_s = agents.s[world, other]
    row = world % bodies.shape[0]
    seen = Relative()
    seen.related = False
    seen.distance = wp.float32(wp.inf)
    seen.gap = wp.float32(wp.inf)
    seen.lateral = wp.float32(0.0)
    seen.speed = relative_speed(agents, world, agent, other)
    onto, ahead = distance_on(road, lane, s, other_lane, other_s, reach)
    onto_own, behind = distance_on(road, other_lane, other_s, lane, s, reach)
    if onto >= 0 and ahead <= behind:
        seen.related = True
        seen.distance = ahead
        seen.gap = ahead - bumper_distance(bodies[row, agent], bodies[row, other])
        seen.lateral = _from_centre_line(road, agents, world, other, onto)
        seen.lateral -= _from_centre_line(road, agents, world, agent, lane)
    elif onto_own >= 0:
        seen.related = True
        seen.distance = -behind
        seen.gap = behind - bumper_distance(bodies[row, other], bodies[row, agent])
        seen.lateral = _from_centre_line(road, agents, world, other, other_lane)
        seen.lateral -= _from_centre_line(road, agents, world, agent, onto_own)
    return seen
