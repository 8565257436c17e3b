"""A road world as kernels of a task see it: lanes, agents, drivers and who is near whom."""

# A struct made at run time is a variable to the checker.
# mypy: disable-error-code="valid-type"

from __future__ import annotations

import warp as wp

from proveout.envs.driving.agents import AgentArrays
from proveout.envs.driving.bodies import Body
from proveout.envs.driving.drivers.table import Driver
from proveout.envs.driving.roads.grid import LaneGrid, find_lane_along
from proveout.envs.driving.roads.lanes import LaneArrays, lane_pose, on_map
from proveout.envs.driving.traffic.relative import Relative, relative_between
from proveout.envs.driving.vehicles.single_track import Vehicle

wp.set_module_options({"enable_backward": False})


@wp.struct
class Road:
    """Arrays of the engine, of all worlds (N) with their agents (A); agent 0 is the learner.

    Attributes:
        lanes: The road networks (maps), the same in all worlds.
        grid: From a point to its lane, see `find_lane`.
        map_of_world: Which of them, (N,); 0 when an episode begins, unless `reset` writes another.
        agents: Their state and what is derived from it, each (N, A).
        driver_kind: A `DriverKind`, (N, A). driver: Its parameters, `DriverParameters`, (N, A).
        leader, follower: Index of the agent ahead and behind in the own, left and right lane, -1
            for none, (N, A, 3). leader_gap, follower_gap: Bumper to bumper [m], likewise.
        time_to_collision: With the leader in the own lane [s], (N, A).
        vehicles: `VehicleParameters` of each, (1 or N, A); `vehicle_of` reads it.
        bodies: `BodyParameters` of each, likewise; `body_of` reads it.
        physics_dt: [s]. decimation: Physics steps in a control step.
    """

    lanes: LaneArrays
    grid: LaneGrid
    map_of_world: wp.array[int]
    agents: AgentArrays
    driver_kind: wp.array2d[int]
    driver: wp.array2d[Driver]
    leader: wp.array3d[int]
    leader_gap: wp.array3d[float]
    follower: wp.array3d[int]
    follower_gap: wp.array3d[float]
    time_to_collision: wp.array2d[float]
    vehicles: wp.array2d[Vehicle]
    bodies: wp.array2d[Body]
    physics_dt: float
    decimation: int


@wp.func
def vehicle_of(road: Road, w: int, agent: int) -> Vehicle:
    """Parameters of an agent's vehicle, as `vehicle_of(road, w, 0).wheelbase`."""
    return road.vehicles[w % road.vehicles.shape[0], agent]


@wp.func
def body_of(road: Road, w: int, agent: int) -> Body:
    """An agent's body, as `body_of(road, w, 0).length`."""
    return road.bodies[w % road.bodies.shape[0], agent]


@wp.func
def relative_to(road: Road, w: int, agent: int, other: int, reach: float) -> Relative:
    """Another agent as an agent sees it, up to `reach` [m] along the road; see `Relative`."""
    return relative_between(road.lanes, road.agents, road.bodies, w, agent, other, reach)


@wp.func
def lane_of_map(road: Road, w: int, lane: int) -> int:
    """Index in the table of all lanes of a lane of the world's map; -1 where there is none."""
    number = road.map_of_world[w]
    index = lane
    if number > 0 and number < road.lanes.first_lane.shape[0] - 1:
        index += road.lanes.first_lane[number]
    return wp.where(lane >= 0 and on_map(road.lanes, number, index), index, -1)


@wp.func
def place_agent(road: Road, w: int, agent: int, lane: int, s: float, velocity: float):
    """Put an agent on the centre line of a lane, at arc length s [m], with a speed [m/s].

    lane: Of the world's map, from 0; a world with an agent on one that is not there is invalid.
    """
    lane = lane_of_map(road, w, lane)
    x, y, heading, _curvature = lane_pose(road.lanes, lane, s)
    road.agents.active[w, agent] = True
    road.agents.lane[w, agent] = lane
    road.agents.s[w, agent] = s
    road.agents.d[w, agent] = 0.0
    road.agents.x[w, agent] = x
    road.agents.y[w, agent] = y
    road.agents.heading[w, agent] = heading
    road.agents.velocity[w, agent] = velocity


@wp.func
def place_agent_at(
    road: Road, w: int, agent: int, x: float, y: float, heading: float, velocity: float
):
    """Put an agent's rear axle at x, y [m] of the world's map, with a heading [rad] and a speed
    [m/s], on the lane that is there; a world with an agent where no lane is near is invalid."""
    lane, s, d = find_lane_along(road.lanes, road.grid, road.map_of_world[w], x, y, heading)
    road.agents.active[w, agent] = True
    road.agents.lane[w, agent] = lane
    road.agents.s[w, agent] = s
    road.agents.d[w, agent] = d
    road.agents.x[w, agent] = x
    road.agents.y[w, agent] = y
    road.agents.heading[w, agent] = heading
    road.agents.velocity[w, agent] = velocity


@wp.func
def set_driver(
    road: Road,
    w: int,
    agent: int,
    kind: int,
    desired_speed: float,
    time_headway: float,
    max_acceleration: float,
    comfortable_deceleration: float,
):
    """Say what drives an agent; parameters that are not named keep the defaults of the engine.

    Units: m/s, s, m/s2, m/s2.
    """
    road.driver_kind[w, agent] = kind
    road.driver[w, agent].desired_speed = desired_speed
    road.driver[w, agent].time_headway = time_headway
    road.driver[w, agent].max_acceleration = max_acceleration
    road.driver[w, agent].comfortable_deceleration = comfortable_deceleration


@wp.func
def heading_error(road: Road, w: int, agent: int) -> float:
    """Angle from the lane to the agent [rad], not wrapped."""
    agents = road.agents
    _x, _y, heading, _curvature = lane_pose(road.lanes, agents.lane[w, agent], agents.s[w, agent])
    return agents.heading[w, agent] - heading


@wp.func
def lateral_acceleration(road: Road, w: int, agent: int) -> float:
    """What the steering asks for: v squared times tan(steering) / wheelbase [m/s2]."""
    velocity = road.agents.velocity[w, agent]
    vehicle = vehicle_of(road, w, agent)
    return velocity * velocity * wp.tan(road.agents.steering[w, agent]) / vehicle.wheelbase
