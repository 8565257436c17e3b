"""Palletize: take cartons from an infeed belt and build a layer of them on a pallet.

Robot: UR5e with four suction cups (`assets/robots/ur5e`, `vacuum_gripper`), pointing down.
Cartons: four, about 290 x 190 x 150 mm and 2 kg; size, mass and friction differ from episode to
episode. Their places on the pallet follow from the order in which they come.

                          +-----+-----+      x
        belt, 0.25 m/s   B|  2  |  1  |      |     B  light barrier: the belt stands while
    [ 4 ] [ 3 ] [ 2 ] [1]B+-----+-----+      +- y     a carton is there
                          |  4  |  3  |
                   base   +-----+-----+

Observation: see `OBSERVATION`, of the carton whose turn it is. Base frame: z up, origin at the
foot of the arm. Action: velocity of the tool, turn about the vertical, and the vacuum valve; -1 to
1, 20 Hz. A target pose follows them, and damped least squares make joint targets of it.
Reward: weighted sum of the terms of `PalletizeWeights`, in every control step.
Ends: by time, or when a carton falls. Success: the layer stands, each carton released and within
`position_tolerance` and `angle_tolerance` of its place.
"""

# The type of the observation's columns is made when this is imported.
# mypy: disable-error-code="valid-type, attr-defined"

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import warp as wp

from proveout.assets.files.layout import Entry, Layout
from proveout.assets.robots.vacuum_gripper.parameters import VACUUM
from proveout.envs.core.columns import columns
from proveout.envs.core.hooks import Step, action_rate, episode_key
from proveout.envs.core.registry import register
from proveout.envs.core.rng import uniform
from proveout.envs.core.scene_pose import ScenePose
from proveout.envs.core.task import Kpi, RewardWeights, TaskConfig, predicate, quantity
from proveout.envs.factory import palletize_cell as cell
from proveout.envs.factory import places
from proveout.envs.factory.arm import Arm, joint_load, tcp_position
from proveout.envs.factory.control import belt, top_down, vacuum
from proveout.envs.factory.control.ik import move_tool_to, start_at
from proveout.envs.factory.control.palletize_expert import PalletizeExpert
from proveout.envs.factory.engine import Capacities
from proveout.envs.factory.resized_boxes import with_pieces
from proveout.envs.factory.task import ArticulatedTask
from proveout.envs.factory.wear import VacuumWear, drifted, follow_with_play, start_worn

wp.set_module_options({"enable_backward": False})

_CARTON, _TOOL = wp.constant(0), wp.constant(1)  # streams of random numbers
_VACUUM = wp.constant(VACUUM)
_STARTS = wp.constant(wp.vec3(0.45, 0.0, 0.10))  # middle of where the tool starts [m]
# Where the tool may go [m] and turn to [rad]: no link of the arm reaches belt or pallet there.
_LOW, _HIGH = wp.constant(wp.vec3(0.30, -0.32, -0.04)), wp.constant(wp.vec3(0.70, 0.40, 0.20))
_MOST_TURN, _DAMPING = wp.constant(1.2), wp.constant(0.03)  # rad; of the inverse kinematics
_HELD = wp.constant(0.03)  # mean vacuum of the cups, as a share, that tells a carton from nothing


@dataclass(frozen=True, kw_only=True)
class PalletizeWeights(RewardWeights):
    """Weights of the raw terms; the terms are per control step."""

    reach: float = quantity(0.01, "1", "exp(-distance from tool to carton / 15 cm)")
    held: float = quantity(0.01, "1", "mean vacuum of the cups on the carton, 0 to 1")
    carried: float = quantity(0.03, "1", "exp(-distance from its place / 20 cm) while held")
    placed: float = quantity(0.1, "1", "share of the layer that stands")
    dropped: float = quantity(-1.0, "1", "1 in a step in which a carton is lost above ground")
    fallen: float = quantity(-10.0, "1", "1 when a carton falls, which ends the episode")
    action_rate: float = quantity(-0.001, "1", "squared change of the action")


