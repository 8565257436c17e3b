"""Who drives ahead and behind, in the own lane and in the lanes left and right of it.

The rule. Agent j counts in a lane when its body, shrunk by `LANE_MARGIN`, overlaps that lane
laterally, or when it is projected on that lane. So a car that cuts in is seen as soon as its side
is `LANE_MARGIN` over the marking, and a car that straddles a marking counts in both lanes. Ahead
and behind are decided by the rear axles' arc length, and so is the nearest one; the gap is from
bumper to bumper along agent i's lane, by the length of each, and is negative where the two stand
side by side. Lanes of the road of agent i's lane, and two roads further or back through any of its
successors and predecessors, are looked at: past a short road of a junction, too.
"""

# A struct made at run time is a variable to the checker.
# mypy: disable-error-code="valid-type"

import warp as wp

from proveout.envs.driving.agents import AgentArrays, threads_of_a_world
from proveout.envs.driving.bodies import Body, bumper_distance
from proveout.envs.driving.metrics.time_to_collision import time_to_collision
from proveout.envs.driving.roads.lanes import (
    LaneArrays,
    bracket,
    lane_width,
    section_between,
    station_between,
    valid_lane,
    way_to,
)
from proveout.envs.driving.traffic.relative import relative_speed

wp.set_module_options({"enable_backward": False})

LANE_MARGIN = wp.constant(0.1)
"""A body must reach this far over a marking [m] to count in the lane behind it."""

OWN = wp.constant(0)
LEFT = wp.constant(1)
RIGHT = wp.constant(2)
"""Last index of the tables: which lane of agent i."""

_SAME_ROAD = wp.constant(0)
_NEXT_ROAD = wp.constant(1)
_PREVIOUS_ROAD = wp.constant(2)
_UNRELATED = wp.constant(3)


@wp.func
def distance_along(
    road: LaneArrays,
    lane: int,
    s: float,
    station: float,
    stretch: float,
    own_road: int,
    ring: bool,
    length: float,
    other_lane: int,
    other_s: float,
    other_station: float,
):
    """Where the other is, and how far ahead [m] along `lane` (negative: behind).

    Same lane: difference of arc lengths, exact. Otherwise the difference of stations times the
    `stretch` of the lane (ds / dstation). On a ring the shorter way round counts. `length` is that
    of the road's reference line.
    """
    ahead = other_station - station
    other_road = road.lane[other_lane].road
    if other_road == own_road:
        if ring:
            ahead -= length * wp.round(ahead / length)
        elif other_lane == lane:
            return _SAME_ROAD, other_s - s
        return _SAME_ROAD, ahead * stretch
    where = _UNRELATED
    nearest = wp.float32(0.0)
    onto, between = way_to(road, lane, other_road)
    if onto >= 0:
        where = _NEXT_ROAD
        nearest = (ahead + length + between) * stretch
    onto, between = way_to(road, other_lane, own_road)
    if onto >= 0:
        back = (ahead - road.lane[other_lane].road_length - between) * stretch
        # Where few roads make a ring it is both.
        if where == _UNRELATED or -back < nearest:
            where = _PREVIOUS_ROAD
            nearest = back
    return where, nearest


@wp.func
def overlaps_lane(
    lane: int,
    offset: float,
    width: float,
    other_lane: int,
    other_lateral: float,
    other_reach: float,
) -> bool:
    """Whether the other counts in `lane` (-1 for none) of the road it is on, see the rule above.

    Args:
        lane: lane asked about.
        offset: of its centre line from the reference line [m]. width: of the lane [m].
        other_lane: lane of the other.
        other_lateral: distance of its body's centre from the reference line [m].
        other_reach: half the lateral extent of its body [m].
    """
    return lane >= 0 and (
        other_lane == lane
        or wp.abs(other_lateral - offset) < 0.5 * width + other_reach - LANE_MARGIN
    )


