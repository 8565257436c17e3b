"""Reach: bring the tool centre point of an arm to a pose, and hold it there.

Robot: any arm with position servos, on the floor; by default the UR5e (`assets/robots/ur5e`). Its
joints, limits, home pose and tool are read from its model. Contacts are not simulated: goals are
sampled around `home` and above the floor.
Goal: pose of the tcp at a random joint configuration around `home`, so it is reachable.
Observation: see `observation_of`. Base frame: z up, origin at the foot of the arm.
Action: change of the joint targets, -1 to 1 of `max_increment`; 20 Hz.
Reward: weighted sum of the terms of `ReachWeights`, in every control step.
Ends: only by time. Success: within both tolerances, without a break for `hold_seconds`.
"""

# The type of the observation's columns is made when this is imported.
# mypy: disable-error-code="valid-type, attr-defined"

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import mujoco
import warp as wp

from proveout.assets.files.layout import Entry, Layout
from proveout.envs.core.columns import columns, starts
from proveout.envs.core.hooks import Step, action_rate, episode_key
from proveout.envs.core.randomize import Randomization
from proveout.envs.core.registry import register
from proveout.envs.core.rng import uniform
from proveout.envs.core.scene_pose import ScenePose
from proveout.envs.core.task import Kpi, RandomizationConfig, RewardWeights, TaskConfig, quantity
from proveout.envs.factory.arm import Arm, joint_load, reachable_pose, tcp_position, tcp_to
from proveout.envs.factory.arm_task import ArmTask
from proveout.envs.factory.control.jacobian import ChainJacobian
from proveout.envs.factory.control.reach_expert import ReachExpert
from proveout.envs.factory.engine import Capacities
from proveout.envs.factory.scenery import add_pose_marker, add_studio, drop_shapes, with_marker

wp.set_module_options({"enable_backward": False})

_START, _GOAL = wp.constant(0), wp.constant(1)  # streams of random numbers


@dataclass(frozen=True, kw_only=True)
class ReachWeights(RewardWeights):
    """Weights of the raw terms; the terms are per control step."""

    distance: float = quantity(-0.05, "1/m", "distance of the tcp from the goal")
    orientation: float = quantity(-0.012, "1/rad", "angle between tcp and goal")
    near: float = quantity(0.05, "1", "exp(-distance / 6 cm)")
    aligned: float = quantity(0.05, "1", "exp(-distance / 6 cm - angle / 0.25 rad)")
    reached: float = quantity(0.05, "1", "1 while within both tolerances")
    action_rate: float = quantity(-0.001, "1", "squared change of the action")
    joint_speed: float = quantity(-0.0002, "s2/rad2", "squared joint speed")
    joint_limits: float = quantity(-0.1, "1/rad", "sum of angles beyond 95 % of the joint range")


