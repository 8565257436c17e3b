"""Kernels of road worlds: look, decide, move, track, locate, guard, reset."""

# A struct made at run time is a variable to the checker.
# mypy: disable-error-code="valid-type"

import warp as wp

from proveout.envs.core.invalid import Invalid
from proveout.envs.driving.agents import AgentArrays, Commands
from proveout.envs.driving.bodies import Body
from proveout.envs.driving.drivers.external import steering_velocity_towards
from proveout.envs.driving.drivers.idm import (
    STEERING_LAG,
    idm_acceleration,
    lane_keeping_steering_velocity,
    limit_braking,
)
from proveout.envs.driving.drivers.table import Driver, DriverKind
from proveout.envs.driving.metrics.off_road import body_off_road
from proveout.envs.driving.roads.lanes import (
    LaneArrays,
    bracket,
    lane_beside,
    lane_pose,
    lane_section,
    on_map,
    pose_between,
    project,
    project_beside,
    section_between,
    station_between,
    valid_lane,
)
from proveout.envs.driving.traffic.leaders import OWN, own_lane_leader
from proveout.envs.driving.traffic.relative import neighbour
from proveout.envs.driving.vehicles.single_track import (
    State,
    Vehicle,
    integrate,
)

wp.set_module_options({"enable_backward": False})

_NON_FINITE = wp.constant(int(Invalid.NON_FINITE_STATE))
# Beyond this a place or speed is nonsense: float32 resolves 6 cm there.
_MAX_VALUE = wp.constant(1.0e6)
_IDM = wp.constant(int(DriverKind.IDM))
_EXTERNAL = wp.constant(int(DriverKind.EXTERNAL))

# Newton steps of the projection: behind a physics step the guess is good to centimetres; after a
# reset or a change of lane it may be metres off. Both stop early once converged.
_TRACKING_ITERATIONS = wp.constant(3)
_SEARCH_ITERATIONS = wp.constant(12)
# A stored lane position this close to the projection [m] is kept, so that `refresh` changes nothing
# where nothing moved and a restored run goes on bit for bit.
_KEPT = wp.constant(2.0e-3)


@wp.func
def _derive(
    road: LaneArrays,
    body: Body,
    agents: AgentArrays,
    lane: int,
    s: float,
    d: float,
    index: int,
    fraction: float,
    section: wp.vec3,
    world: int,
    agent: int,
):
    """Write everything derived from heading and lane position; latch `off_road`.

    lane, s, d: Of the agent. index, fraction: From `bracket`. section: Of the lane there.
    """
    heading = agents.heading[world, agent]
    c = wp.cos(heading)
    n = wp.sin(heading)
    agents.cos_heading[world, agent] = c
    agents.sin_heading[world, agent] = n
    agents.centre_x[world, agent] = agents.x[world, agent] + body.rear_axle_to_centre * c
    agents.centre_y[world, agent] = agents.y[world, agent] + body.rear_axle_to_centre * n
    _x, _y, lane_heading, curvature = pose_between(road, index, fraction)
    sin_error = wp.sin(heading - lane_heading)
    cos_error = wp.cos(heading - lane_heading)
    agents.sin_error[world, agent] = sin_error
    agents.cos_error[world, agent] = cos_error
    station, offset, stretch = station_between(road, lane, index, fraction)
    agents.station[world, agent] = station
    agents.stretch[world, agent] = stretch
    agents.lateral[world, agent] = offset + d + body.rear_axle_to_centre * sin_error
    half_width = 0.5 * body.width
    half_length = 0.5 * body.length
    agents.reach[world, agent] = half_width * wp.abs(cos_error) + half_length * wp.abs(sin_error)
    if body_off_road(
        road,
        lane,
        section,
        s,
        d,
        sin_error,
        cos_error,
        curvature,
        body.rear_axle_to_centre + half_length,
        half_length - body.rear_axle_to_centre,
        half_width,
    ):
        agents.off_road[world, agent] = True


@wp.kernel
def apply_kernel(
    # In:
    command_in: wp.array2d[float],
    # Out:
    commands: Commands,
):
    worldid, agentid = wp.tid()
    commands.acceleration[worldid, agentid] = command_in[worldid, 2 * agentid]
    commands.steering[worldid, agentid] = command_in[worldid, 2 * agentid + 1]


