"""WaferTransfer: take a 300 mm wafer out of a FOUP and lay it into a load lock.

Robot: theta, R and Z with a passive fork (`assets/robots/wafer_robot`): the wafer rests on three
pads by friction alone, and slips where it is accelerated by more than mu g.

        y   [=====]  load lock, three pins
        |     |
        o-----+      o  axis of the robot; its fork turns, goes out and in, up and down
        |     |
        +-- [=====]  FOUP, 25 slots at 10 mm; which one it is differs from episode to episode  --> x

Observation: see `OBSERVATION`. Turns are about the axis, extensions are distances from it.
Action: a for the speed a |a| of theta, R and Z, -1 to 1, 20 Hz; accelerations are limited.
Reward: weighted sum of the terms of `WaferTransferWeights`, in every control step.
Ends: by time, or with the wafer broken: it fell, or fork or wafer struck something, or its edge
was dragged along a wall. Success: it lies on the pins within `position_tolerance`, at rest, and
the fork is out of the lock.
"""

# The type of the observation's columns is made when this is imported.
# mypy: disable-error-code="valid-type, attr-defined"

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import warp as wp

from proveout.assets.files.layout import Entry, Layout
from proveout.assets.objects.foup import PITCH, SLOTS
from proveout.envs.core.columns import columns
from proveout.envs.core.hooks import Step, action_rate, episode_key
from proveout.envs.core.registry import register
from proveout.envs.core.rng import integer, uniform
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
from proveout.envs.factory.control import wafer_way as way
from proveout.envs.factory.control.drives import next_speed, play_side
from proveout.envs.factory.control.wafer_expert import WaferExpert
from proveout.envs.factory.engine import Capacities
from proveout.envs.factory.task import HANDLING, ArticulatedTask
from proveout.envs.factory.wafer_cell import (
    DRIVE_FORCES,
    FOUP_SEAT,
    LOCK_SEAT,
    WaferTransferRandomization,
    WaferWear,
    cell_spec,
    with_other_wafers,
)
from proveout.envs.factory.wear import drifted

wp.set_module_options({"enable_backward": False})

_STATIONS, _WAFER, _ROBOT = wp.constant(0), wp.constant(1), wp.constant(2)  # random numbers
_FOUP, _LOCK = wp.constant(wp.vec3(*FOUP_SEAT)), wp.constant(wp.vec3(*LOCK_SEAT))
_PITCH = wp.constant(PITCH)
_FORCES = wp.constant(wp.vec3(*DRIVE_FORCES))


@dataclass(frozen=True, kw_only=True)
class WaferTransferWeights(RewardWeights):
    """Weights of the raw terms; the terms are per control step."""

    progress: float = quantity(0.05, "1", "how much of the transfer is done, 0 to 1")
    done: float = quantity(0.1, "1", "1 while the wafer lies in the lock and the fork is out")
    slip: float = quantity(-0.1, "1/mm", "by how much the largest slip on the fork has grown")
    edge_contact: float = quantity(-0.1, "1", "1 while the wafer's edge touches a wall")
    broken: float = quantity(-2.0, "1", "1 in the step in which the wafer is broken")
    action_rate: float = quantity(-0.001, "1", "squared change of the action")


@dataclass(frozen=True, kw_only=True)
class WaferTransferConfig(TaskConfig):
    """Configuration of WaferTransfer."""

    decimation: int = quantity(10, "1", "physics steps in one control step")
    episode_seconds: float = quantity(11.0, "s", "time after which an episode is truncated")
    max_acceleration: float = quantity(2.0, "m/s2", "largest along R, across", above=0.0, high=12.0)
    max_lift_acceleration: float = quantity(1.0, "m/s2", "largest along Z", above=0.0, high=5.0)
    max_turn_speed: float = quantity(2.4, "rad/s", "largest of theta", above=0.0, high=3.0)
    max_extension_speed: float = quantity(1.0, "m/s", "largest of R", above=0.0, high=1.4)
    max_lift_speed: float = quantity(0.3, "m/s", "largest of Z", above=0.0, high=0.38)
    first_slot: int = quantity(0, "1", "lowest slot to draw from", low=0, high=SLOTS - 1)
    last_slot: int = quantity(SLOTS - 1, "1", "highest slot to draw from", low=0, high=SLOTS - 1)
    station_offset: float = quantity(0.001, "m", "of stations, +- in x and y", low=0.0, high=0.005)
    station_height: float = quantity(0.0003, "m", "of stations, +- in z", low=0.0, high=0.001)
    wafer_offset: float = quantity(0.0015, "m", "of wafers in slots, +-", low=0.0, high=0.003)
    pad_friction: float = quantity(0.3, "1", "of pads; slips beyond it times g", above=0.0)
    position_tolerance: float = quantity(0.001, "m", "error that counts as placed", above=0.0)
    edge_speed: float = quantity(0.1, "m/s", "of the fork: a touching edge breaks", above=0.0)
    reward_weights: WaferTransferWeights = field(default_factory=WaferTransferWeights)
    randomization: WaferTransferRandomization = field(default_factory=WaferTransferRandomization)
    wear: WaferWear = field(default_factory=WaferWear)