@dataclass(frozen=True, kw_only=True)
class ReachRandomization(RandomizationConfig):
    """Off by default; widen a range to switch one on, or all by the level "strong"."""

    link_mass: Randomization = Randomization(field="body_mass", strong=(0.8, 1.2))
    joint_damping: Randomization = Randomization(field="joint_damping", strong=(0.5, 2.0))
    servo_gain: Randomization = Randomization(field="actuator_gain", strong=(0.8, 1.2))
    latency: Randomization = Randomization(
        field="control_latency", operation="set", low=0.0, high=0.0, strong=(0.0, 0.05), unit="s"
    )
    joint_position_noise: Randomization = Randomization(
        field="observation_noise", target="joint_position", operation="set",
        low=0.0, high=0.0, strong=(0.0, 0.002), unit="rad",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ReachConfig(TaskConfig):
    """Configuration of Reach."""

    episode_seconds: float = quantity(3.0, "s", "time after which an episode is truncated")
    robot: str = quantity("ur5e", "1", "name of an arm, or path of its MJCF or URDF file")
    max_increment: float = quantity(
        0.12, "rad", "largest change of a joint target in one step", above=0.0
    )
    start_noise: float = quantity(
        0.3, "rad", "half range of the start angles around home", low=0.0, high=1.5
    )
    position_tolerance: float = quantity(0.02, "m", "distance that counts as reached", above=0.0)
    angle_tolerance: float = quantity(0.2, "rad", "angle that counts as reached", above=0.0)
    hold_seconds: float = quantity(0.25, "s", "time in tolerance that is a success", above=0.0)
    # Of random joint angles, two thirds lead above the highest value allowed here.
    min_height: float = quantity(0.12, "m", "lowest goal above the floor", low=0.0, high=0.3)
    reward_weights: ReachWeights = field(default_factory=ReachWeights)
    randomization: ReachRandomization = field(default_factory=ReachRandomization)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            self.hold_steps <= self.max_episode_steps,
            f"hold_seconds takes {self.hold_steps} control steps, both ends counted, and the "
            f"episode has {self.max_episode_steps}",
        )

    @property
    def hold_steps(self) -> int:
        """Control steps within the tolerances that are a success; 0.25 s at 20 Hz are six."""
        return round(self.hold_seconds / self.control_dt) + 1


def observation_of(joints: int) -> Layout:
    """What is observed of an arm with so many joints."""
    each = (joints,)
    return Layout(
        (
            Entry("joint_position", each, "rad", "joint angles", "joint"),
            Entry("joint_velocity", each, "rad/s", "joint speeds", "joint"),
            Entry("joint_target_offset", each, "rad", "joint targets minus angles", "joint"),
            Entry("tcp_position", (3,), "m", "tool centre point", "base"),
            Entry("goal_offset", (3,), "m", "goal minus tcp", "base"),
            Entry("goal_offset_near", (3,), "5 cm", "the same, clipped to one", "base",
                  low=-1.0, high=1.0),
            Entry("goal_rotation", (3,), "rad", "rotation from tcp to goal", "base"),
            Entry("previous_action", each, "1", "last action", "joint", low=-1.0, high=1.0),
        )
    )  # fmt: skip


KPIS = (
    Kpi("final_distance", "m", "last", "distance from the goal at the end"),
    Kpi("final_angle", "rad", "last", "angle from the goal at the end"),
    Kpi("time_to_reach", "s", "last", "time until success; the episode's time without it"),
    Kpi("energy", "J", "sum", "mechanical work of the joints, sampled at the control rate"),
    Kpi("max_joint_speed", "rad/s", "max", "fastest joint at the ends of the control steps"),
)
Obs, Term, Value = starts(observation_of(1)), columns(ReachWeights), columns(KPIS)


@wp.struct
class ReachState:
    """What a world keeps from step to step."""

    at: Obs
    goal: wp.array[wp.transform]  # world frame
    goal_angles: wp.array2d[float]  # rad, m
    held: wp.array[int]  # control steps within the tolerances
    reach_time: wp.array[float]  # s


