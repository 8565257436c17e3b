"""PickPlace: pick a part that lies anywhere on a bench, and place it into a fixture.

Robot: UR5e with a parallel gripper (`assets/robots/ur5e`, `gripper_2f`), the tool pointing down.
Part: a box, 40 x 60 x 40 mm, whose size, mass and friction differ from episode to episode.

        x                     o  start of the tool
        |     +-----------+
        |     |   part    |   [::]  fixture, four posts 12 mm high
     y -+     | any turn  |
       base   +-----------+

Observation: see `OBSERVATION`. Base frame: z up, origin at the foot of the arm.
Action: velocity of the tool, turn about the vertical, and the fingers; -1 to 1, 20 Hz. A target
pose follows them, and damped least squares make joint targets of it.
Reward: weighted sum of the terms of `PickPlaceWeights`, in every control step.
Ends: by time, or with the part out of reach. Success: it lies in the fixture within
`position_tolerance` and `angle_tolerance`, released, at rest for `hold_seconds`.
"""

# The type of the observation's columns is made when this is imported.
# mypy: disable-error-code="valid-type, attr-defined"

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import warp as wp

from proveout.assets.files.layout import Entry, Layout
from proveout.assets.robots.gripper_2f.parameters import STIFFNESS, STROKE
from proveout.envs.core.columns import columns
from proveout.envs.core.hooks import Step, action_rate, episode_key
from proveout.envs.core.registry import register
from proveout.envs.core.rng import uniform
from proveout.envs.core.scene_pose import ScenePose
from proveout.envs.core.task import (
    Kpi,
    RewardWeights,
    TaskConfig,
    predicate,
    quantity,
)
from proveout.envs.factory import places
from proveout.envs.factory.arm import Arm, joint_load, tcp_position
from proveout.envs.factory.control import top_down
from proveout.envs.factory.control.gripper import next_opening, pad_force
from proveout.envs.factory.control.ik import move_tool_to, start_at
from proveout.envs.factory.control.pick_place_expert import PickPlaceExpert
from proveout.envs.factory.engine import Capacities
from proveout.envs.factory.pick_place_cell import FIXTURE, PickPlaceRandomization, cell_spec
from proveout.envs.factory.resized_boxes import with_pieces
from proveout.envs.factory.task import HANDLING, ArticulatedTask
from proveout.envs.factory.wear import GripperWear, drifted, follow_with_play, start_worn

wp.set_module_options({"enable_backward": False})

_PART, _TOOL = wp.constant(0), wp.constant(1)  # streams of random numbers
_STROKE, _STIFFNESS = wp.constant(STROKE), wp.constant(STIFFNESS)
_FIXTURE = wp.constant(wp.vec2(*FIXTURE))
# Middle of where parts lie, and of where the tool starts [m].
_LIES, _STARTS = wp.constant(wp.vec2(0.45, 0.12)), wp.constant(wp.vec3(0.45, 0.0, 0.22))
# Where the tool may go [m] and turn to [rad]: no link of the arm reaches the bench there.
_LOW, _HIGH = wp.constant(wp.vec3(0.28, -0.35, 0.015)), wp.constant(wp.vec3(0.65, 0.35, 0.35))
_MOST_TURN, _DAMPING = wp.constant(1.8), wp.constant(0.03)  # rad; of the inverse kinematics
_SQUEEZE = wp.constant(5.0)  # force of a pad that tells a part from nothing [N]


@dataclass(frozen=True, kw_only=True)
class PickPlaceWeights(RewardWeights):
    """Weights of the raw terms; the terms are per control step."""

    reach: float = quantity(0.02, "1", "exp(-distance from tool to part / 8 cm), until placed")
    grasped: float = quantity(0.02, "1", "1 while the part is held")
    lifted: float = quantity(0.02, "1", "1 while it is held above the bench")
    carried: float = quantity(0.06, "1", "exp(-distance from the fixture / 10 cm) while held")
    placed: float = quantity(0.2, "1", "1 while it lies released in the fixture")
    dropped: float = quantity(-1.0, "1", "1 in a step in which it is dropped")
    action_rate: float = quantity(-0.001, "1", "squared change of the action")


