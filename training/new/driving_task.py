"""Follow: a car keeps its distance from a leader whose speed changes.

Ends: a collision. Success: none, and on average within 3 m of the wanted gap, 2 m and 1.5 s.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import warp as wp

from proveout.assets.road import motorway
from proveout.envs import Entry, Kpi, Layout, RewardWeights, Step, TaskConfig, action_rate
from proveout.envs import columns, episode_key, quantity, register, uniform
from proveout.envs.driving import DriverKind, Road, RoadTask, body_of, place_agent, set_driver

wp.set_module_options({"enable_backward": False})

IDM, EXTERNAL = wp.constant(int(DriverKind.IDM)), wp.constant(int(DriverKind.EXTERNAL))
START, LEADER = wp.constant(0), wp.constant(1)  # streams of random numbers
FARTHEST = wp.constant(100.0)  # m; a gap beyond it is seen as this


@dataclass(frozen=True, kw_only=True)
class FollowWeights(RewardWeights):  # the names of the fields are the names of the reward terms
    error: float = quantity(-0.02, "1/m", "distance from the wanted gap, at most 10 m")
    collision: float = quantity(-2.0, "1", "1 in a step with a collision")
    action_rate: float = quantity(-0.005, "1", "squared change of the action")


@dataclass(frozen=True, kw_only=True)
class FollowConfig(TaskConfig):  # every field is a flag: --env.time-headway 1.2
    control_dt: float = quantity(0.1, "s", "time between two actions")
    decimation: int = quantity(2, "1", "physics steps in one control step")
    episode_seconds: float = quantity(20.0, "s", "time after which an episode is truncated")
    num_agents: int = quantity(2, "1", "cars, the learner included", low=2, structural=True)
    time_headway: float = quantity(1.5, "s", "wanted gap in time", above=0.0)
    max_acceleration: float = quantity(4.0, "m/s2", "for an action of 1", above=0.0)
    slowest: float = quantity(10.0, "m/s", "lowest speed that the leader wants", above=0.0)
    fastest: float = quantity(25.0, "m/s", "highest speed that the leader wants")
    reward_weights: FollowWeights = field(default_factory=FollowWeights)


SPEED = Entry("speed", (1,), "10 m/s", "of the learner")
ERROR = Entry("error", (1,), "10 m", "gap minus the wanted gap")
CLOSING = Entry("closing", (1,), "10 m/s", "speed of the leader minus the own")
PREVIOUS = Entry("previous_action", (1,), "1", "last action", low=-1.0, high=1.0)
PEDAL = Entry("acceleration", (1,), "max_acceleration", "of the learner", low=-1.0, high=1.0)
OBSERVATION, ACTION = Layout((SPEED, ERROR, CLOSING, PREVIOUS)), Layout((PEDAL,))
KPIS = (
    Kpi("mean_error", "m", "mean", "distance from the wanted gap"),
    Kpi("smallest_gap", "m", "min", "from bumper to bumper"),
)
Obs, Term, Value = columns(OBSERVATION), columns(FollowWeights), columns(KPIS)


@wp.struct
class FollowState:
    error_sum: wp.array[float]  # m, of each world; zero when an episode begins


class Follower:
    def predict(self, observations):  # proportional to gap and speed
        error, closing = 10.0 * observations[:, 1:2], 10.0 * observations[:, 2:3]
        return np.clip((0.3 * error + 1.2 * closing) / 4.0, -1.0, 1.0).astype(np.float32)


@wp.func
def gap_error(road: Road, w: int, time_headway: float):
    """Gap minus the wanted gap, and the gap [m]."""
    gap = wp.min(road.leader_gap[w, 0, 0], FARTHEST)
    return gap - 2.0 - time_headway * road.agents.velocity[w, 0], gap


@register("acme/Follow-v0")
class Follow(RoadTask):
    """A car keeps its distance from a leader whose speed changes."""

    config_class = FollowConfig
    state_class = FollowState
    presets = {"ppo": {**RoadTask.presets["ppo"], "total_timesteps": 400_000}}
    observation, action, kpis = OBSERVATION, ACTION, KPIS

    @classmethod
    def expert(cls, config):
        return Follower()

    def network(self):
        """One lane, long enough for an episode at full speed."""
        return motorway(1, 1000.0)

    @wp.func
    def control(w: int, step: Step, road: Road, c: Any, s: FollowState):
        # The leader wants another speed every five seconds.
        if (step.elapsed[w] - 1) % 50 == 0:
            wanted = uniform(
                episode_key(step, w, LEADER), step.elapsed[w] / 50, c.slowest, c.fastest
            )
            road.driver[w, 1].desired_speed = wanted
        step.command[w, 0] = c.max_acceleration * step.action[w, 0]
        step.command[w, 1] = 0.0

    @wp.func
    def evaluate(w: int, step: Step, road: Road, c: Any, s: FollowState):
        error, gap = gap_error(road, w, c.time_headway)
        s.error_sum[w] += wp.abs(error)
        collided = road.agents.collided[w, 0]
        step.terminated[w] = collided
        mean = s.error_sum[w] / float(step.elapsed[w])
        step.success[w] = (not collided) and step.elapsed[w] >= step.max_steps and mean < 3.0
        step.reward[w, Term.error] = wp.min(wp.abs(error), 10.0)
        step.reward[w, Term.collision] = wp.where(collided, 1.0, 0.0)
        step.reward[w, Term.action_rate] = action_rate(step, w)
        step.kpi[w, Value.mean_error] = wp.abs(error)
        step.kpi[w, Value.smallest_gap] = gap

    @wp.func
    def reset(w: int, step: Step, road: Road, c: Any, s: FollowState):
        key = episode_key(step, w, START)
        speed = uniform(key, 0, c.slowest, c.fastest)
        gap = 2.0 + c.time_headway * speed + uniform(key, 1, -5.0, 5.0)
        set_driver(road, w, 0, EXTERNAL, speed, c.time_headway, 1.5, 2.0)
        set_driver(road, w, 1, IDM, speed, c.time_headway, 1.5, 2.0)
        place_agent(road, w, 0, 0, 50.0, speed)
        place_agent(road, w, 1, 0, 50.0 + body_of(road, w, 1).length + gap, speed)

    @wp.func
    def observe(w: int, step: Step, road: Road, c: Any, s: FollowState, obs: wp.array2d[float]):
        error, _gap = gap_error(road, w, c.time_headway)
        velocity = road.agents.velocity[w, 0]
        obs[w, Obs.speed] = velocity / 10.0
        obs[w, Obs.error] = error / 10.0
        obs[w, Obs.closing] = (road.agents.velocity[w, 1] - velocity) / 10.0
        obs[w, Obs.previous_action] = step.action[w, 0]
