"""A road task made from what docs/adding-a-road-task.md says, and nothing else."""

from dataclasses import dataclass, field
from typing import Any

import warp as wp

from proveout.assets.files.layout import Entry, Layout
from proveout.assets.road import bend, join, motorway
from proveout.envs.core.columns import columns
from proveout.envs.core.hooks import Step
from proveout.envs.core.randomize import Randomization
from proveout.envs.core.rng import STREAM_TASK, random_key, uniform
from proveout.envs.core.task import (
    Kpi,
    RandomizationConfig,
    RewardWeights,
    TaskConfig,
    quantity,
)
from proveout.envs.driving.road import Road, place_agent
from proveout.envs.driving.roads.lanes import lane_pose
from proveout.envs.driving.task import RoadTask

wp.set_module_options({"enable_backward": False})

STREAM = wp.constant(STREAM_TASK)


@dataclass(frozen=True, kw_only=True)
class FollowWeights(RewardWeights):
    gap: float = quantity(0.01, "1/m", "gap to the leader, at most 100 m")


@dataclass(frozen=True, kw_only=True)
class FollowRandomization(RandomizationConfig):
    latency: Randomization = Randomization(
        field="control_latency", operation="set", low=0.0, high=0.1, unit="s"
    )
    mass: Randomization = Randomization(field="body_mass")


@dataclass(frozen=True, kw_only=True)
class FollowConfig(TaskConfig):
    control_dt: float = quantity(0.1, "s", "time between two actions")
    decimation: int = quantity(2, "1", "physics steps in one control step")
    episode_seconds: float = quantity(3.0, "s", "time after which an episode is truncated")
    num_agents: int = quantity(2, "1", "cars", structural=True)
    start: float = quantity(50.0, "m", "where the learner starts")
    slow_after: int = quantity(10, "1", "steps after which the leader wants to stand")
    reward_weights: FollowWeights = field(default_factory=FollowWeights)
    randomization: FollowRandomization = field(default_factory=FollowRandomization)


OBSERVATION = Layout(
    (
        Entry("speed", (), "m/s", "of the learner"),
        Entry("gap", (), "m", "to the leader"),
        Entry("curvature", (), "1/m", "of the lane"),
    )
)
ACTION = Layout((Entry("acceleration", (1,), "3 m/s2", "of the learner", low=-1.0, high=1.0),))
KPIS = (
    Kpi("leader_speed", "m/s", "last", "speed of the leader"),
    Kpi("gap", "m", "last", "gap to the leader"),
    Kpi("off_road", "1", "max", "1 if the road was left"),
)
Obs, Term, Value = columns(OBSERVATION), columns(FollowWeights), columns(KPIS)


class Follow(RoadTask):
    """The learner follows a leader that slows down."""

    id = "toy/Follow-v0"
    config_class = FollowConfig
    observation, action, kpis = OBSERVATION, ACTION, KPIS

    def network(self):
        return join(motorway(2, 400.0), motorway(1, segments=bend(300.0, 0.8, 60.0)))

    @wp.func
    def control(w: int, step: Step, road: Road, c: Any, s: Any):
        step.command[w, 0] = 3.0 * step.action[w, 0]
        step.command[w, 1] = 0.0
        if step.elapsed[w] > c.slow_after:
            road.driver[w, 1].desired_speed = 0.0

    @wp.func
    def evaluate(w: int, step: Step, road: Road, c: Any, s: Any):
        gap = wp.min(road.leader_gap[w, 0, 0], 100.0)
        step.reward[w, Term.gap] = gap
        step.terminated[w] = road.agents.collided[w, 0] or road.agents.off_road[w, 0]
        step.success[w] = not step.terminated[w]
        step.kpi[w, Value.leader_speed] = road.agents.velocity[w, 1]
        step.kpi[w, Value.gap] = gap
        step.kpi[w, Value.off_road] = wp.where(road.agents.off_road[w, 0], 1.0, 0.0)

    @wp.func
    def reset(w: int, step: Step, road: Road, c: Any, s: Any):
        key = random_key(step.seed[w], step.world_id[w], step.episode[w], STREAM)
        speed = uniform(key, 0, 15.0, 20.0)
        lane = step.world_id[w] % 3  # two lanes of the straight road, one of the bend
        for agent in range(c.num_agents):
            place_agent(road, w, agent, lane, c.start + 30.0 * float(agent), speed)
            road.driver[w, agent].desired_speed = speed

    @wp.func
    def observe(w: int, step: Step, road: Road, c: Any, s: Any, obs: wp.array2d[float]):
        lane = road.agents.lane[w, 0]
        _x, _y, _heading, curvature = lane_pose(road.lanes, lane, road.agents.s[w, 0])
        obs[w, Obs.speed] = road.agents.velocity[w, 0]
        obs[w, Obs.gap] = wp.min(road.leader_gap[w, 0, 0], 100.0)
        obs[w, Obs.curvature] = curvature
