"""Reach: bring the tool centre point of an arm to a pose, and hold it there.

Robot: UR5e on the floor (`assets/robots/ur5e`), joint position servos, 20 Hz control. Contacts
are not simulated: goals are sampled in front of the arm and above the floor.
Goal: pose of the tcp at a random joint configuration around `home`, so it is reachable.
Observation: see `make_layout`. Base frame: z up, origin at the foot of the arm.
Action: change of the joint targets, -1 to 1 of `max_increment`.
Reward: weighted sum of the terms of `ReachWeights`, in every control step.
Ends: only by time. Success: within `position_tolerance` and `angle_tolerance`, without a break for
`hold_seconds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import mujoco
import warp as wp

from proveout.assets.robot import load_robot
from proveout.envs.core.layout import Entry, ObservationLayout
from proveout.envs.core.randomize import Randomization
from proveout.envs.core.registry import register
from proveout.envs.core.rng import random_key, uniform
from proveout.envs.core.task import (
    STREAM_TASK,
    Kpi,
    RandomizationConfig,
    RewardWeights,
    TaskConfig,
    quantity,
)
from proveout.envs.core.worlds import ScenePose
from proveout.envs.factory.control.reach_expert import ReachExpert
from proveout.envs.factory.kinematics import (
    Chain,
    chain_pose,
    make_chain,
    matrix_to_quat,
    rotation_vector,
)
from proveout.envs.factory.scenery import add_pose_marker, add_studio
from proveout.envs.factory.task import ArticulatedTask
from proveout.envs.factory.worlds import Capacities

if TYPE_CHECKING:
    from proveout.envs.core.simulation import Simulation

wp.set_module_options({"enable_backward": False})

# Half ranges around `home` from which the goal's joint angles are drawn [rad].
GOAL_RANGE = (1.2, 0.5, 0.7, 0.7, 0.7, 1.5)
_STREAM_START = wp.constant(STREAM_TASK)
_STREAM_GOAL = wp.constant(STREAM_TASK + 1)
_GOAL_TRIES = wp.constant(16)


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
    """Off by default; widen a range to switch one on."""

    link_mass: Randomization = Randomization(field="body_mass")
    joint_damping: Randomization = Randomization(field="joint_damping")
    servo_gain: Randomization = Randomization(field="actuator_gain")
    latency: Randomization = Randomization(
        field="control_latency", operation="set", low=0.0, high=0.0, unit="s"
    )
    joint_position_noise: Randomization = Randomization(
        field="observation_noise", target="joint_position", operation="set",
        low=0.0, high=0.0, unit="rad",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ReachConfig(TaskConfig):
    """Configuration of Reach."""

    control_dt: float = quantity(0.05, "s", "time between two actions")
    decimation: int = quantity(5, "1", "physics steps in one control step")
    episode_seconds: float = quantity(3.0, "s", "time after which an episode is truncated")
    max_increment: float = quantity(
        0.12, "rad", "largest change of a joint target in one step", above=0.0
    )
    start_noise: float = quantity(
        0.3, "rad", "half range of the start angles around home", low=0.0, high=1.5
    )
    position_tolerance: float = quantity(0.02, "m", "distance that counts as reached", above=0.0)
    angle_tolerance: float = quantity(0.2, "rad", "angle that counts as reached", above=0.0)
    hold_seconds: float = quantity(
        0.25, "s", "time within the tolerances that is a success", above=0.0
    )
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


@register("proveout/Reach-v0")
class Reach(ArticulatedTask):
    """A UR5e brings its tool to a random pose and holds it."""

    config_class = ReachConfig
    capacities = Capacities(contacts=0, constraints=6)
    kpis = (
        Kpi("final_distance", "m", "last", "distance from the goal at the end"),
        Kpi("final_angle", "rad", "last", "angle from the goal at the end"),
        Kpi("time_to_reach", "s", "last", "time until success; the episode's time without it"),
        Kpi("energy", "J", "sum", "mechanical work of the joints, sampled at the control rate"),
        Kpi("max_joint_speed", "rad/s", "max", "fastest joint at the ends of the control steps"),
    )

    def make_layout(self) -> ObservationLayout:
        return ObservationLayout(
            (
                Entry("joint_position", (6,), "rad", "joint angles", "joint"),
                Entry("joint_velocity", (6,), "rad/s", "joint speeds", "joint"),
                Entry("joint_target_offset", (6,), "rad", "joint targets minus angles", "joint"),
                Entry("tcp_position", (3,), "m", "tool centre point", "base"),
                Entry("goal_offset", (3,), "m", "goal minus tcp", "base"),
                Entry("goal_offset_near", (3,), "5 cm", "the same, clipped to one", "base",
                      low=-1.0, high=1.0),
                Entry("goal_rotation", (3,), "rad", "rotation from tcp to goal", "base"),
                Entry("previous_action", (6,), "1", "last action", "joint", low=-1.0, high=1.0),
            )
        )  # fmt: skip

    def make_action_layout(self) -> ObservationLayout:
        return ObservationLayout(
            (Entry("joint_target_increment", (6,), "max_increment",
                   "change of the joint targets", "joint", low=-1.0, high=1.0),)
        )  # fmt: skip

    def spec(self, *, visual: bool) -> Any:
        spec = load_robot("ur5e")
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
        if visual:
            add_studio(spec, target=(0.25, 0.0, 0.35), distance=1.7)
            add_pose_marker(spec, "goal")
        else:
            for geom in list(spec.geoms):
                spec.delete(geom)
        return spec

    def build(self, sim: Simulation) -> None:
        model = sim.worlds.host_model  # type: ignore[attr-defined]
        self._data = sim.worlds.data  # type: ignore[attr-defined]
        self._chain = make_chain(model, "tcp", sim.device)
        self._tcp = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, "tcp")
        self._home = sim.constant(model.key("home").qpos)
        self._low = sim.constant(model.jnt_range[:, 0])
        self._high = sim.constant(model.jnt_range[:, 1])
        self._goal_range = sim.constant(GOAL_RANGE)
        self._goal_pos = sim.array("reach/goal_pos", (3,))
        self._goal_quat = sim.array("reach/goal_quat", (4,))
        self._goal_angles = sim.array("reach/goal_angles", (6,))
        self._previous_action = sim.array("reach/previous_action", (6,))
        self._action_rate = sim.array("reach/action_rate")
        self._held = sim.array("reach/held", dtype=wp.int32)
        self._reach_time = sim.array("reach/time")

    def control(self, sim: Simulation) -> None:
        wp.launch(
            _control_kernel,
            dim=sim.num_worlds,
            inputs=[self.config.max_increment, sim.action, self._low, self._high],
            outputs=[sim.command, self._previous_action, self._action_rate],
            device=sim.device,
        )

    def evaluate(self, sim: Simulation) -> None:
        c, d = self.config, self._data
        wp.launch(
            _evaluate_kernel,
            dim=sim.num_worlds,
            inputs=[
                c.position_tolerance, c.angle_tolerance, c.hold_steps, c.control_dt, self._tcp,
                d.site_xpos, d.site_xmat, d.qpos, d.qvel, d.qfrc_actuator, self._low, self._high,
                self._goal_pos, self._goal_quat, self._action_rate, sim.elapsed,
            ],
            outputs=[self._held, self._reach_time, sim.success, sim.reward_terms, sim.kpi],
            device=sim.device,
        )  # fmt: skip

    def reset(self, sim: Simulation, mask: wp.array) -> None:
        wp.launch(
            _reset_kernel,
            dim=sim.num_worlds,
            inputs=[
                mask, sim.seed, sim.world_id, sim.episode, self.config.start_noise,
                self.config.min_height, self._home, self._goal_range, self._chain,
            ],
            outputs=[
                self._data.qpos, sim.command, self._goal_angles, self._goal_pos, self._goal_quat,
                self._previous_action, self._held, self._reach_time,
            ],
            device=sim.device,
        )  # fmt: skip

    def observe(self, sim: Simulation, mask: wp.array, observation: wp.array) -> None:
        d = self._data
        wp.launch(
            _observe_kernel,
            dim=sim.num_worlds,
            inputs=[
                mask, self._tcp, d.qpos, d.qvel, d.site_xpos, d.site_xmat, sim.command,
                self._goal_pos, self._goal_quat, self._previous_action,
            ],
            outputs=[observation],
            device=sim.device,
        )  # fmt: skip

    def scene_pose(self, sim: Simulation, worlds: Sequence[int]) -> list[ScenePose]:
        pos, quat = self._goal_pos.numpy(), self._goal_quat.numpy()
        return [
            ScenePose(pose.qpos, pos[w : w + 1].copy(), quat[w : w + 1][:, [3, 0, 1, 2]].copy())
            for w, pose in zip(worlds, sim.worlds.scene_pose(worlds), strict=True)
        ]

    @classmethod
    def expert(cls, config: TaskConfig) -> ReachExpert:
        """Damped least-squares inverse kinematics on the observation."""
        return ReachExpert(cls(config).layout, config.max_increment)  # type: ignore[attr-defined]


@wp.kernel
def _control_kernel(
    # In:
    max_increment: float,
    action_in: wp.array2d[float],
    low: wp.array[float],
    high: wp.array[float],
    # Out:
    command_out: wp.array2d[float],
    previous_action_out: wp.array2d[float],
    action_rate_out: wp.array[float],
):
    worldid = wp.tid()
    joints = low.shape[0]
    rate = float(0.0)
    for j in range(joints):
        action = action_in[worldid, j]
        change = action - previous_action_out[worldid, j]
        rate += change * change
        previous_action_out[worldid, j] = action
        target = command_out[worldid, j] + max_increment * action
        command_out[worldid, j] = wp.clamp(target, low[j], high[j])
    action_rate_out[worldid] = rate


@wp.func
def _goal_quaternion(goal_quat: wp.array2d[float], worldid: int) -> wp.quat:
    return wp.quat(
        goal_quat[worldid, 0], goal_quat[worldid, 1], goal_quat[worldid, 2], goal_quat[worldid, 3]
    )


@wp.kernel
def _evaluate_kernel(
    # In:
    position_tolerance: float,
    angle_tolerance: float,
    hold_steps: int,
    control_dt: float,
    tcp: int,
    site_xpos_in: wp.array2d[wp.vec3],
    site_xmat_in: wp.array2d[wp.mat33],
    qpos_in: wp.array2d[float],
    qvel_in: wp.array2d[float],
    torque_in: wp.array2d[float],
    low: wp.array[float],
    high: wp.array[float],
    goal_pos_in: wp.array2d[float],
    goal_quat_in: wp.array2d[float],
    action_rate_in: wp.array[float],
    elapsed_in: wp.array[int],
    # Out:
    held_out: wp.array[int],
    reach_time_out: wp.array[float],
    success_out: wp.array[wp.bool],
    reward_terms_out: wp.array2d[float],
    kpi_out: wp.array2d[float],
):
    worldid = wp.tid()
    goal = wp.vec3(goal_pos_in[worldid, 0], goal_pos_in[worldid, 1], goal_pos_in[worldid, 2])
    distance = wp.length(goal - site_xpos_in[worldid, tcp])
    quat = matrix_to_quat(site_xmat_in[worldid, tcp])
    angle = wp.length(rotation_vector(quat, _goal_quaternion(goal_quat_in, worldid)))

    within = distance < position_tolerance and angle < angle_tolerance
    held = wp.where(within, held_out[worldid] + 1, 0)
    held_out[worldid] = held
    if not success_out[worldid]:
        reach_time_out[worldid] = float(elapsed_in[worldid]) * control_dt
        success_out[worldid] = held >= hold_steps

    joints = low.shape[0]
    speed2 = float(0.0)
    fastest = float(0.0)
    power = float(0.0)
    beyond = float(0.0)
    for j in range(joints):
        v = qvel_in[worldid, j]
        speed2 += v * v
        fastest = wp.max(fastest, wp.abs(v))
        power += wp.abs(torque_in[worldid, j] * v)
        middle = 0.5 * (low[j] + high[j])
        half = 0.5 * (high[j] - low[j])
        beyond += wp.max(0.0, wp.abs(qpos_in[worldid, j] - middle) - 0.95 * half)

    reward_terms_out[worldid, 0] = distance
    reward_terms_out[worldid, 1] = angle
    reward_terms_out[worldid, 2] = wp.exp(-distance / 0.06)
    reward_terms_out[worldid, 3] = wp.exp(-distance / 0.06 - angle / 0.25)
    reward_terms_out[worldid, 4] = wp.where(within, 1.0, 0.0)
    reward_terms_out[worldid, 5] = action_rate_in[worldid]
    reward_terms_out[worldid, 6] = speed2
    reward_terms_out[worldid, 7] = beyond
    kpi_out[worldid, 0] = distance
    kpi_out[worldid, 1] = angle
    kpi_out[worldid, 2] = reach_time_out[worldid]
    kpi_out[worldid, 3] = power * control_dt
    kpi_out[worldid, 4] = fastest


@wp.kernel
def _reset_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    seed_in: wp.array[wp.uint64],
    world_id_in: wp.array[int],
    episode_in: wp.array[int],
    start_noise: float,
    min_height: float,
    home: wp.array[float],
    goal_range: wp.array[float],
    chain: Chain,
    # Out:
    qpos_out: wp.array2d[float],
    command_out: wp.array2d[float],
    goal_angles_out: wp.array2d[float],
    goal_pos_out: wp.array2d[float],
    goal_quat_out: wp.array2d[float],
    previous_action_out: wp.array2d[float],
    held_out: wp.array[int],
    reach_time_out: wp.array[float],
):
    worldid = wp.tid()
    if not mask_in[worldid]:
        return
    joints = home.shape[0]
    seed, world, episode = seed_in[worldid], world_id_in[worldid], episode_in[worldid]
    start = random_key(seed, world, episode, _STREAM_START)
    for j in range(joints):
        angle = home[j] + uniform(start, j, -start_noise, start_noise)
        qpos_out[worldid, j] = angle
        command_out[worldid, j] = angle
        previous_action_out[worldid, j] = 0.0
    held_out[worldid] = 0
    reach_time_out[worldid] = 0.0

    key = random_key(seed, world, episode, _STREAM_GOAL)
    pose = wp.transform()
    found = bool(False)
    for attempt in range(_GOAL_TRIES):
        if not found:
            # The last try is home itself, which is always above the floor.
            share = wp.where(attempt < _GOAL_TRIES - 1, 1.0, 0.0)
            for j in range(joints):
                r = share * goal_range[j]
                goal_angles_out[worldid, j] = home[j] + uniform(key, attempt * joints + j, -r, r)
            pose = chain_pose(chain, goal_angles_out, worldid)
            found = wp.transform_get_translation(pose)[2] > min_height
    p = wp.transform_get_translation(pose)
    q = wp.transform_get_rotation(pose)
    for i in range(3):
        goal_pos_out[worldid, i] = p[i]
    for i in range(4):
        goal_quat_out[worldid, i] = q[i]


@wp.kernel
def _observe_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    tcp: int,
    qpos_in: wp.array2d[float],
    qvel_in: wp.array2d[float],
    site_xpos_in: wp.array2d[wp.vec3],
    site_xmat_in: wp.array2d[wp.mat33],
    command_in: wp.array2d[float],
    goal_pos_in: wp.array2d[float],
    goal_quat_in: wp.array2d[float],
    previous_action_in: wp.array2d[float],
    # Out:
    observation_out: wp.array2d[float],
):
    worldid = wp.tid()
    if not mask_in[worldid]:
        return
    for j in range(command_in.shape[1]):
        observation_out[worldid, j] = qpos_in[worldid, j]
        observation_out[worldid, 6 + j] = qvel_in[worldid, j]
        observation_out[worldid, 12 + j] = command_in[worldid, j] - qpos_in[worldid, j]
        observation_out[worldid, 30 + j] = previous_action_in[worldid, j]
    tcp_pos = site_xpos_in[worldid, tcp]
    goal = wp.vec3(goal_pos_in[worldid, 0], goal_pos_in[worldid, 1], goal_pos_in[worldid, 2])
    offset = goal - tcp_pos
    quat = matrix_to_quat(site_xmat_in[worldid, tcp])
    rotation = rotation_vector(quat, _goal_quaternion(goal_quat_in, worldid))
    for i in range(3):
        observation_out[worldid, 18 + i] = tcp_pos[i]
        observation_out[worldid, 21 + i] = offset[i]
        observation_out[worldid, 24 + i] = wp.clamp(offset[i] / 0.05, -1.0, 1.0)
        observation_out[worldid, 27 + i] = rotation[i]