@wp.func
def lane_across(road: LaneArrays, where: int, lane: int, other_road: int):
    """Lane that continues `lane` on a next or a previous road, its offset and width there."""
    target = wp.int32(-1)
    point = wp.int32(0)
    if lane >= 0 and where == _NEXT_ROAD:
        target, _between = way_to(road, lane, other_road)
        if target >= 0:
            point = road.lane[target].first_point
    elif lane >= 0 and where == _PREVIOUS_ROAD:
        target, _between = way_to(road, lane + road.num_lanes, other_road)
        if target >= 0:
            point = road.lane[target].first_point + road.lane[target].num_points - 1
    frame = road.frame[point]
    section = road.section[point]
    return target, frame[3], section[0]


@wp.func
def is_ahead(distance: float, agent: int, other: int) -> bool:
    """Whether the other leads; at equal distance the higher index does, so no pair is lost."""
    return distance > 0.0 or (distance == 0.0 and other > agent)


@wp.func
def own_lane_leader(
    road: LaneArrays,
    agents: AgentArrays,
    bodies: wp.array2d[Body],
    offset: float,
    width: float,
    world: int,
    agent: int,
):
    """Index of the nearest leader in the own lane (-1 none) and the gap [m] (infinite)."""
    lane = agents.lane[world, agent]
    s = agents.s[world, agent]
    station = agents.station[world, agent]
    stretch = agents.stretch[world, agent]
    own_road = road.lane[lane].road
    ring = road.lane[lane].ring
    length = road.lane[lane].road_length
    nearest = float(wp.inf)
    leader = wp.int32(-1)
    for other in range(agents.active.shape[1]):
        if other != agent and agents.active[world, other]:
            other_lane = agents.lane[world, other]
            where, distance = distance_along(
                road,
                lane,
                s,
                station,
                stretch,
                own_road,
                ring,
                length,
                other_lane,
                agents.s[world, other],
                agents.station[world, other],
            )
            if distance < nearest and is_ahead(distance, agent, other):
                target = lane
                centre = offset
                across = width
                if where != _SAME_ROAD:
                    target, centre, across = lane_across(
                        road, where, lane, road.lane[other_lane].road
                    )
                if overlaps_lane(
                    target,
                    centre,
                    across,
                    other_lane,
                    agents.lateral[world, other],
                    agents.reach[world, other],
                ):
                    nearest = distance
                    leader = other
    if leader >= 0:
        row = world % bodies.shape[0]
        nearest -= bumper_distance(bodies[row, agent], bodies[row, leader])
    return leader, nearest


