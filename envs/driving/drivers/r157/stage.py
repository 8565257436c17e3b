"""Reference drivers at the wheel: a stage of the road engine that writes an agent's commands.

The driver sees the agents that have a way along the road in common with its own vehicle, keeps to
the centre of its lane and drives at its `desired_speed` while nothing is unsafe. It does not steer
around anybody. Meant for traffic in its own direction.
"""

# Types made at run time are variables to the checker.
# mypy: disable-error-code="valid-type,attr-defined"

from __future__ import annotations

from typing import Any

import warp as wp

from proveout.envs.core.errors import ConfigError
from proveout.envs.driving.agents import AgentArrays, Commands
from proveout.envs.driving.bodies import Body
from proveout.envs.driving.drivers.idm import STEERING_LAG, lane_keeping_steering_velocity
from proveout.envs.driving.drivers.r157.competent import (
    Competent,
    CompetentMemory,
    CompetentParameters,
    Threat,
    competent_acceleration,
    perceives_risk,
)
from proveout.envs.driving.drivers.r157.constants import ReferenceModel
from proveout.envs.driving.drivers.r157.control import (
    ReferenceMemory,
    Situation,
    check_situation,
    gap_of,
    next_speed,
)
from proveout.envs.driving.records import records
from proveout.envs.driving.road import Road
from proveout.envs.driving.roads.lanes import LaneArrays, lane_pose, lane_width
from proveout.envs.driving.traffic.relative import relative_between

# The search along successors is a loop over lanes; unrolled it would not fit into registers.
wp.set_module_options({"enable_backward": False, "max_unroll": 1})

_REACH = wp.constant(200.0)  # m along the road: how far a driver sees
_FREE_ACCELERATION = wp.constant(1.0)  # m/s^2 at most, back to the wanted speed


@wp.struct
class _Sight:
    """The agent that was nearest ahead in the lane, and the one behind it that came into view."""

    nearest: wp.array2d[int]  # its index and 1; 0 for none
    revealed: wp.array2d[int]  # likewise


@wp.struct
class _Others:
    """Where everybody is, as the driver's vehicle sees it, (worlds, agents); see `Relative`."""

    distance: wp.array2d[float]  # [m], infinite for itself and for who has no way in common
    gap: wp.array2d[float]  # [m]
    lateral: wp.array2d[float]  # [m]


@wp.kernel
def _look_kernel(
    # In:
    lanes: LaneArrays,
    agents: AgentArrays,
    bodies: wp.array2d[Body],
    agent: int,
    # Out:
    others: _Others,
):
    worldid, otherid = wp.tid()
    distance = float(wp.inf)
    if otherid != agent and agents.active[worldid, agent] and agents.active[worldid, otherid]:
        relative = relative_between(lanes, agents, bodies, worldid, agent, otherid, _REACH)
        if relative.related:
            distance = relative.distance
            others.gap[worldid, otherid] = relative.gap
            others.lateral[worldid, otherid] = relative.lateral
    others.distance[worldid, otherid] = distance


@wp.func
def situation_of(
    agents: AgentArrays,
    others: _Others,
    ego: Body,
    body: Body,
    world: int,
    agent: int,
    other: int,
) -> Situation:
    """What `agent` sees of `other`, whom `others` places."""
    seen = Situation()
    seen.half_lengths = 0.5 * (ego.length + body.length)
    seen.distance = others.gap[world, other] + seen.half_lengths
    if others.distance[world, other] < 0.0:
        seen.distance = -seen.distance
    lateral = others.lateral[world, other]
    seen.side = wp.abs(lateral) - 0.5 * (ego.width + body.width)
    seen.velocity = agents.velocity[world, agent]
    seen.other_velocity = agents.velocity[world, other]
    seen.lateral = seen.other_velocity * agents.sin_error[world, other]
    if lateral < 0.0:
        seen.lateral = -seen.lateral
    seen.acceleration = agents.acceleration[world, agent]
    return seen


@wp.func
def _steer(road: Road, dt: float, world: int, agent: int) -> float:
    """Steering angle [rad] that keeps the lane."""
    agents = road.agents
    velocity = agents.velocity[world, agent]
    steering = agents.steering[world, agent]
    ahead = agents.s[world, agent] + velocity * STEERING_LAG
    _x, _y, _heading, curvature = lane_pose(road.lanes, agents.lane[world, agent], ahead)
    rate = lane_keeping_steering_velocity(
        road.vehicles[world % road.vehicles.shape[0], agent],
        steering,
        velocity,
        agents.d[world, agent],
        agents.sin_error[world, agent],
        agents.cos_error[world, agent],
        curvature,
        road.driver[world, agent].preview_time,
        dt,
    )
    return steering + rate * dt