@wp.kernel
def look_kernel(
    # In:
    road: LaneArrays,
    bodies: wp.array2d[Body],
    agents: AgentArrays,
    kind_in: wp.array2d[int],
    stride: int,
    # Out:
    leader_out: wp.array3d[int],
    leader_gap_out: wp.array3d[float],
):
    worldid, first = wp.tid()
    for agentid in range(first, agents.active.shape[1], stride):
        if not agents.active[worldid, agentid] or kind_in[worldid, agentid] != _IDM:
            continue
        lane = agents.lane[worldid, agentid]
        index, fraction = bracket(road, valid_lane(road, lane), agents.s[worldid, agentid])
        _station, offset, _stretch = station_between(road, lane, index, fraction)
        section = section_between(road, index, fraction)
        leader, gap = own_lane_leader(road, agents, bodies, offset, section[0], worldid, agentid)
        leader_out[worldid, agentid, OWN] = leader
        leader_gap_out[worldid, agentid, OWN] = gap


@wp.kernel
def decide_kernel(
    # In:
    road: LaneArrays,
    vehicles: wp.array2d[Vehicle],
    agents: AgentArrays,
    kind_in: wp.array2d[int],
    driver_in: wp.array2d[Driver],
    commands: Commands,
    leader_in: wp.array3d[int],
    leader_gap_in: wp.array3d[float],
    dt: float,
    stride: int,
    # Out:
    input_acceleration_out: wp.array2d[float],
    input_steering_velocity_out: wp.array2d[float],
):
    worldid, first = wp.tid()
    row = worldid % vehicles.shape[0]
    for agentid in range(first, agents.active.shape[1], stride):
        if not agents.active[worldid, agentid]:
            continue
        vehicle = vehicles[row, agentid]
        velocity = agents.velocity[worldid, agentid]
        steering = agents.steering[worldid, agentid]
        acceleration = wp.float32(0.0)
        steering_velocity = wp.float32(0.0)
        if kind_in[worldid, agentid] == _IDM:
            leader = neighbour(agents, leader_in, leader_gap_in, worldid, agentid, OWN)
            driver = driver_in[worldid, agentid]
            acceleration = idm_acceleration(velocity, leader.gap, leader.speed, driver)
            acceleration = limit_braking(acceleration, velocity, driver.max_deceleration, dt)
            ahead = agents.s[worldid, agentid] + velocity * STEERING_LAG
            _x, _y, _heading, curvature = lane_pose(road, agents.lane[worldid, agentid], ahead)
            steering_velocity = lane_keeping_steering_velocity(
                vehicle,
                steering,
                velocity,
                agents.d[worldid, agentid],
                agents.sin_error[worldid, agentid],
                agents.cos_error[worldid, agentid],
                curvature,
                driver.preview_time,
                dt,
            )
        else:
            acceleration = commands.acceleration[worldid, agentid]
            steering_velocity = steering_velocity_towards(
                vehicle, steering, commands.steering[worldid, agentid], dt
            )
        # The model switches the acceleration off beyond its velocity limits; stop on them instead.
        input_acceleration_out[worldid, agentid] = wp.clamp(
            acceleration,
            (vehicle.velocity_min - velocity) / dt,
            (vehicle.velocity_max - velocity) / dt,
        )
        input_steering_velocity_out[worldid, agentid] = steering_velocity


@wp.kernel
def move_kernel(
    # In:
    vehicles: wp.array2d[Vehicle],
    input_acceleration_in: wp.array2d[float],
    input_steering_velocity_in: wp.array2d[float],
    dt: float,
    stride: int,
    # Out:
    agents: AgentArrays,
):
    worldid, first = wp.tid()
    row = worldid % vehicles.shape[0]
    for agentid in range(first, agents.active.shape[1], stride):
        if not agents.active[worldid, agentid]:
            continue
        velocity = agents.velocity[worldid, agentid]
        state, rate = integrate(
            vehicles[row, agentid],
            State(
                agents.x[worldid, agentid],
                agents.y[worldid, agentid],
                agents.steering[worldid, agentid],
                velocity,
                agents.heading[worldid, agentid],
            ),
            agents.cos_heading[worldid, agentid],
            agents.sin_heading[worldid, agentid],
            input_steering_velocity_in[worldid, agentid],
            input_acceleration_in[worldid, agentid],
            dt,
        )
        agents.acceleration[worldid, agentid] = rate[3]
        agents.x[worldid, agentid] = state[0]
        agents.y[worldid, agentid] = state[1]
        agents.steering[worldid, agentid] = state[2]
        agents.velocity[worldid, agentid] = state[3]
        agents.heading[worldid, agentid] = state[4]
        # A guess, which `track_kernel` makes exact.
        guess = agents.s[worldid, agentid] + 0.5 * dt * (velocity + state[3])
        agents.s[worldid, agentid] = guess