OBSERVATION = Layout(
    (
        Entry("fork", (3,), "rad, m, m", "turn, extension, lift of its pocket", "base"),
        Entry("fork_speed", (3,), "rad/s, m/s, m/s", "of the axes", "base"),
        Entry("pick", (3,), "rad, m, m", "turn, extension, height from pads to wafer", "base"),
        Entry("pick_near", (3,), "0.01 rad, 1 cm, 5 mm", "the same, clipped to one",
              low=-1.0, high=1.0),
        Entry("place", (3,), "rad, m, m", "turn, extension, height from wafer to pins", "base"),
        Entry("place_near", (3,), "0.01 rad, 1 cm, 5 mm", "the same, clipped to one",
              low=-1.0, high=1.0),
        Entry("seat_height", (1,), "5 mm", "from the slot's seat up to the wafer, clipped",
              low=-1.0, high=1.0),
        Entry("wafer_velocity", (3,), "dm/s", "relative to the fork: along, across, up", "fork"),
        Entry("stage", (4,), "1", "one of: fetch, leave the FOUP, deliver, withdraw",
              low=0.0, high=1.0),
        Entry("acceleration_limit", (1,), "5 m/s2", "max_acceleration"),
        Entry("previous_action", (3,), "1", "last action", low=-1.0, high=1.0),
    )
)  # fmt: skip
ACTION = Layout(
    (
        Entry("turn", (1,), "1", "a: speed a |a| max_turn_speed of theta", low=-1.0, high=1.0),
        Entry("extend", (1,), "1", "likewise of R, outwards", low=-1.0, high=1.0),
        Entry("lift", (1,), "1", "likewise of Z, upwards", low=-1.0, high=1.0),
    )
)
KPIS = (
    Kpi("cycle_time", "s", "last", "time until success; the episode's time without it"),
    Kpi("wafers_per_hour", "1/h", "last", "3600 s over the cycle time; 0 without success"),
    Kpi("placement_error", "mm", "last", "distance of the wafer from the middle of its place"),
    Kpi("slip", "mm", "max", "farthest way of the wafer on the fork since it was lifted"),
    Kpi("edge_contacts", "1", "sum", "times that the wafer's edge came to touch a wall"),
    Kpi("energy", "J", "sum", "mechanical work of the axes, sampled at the control rate"),
    predicate("lifted", "the fork carried the wafer"),
    predicate("clear_of_foup", "it carried the wafer out of the FOUP"),
    predicate("placed", "the wafer lies on the pins in its place", when="end"),
    predicate("broken", "the wafer broke", when="end"),
)
Obs, Term, Value = columns(OBSERVATION), columns(WaferTransferWeights), columns(KPIS)


@wp.struct
class WaferTransferState:
    """What a world keeps from step to step."""

    speed: wp.array[wp.vec3]  # of theta, R and Z, that the drives go to now: rad/s, m/s, m/s
    side: wp.array[wp.vec3]  # of the play of theta and R, -1 to 1
    seat: wp.array[wp.vec3]  # in the episode's slot, m
    lock: wp.array[wp.vec3]  # in the load lock, m
    slot: wp.array[int]
    held_at: wp.array[wp.vec3]  # where on the fork the wafer was lifted, m
    carrying: wp.array[int]  # 1 while it is carried
    slip: wp.array[float]  # mm
    touching: wp.array[int]  # 1 while the edge touches
    done_time: wp.array[float]  # s
    wafer: places.FreeBody
    theta: places.Joint
    radial: places.Joint
    lift: places.Joint
    foup: places.Mocap
    pins: places.Mocap
    pad: places.Geom  # the first of three