@dataclass(frozen=True, kw_only=True)
class PalletizeConfig(TaskConfig):
    """Configuration of Palletize."""

    decimation: int = quantity(6, "1", "physics steps in one control step")
    episode_seconds: float = quantity(20.0, "s", "time after which an episode is truncated")
    max_speed: float = quantity(0.5, "m/s", "largest speed of the tool along an axis", above=0.0)
    max_turn: float = quantity(1.5, "rad/s", "largest turning speed of the tool", above=0.0)
    max_joint_speed: float = quantity(2.5, "rad/s", "largest of a joint's target", above=0.0)
    max_lead: float = quantity(0.08, "m", "by how much the target may lead the tool", above=0.0)
    belt_speed: float = quantity(cell.BELT_SPEED, "m/s", "of the belt's drum", low=0.0, high=1.0)
    carton_area: float = quantity(0.02, "m", "half range of starts across", low=0.0, high=0.03)
    carton_turn: float = quantity(0.12, "rad", "half range of start turns", low=0.0, high=0.2)
    tool_area: float = quantity(0.05, "m", "half side of the tool's starts", low=0.0, high=0.1)
    position_tolerance: float = quantity(0.010, "m", "error that counts as placed", above=0.0)
    angle_tolerance: float = quantity(0.0524, "rad", "angle that counts as placed", above=0.0)
    hold_seconds: float = quantity(0.2, "s", "time at rest that counts as placed", low=0.0)
    reward_weights: PalletizeWeights = field(default_factory=PalletizeWeights)
    randomization: cell.PalletizeRandomization = field(default_factory=cell.PalletizeRandomization)
    wear: VacuumWear = field(default_factory=VacuumWear)


OBSERVATION = Layout(
    (
        Entry("tool_position", (3,), "m", "middle of the lips of the cups", "base"),
        Entry("tool_turn", (1,), "rad", "of the tool about the vertical", "base"),
        Entry("target_offset", (3,), "10 cm", "target minus tool", "base"),
        Entry("target_turn", (1,), "rad", "target minus tool", "base"),
        Entry("vacuum", (4,), "30 kPa", "of each cup"),
        Entry("carton_size", (3,), "20 cm", "lengths of the cartons", "carton"),
        Entry("carton_offset", (3,), "m", "middle of the carton's lid minus tool", "base"),
        Entry("carton_offset_near", (3,), "10 cm", "the same, clipped to one", "base",
              low=-1.0, high=1.0),
        Entry("carton_turn", (1,), "rad", "from the tool to the carton or half a turn", "base"),
        Entry("carton_up", (3,), "1", "axis of the carton that shall be vertical", "base"),
        Entry("carton_velocity", (3,), "m/s", "of its middle", "base"),
        Entry("goal_offset", (3,), "m", "place on the pallet minus carton", "base"),
        Entry("goal_offset_near", (3,), "10 cm", "the same, clipped to one", "base",
              low=-1.0, high=1.0),
        Entry("goal_turn", (1,), "rad", "from the carton to its place or half a turn", "base"),
        Entry("placed", (1,), "4 cartons", "cartons whose turn is over"),
        Entry("previous_action", (5,), "1", "last action", low=-1.0, high=1.0),
    )
)  # fmt: skip
ACTION = Layout(
    (
        Entry("velocity", (3,), "max_speed", "of the target", "base", low=-1.0, high=1.0),
        Entry("turn", (1,), "max_turn", "of the target about the vertical", low=-1.0, high=1.0),
        Entry("suction", (1,), "1", "valve of the cups, open above zero", low=-1.0, high=1.0),
    )
)
KPIS = (
    Kpi("boxes_per_hour", "1/h", "last", "cartons in place, by the time that they took"),
    Kpi("placement_error", "mm", "last", "mean distance of the placed cartons from their places"),
    Kpi("settling", "mm", "last", "largest way of a placed carton after its release"),
    Kpi("drops", "1", "sum", "times that a carried carton was lost above ground"),
    Kpi("energy", "J", "sum", "mechanical work of all joints, sampled at the control rate"),
    Kpi("cartons", "1", "last", "cartons in place at the end"),
    predicate("grasped", "a carton was held"),
    predicate("carried", "a carton was held above ground"),
    predicate("layer", "the whole layer stands", when="end"),
)
Obs, Term, Value = columns(OBSERVATION), columns(PalletizeWeights), columns(KPIS)


@wp.struct
class PalletizeState:
    """What a world keeps from step to step."""

    target: wp.array[wp.vec3]  # of the tool, m
    turn: wp.array[float]  # of the tool, rad
    motor: wp.array2d[float]  # joint targets, rad
    vacuum: wp.array[wp.vec4]  # of the cups, Pa
    turns: wp.array[int]  # cartons whose turn is over
    held: wp.array[int]  # control steps for which the present one has stood in its place
    carried: wp.array[int]  # 1 from when it is lifted until it is let go
    time: wp.array[float]  # until it stood, or until now, s
    released: wp.array2d[wp.vec3]  # where each carton was let go, m
    first: places.FreeBody
    box: places.Geom
    infeed: places.Geom
    cup: places.Site
    valve: places.Actuator