@wp.kernel
def _published_kernel(
    # In:
    road: Road,
    others: _Others,
    model: int,
    agent: int,
    # Out:
    memory: ReferenceMemory,
    commands: Commands,
):
    worldid = wp.tid()
    if not road.agents.active[worldid, agent]:
        return
    row = worldid % road.bodies.shape[0]
    unsafe = bool(False)
    cfs = float(0.0)
    pfs = float(0.0)
    for other in range(road.agents.active.shape[1]):
        if not others.distance[worldid, other] < wp.inf:
            continue
        body = road.bodies[row, other]
        seen = situation_of(
            road.agents, others, road.bodies[row, agent], body, worldid, agent, other
        )
        if check_situation(model, seen, True, memory, worldid, 0) == 1:
            unsafe = True
            # Of several, the driver brakes for the worst.
            cfs = wp.max(cfs, memory.cfs[worldid, 0])
            pfs = wp.max(pfs, memory.pfs[worldid, 0])
    memory.cfs[worldid, 0] = cfs
    memory.pfs[worldid, 0] = pfs
    velocity = road.agents.velocity[worldid, agent]
    dt = road.physics_dt
    wanted = road.driver[worldid, agent].desired_speed
    speed = next_speed(model, velocity, wanted, unsafe, dt, memory, worldid, 0)
    commands.acceleration[worldid, agent] = (wp.max(speed, 0.0) - velocity) / dt
    commands.steering[worldid, agent] = _steer(road, dt, worldid, agent)


@wp.kernel
def _competent_kernel(
    # In:
    road: Road,
    others: _Others,
    driver_in: wp.array[Competent],
    agent: int,
    # Out:
    memory: CompetentMemory,
    sight: _Sight,
    commands: Commands,
):
    worldid = wp.tid()
    if not road.agents.active[worldid, agent]:
        return
    row = worldid % road.bodies.shape[0]
    driver = driver_in[0]
    ego = road.bodies[row, agent]
    lane = road.agents.lane[worldid, agent]
    width = lane_width(road.lanes, lane, road.agents.s[worldid, agent])
    # The nearest one in the lane hides what is behind it.
    nearest = int(-1)
    view = float(wp.inf)
    threat = Threat()
    threat.seen.distance = wp.inf
    least = float(wp.inf)
    for look in range(2):
        for other in range(road.agents.active.shape[1]):
            distance = others.distance[worldid, other]
            if not (distance >= 0.0 and distance < wp.inf):
                continue
            offset = wp.abs(others.lateral[worldid, other])
            if look == 0:
                if offset <= driver.wander and others.gap[worldid, other] < view:
                    view = others.gap[worldid, other]
                    nearest = other
            elif other == nearest or offset > driver.wander:
                body = road.bodies[row, other]
                candidate = Threat()
                candidate.seen = situation_of(road.agents, others, ego, body, worldid, agent, other)
                candidate.offset = offset
                candidate.lane_width = width
                candidate.uncovered = offset - 0.5 * wp.abs(ego.width - body.width)
                candidate.braking = -road.agents.acceleration[worldid, other]
                candidate.revealed = sight.revealed[worldid, 0] == other + 1
                gap = gap_of(candidate.seen)
                if gap < least and perceives_risk(driver, candidate):
                    least = gap
                    threat = candidate
        if look == 0:
            before = sight.nearest[worldid, 0]
            if before != nearest + 1:
                # Behind one that has left, not one that has come in between.
                sight.revealed[worldid, 0] = wp.where(before > 0, nearest + 1, 0)
                sight.nearest[worldid, 0] = nearest + 1
    velocity = road.agents.velocity[worldid, agent]
    dt = road.physics_dt
    threat.seen.velocity = velocity
    wanted = road.driver[worldid, agent].desired_speed
    free = wp.clamp((wanted - velocity) / dt, -_FREE_ACCELERATION, _FREE_ACCELERATION)
    acceleration = competent_acceleration(driver, threat, free, dt, memory, worldid, 0)
    commands.acceleration[worldid, agent] = wp.max(acceleration, -wp.max(velocity, 0.0) / dt)
    commands.steering[worldid, agent] = _steer(road, dt, worldid, agent)


def add_reference_driver(
    engine: Any, agent: int, driver: ReferenceModel | CompetentParameters
) -> None:
    """Let a reference driver drive an agent of kind EXTERNAL, such as the learner, in all worlds.

    It decides in every physics step; what else writes the agent's commands is overruled. Add it
    before the control step is recorded, so in `RoadTask.make_engine`, and behind a storyboard.

    Args:
        engine: A `RoadEngine`.
        agent: Index.
        driver: A published model, or the regulation's competent driver with its numbers.

    Raises:
        ConfigError: No such agent, or it is driven already.
    """
    if not 0 <= agent < engine.num_agents:
        raise ConfigError(
            f"a reference driver for agent {agent}: worlds have {engine.num_agents}; "
            f"give one from 0 to {engine.num_agents - 1}"
        )
    road = engine.struct(1)

    def room(name: str, struct: Any) -> Any:
        return engine.keep(f"{name} {agent}", struct, dict.fromkeys(struct.vars, 1))

    if isinstance(driver, CompetentParameters):
        kernel: Any = _competent_kernel
        numbers: Any = records(Competent, driver, (1,), engine.device)
        kept = [room("reference driver", CompetentMemory), room("sight of driver", _Sight)]
    else:
        kernel, numbers = _published_kernel, int(driver)
        kept = [room("reference driver", ReferenceMemory)]

    shape = (engine.num_worlds, engine.num_agents)
    others = _Others()
    for field in ("distance", "gap", "lateral"):
        setattr(others, field, wp.zeros(shape, dtype=float, device=engine.device))

    def launch(first: bool) -> None:
        wp.launch(
            _look_kernel,
            dim=shape,
            inputs=[engine.road, engine.agents, engine.bodies, agent],
            outputs=[others],
            device=engine.device,
        )
        wp.launch(
            kernel,
            dim=engine.num_worlds,
            inputs=[road, others, numbers, agent],
            outputs=[*kept, engine.commands],
            device=engine.device,
        )

    engine.stages.add("storyboard", launch)
