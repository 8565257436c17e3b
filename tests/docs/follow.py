"""A road task made from what docs/adding-a-task.md says about road tasks, and nothing else."""

# Warp's stubs give kernel arrays no indexing.
# mypy: disable-error-code="index, misc"

from dataclasses import dataclass, field

import warp as wp

from proveout.assets.road import bend, join, motorway
from proveout.envs.core.layout import Entry, ObservationLayout
from proveout.envs.core.randomize import Randomization
from proveout.envs.core.rng import random_key, uniform
from proveout.envs.core.task import (
    STREAM_TASK,
    Kpi,
    RandomizationConfig,
    RewardWeights,
    TaskConfig,
    quantity,
)
from proveout.envs.driving.agents import AgentArrays
from proveout.envs.driving.drivers.table import DriverColumn
from proveout.envs.driving.roads.lanes import LaneArrays, lane_pose
from proveout.envs.driving.task import RoadTask

wp.set_module_options({"enable_backward": False})

STREAM = wp.constant(STREAM_TASK)
DESIRED_SPEED = wp.constant(int(DriverColumn.DESIRED_SPEED))


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
    num_agents: int = quantity(2, "1", "cars")
    start: float = quantity(50.0, "m", "where the learner starts")
    slow_after: int = quantity(10, "1", "steps after which the leader wants to stand")
    reward_weights: FollowWeights = field(default_factory=FollowWeights)
    randomization: FollowRandomization = field(default_factory=FollowRandomization)


class Follow(RoadTask):
    """The learner follows a leader that slows down."""

    id = "toy/Follow-v0"
    config_class = FollowConfig
    kpis = (
        Kpi("leader_speed", "m/s", "last", "speed of the leader"),
        Kpi("gap", "m", "last", "gap to the leader"),
        Kpi("off_road", "1", "max", "1 if the road was left"),
    )

    def make_layout(self):
        return ObservationLayout(
            (
                Entry("speed", (), "m/s", "of the learner"),
                Entry("gap", (), "m", "to the leader"),
                Entry("curvature", (), "1/m", "of the lane"),
            )
        )

    def make_action_layout(self):
        return ObservationLayout(
            (Entry("acceleration", (1,), "3 m/s2", "of the learner", low=-1.0, high=1.0),)
        )

    def network(self):
        return join(motorway(2, 400.0), motorway(1, segments=bend(300.0, 0.8, 60.0)))

    def build(self, sim):
        self._worlds = sim.worlds

    def control(self, sim):
        wp.launch(
            _control,
            dim=sim.num_worlds,
            inputs=[sim.action, sim.elapsed, self.config.slow_after],
            outputs=[sim.command, self._worlds.drivers.parameters],
            device=sim.device,
        )

    def evaluate(self, sim):
        wp.launch(
            _evaluate,
            dim=sim.num_worlds,
            inputs=[self._worlds.agents, self._worlds.leader_gap],
            outputs=[sim.success, sim.terminated, sim.reward_terms, sim.kpi],
            device=sim.device,
        )

    def reset(self, sim, mask):
        wp.launch(
            _reset,
            dim=sim.num_worlds,
            inputs=[
                mask, sim.seed, sim.world_id, sim.episode, self._worlds.road, self.config.start,
            ],
            outputs=[self._worlds.agents, self._worlds.drivers.parameters, sim.command],
            device=sim.device,
        )  # fmt: skip

    def observe(self, sim, mask, observation):
        wp.launch(
            _observe,
            dim=sim.num_worlds,
            inputs=[mask, self._worlds.road, self._worlds.agents, self._worlds.leader_gap],
            outputs=[observation],
            device=sim.device,
        )


@wp.kernel
def _control(
    action: wp.array2d[float],
    elapsed: wp.array[int],
    slow_after: int,
    command: wp.array2d[float],
    parameters: wp.array3d[float],
):
    worldid = wp.tid()
    command[worldid, 0] = 3.0 * action[worldid, 0]
    command[worldid, 1] = 0.0
    if elapsed[worldid] > slow_after:
        parameters[worldid, 1, DESIRED_SPEED] = 0.0


@wp.kernel
def _evaluate(
    agents: AgentArrays,
    leader_gap: wp.array3d[float],
    success: wp.array[wp.bool],
    terminated: wp.array[wp.bool],
    reward_terms: wp.array2d[float],
    kpi: wp.array2d[float],
):
    worldid = wp.tid()
    gap = wp.min(leader_gap[worldid, 0, 0], 100.0)
    reward_terms[worldid, 0] = gap
    terminated[worldid] = agents.collided[worldid, 0] or agents.off_road[worldid, 0]
    success[worldid] = not terminated[worldid]
    kpi[worldid, 0] = agents.velocity[worldid, 1]
    kpi[worldid, 1] = gap
    kpi[worldid, 2] = wp.where(agents.off_road[worldid, 0], 1.0, 0.0)


@wp.kernel
def _reset(
    mask: wp.array[wp.bool],
    seed: wp.array[wp.uint64],
    world_id: wp.array[int],
    episode: wp.array[int],
    road: LaneArrays,
    start: float,
    agents: AgentArrays,
    parameters: wp.array3d[float],
    command: wp.array2d[float],
):
    worldid = wp.tid()
    if not mask[worldid]:
        return
    key = random_key(seed[worldid], world_id[worldid], episode[worldid], STREAM)
    speed = uniform(key, 0, 15.0, 20.0)
    lane = world_id[worldid] % 3  # two lanes of the straight road, one of the bend
    for agent in range(2):
        s = start + 30.0 * float(agent)
        x, y, heading, _curvature = lane_pose(road, lane, s)
        agents.active[worldid, agent] = True
        agents.lane[worldid, agent] = lane
        agents.s[worldid, agent] = s
        agents.d[worldid, agent] = 0.0
        agents.x[worldid, agent] = x
        agents.y[worldid, agent] = y
        agents.heading[worldid, agent] = heading
        agents.velocity[worldid, agent] = speed
        parameters[worldid, agent, DESIRED_SPEED] = speed
    for i in range(2):
        command[worldid, i] = 0.0


@wp.kernel
def _observe(
    mask: wp.array[wp.bool],
    road: LaneArrays,
    agents: AgentArrays,
    leader_gap: wp.array3d[float],
    observation: wp.array2d[float],
):
    worldid = wp.tid()
    if not mask[worldid]:
        return
    lane = agents.lane[worldid, 0]
    _x, _y, _heading, curvature = lane_pose(road, lane, agents.s[worldid, 0])
    observation[worldid, 0] = agents.velocity[worldid, 0]
    observation[worldid, 1] = wp.min(leader_gap[worldid, 0, 0], 100.0)
    observation[worldid, 2] = curvature