@register("proveout/Palletize-v0")
class Palletize(ArticulatedTask):
    """A UR5e with suction cups takes cartons from a belt and builds a layer on a pallet."""

    config_class, state_class = PalletizeConfig, PalletizeState
    observation, action, kpis = OBSERVATION, ACTION, KPIS
    places = {  # noqa: RUF012
        "first": "carton0", "box": "carton0", "infeed": "infeed_belt", "cup": "gripper_cup0",
        "valve": "gripper_cup0",
    }  # fmt: skip
    tool = "gripper_tcp"
    writes = ("joint_friction", "surface_velocity")
    capacities = Capacities(contacts=36, constraints=150)

    def spec(self, *, visual: bool) -> Any:
        return cell.cell_spec(visual=visual)

    def state_columns(self) -> Mapping[str, int]:
        return {"motor": 6, "released": cell.CARTONS}

    @wp.func
    def control(w: int, step: Step, arm: Arm, c: Any, s: PalletizeState):
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

        half, waits, sealed = places.half_size(arm, w, s.box), bool(False), vacuum.vec4b()
        for i in range(cell.CARTONS):
            pose = places.free_pose(arm, w, places.next_body(s.first, i))
            waits = waits or cell.waits_at_barrier(pose, half)
            sealed = vacuum.cups_on(arm, w, s.cup, pose, half, sealed)
        belt.run_belt(arm, w, s.infeed, wp.where(waits, 0.0, c.belt_speed), c.wear.belt_slip)
        on, dt = step.action[w, 4] > 0.0, c.control_dt
        s.vacuum[w] = vacuum.next_vacuum(s.vacuum[w], sealed, on, c.wear.leakage, dt)
        for k in range(4):
            step.command[w, s.valve.index + k] = vacuum.holding_force(s.vacuum[w][k])

    @wp.func
    def evaluate(w: int, step: Step, arm: Arm, c: Any, s: PalletizeState):
        half, steps = places.half_size(arm, w, s.box), int(wp.round(c.hold_seconds / c.control_dt))
        now = wp.min(s.turns[w], cell.CARTONS - 1)
        pose = places.free_pose(arm, w, places.next_body(s.first, now))
        position = wp.transform_get_translation(pose)
        level = 0.25 * (s.vacuum[w][0] + s.vacuum[w][1] + s.vacuum[w][2] + s.vacuum[w][3]) / _VACUUM
        lid = wp.transform_point(pose, wp.vec3(0.0, 0.0, half[2]))
        apart, height = wp.length(lid - tcp_position(arm, w)), position[2] - half[2] - cell.SURFACE
        held = level > _HELD and apart < 0.15 and s.turns[w] < cell.CARTONS
        raised = held and height > 0.02

        stands, standing, errors, settled, fallen = cell.layer(
            arm, w, s.first, half, s.turns[w], s.released, c.position_tolerance, c.angle_tolerance
        )
        there = stands and level < 0.02
        if there and s.held[w] == 0:
            s.released[w, now] = position
        s.held[w] = wp.where(there, s.held[w] + 1, 0)
        if s.held[w] > steps:  # both ends
            s.turns[w] += 1
            s.held[w] = 0
            standing += 1
            errors += wp.length(cell.way_to_place(now, pose, half))
        if not step.success[w]:
            s.time[w] = float(step.elapsed[w]) * c.control_dt
        step.success[w] = standing == cell.CARTONS
        step.terminated[w] = fallen
        dropped = s.carried[w] == 1 and not held and height > 0.01
        if raised:
            s.carried[w] = 1
        elif not held:
            s.carried[w] = 0
        _squares, _fastest, power, _limits = joint_load(arm, w)
        whole = s.turns[w] == cell.CARTONS
        near = wp.exp(-wp.length(cell.way_to_place(now, pose, half)) / 0.2)
        step.reward[w, Term.reach] = wp.where(whole, 1.0, wp.exp(-apart / 0.15))
        step.reward[w, Term.held] = wp.where(whole, 1.0, wp.where(held, level, 0.0))
        step.reward[w, Term.carried] = wp.where(whole, 1.0, wp.where(raised, near, 0.0))
        step.reward[w, Term.placed] = float(standing) / float(cell.CARTONS)
        step.reward[w, Term.dropped] = wp.where(dropped, 1.0, 0.0)
        step.reward[w, Term.fallen] = wp.where(fallen, 1.0, 0.0)
        step.reward[w, Term.action_rate] = action_rate(step, w)
        step.kpi[w, Value.boxes_per_hour] = 3600.0 * float(standing) / s.time[w]
        step.kpi[w, Value.placement_error] = 1000.0 * errors / float(wp.max(s.turns[w], 1))
        step.kpi[w, Value.settling] = 1000.0 * settled
        step.kpi[w, Value.drops] = wp.where(dropped, 1.0, 0.0)
        step.kpi[w, Value.energy] = power * c.control_dt
        step.kpi[w, Value.cartons] = float(standing)
        step.kpi[w, Value.grasped] = wp.where(held, 1.0, 0.0)
        step.kpi[w, Value.carried] = wp.where(raised, 1.0, 0.0)
        step.kpi[w, Value.layer] = wp.where(standing == cell.CARTONS, 1.0, 0.0)

    @wp.func
    def reset(w: int, step: Step, arm: Arm, c: Any, s: PalletizeState):
        key, area = episode_key(step, w, _TOOL), c.tool_area
        for i in range(3):
            s.target[w][i] = _STARTS[i] + uniform(key, i, -area, area)
        start_at(arm, step.command, w, top_down.tool_pose(s.target[w], 0.0))
        start_worn(arm, step.command, s.motor, w, c.wear.joint_friction)
        belt.run_belt(arm, w, s.infeed, c.belt_speed, c.wear.belt_slip)
        key, half = episode_key(step, w, _CARTON), places.half_size(arm, w, s.box)
        front = cell.BARRIER - half[1] - uniform(key, 0, 0.05, 0.15)
        for i in range(cell.CARTONS):
            x = cell.BELT_X + uniform(key, 2 * i + 1, -c.carton_area, c.carton_area)
            turn = uniform(key, 2 * i + 2, -c.carton_turn, c.carton_turn)
            at = wp.vec3(x, front - float(i) * cell.PITCH, cell.SURFACE + half[2])
            pose = wp.transform(at, top_down.about_vertical(turn))
            places.set_free_pose(arm, w, places.next_body(s.first, i), pose)

    @wp.func
    def observe(w: int, step: Step, arm: Arm, c: Any, s: PalletizeState, obs: wp.array2d[float]):
        now, half = wp.min(s.turns[w], cell.CARTONS - 1), places.half_size(arm, w, s.box)
        body = places.next_body(s.first, now)
        pose = places.free_pose(arm, w, body)
        rotation, velocity = wp.transform_get_rotation(pose), places.free_velocity(arm, w, body)
        tcp, turn = tcp_position(arm, w), top_down.tool_turn(arm, w)
        offset = wp.transform_point(pose, wp.vec3(0.0, 0.0, half[2])) - tcp
        offset = drifted(offset, c.wear.sensor_drift, float(step.elapsed[w]) * c.control_dt)
        goal, up = (
            cell.way_to_place(now, pose, half),
            wp.quat_rotate(rotation, wp.vec3(0.0, 0.0, 1.0)),
        )
        for i in range(3):
            obs[w, Obs.tool_position + i] = tcp[i]
            obs[w, Obs.target_offset + i] = 10.0 * (s.target[w][i] - tcp[i])
            obs[w, Obs.carton_size + i] = 10.0 * half[i]
            obs[w, Obs.carton_offset + i] = offset[i]
            obs[w, Obs.carton_offset_near + i] = wp.clamp(10.0 * offset[i], -1.0, 1.0)
            obs[w, Obs.carton_up + i] = up[i]
            obs[w, Obs.carton_velocity + i] = velocity[i]
            obs[w, Obs.goal_offset + i] = goal[i]
            obs[w, Obs.goal_offset_near + i] = wp.clamp(10.0 * goal[i], -1.0, 1.0)
        for k in range(4):
            obs[w, Obs.vacuum + k] = s.vacuum[w][k] / _VACUUM
        obs[w, Obs.tool_turn] = turn
        obs[w, Obs.target_turn] = s.turn[w] - turn
        obs[w, Obs.carton_turn] = top_down.half_turn(top_down.turn_of(rotation) - turn)
        obs[w, Obs.goal_turn] = top_down.half_turn(-top_down.turn_of(rotation))
        obs[w, Obs.placed] = float(s.turns[w]) / float(cell.CARTONS)
        for i in range(5):
            obs[w, Obs.previous_action + i] = step.action[w, i]

    def scene_pose(self, sim: Any, worlds: Sequence[int]) -> list[ScenePose]:
        poses = sim.engine.scene_pose(worlds)
        return [
            with_pieces(sim.engine, w, p, cell.NAMES) for w, p in zip(worlds, poses, strict=True)
        ]

    @classmethod
    def expert(cls, config: Any) -> PalletizeExpert:
        """Follow the next carton, take it, carry it over, put it down: decided in every step."""
        dt = config.control_dt
        return PalletizeExpert(cls(config).layout, config.max_speed * dt, config.max_turn * dt)