@register("proveout/WaferTransfer-v0")
class WaferTransfer(ArticulatedTask):
    """A wafer robot carries a wafer, which only friction holds, from a FOUP to a load lock."""

    config_class, state_class = WaferTransferConfig, WaferTransferState
    observation, action, kpis = OBSERVATION, ACTION, KPIS
    places = {"foup": "seat", "pins": "lock", "pad": "pad_root"}  # noqa: RUF012
    tool = "tcp"
    writes = ("joint_friction", "geom_friction")
    capacities = Capacities(contacts=12, constraints=36)  # 32 measured, three of worn drives
    presets = {"ppo": {**HANDLING["ppo"], "gamma": 0.99}}  # noqa: RUF012

    def spec(self, *, visual: bool) -> Any:
        return cell_spec(visual=visual)

    @wp.func
    def control(w: int, step: Step, arm: Arm, c: Any, s: WaferTransferState):
        now, dt, most = s.speed[w], c.control_dt, c.max_acceleration
        radius = way.extension(tcp_position(arm, w))
        # Finer near zero, as the last millimetres ask for.
        a = wp.vec3(step.action[w, 0], step.action[w, 1], step.action[w, 2])
        share = wp.cw_mul(a, wp.vec3(wp.abs(a[0]), wp.abs(a[1]), wp.abs(a[2])))
        turn, extend = c.max_turn_speed * share[0], c.max_extension_speed * share[1]
        lift, highest = c.max_lift_speed * share[2], c.max_lift_acceleration
        speed = wp.vec3(
            next_speed(arm, w, s.theta, now[0], turn, most / radius, dt),
            next_speed(arm, w, s.radial, now[1], extend, most, dt),
            next_speed(arm, w, s.lift, now[2], lift, highest, dt),
        )
        rates = (speed - now) / dt  # the drives, one for each joint, integrate them
        step.command[w, s.theta.index] = rates[0]
        step.command[w, s.radial.index] = rates[1]
        step.command[w, s.lift.index] = rates[2]
        s.speed[w] = speed
        for i in range(2):
            s.side[w][i] = play_side(s.side[w][i], speed[i])

    @wp.func
    def evaluate(w: int, step: Step, arm: Arm, c: Any, s: WaferTransferState):
        cell = way.look(arm, w, s.wafer, s.theta, s.seat[w], s.lock[w])
        carried, placed = way.carried(cell), way.placed(cell, c.position_tolerance)
        inside = way.extension(cell.fork) > way.CLEAR
        on_fork = way.in_fork(cell, cell.wafer - cell.fork)
        if carried and s.carrying[w] == 0:
            s.held_at[w] = on_fork
        s.carrying[w] = wp.where(carried, 1, 0)
        grown = float(0.0)
        if carried:
            grown = wp.max(1000.0 * way.apart(on_fork, s.held_at[w]) - s.slip[w], 0.0)
        s.slip[w] += grown

        touches = way.touches_edge(cell)
        fresh = touches and s.touching[w] == 0
        s.touching[w] = wp.where(touches, 1, 0)
        turning = arm.qvel[w, s.theta.dof] * way.extension(cell.fork)
        fast = wp.length(wp.vec2(turning, arm.qvel[w, s.radial.dof])) > c.edge_speed
        broken = way.strikes(cell) or way.fell(cell) or (touches and fast)
        step.terminated[w] = broken
        resting = wp.length(way.wafer_velocity(arm, w, s.wafer)) < 0.02
        if not step.success[w]:
            s.done_time[w] = float(step.elapsed[w]) * c.control_dt
        step.success[w] = placed and not inside and not broken and resting
        _squares, _fastest, power, _limits = joint_load(arm, w)

        step.reward[w, Term.progress] = way.progress(cell, c.position_tolerance)
        step.reward[w, Term.done] = wp.where(step.success[w], 1.0, 0.0)
        step.reward[w, Term.slip] = grown
        step.reward[w, Term.edge_contact] = wp.where(touches, 1.0, 0.0)
        step.reward[w, Term.broken] = wp.where(broken, 1.0, 0.0)
        step.reward[w, Term.action_rate] = action_rate(step, w)
        step.kpi[w, Value.cycle_time] = s.done_time[w]
        step.kpi[w, Value.wafers_per_hour] = wp.where(step.success[w], 3600.0 / s.done_time[w], 0.0)
        step.kpi[w, Value.placement_error] = 1000.0 * way.apart(cell.wafer, cell.lock)
        step.kpi[w, Value.slip] = s.slip[w]
        step.kpi[w, Value.edge_contacts] = wp.where(fresh, 1.0, 0.0)
        step.kpi[w, Value.energy] = power * c.control_dt
        step.kpi[w, Value.lifted] = wp.where(carried, 1.0, 0.0)
        step.kpi[w, Value.clear_of_foup] = wp.where(carried and not inside, 1.0, 0.0)
        step.kpi[w, Value.placed] = wp.where(placed, 1.0, 0.0)
        step.kpi[w, Value.broken] = wp.where(broken, 1.0, 0.0)

    @wp.func
    def reset(w: int, step: Step, arm: Arm, c: Any, s: WaferTransferState):
        key, a, h = episode_key(step, w, _STATIONS), c.station_offset, c.station_height
        s.slot[w] = integer(key, 0, c.first_slot, wp.max(c.first_slot, c.last_slot) + 1)
        up = wp.vec3(0.0, 0.0, _PITCH * float(s.slot[w]))
        off = wp.vec3(uniform(key, 1, -a, a), uniform(key, 2, -a, a), uniform(key, 3, -h, h))
        s.seat[w] = _FOUP + up + off
        off = wp.vec3(uniform(key, 4, -a, a), uniform(key, 5, -a, a), uniform(key, 6, -h, h))
        s.lock[w] = _LOCK + off
        places.set_mocap_position(arm, w, s.foup, s.seat[w])
        places.set_mocap_position(arm, w, s.pins, s.lock[w])

        key, b = episode_key(step, w, _WAFER), c.wafer_offset
        aside = wp.vec3(uniform(key, 0, -b, b), uniform(key, 1, -b, b), 0.0)
        way.lay(arm, w, s.wafer, s.seat[w] + aside)

        key = episode_key(step, w, _ROBOT)
        arm.qpos[w, s.theta.qpos] = uniform(key, 0, 0.3, 1.3)
        arm.qpos[w, s.radial.qpos] = uniform(key, 1, 0.01, 0.06)
        arm.qpos[w, s.lift.qpos] = uniform(key, 2, 0.05, 0.25)
        friction = c.pad_friction * (1.0 - c.wear.pad_loss)
        for i in range(3):
            arm.geom_friction[w, s.pad.index + i] = wp.vec3(friction, 0.0, 0.0)
            arm.joint_friction[w, i] = c.wear.drive_friction * _FORCES[i]

    @wp.func
    def observe(
        w: int, step: Step, arm: Arm, c: Any, s: WaferTransferState, obs: wp.array2d[float]
    ):
        cell = way.look(arm, w, s.wafer, s.theta, s.seat[w], s.lock[w])
        seen = drifted(cell.wafer, c.wear.sensor_drift, float(step.elapsed[w]) * c.control_dt)
        half = 0.5 * c.wear.backlash
        play = wp.vec3(half * s.side[w][0] / way.extension(cell.fork), half * s.side[w][1], 0.0)
        pick, place = way.between(cell.fork, seen) - play, way.between(seen, cell.lock) - play
        speed = wp.vec3(
            arm.qvel[w, s.theta.dof], arm.qvel[w, s.radial.dof], arm.qvel[w, s.lift.dof]
        )
        slides = way.sliding(arm, w, cell, s.wafer, speed)
        near, stage = wp.vec3(100.0, 100.0, 200.0), way.stage_of(cell, c.position_tolerance)
        obs[w, Obs.fork] = cell.turn
        obs[w, Obs.fork + 1] = way.extension(cell.fork)
        obs[w, Obs.fork + 2] = arm.qpos[w, s.lift.qpos]
        for i in range(3):
            obs[w, Obs.fork_speed + i] = speed[i]
            obs[w, Obs.pick + i] = pick[i]
            obs[w, Obs.pick_near + i] = wp.clamp(near[i] * pick[i], -1.0, 1.0)
            obs[w, Obs.place + i] = place[i]
            obs[w, Obs.place_near + i] = wp.clamp(near[i] * place[i], -1.0, 1.0)
            obs[w, Obs.wafer_velocity + i] = 10.0 * slides[i]
            obs[w, Obs.previous_action + i] = step.action[w, i]
        obs[w, Obs.seat_height] = wp.clamp(200.0 * (cell.wafer[2] - cell.seat[2]), -1.0, 1.0)
        for i in range(4):
            obs[w, Obs.stage + i] = wp.where(stage == i, 1.0, 0.0)
        obs[w, Obs.acceleration_limit] = 0.2 * c.max_acceleration

    def scene_pose(self, sim: Any, worlds: Sequence[int]) -> list[ScenePose]:
        poses, slots = sim.engine.scene_pose(worlds), sim.task_state("slot")
        return [
            with_other_wafers(pose, int(slots[w]), range(SLOTS))
            for w, pose in zip(worlds, poses, strict=True)
        ]

    @classmethod
    def expert(cls, config: TaskConfig) -> WaferExpert:
        """Fetch, leave, deliver, withdraw: decided anew in every step."""
        task = cls(config)
        return WaferExpert(task.layout, task.config)