@wp.kernel
def _survey(
    # In:
    mask_in: wp.array[wp.bool],
    road: LaneArrays,
    agents: AgentArrays,
    bodies: wp.array2d[Body],
    stride: int,
    # Out:
    leader_out: wp.array3d[int],
    leader_gap_out: wp.array3d[float],
    follower_out: wp.array3d[int],
    follower_gap_out: wp.array3d[float],
    time_to_collision_out: wp.array2d[float],
):
    worldid, first = wp.tid()
    if not mask_in[worldid]:
        return
    for agentid in range(first, agents.active.shape[1], stride):
        leaders = wp.vec3i(-1, -1, -1)
        followers = wp.vec3i(-1, -1, -1)
        leader_gaps = wp.vec3(wp.inf, wp.inf, wp.inf)
        follower_gaps = wp.vec3(wp.inf, wp.inf, wp.inf)
        own_lane = valid_lane(road, agents.lane[worldid, agentid])
        own_s = agents.s[worldid, agentid]
        own_station = agents.station[worldid, agentid]
        own_stretch = agents.stretch[worldid, agentid]
        own_road = road.lane[own_lane].road
        ring = road.lane[own_lane].ring
        length = road.lane[own_lane].road_length
        index, fraction = bracket(road, own_lane, own_s)
        _station, own_offset, _stretch = station_between(road, own_lane, index, fraction)
        own_section = section_between(road, index, fraction)
        own_width = own_section[0]
        lanes = wp.vec3i(own_lane, road.lane[own_lane].left, road.lane[own_lane].right)
        offsets = wp.vec3(own_offset, own_offset, own_offset)
        widths = wp.vec3(own_width, own_width, own_width)
        for side in range(1, 3):
            lane = lanes[side]
            if lane >= 0:
                at = own_s * road.lane[lane].length / road.lane[own_lane].length
                widths[side] = lane_width(road, lane, at)
                step = 0.5 * (own_width + widths[side])
                offsets[side] = own_offset + wp.where(side == LEFT, step, -step)
        is_active = agents.active[worldid, agentid]
        for other in range(agents.active.shape[1]):
            if is_active and other != agentid and agents.active[worldid, other]:
                other_lane = agents.lane[worldid, other]
                where, distance = distance_along(
                    road,
                    own_lane,
                    own_s,
                    own_station,
                    own_stretch,
                    own_road,
                    ring,
                    length,
                    other_lane,
                    agents.s[worldid, other],
                    agents.station[worldid, other],
                )
                lateral = agents.lateral[worldid, other]
                reach = agents.reach[worldid, other]
                apart = wp.abs(distance)
                ahead = is_ahead(distance, agentid, other)
                for side in range(3):
                    known = wp.where(ahead, leader_gaps[side], follower_gaps[side])
                    if apart < known:
                        target = lanes[side]
                        centre = offsets[side]
                        across = widths[side]
                        if where != _SAME_ROAD:
                            target, centre, across = lane_across(
                                road, where, target, road.lane[other_lane].road
                            )
                        if overlaps_lane(target, centre, across, other_lane, lateral, reach):
                            if ahead:
                                leaders[side] = other
                                leader_gaps[side] = apart
                            else:
                                followers[side] = other
                                follower_gaps[side] = apart
        # What was compared are distances of reference points: the gaps are smaller.
        row = worldid % bodies.shape[0]
        for side in range(3):
            if leaders[side] >= 0:
                leader_gaps[side] = leader_gaps[side] - bumper_distance(
                    bodies[row, agentid], bodies[row, leaders[side]]
                )
            if followers[side] >= 0:
                follower_gaps[side] = follower_gaps[side] - bumper_distance(
                    bodies[row, followers[side]], bodies[row, agentid]
                )
            leader_out[worldid, agentid, side] = leaders[side]
            leader_gap_out[worldid, agentid, side] = leader_gaps[side]
            follower_out[worldid, agentid, side] = followers[side]
            follower_gap_out[worldid, agentid, side] = follower_gaps[side]
        time = float(wp.inf)
        if leaders[OWN] >= 0:
            time = time_to_collision(
                leader_gaps[OWN], relative_speed(agents, worldid, agentid, leaders[OWN])
            )
        time_to_collision_out[worldid, agentid] = time


def survey(
    mask: wp.array,
    road: LaneArrays,
    agents: AgentArrays,
    bodies: wp.array,
    leader: wp.array,
    leader_gap: wp.array,
    follower: wp.array,
    follower_gap: wp.array,
    time_to_collision_table: wp.array,
) -> None:
    """Leaders and followers of every agent in its own, left and right lane.

    Args:
        mask: (num_worlds,) bool, worlds to write.
        road: the lanes. agents: their state and derived values.
        bodies: (1 or num_worlds, num_agents) `Body`.
        leader: (num_worlds, num_agents, 3) agent index, -1 for none; last axis OWN, LEFT, RIGHT.
        leader_gap: likewise, bumper to bumper [m], infinite where there is none.
        follower: likewise. follower_gap: likewise [m].
        time_to_collision_table: (num_worlds, num_agents), with the leader in the own lane [s].
    """
    stride = threads_of_a_world(leader.shape[1], leader.device)
    wp.launch(
        _survey,
        dim=(leader.shape[0], stride),
        inputs=[mask, road, agents, bodies, stride],
        outputs=[leader, leader_gap, follower, follower_gap, time_to_collision_table],
        device=leader.device,
    )