@register("proveout/Reach-v0")
class Reach(ArmTask):
    """An arm (a UR5e by default) brings its tool to a random pose and holds it."""

    config_class, state_class = ReachConfig, ReachState
    kpis = KPIS
    capacities = Capacities(contacts=0, constraints=6)

    def make_layout(self) -> Layout:
        return observation_of(self.joints)

    def make_action_layout(self) -> Layout:
        return Layout(
            (Entry("joint_target_increment", (self.joints,), "max_increment",
                   "change of the joint targets", "joint", low=-1.0, high=1.0),)
        )  # fmt: skip

    def state_columns(self) -> dict[str, int]:
        return {"goal_angles": self.joints}

    def spec(self, *, visual: bool) -> Any:
        spec = self.robot.spec.copy()
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
        if visual:
            add_studio(spec, target=(0.25, 0.0, 0.35), distance=1.7)
            add_pose_marker(spec, "goal")
        else:
            drop_shapes(spec)
        return spec

    @wp.func
    def control(w: int, step: Step, arm: Arm, c: Any, s: ReachState):
        for j in range(arm.joints):
            target = step.command[w, j] + c.max_increment * step.action[w, j]
            step.command[w, j] = wp.clamp(target, arm.low[j], arm.high[j])

    @wp.func
    def evaluate(w: int, step: Step, arm: Arm, c: Any, s: ReachState):
        offset, rotation = tcp_to(arm, w, s.goal[w])
        distance = wp.length(offset)
        angle = wp.length(rotation)
        within = distance < c.position_tolerance and angle < c.angle_tolerance
        s.held[w] = wp.where(within, s.held[w] + 1, 0)
        if not step.success[w]:
            s.reach_time[w] = float(step.elapsed[w]) * c.control_dt
            # Both ends of the time count.
            step.success[w] = s.held[w] > int(wp.round(c.hold_seconds / c.control_dt))
        squares, fastest, power, beyond = joint_load(arm, w)

        step.reward[w, Term.distance] = distance
        step.reward[w, Term.orientation] = angle
        step.reward[w, Term.near] = wp.exp(-distance / 0.06)
        step.reward[w, Term.aligned] = wp.exp(-distance / 0.06 - angle / 0.25)
        step.reward[w, Term.reached] = wp.where(within, 1.0, 0.0)
        step.reward[w, Term.action_rate] = action_rate(step, w)
        step.reward[w, Term.joint_speed] = squares
        step.reward[w, Term.joint_limits] = beyond
        step.kpi[w, Value.final_distance] = distance
        step.kpi[w, Value.final_angle] = angle
        step.kpi[w, Value.time_to_reach] = s.reach_time[w]
        step.kpi[w, Value.energy] = power * c.control_dt
        step.kpi[w, Value.max_joint_speed] = fastest

    @wp.func
    def reset(w: int, step: Step, arm: Arm, c: Any, s: ReachState):
        start = episode_key(step, w, _START)
        for a in range(arm.joints, arm.rest.shape[0]):  # of a gripper
            step.command[w, a] = arm.rest[a]
        for j in range(arm.joints):
            angle = arm.home[j] + uniform(start, j, -c.start_noise, c.start_noise)
            arm.qpos[w, j] = angle
            step.command[w, j] = angle

        s.goal[w] = reachable_pose(arm, w, episode_key(step, w, _GOAL), s.goal_angles, c.min_height)

    @wp.func
    def observe(w: int, step: Step, arm: Arm, c: Any, s: ReachState, obs: wp.array2d[float]):
        for j in range(arm.joints):
            obs[w, s.at.joint_position + j] = arm.qpos[w, j]
            obs[w, s.at.joint_velocity + j] = arm.qvel[w, j]
            obs[w, s.at.joint_target_offset + j] = step.command[w, j] - arm.qpos[w, j]
            obs[w, s.at.previous_action + j] = step.action[w, j]
        position = tcp_position(arm, w)
        offset, rotation = tcp_to(arm, w, s.goal[w])
        for i in range(3):
            obs[w, s.at.tcp_position + i] = position[i]
            obs[w, s.at.goal_offset + i] = offset[i]
            obs[w, s.at.goal_offset_near + i] = wp.clamp(offset[i] / 0.05, -1.0, 1.0)
            obs[w, s.at.goal_rotation + i] = rotation[i]

    def scene_pose(self, sim: Any, worlds: Sequence[int]) -> list[ScenePose]:
        return with_marker(sim.engine.scene_pose(worlds), sim.task_state("goal")[list(worlds)])

    @classmethod
    def expert(cls, config: TaskConfig) -> ReachExpert:
        """Damped least-squares inverse kinematics on the observation."""
        task = cls(config)
        jacobian = ChainJacobian(task.model(), task.tool)
        return ReachExpert(task.layout, jacobian, task.config.max_increment)