@dataclass(frozen=True, kw_only=True)
class PickPlaceConfig(TaskConfig):
    """Configuration of PickPlace."""

    decimation: int = quantity(10, "1", "physics steps in one control step")
    episode_seconds: float = quantity(8.0, "s", "time after which an episode is truncated")
    max_speed: float = quantity(0.25, "m/s", "largest speed of the tool along an axis", above=0.0)
    max_turn: float = quantity(1.5, "rad/s", "largest turning speed of the tool", above=0.0)
    max_joint_speed: float = quantity(2.0, "rad/s", "largest of a joint's target", above=0.0)
    max_lead: float = quantity(0.04, "m", "by how much the target may lead the tool", above=0.0)
    grip_force: float = quantity(60.0, "N", "force of each pad", low=5.0, high=235.0)
    grip_speed: float = quantity(0.15, "m/s", "speed of the opening", low=0.02, high=0.15)
    part_area: float = quantity(0.08, "m", "half side of the square of starts", low=0.0, high=0.1)
    part_turn: float = quantity(0.8, "rad", "half range of its start turn", low=0.0, high=1.57)
    tool_area: float = quantity(0.05, "m", "half side of the tool's starts", low=0.0, high=0.1)
    position_tolerance: float = quantity(0.005, "m", "error that counts as placed", above=0.0)
    angle_tolerance: float = quantity(0.0873, "rad", "angle that counts as placed", above=0.0)
    hold_seconds: float = quantity(0.2, "s", "time at rest that is a success", low=0.0)
    reward_weights: PickPlaceWeights = field(default_factory=PickPlaceWeights)
    randomization: PickPlaceRandomization = field(default_factory=PickPlaceRandomization)
    wear: GripperWear = field(default_factory=GripperWear)


OBSERVATION = Layout(
    (
        Entry("tool_position", (3,), "m", "tool centre point", "base"),
        Entry("tool_turn", (1,), "rad", "of the tool about the vertical", "base"),
        Entry("target_offset", (3,), "5 cm", "target minus tool", "base"),
        Entry("target_turn", (1,), "rad", "target minus tool", "base"),
        Entry("opening", (1,), "5 cm", "between the pads"),
        Entry("squeeze", (1,), "50 N", "force of a pad as the fingers close"),
        Entry("part_size", (3,), "5 cm", "lengths of the part", "part"),
        Entry("part_offset", (3,), "m", "part minus tool", "base"),
        Entry("part_offset_near", (3,), "5 cm", "the same, clipped to one", "base",
              low=-1.0, high=1.0),
        Entry("part_turn", (1,), "rad", "from the tool to the nearer grasp of the part", "base"),
        Entry("part_up", (3,), "1", "axis of the part that shall be vertical", "base"),
        Entry("part_velocity", (3,), "m/s", "of its middle", "base"),
        Entry("goal_offset", (3,), "m", "place in the fixture minus part", "base"),
        Entry("goal_offset_near", (3,), "5 cm", "the same, clipped to one", "base",
              low=-1.0, high=1.0),
        Entry("goal_turn", (1,), "rad", "from the part to the nearer way into the fixture", "base"),
        Entry("previous_action", (5,), "1", "last action", low=-1.0, high=1.0),
    )
)  # fmt: skip
ACTION = Layout(
    (
        Entry("velocity", (3,), "max_speed", "of the target", "base", low=-1.0, high=1.0),
        Entry("turn", (1,), "max_turn", "of the target about the vertical", low=-1.0, high=1.0),
        Entry("grip", (1,), "1", "fingers: -1 open, 1 closed", low=-1.0, high=1.0),
    )
)
KPIS = (
    Kpi("cycle_time", "s", "last", "time until success; the episode's time without it"),
    Kpi("placement_error", "mm", "last", "distance of the part from its place at the end"),
    Kpi("placement_angle", "deg", "last", "largest of turn and tilt of the part at the end"),
    Kpi("drops", "1", "sum", "times that the lifted part was lost above the bench"),
    Kpi("energy", "J", "sum", "mechanical work of all joints, sampled at the control rate"),
    Kpi("max_squeeze", "N", "max", "largest force of a pad"),
    predicate("grasped", "the part was held"),
    predicate("lifted", "the part was held above the bench"),
    predicate("placed", "the part lies released in the fixture", when="end"),
)
Obs, Term, Value = columns(OBSERVATION), columns(PickPlaceWeights), columns(KPIS)


@wp.struct
class PickPlaceState:
    """What a world keeps from step to step."""

    target: wp.array[wp.vec3]  # of the tool, m
    turn: wp.array[float]  # of the tool, rad
    motor: wp.array2d[float]  # joint targets, rad
    carried: wp.array[int]  # 1 from when the part is lifted until it is let go
    held: wp.array[int]  # control steps for which the part has been placed
    place_time: wp.array[float]  # s
    part: places.FreeBody
    box: places.Geom
    finger: places.Joint
    grip: places.Actuator


