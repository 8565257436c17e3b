"""Highway: overtake dense traffic on a three-lane motorway without touching anyone.

            left    ->   [ ]        [ ]             [ ]
            middle  ->        [ ]         [ ]  [ ]
            right   ->  [#]       [ ]        [ ]          # learner

Road: straight or with bends of 800 m radius, drawn anew for every episode. Traffic: IDM cars that
keep their lane. Control at 10 Hz. Observation: see `make_layout`.
Action: acceleration, and steering scaled so that 1 means `max_lateral_acceleration`.
Reward: weighted sum of the terms of `HighwayWeights`, in every control step.
Ends: a collision or leaving the road (terminated), 40 s (truncated).
Success: no collision and not off the road for the whole time, and a higher mean speed than the IDM
driver has that starts in the learner's place: it is simulated beside, in the same traffic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import warp as wp

from proveout.assets.road import RoadNetwork, bend, join, motorway
from proveout.envs.core.layout import Entry, ObservationLayout
from proveout.envs.core.registry import register
from proveout.envs.core.rng import integer, random_key, uniform
from proveout.envs.core.task import STREAM_TASK, Kpi, RewardWeights, TaskConfig, quantity
from proveout.envs.driving.agents import AgentArrays
from proveout.envs.driving.drivers.highway_expert import HighwayExpert
from proveout.envs.driving.drivers.table import DriverColumn, DriverKind
from proveout.envs.driving.observe import FARTHEST_GAP, lane_gaps, nearest
from proveout.envs.driving.roads.lanes import LaneArrays, lane_pose
from proveout.envs.driving.task import RoadTask
from proveout.envs.driving.traffic.shadow import advance_shadow, start_shadow

if TYPE_CHECKING:
    from proveout.envs.core.simulation import Simulation

wp.set_module_options({"enable_backward": False})

_STREAM = wp.constant(STREAM_TASK)
_LANES = wp.constant(3)
_ROWS = wp.constant(7)  # places in a lane at the start
_OWN_ROW = wp.constant(2)  # the learner's
_NEIGHBOURS = wp.constant(8)
_IDM = wp.constant(int(DriverKind.IDM))
_EXTERNAL = wp.constant(int(DriverKind.EXTERNAL))
_DESIRED_SPEED = wp.constant(int(DriverColumn.DESIRED_SPEED))
_HEADWAY = wp.constant(int(DriverColumn.TIME_HEADWAY))
_MAX_ACCELERATION = wp.constant(int(DriverColumn.MAX_ACCELERATION))
_DECELERATION = wp.constant(int(DriverColumn.COMFORTABLE_DECELERATION))
_LONGEST_TTC = wp.constant(20.0)  # s


@dataclass(frozen=True, kw_only=True)
class HighwayWeights(RewardWeights):
    """Weights of the raw terms; the terms are per control step.

    Apart from the two that end an episode, the sum stays well below 1: with a larger one, the
    gradient of the critic's loss crowds out the policy's under a common bound on the norm.
    """

    alive: float = quantity(0.03, "1", "1 in every step without a collision and on the road")
    speed_gain: float = quantity(0.05, "1", "lead over the IDM driver's speed, in 2 m/s, -1 to 1")
    collision: float = quantity(-5.0, "1", "1 in the step of a collision")
    off_road: float = quantity(-5.0, "1", "1 in the step that leaves the road")
    closing: float = quantity(-0.2, "s", "1 / time to collision with the leader, up to 1/s")
    headway: float = quantity(-0.15, "1", "share by which the time gap is below 1 s")
    lane_offset: float = quantity(-0.015, "1/m", "distance from the lane's centre line")
    heading: float = quantity(-0.1, "1/rad", "angle to the lane")
    action_rate: float = quantity(-0.002, "1", "squared change of the action")
    lateral_acceleration: float = quantity(-0.0005, "s4/m2", "squared lateral acceleration")


@dataclass(frozen=True, kw_only=True)
class HighwayConfig(TaskConfig):
    """Configuration of Highway."""

    control_dt: float = quantity(0.1, "s", "time between two actions")
    decimation: int = quantity(2, "1", "physics steps in one control step")
    episode_seconds: float = quantity(40.0, "s", "time after which an episode is truncated")
    num_agents: int = quantity(16, "1", "cars in a world, the learner included", low=2, high=21)
    gap: float = quantity(
        36.0, "m", "mean distance of the cars of a lane at the start, centres", low=15.0
    )
    slowest: float = quantity(20.0, "m/s", "lowest desired speed of the traffic", above=0.0)
    fastest: float = quantity(25.0, "m/s", "highest desired speed of the traffic")
    time_headway: float = quantity(1.2, "s", "IDM time headway of the traffic", above=0.0)
    desired_speed: float = quantity(
        30.0, "m/s", "desired speed of the IDM driver to beat", above=0.0
    )
    max_speed: float = quantity(36.0, "m/s", "the learner does not accelerate beyond it", above=0.0)
    max_acceleration: float = quantity(3.0, "m/s2", "acceleration for an action of 1", above=0.0)
    max_braking: float = quantity(6.0, "m/s2", "deceleration for an action of -1", above=0.0)
    max_lateral_acceleration: float = quantity(
        3.0, "m/s2", "steering for an action of 1", above=0.0
    )
    max_steering: float = quantity(0.3, "rad", "steering angle at low speed", above=0.0, high=1.2)
    reward_weights: HighwayWeights = field(default_factory=HighwayWeights)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(self.slowest <= self.fastest, "slowest <= fastest expected")


@register("proveout/Highway-v0")
class Highway(RoadTask):
    """A car overtakes dense traffic on a motorway."""

    config_class = HighwayConfig
    kpis = (
        Kpi("mean_speed", "m/s", "mean", "speed of the learner"),
        Kpi("idm_mean_speed", "m/s", "mean", "speed of the IDM driver in its place"),
        Kpi("min_time_to_collision", "s", "min", "with the leader in the lane, at most 20 s"),
        Kpi("lane_changes", "1", "sum", "times the learner's lane changed"),
        Kpi("collision", "1", "max", "1 with a collision"),
        Kpi("off_road", "1", "max", "1 if the road was left"),
        Kpi("max_lateral_acceleration", "m/s2", "max", "speed squared times curvature"),
    )

    def __init__(self, config: TaskConfig | None = None) -> None:
        super().__init__(config)
        self.num_agents = self.config.num_agents

    def make_layout(self) -> ObservationLayout:
        return ObservationLayout(
            (
                Entry("speed", (1,), "30 m/s", "speed of the learner"),
                Entry("steering", (1,), "0.05 rad", "steering angle, left positive"),
                Entry("lane_offset", (1,), "m", "distance from the centre line, left positive",
                      "lane"),
                Entry("heading", (1,), "0.1 rad", "angle to the lane", "lane"),
                Entry("curvature", (3,), "1/km", "of the lane here, 1 s and 2 s ahead", "lane"),
                Entry("has_lane", (2,), "1", "1 where there is a lane to the left, to the right",
                      low=0.0, high=1.0),
                Entry("leader_gap", (3,), "100 m", "to the leader in the own, left, right lane; "
                      "1 without one, 0 without a lane", low=0.0, high=1.0),
                Entry("leader_speed", (3,), "10 m/s", "of these leaders, minus the own"),
                Entry("follower_gap", (3,), "100 m", "to the followers likewise",
                      low=0.0, high=1.0),
                Entry("follower_speed", (3,), "10 m/s", "of these followers, minus the own"),
                Entry("previous_action", (2,), "1", "last action", low=-1.0, high=1.0),
                Entry("neighbours", (int(_NEIGHBOURS), 7), "50 m, 10 m/s",
                      "nearest cars: present, x, y, vx, vy, cos, sin of the heading, relative",
                      "ego", set=True),
            )
        )  # fmt: skip

    def make_action_layout(self) -> ObservationLayout:
        return ObservationLayout(
            (
                Entry("acceleration", (1,), "max_acceleration or max_braking",
                      "along the car", "ego", low=-1.0, high=1.0),
                Entry("steering", (1,), "max_lateral_acceleration",
                      "left positive", "ego", low=-1.0, high=1.0),
            )
        )  # fmt: skip

    def network(self) -> RoadNetwork:
        bends = [(400.0, 0.0, 0.0), *bend(800.0, 0.6, 120.0), (150.0, 0.0, 0.0),
                 *bend(800.0, -0.8, 120.0), (300.0, 0.0, 0.0)]  # fmt: skip
        length = sum(segment[0] for segment in bends)
        return join(
            motorway(3, length, speed_limit=36.1),
            motorway(3, segments=bends, speed_limit=36.1, start=(0.0, -2000.0, 0.0)),
        )

    def build(self, sim: Simulation) -> None:
        self._worlds: Any = sim.worlds
        self._previous_action = sim.array("highway/previous_action", (2,))
        self._action_rate = sim.array("highway/action_rate")
        self._lane = sim.array("highway/lane", dtype=wp.int32)
        shape = (self.config.num_agents,)
        self._shadow_s = sim.array("highway/shadow_s", shape)
        self._shadow_v = sim.array("highway/shadow_v", shape)
        self._shadow_leader = sim.array("highway/shadow_leader", shape, dtype=wp.int32)
        self._speed_sum = sim.array("highway/speed_sum", (2,))

    def control(self, sim: Simulation) -> None:
        c = self.config
        self._worlds.clear()
        wp.launch(
            _control_kernel,
            dim=sim.num_worlds,
            inputs=[
                c.max_acceleration, c.max_braking, c.max_lateral_acceleration, c.max_steering,
                c.max_speed, c.control_dt, self.vehicle.wheelbase, sim.action,
                self._worlds.agents,
            ],
            outputs=[sim.command, self._previous_action, self._action_rate],
            device=sim.device,
        )  # fmt: skip

    def evaluate(self, sim: Simulation) -> None:
        w = self._worlds
        for _ in range(self.config.decimation):
            advance_shadow(
                w.drivers.parameters, self._shadow_leader, self.vehicle.length,
                self.config.physics_dt, self._shadow_s, self._shadow_v,
            )  # fmt: skip
        wp.launch(
            _evaluate_kernel,
            dim=sim.num_worlds,
            inputs=[
                self.max_episode_steps, self.vehicle.wheelbase, w.road, w.agents,
                w.time_to_collision, w.leader_gap, self._shadow_v, self._action_rate, sim.elapsed,
            ],
            outputs=[
                self._lane, self._speed_sum, sim.success, sim.terminated, sim.reward_terms,
                sim.kpi,
            ],
            device=sim.device,
        )  # fmt: skip

    def reset(self, sim: Simulation, mask: wp.array) -> None:
        c, w = self.config, self._worlds
        wp.launch(
            _reset_kernel,
            dim=sim.num_worlds,
            inputs=[
                mask, sim.seed, sim.world_id, sim.episode, c.num_agents, c.gap, c.slowest,
                c.fastest, c.time_headway, c.desired_speed, w.road,
            ],
            outputs=[
                w.agents, w.drivers.kind, w.drivers.parameters, sim.command,
                self._previous_action, self._lane, self._speed_sum,
            ],
            device=sim.device,
        )  # fmt: skip
        start_shadow(mask, w.agents, self._shadow_leader, self._shadow_s, self._shadow_v)

    def observe(self, sim: Simulation, mask: wp.array, observation: wp.array) -> None:
        w = self._worlds
        wp.launch(
            _observe_kernel,
            dim=sim.num_worlds,
            inputs=[
                mask, w.road, w.agents, w.leader, w.leader_gap, w.follower, w.follower_gap,
                self._previous_action,
            ],
            outputs=[observation],
            device=sim.device,
        )  # fmt: skip

    @classmethod
    def expert(cls, config: TaskConfig) -> HighwayExpert:
        """IDM with lane changes, from the observation."""
        return HighwayExpert(cls(config).layout, config)


@wp.kernel
def _control_kernel(
    # In:
    max_acceleration: float,
    max_braking: float,
    max_lateral: float,
    max_steering: float,
    max_speed: float,
    control_dt: float,
    wheelbase: float,
    action_in: wp.array2d[float],
    agents: AgentArrays,
    # Out:
    command_out: wp.array2d[float],
    previous_action_out: wp.array2d[float],
    action_rate_out: wp.array[float],
):
    worldid = wp.tid()
    rate = float(0.0)
    for i in range(2):
        change = action_in[worldid, i] - previous_action_out[worldid, i]
        rate += change * change
        previous_action_out[worldid, i] = action_in[worldid, i]
    action_rate_out[worldid] = rate

    velocity = agents.velocity[worldid, 0]
    push = action_in[worldid, 0]
    acceleration = wp.where(push > 0.0, push * max_acceleration, push * max_braking)
    # Neither beyond the top speed nor backwards within the coming control step.
    acceleration = wp.clamp(
        acceleration, -velocity / control_dt, wp.max(0.0, (max_speed - velocity) / control_dt)
    )
    curvature = max_lateral / wp.max(velocity * velocity, 1.0)
    limit = wp.min(max_steering, wp.atan(wheelbase * curvature))
    command_out[worldid, 0] = acceleration
    command_out[worldid, 1] = action_in[worldid, 1] * limit


@wp.kernel
def _evaluate_kernel(
    # In:
    max_steps: int,
    wheelbase: float,
    road: LaneArrays,
    agents: AgentArrays,
    time_to_collision_in: wp.array2d[float],
    leader_gap_in: wp.array3d[float],
    shadow_v_in: wp.array2d[float],
    action_rate_in: wp.array[float],
    elapsed_in: wp.array[int],
    # Out:
    lane_out: wp.array[int],
    speed_sum_out: wp.array2d[float],
    success_out: wp.array[wp.bool],
    terminated_out: wp.array[wp.bool],
    reward_terms_out: wp.array2d[float],
    kpi_out: wp.array2d[float],
):
    worldid = wp.tid()
    velocity = agents.velocity[worldid, 0]
    lane = agents.lane[worldid, 0]
    _x, _y, lane_heading, _curvature = lane_pose(road, lane, agents.s[worldid, 0])
    error = agents.heading[worldid, 0] - lane_heading
    sin_error = wp.sin(error)
    collision = wp.where(agents.collided[worldid, 0], 1.0, 0.0)
    off_road = wp.where(agents.off_road[worldid, 0], 1.0, 0.0)
    ttc = wp.clamp(time_to_collision_in[worldid, 0], 0.0, _LONGEST_TTC)
    closing = wp.where(ttc < _LONGEST_TTC, wp.min(1.0, 1.0 / wp.max(ttc, 0.1)), 0.0)
    lateral = velocity * velocity * wp.tan(agents.steering[worldid, 0]) / wheelbase
    gap = wp.max(leader_gap_in[worldid, 0, 0], 0.0)
    changed = wp.where(lane != lane_out[worldid], 1.0, 0.0)
    lane_out[worldid] = lane

    speed_sum_out[worldid, 0] = speed_sum_out[worldid, 0] + velocity
    speed_sum_out[worldid, 1] = speed_sum_out[worldid, 1] + shadow_v_in[worldid, 0]
    ended = agents.collided[worldid, 0] or agents.off_road[worldid, 0]
    terminated_out[worldid] = ended
    success_out[worldid] = (
        (not ended)
        and elapsed_in[worldid] >= max_steps
        and speed_sum_out[worldid, 0] > speed_sum_out[worldid, 1]
    )

    reward_terms_out[worldid, 0] = wp.where(ended, 0.0, 1.0)
    reward_terms_out[worldid, 1] = wp.clamp((velocity - shadow_v_in[worldid, 0]) / 2.0, -1.0, 1.0)
    reward_terms_out[worldid, 2] = collision
    reward_terms_out[worldid, 3] = off_road
    reward_terms_out[worldid, 4] = closing
    reward_terms_out[worldid, 5] = wp.max(0.0, 1.0 - gap / wp.max(velocity, 1.0))
    reward_terms_out[worldid, 6] = wp.abs(agents.d[worldid, 0])
    reward_terms_out[worldid, 7] = wp.abs(sin_error)
    reward_terms_out[worldid, 8] = action_rate_in[worldid]
    reward_terms_out[worldid, 9] = lateral * lateral
    kpi_out[worldid, 0] = velocity
    kpi_out[worldid, 1] = shadow_v_in[worldid, 0]
    kpi_out[worldid, 2] = ttc
    kpi_out[worldid, 3] = changed
    kpi_out[worldid, 4] = collision
    kpi_out[worldid, 5] = off_road
    kpi_out[worldid, 6] = wp.abs(lateral)


@wp.kernel
def _reset_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    seed_in: wp.array[wp.uint64],
    world_id_in: wp.array[int],
    episode_in: wp.array[int],
    num_agents: int,
    gap: float,
    slowest: float,
    fastest: float,
    time_headway: float,
    desired_speed: float,
    road: LaneArrays,
    # Out:
    agents: AgentArrays,
    kind_out: wp.array2d[int],
    parameters_out: wp.array3d[float],
    command_out: wp.array2d[float],
    previous_action_out: wp.array2d[float],
    lane_out: wp.array[int],
    speed_sum_out: wp.array2d[float],
):
    worldid = wp.tid()
    if not mask_in[worldid]:
        return
    key = random_key(seed_in[worldid], world_id_in[worldid], episode_in[worldid], _STREAM)
    first_lane = _LANES * integer(key, 0, 0, 2)
    own_lane = integer(key, 1, 0, _LANES)
    for i in range(2):
        command_out[worldid, i] = 0.0
        previous_action_out[worldid, i] = 0.0
        speed_sum_out[worldid, i] = 0.0
    lane_out[worldid] = first_lane + own_lane

    # The cars fill the places row by row from the back: place 0 is in the right lane.
    place = int(0)
    for agent in range(num_agents):
        row = _OWN_ROW
        lane = own_lane
        if agent > 0:
            row = place / _LANES
            lane = place % _LANES
            if row == _OWN_ROW and lane == own_lane:
                place += 1
                row = place / _LANES
                lane = place % _LANES
            place += 1
        draw = 2 + 4 * agent
        s = 60.0 + gap * (float(row) + 0.3 * float(lane) + uniform(key, draw, -0.15, 0.15))
        wanted = uniform(key, draw + 1, slowest, fastest)
        velocity = wanted * uniform(key, draw + 2, 0.9, 1.0)
        if agent == 0:
            wanted = desired_speed
            kind_out[worldid, agent] = _EXTERNAL
        else:
            kind_out[worldid, agent] = _IDM
        parameters_out[worldid, agent, _DESIRED_SPEED] = wanted
        parameters_out[worldid, agent, _HEADWAY] = time_headway
        parameters_out[worldid, agent, _MAX_ACCELERATION] = 1.5
        parameters_out[worldid, agent, _DECELERATION] = 2.0
        x, y, heading, _curvature = lane_pose(road, first_lane + lane, s)
        agents.active[worldid, agent] = True
        agents.lane[worldid, agent] = first_lane + lane
        agents.s[worldid, agent] = s
        agents.d[worldid, agent] = 0.0
        agents.x[worldid, agent] = x
        agents.y[worldid, agent] = y
        agents.heading[worldid, agent] = heading
        agents.velocity[worldid, agent] = velocity


@wp.kernel
def _observe_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    road: LaneArrays,
    agents: AgentArrays,
    leader_in: wp.array3d[int],
    leader_gap_in: wp.array3d[float],
    follower_in: wp.array3d[int],
    follower_gap_in: wp.array3d[float],
    previous_action_in: wp.array2d[float],
    # Out:
    observation_out: wp.array2d[float],
):
    worldid = wp.tid()
    if not mask_in[worldid]:
        return
    velocity = agents.velocity[worldid, 0]
    lane = agents.lane[worldid, 0]
    s = agents.s[worldid, 0]
    _x, _y, lane_heading, curvature = lane_pose(road, lane, s)
    observation_out[worldid, 0] = velocity / 30.0
    observation_out[worldid, 1] = agents.steering[worldid, 0] / 0.05
    observation_out[worldid, 2] = agents.d[worldid, 0]
    error = agents.heading[worldid, 0] - lane_heading
    observation_out[worldid, 3] = wp.atan2(wp.sin(error), wp.cos(error)) / 0.1
    observation_out[worldid, 4] = 1000.0 * curvature
    for ahead in range(2):
        _x1, _y1, _h1, curvature_ahead = lane_pose(road, lane, s + velocity * float(ahead + 1))
        observation_out[worldid, 5 + ahead] = 1000.0 * curvature_ahead
    has_left = road.left[lane] >= 0
    has_right = road.right[lane] >= 0
    observation_out[worldid, 7] = wp.where(has_left, 1.0, 0.0)
    observation_out[worldid, 8] = wp.where(has_right, 1.0, 0.0)
    lane_gaps(agents, leader_in, leader_gap_in, worldid, has_left, has_right, 9, observation_out)
    lane_gaps(
        agents, follower_in, follower_gap_in, worldid, has_left, has_right, 15, observation_out
    )
    observation_out[worldid, 21] = previous_action_in[worldid, 0]
    observation_out[worldid, 22] = previous_action_in[worldid, 1]
    nearest(
        agents, worldid, 0, _NEIGHBOURS, FARTHEST_GAP, 1.0 / 50.0, 1.0 / 10.0, worldid, 23,
        observation_out,
    )  # fmt: skip
