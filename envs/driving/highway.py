"""Highway: overtake dense traffic on a three-lane motorway without touching anyone.

            left    ->   [ ]        [ ]             [ ]
            middle  ->        [ ]         [ ]  [ ]
            right   ->  [#]       [ ]        [ ]          # learner

Road: straight or with bends of 800 m radius, drawn anew for every episode. Traffic: IDM cars that
keep their lane. Control at 10 Hz. Observation: see `OBSERVATION`.
Action: acceleration, and steering scaled so that 1 means `max_lateral_acceleration`.
Reward: weighted sum of the terms of `HighwayWeights`, in every control step.
Ends: a collision or leaving the road (terminated), 40 s (truncated).
Success: no collision and not off the road for the whole time, and a higher mean speed than the IDM
driver has that starts in the learner's place: it is simulated beside, in the same traffic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import warp as wp

from proveout.assets.files.layout import Entry, Layout
from proveout.assets.road import RoadNetwork, bend, join, motorway
from proveout.envs.core.columns import columns
from proveout.envs.core.hooks import Step, action_rate
from proveout.envs.core.registry import register
from proveout.envs.core.rng import STREAM_TASK, integer, random_key, uniform
from proveout.envs.core.task import Kpi, RewardWeights, TaskConfig, quantity
from proveout.envs.driving.drivers.highway_expert import HighwayExpert
from proveout.envs.driving.drivers.table import DriverKind
from proveout.envs.driving.observe import FARTHEST_GAP, lane_gaps, nearest
from proveout.envs.driving.road import (
    Road,
    heading_error,
    lateral_acceleration,
    place_agent,
    set_driver,
    vehicle_of,
)
from proveout.envs.driving.roads.lanes import lane_pose
from proveout.envs.driving.task import RoadRandomization, RoadTask
from proveout.envs.driving.traffic.shadow import advance_shadow, start_shadow

wp.set_module_options({"enable_backward": False})

vec2 = wp.types.vector(2, float)
_STREAM = wp.constant(STREAM_TASK)
_LANES = wp.constant(3)
_ROWS = wp.constant(7)  # places in a lane at the start
_OWN_ROW = wp.constant(2)  # the learner's
_NEIGHBOURS = wp.constant(8)
_IDM = wp.constant(int(DriverKind.IDM))
_EXTERNAL = wp.constant(int(DriverKind.EXTERNAL))
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
    num_agents: int = quantity(
        16, "1", "cars in a world, the learner included", low=2, high=21, structural=True
    )
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
    randomization: RoadRandomization = field(default_factory=RoadRandomization)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(self.slowest <= self.fastest, "slowest <= fastest expected")


OBSERVATION = Layout(
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
ACTION = Layout(
    (
        Entry("acceleration", (1,), "max_acceleration or max_braking",
              "along the car", "ego", low=-1.0, high=1.0),
        Entry("steering", (1,), "max_lateral_acceleration",
              "left positive", "ego", low=-1.0, high=1.0),
    )
)  # fmt: skip
KPIS = (
    Kpi("mean_speed", "m/s", "mean", "speed of the learner"),
    Kpi("idm_mean_speed", "m/s", "mean", "speed of the IDM driver in its place"),
    Kpi("min_time_to_collision", "s", "min", "with the leader in the lane, at most 20 s"),
    Kpi("lane_changes", "1", "sum", "times the learner's lane changed"),
    Kpi("collision", "1", "max", "1 with a collision"),
    Kpi("off_road", "1", "max", "1 if the road was left"),
    Kpi("max_lateral_acceleration", "m/s2", "max", "speed squared times curvature"),
)
Obs, Term, Value = columns(OBSERVATION), columns(HighwayWeights), columns(KPIS)


@wp.struct
class HighwayState:
    """What a world keeps from step to step."""

    lane: wp.array[int]
    speed_sum: wp.array[vec2]  # of the learner, of the IDM driver in its place
    shadow_leader: wp.array2d[int]
    shadow_s: wp.array2d[float]  # m
    shadow_v: wp.array2d[float]  # m/s


@register("proveout/Highway-v0")
class Highway(RoadTask):
    """A car overtakes dense traffic on a motorway."""

    config_class = HighwayConfig
    state_class = HighwayState
    observation, action, kpis = OBSERVATION, ACTION, KPIS

    def __init__(self, config: TaskConfig | None = None) -> None:
        super().__init__(config)
        self.num_agents = self.config.num_agents

    def state_columns(self) -> dict[str, int]:
        return dict.fromkeys(("shadow_leader", "shadow_s", "shadow_v"), self.config.num_agents)

    def network(self) -> RoadNetwork:
        bends = [(400.0, 0.0, 0.0), *bend(800.0, 0.6, 120.0), (150.0, 0.0, 0.0),
                 *bend(800.0, -0.8, 120.0), (300.0, 0.0, 0.0)]  # fmt: skip
        length = sum(segment[0] for segment in bends)
        return join(
            motorway(3, length, speed_limit=36.1),
            motorway(3, segments=bends, speed_limit=36.1, start=(0.0, -2000.0, 0.0)),
        )

    @wp.func
    def control(w: int, step: Step, road: Road, c: Any, s: HighwayState):
        velocity = road.agents.velocity[w, 0]
        push = step.action[w, 0]
        acceleration = wp.where(push > 0.0, push * c.max_acceleration, push * c.max_braking)
        # Neither beyond the top speed nor backwards within the coming control step.
        acceleration = wp.clamp(
            acceleration,
            -velocity / c.control_dt,
            wp.max(0.0, (c.max_speed - velocity) / c.control_dt),
        )
        curvature = c.max_lateral_acceleration / wp.max(velocity * velocity, 1.0)
        limit = wp.min(c.max_steering, wp.atan(vehicle_of(road, w, 0).wheelbase * curvature))
        step.command[w, 0] = acceleration
        step.command[w, 1] = step.action[w, 1] * limit

    @wp.func
    def evaluate(w: int, step: Step, road: Road, c: Any, s: HighwayState):
        for _ in range(road.decimation):
            advance_shadow(road, w, s.shadow_leader, s.shadow_s, s.shadow_v)
        agents = road.agents
        velocity = agents.velocity[w, 0]
        collision = wp.where(agents.collided[w, 0], 1.0, 0.0)
        off_road = wp.where(agents.off_road[w, 0], 1.0, 0.0)
        ttc = wp.clamp(road.time_to_collision[w, 0], 0.0, _LONGEST_TTC)
        closing = wp.where(ttc < _LONGEST_TTC, wp.min(1.0, 1.0 / wp.max(ttc, 0.1)), 0.0)
        lateral = lateral_acceleration(road, w, 0)
        gap = wp.max(road.leader_gap[w, 0, 0], 0.0)
        changed = wp.where(agents.lane[w, 0] != s.lane[w], 1.0, 0.0)
        s.lane[w] = agents.lane[w, 0]

        s.speed_sum[w] = s.speed_sum[w] + vec2(velocity, s.shadow_v[w, 0])
        ended = agents.collided[w, 0] or agents.off_road[w, 0]
        step.terminated[w] = ended
        step.success[w] = (
            (not ended)
            and step.elapsed[w] >= step.max_steps
            and s.speed_sum[w][0] > s.speed_sum[w][1]
        )

        step.reward[w, Term.alive] = wp.where(ended, 0.0, 1.0)
        step.reward[w, Term.speed_gain] = wp.clamp((velocity - s.shadow_v[w, 0]) / 2.0, -1.0, 1.0)
        step.reward[w, Term.collision] = collision
        step.reward[w, Term.off_road] = off_road
        step.reward[w, Term.closing] = closing
        step.reward[w, Term.headway] = wp.max(0.0, 1.0 - gap / wp.max(velocity, 1.0))
        step.reward[w, Term.lane_offset] = wp.abs(agents.d[w, 0])
        step.reward[w, Term.heading] = wp.abs(wp.sin(heading_error(road, w, 0)))
        step.reward[w, Term.action_rate] = action_rate(step, w)
        step.reward[w, Term.lateral_acceleration] = lateral * lateral
        step.kpi[w, Value.mean_speed] = velocity
        step.kpi[w, Value.idm_mean_speed] = s.shadow_v[w, 0]
        step.kpi[w, Value.min_time_to_collision] = ttc
        step.kpi[w, Value.lane_changes] = changed
        step.kpi[w, Value.collision] = collision
        step.kpi[w, Value.off_road] = off_road
        step.kpi[w, Value.max_lateral_acceleration] = wp.abs(lateral)

    @wp.func
    def reset(w: int, step: Step, road: Road, c: Any, s: HighwayState):
        key = random_key(step.seed[w], step.world_id[w], step.episode[w], _STREAM)
        first_lane = _LANES * integer(key, 0, 0, 2)
        own_lane = integer(key, 1, 0, _LANES)
        s.lane[w] = first_lane + own_lane

        # The cars fill the places row by row from the back: place 0 is in the right lane.
        place = int(0)
        for agent in range(c.num_agents):
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
            at = 60.0 + c.gap * (float(row) + 0.3 * float(lane) + uniform(key, draw, -0.15, 0.15))
            wanted = uniform(key, draw + 1, c.slowest, c.fastest)
            velocity = wanted * uniform(key, draw + 2, 0.9, 1.0)
            kind = _IDM
            if agent == 0:
                wanted = c.desired_speed
                kind = _EXTERNAL
            set_driver(road, w, agent, kind, wanted, c.time_headway, 1.5, 2.0)
            place_agent(road, w, agent, first_lane + lane, at, velocity)
        start_shadow(road, w, s.shadow_leader, s.shadow_s, s.shadow_v)

    @wp.func
    def observe(w: int, step: Step, road: Road, c: Any, s: HighwayState, obs: wp.array2d[float]):
        agents = road.agents
        velocity = agents.velocity[w, 0]
        lane = agents.lane[w, 0]
        obs[w, Obs.speed] = velocity / 30.0
        obs[w, Obs.steering] = agents.steering[w, 0] / 0.05
        obs[w, Obs.lane_offset] = agents.d[w, 0]
        error = heading_error(road, w, 0)
        obs[w, Obs.heading] = wp.atan2(wp.sin(error), wp.cos(error)) / 0.1
        for seconds in range(3):
            at = agents.s[w, 0] + velocity * float(seconds)
            _x, _y, _heading, curvature = lane_pose(road.lanes, lane, at)
            obs[w, Obs.curvature + seconds] = 1000.0 * curvature
        left = road.lanes.lane[lane].left >= 0
        right = road.lanes.lane[lane].right >= 0
        obs[w, Obs.has_lane] = wp.where(left, 1.0, 0.0)
        obs[w, Obs.has_lane + 1] = wp.where(right, 1.0, 0.0)
        lane_gaps(agents, road.leader, road.leader_gap, w, left, right, Obs.leader_gap, obs)
        lane_gaps(agents, road.follower, road.follower_gap, w, left, right, Obs.follower_gap, obs)
        for i in range(2):
            obs[w, Obs.previous_action + i] = step.action[w, i]
        nearest(
            agents, w, 0, _NEIGHBOURS, FARTHEST_GAP, 1.0 / 50.0, 1.0 / 10.0, w, Obs.neighbours, obs
        )

    @classmethod
    def expert(cls, config: TaskConfig) -> HighwayExpert:
        """IDM with lane changes, from the observation."""
        return HighwayExpert(cls(config).layout, config)