@register("proveout/PickPlace-v0")
class PickPlace(ArticulatedTask):
    """A UR5e picks a part from a bench with a gripper and places it into a fixture."""

    config_class, state_class = PickPlaceConfig, PickPlaceState
    observation, action, kpis = OBSERVATION, ACTION, KPIS
    places = {"box": "part", "finger": "gripper_left_finger", "grip": "gripper_opening"}  # noqa: RUF012
    tool, presets = "gripper_tcp", HANDLING
    writes = ("joint_friction",)
    # Rows: 72 measured, and dry friction of six worn joints.
    capacities = Capacities(contacts=18, constraints=78)

    def state_columns(self) -> dict[str, int]:
        return {"motor": 6}

    def spec(self, *, visual: bool) -> Any:
        return cell_spec(visual=visual)

    @wp.func
    def control(w: int, step: Step, arm: Arm, c: Any, s: PickPlaceState):
        way = wp.vec3(step.action[w, 0], step.action[w, 1], step.action[w, 2])
        way *= c.max_speed * c.control_dt
        s.target[w] = top_down.next_target(
            s.target[w], tcp_position(arm, w), way, c.max_lead, _LOW, _HIGH
        )
        turned = s.turn[w] + c.max_turn * c.control_dt * step.action[w, 3]
        s.turn[w] = wp.clamp(turned, -_MOST_TURN, _MOST_TURN)
        goal = top_down.tool_pose(s.target[w], s.turn[w])
        move_tool_to(arm, s.motor, w, goal, _DAMPING, c.max_joint_speed * c.control_dt)
        follow_with_play(arm, step.command, s.motor, w, c.wear.backlash)
        force = c.grip_force * (1.0 - c.wear.grip_loss)
        # Closed is beyond closed, by what presses a thin part with the full force.
        wanted = wp.lerp(-force / _STIFFNESS, _STROKE, 0.5 - 0.5 * step.action[w, 4])
        step.command[w, s.grip.index] = next_opening(
            step.command[w, s.grip.index], 2.0 * arm.qpos[w, s.finger.qpos], wanted,
            c.grip_speed * c.control_dt, force,
        )  # fmt: skip

    @wp.func
    def evaluate(w: int, step: Step, arm: Arm, c: Any, s: PickPlaceState):
        part, half = places.free_pose(arm, w, s.part), places.half_size(arm, w, s.box)
        position, rotation = wp.transform_get_translation(part), wp.transform_get_rotation(part)
        tcp, opening = tcp_position(arm, w), 2.0 * arm.qpos[w, s.finger.qpos]
        speed = 2.0 * arm.qvel[w, s.finger.dof]
        squeeze = pad_force(step.command[w, s.grip.index], opening, speed)
        height = position[2] - half[2]
        apart = wp.length(position - tcp)
        grasped = squeeze > _SQUEEZE and apart < half[2] + 0.005 and opening > half[0]
        lifted = grasped and height > 0.02

        error = wp.length(wp.vec3(_FIXTURE[0], _FIXTURE[1], half[2]) - position)
        angle = top_down.askew(rotation)
        there = error < c.position_tolerance and angle < c.angle_tolerance
        resting = wp.length(places.free_velocity(arm, w, s.part)) < 0.02
        placed = there and resting and opening > 2.0 * half[0] + 0.002
        s.held[w] = wp.where(placed, s.held[w] + 1, 0)
        if not step.success[w]:
            s.place_time[w] = float(step.elapsed[w]) * c.control_dt
            step.success[w] = s.held[w] > int(wp.round(c.hold_seconds / c.control_dt))  # both ends
        elif not there:
            step.success[w] = False  # knocked out again

        dropped = s.carried[w] == 1 and not grasped and height > 0.01
        if lifted:
            s.carried[w] = 1
        elif not grasped:
            s.carried[w] = 0
        beyond = wp.length(wp.vec3(position[0] - 0.45, position[1], 0.0)) > 0.5
        step.terminated[w] = beyond or height < -0.05
        _squares, _fastest, power, _limits = joint_load(arm, w)
        power += wp.abs(arm.torque[w, s.finger.dof] * speed)

        step.reward[w, Term.reach] = wp.where(there, 1.0, wp.exp(-apart / 0.08))
        step.reward[w, Term.grasped] = wp.where(grasped or there, 1.0, 0.0)
        step.reward[w, Term.lifted] = wp.where(lifted or there, 1.0, 0.0)
        step.reward[w, Term.carried] = wp.where(lifted or there, wp.exp(-error / 0.1), 0.0)
        step.reward[w, Term.placed] = wp.where(placed, 1.0, 0.0)
        step.reward[w, Term.dropped] = wp.where(dropped, 1.0, 0.0)
        step.reward[w, Term.action_rate] = action_rate(step, w)
        step.kpi[w, Value.cycle_time] = s.place_time[w]
        step.kpi[w, Value.placement_error] = 1000.0 * error
        step.kpi[w, Value.placement_angle] = wp.degrees(angle)
        step.kpi[w, Value.drops] = wp.where(dropped, 1.0, 0.0)
        step.kpi[w, Value.energy] = power * c.control_dt
        step.kpi[w, Value.max_squeeze] = squeeze
        step.kpi[w, Value.grasped] = wp.where(grasped, 1.0, 0.0)
        step.kpi[w, Value.lifted] = wp.where(lifted, 1.0, 0.0)
        step.kpi[w, Value.placed] = wp.where(placed, 1.0, 0.0)

    @wp.func
    def reset(w: int, step: Step, arm: Arm, c: Any, s: PickPlaceState):
        key, area = episode_key(step, w, _TOOL), c.tool_area
        for i in range(3):
            s.target[w][i] = _STARTS[i] + uniform(key, i, -area, area)
        s.turn[w] = 0.0
        start_at(arm, step.command, w, top_down.tool_pose(s.target[w], 0.0))
        start_worn(arm, step.command, s.motor, w, c.wear.joint_friction)
        # The other finger comes right after, in `qpos`.
        arm.qpos[w, s.finger.qpos] = 0.5 * _STROKE
        arm.qpos[w, s.finger.qpos + 1] = 0.5 * _STROKE
        step.command[w, s.grip.index] = _STROKE

        key = episode_key(step, w, _PART)
        x = _LIES[0] + uniform(key, 0, -c.part_area, c.part_area)
        y = _LIES[1] + uniform(key, 1, -c.part_area, c.part_area)
        turn = uniform(key, 2, -c.part_turn, c.part_turn)
        position = wp.vec3(x, y, places.half_size(arm, w, s.box)[2])
        places.set_free_pose(arm, w, s.part, wp.transform(position, top_down.about_vertical(turn)))

    @wp.func
    def observe(w: int, step: Step, arm: Arm, c: Any, s: PickPlaceState, obs: wp.array2d[float]):
        part, half = places.free_pose(arm, w, s.part), places.half_size(arm, w, s.box)
        position, rotation = wp.transform_get_translation(part), wp.transform_get_rotation(part)
        position = drifted(position, c.wear.sensor_drift, float(step.elapsed[w]) * c.control_dt)
        tcp, turn = tcp_position(arm, w), top_down.tool_turn(arm, w)
        part_turn = top_down.turn_of(rotation)
        up = wp.quat_rotate(rotation, wp.vec3(0.0, 0.0, 1.0))
        velocity, offset = places.free_velocity(arm, w, s.part), position - tcp
        goal = wp.vec3(_FIXTURE[0], _FIXTURE[1], half[2]) - position
        for i in range(3):
            obs[w, Obs.tool_position + i] = tcp[i]
            obs[w, Obs.target_offset + i] = 20.0 * (s.target[w][i] - tcp[i])
            obs[w, Obs.part_size + i] = 40.0 * half[i]
            obs[w, Obs.part_offset + i] = offset[i]
            obs[w, Obs.part_offset_near + i] = wp.clamp(20.0 * offset[i], -1.0, 1.0)
            obs[w, Obs.part_up + i] = up[i]
            obs[w, Obs.part_velocity + i] = velocity[i]
            obs[w, Obs.goal_offset + i] = goal[i]
            obs[w, Obs.goal_offset_near + i] = wp.clamp(20.0 * goal[i], -1.0, 1.0)
        obs[w, Obs.tool_turn] = turn
        obs[w, Obs.target_turn] = s.turn[w] - turn
        opening, speed = 2.0 * arm.qpos[w, s.finger.qpos], 2.0 * arm.qvel[w, s.finger.dof]
        obs[w, Obs.opening] = 20.0 * opening
        obs[w, Obs.squeeze] = 0.02 * pad_force(step.command[w, s.grip.index], opening, speed)
        obs[w, Obs.part_turn] = top_down.half_turn(part_turn - turn)
        obs[w, Obs.goal_turn] = top_down.half_turn(-part_turn)
        for i in range(5):
            obs[w, Obs.previous_action + i] = step.action[w, i]

    def scene_pose(self, sim: Any, worlds: Sequence[int]) -> list[ScenePose]:
        poses = sim.engine.scene_pose(worlds)
        return [
            with_pieces(sim.engine, w, p, ("part",)) for w, p in zip(worlds, poses, strict=True)
        ]

    @classmethod
    def expert(cls, config: TaskConfig) -> PickPlaceExpert:
        """Hover, grasp, carry, place: decided anew in every step."""
        task = cls(config)
        c = task.config
        return PickPlaceExpert(task.layout, c.max_speed * c.control_dt, c.max_turn * c.control_dt)