@wp.kernel
def track_kernel(
    # In:
    road: LaneArrays,
    bodies: wp.array2d[Body],
    stride: int,
    # Out:
    agents: AgentArrays,
):
    worldid, first = wp.tid()
    row = worldid % bodies.shape[0]
    for agentid in range(first, agents.active.shape[1], stride):
        if not agents.active[worldid, agentid]:
            continue
        x = agents.x[worldid, agentid]
        y = agents.y[worldid, agentid]
        lane, s, d = project(
            road,
            agents.lane[worldid, agentid],
            agents.s[worldid, agentid],
            x,
            y,
            _TRACKING_ITERATIONS,
        )
        index, fraction = bracket(road, lane, s)
        section = section_between(road, index, fraction)
        beside = lane_beside(road, lane, d, section[0])
        if beside >= 0:
            s, d = project_beside(road, lane, beside, s, x, y, _SEARCH_ITERATIONS)
            lane = beside
            index, fraction = bracket(road, lane, s)
            section = section_between(road, index, fraction)
        agents.lane[worldid, agentid] = lane
        agents.s[worldid, agentid] = s
        agents.d[worldid, agentid] = d
        body = bodies[row, agentid]
        _derive(road, body, agents, lane, s, d, index, fraction, section, worldid, agentid)


@wp.kernel
def locate_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    road: LaneArrays,
    map_of_world: wp.array[int],
    bodies: wp.array2d[Body],
    stride: int,
    # Out:
    agents: AgentArrays,
):
    worldid, first = wp.tid()
    if not mask_in[worldid]:
        return
    row = worldid % bodies.shape[0]
    for agentid in range(first, agents.active.shape[1], stride):
        if not agents.active[worldid, agentid]:
            continue
        body = bodies[row, agentid]
        x = agents.x[worldid, agentid]
        y = agents.y[worldid, agentid]
        stored = agents.lane[worldid, agentid]
        if not on_map(road, map_of_world[worldid], stored):
            x = wp.nan
            agents.x[worldid, agentid] = x
        old_lane = valid_lane(road, stored)
        old_s = agents.s[worldid, agentid]
        agents.lane[worldid, agentid] = old_lane
        lane, s, d = project(road, old_lane, old_s, x, y, _SEARCH_ITERATIONS)
        if (
            lane != old_lane
            or not wp.abs(s - old_s) <= _KEPT
            or not wp.abs(d - agents.d[worldid, agentid]) <= _KEPT
        ):
            section = lane_section(road, lane, s)
            beside = lane_beside(road, lane, d, section[0])
            if beside >= 0:
                s, d = project_beside(road, lane, beside, s, x, y, _SEARCH_ITERATIONS)
                lane = beside
            agents.lane[worldid, agentid] = lane
            agents.s[worldid, agentid] = s
            agents.d[worldid, agentid] = d
        lane = agents.lane[worldid, agentid]
        s = agents.s[worldid, agentid]
        d = agents.d[worldid, agentid]
        index, fraction = bracket(road, lane, s)
        section = section_between(road, index, fraction)
        _derive(road, body, agents, lane, s, d, index, fraction, section, worldid, agentid)


@wp.kernel
def guard_kernel(
    # In:
    agents: AgentArrays,
    # Out:
    invalid_out: wp.array[int],
):
    worldid = wp.tid()
    for agent in range(agents.active.shape[1]):
        # A NaN compares false.
        sound = (
            wp.abs(agents.x[worldid, agent]) <= _MAX_VALUE
            and wp.abs(agents.y[worldid, agent]) <= _MAX_VALUE
            and wp.abs(agents.heading[worldid, agent]) <= _MAX_VALUE
            and wp.abs(agents.velocity[worldid, agent]) <= _MAX_VALUE
            and wp.abs(agents.steering[worldid, agent]) <= _MAX_VALUE
            and wp.abs(agents.acceleration[worldid, agent]) <= _MAX_VALUE
            and wp.abs(agents.s[worldid, agent]) <= _MAX_VALUE
            and wp.abs(agents.d[worldid, agent]) <= _MAX_VALUE
        )
        if not sound:
            invalid_out[worldid] = invalid_out[worldid] | _NON_FINITE


@wp.kernel
def reset_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    default_in: wp.array[Driver],
    num_learners: int,
    stride: int,
    # Out:
    map_of_world_out: wp.array[int],
    kind_out: wp.array2d[int],
    driver_out: wp.array2d[Driver],
):
    worldid, first = wp.tid()
    if not mask_in[worldid]:
        return
    map_of_world_out[worldid] = 0
    for agentid in range(first, kind_out.shape[1], stride):
        kind_out[worldid, agentid] = wp.where(agentid < num_learners, _EXTERNAL, _IDM)
        driver_out[worldid, agentid] = default_in[0]
