"""Small articulated tasks with known answers. They are not registered: tests make them directly."""

# Warp's stubs give kernel arrays no indexing.
# mypy: disable-error-code="index, misc"

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import mujoco
import warp as wp

from proveout.assets.files.layout import Entry, Layout
from proveout.envs.core.columns import columns
from proveout.envs.core.randomize import Randomization
from proveout.envs.core.rng import STREAM_TASK, random_key, uniform
from proveout.envs.core.task import (
    Kpi,
    RandomizationConfig,
    RewardWeights,
    TaskConfig,
    quantity,
)
from proveout.envs.factory.engine import Capacities
from proveout.envs.factory.task import ArticulatedTask

wp.set_module_options({"enable_backward": False})

_STREAM_START = wp.constant(STREAM_TASK)
# Both tasks launch kernels of their own, as any task may.
REDUCTIONS = ("mean", "last", "min", "max", "sum")


@dataclass(frozen=True, kw_only=True)
class ToyWeights(RewardWeights):
    value: float = quantity(0.5, "1/m", "the observed number")
    square: float = quantity(-0.25, "1/m2", "its square")


Term = columns(ToyWeights)


@dataclass(frozen=True, kw_only=True)
class BoxesRandomization(RandomizationConfig):
    mass: Randomization = Randomization(field="body_mass")
    friction: Randomization = Randomization(field="geom_friction")
    size: Randomization = Randomization(field="geom_size", target="box.*")


@dataclass(frozen=True, kw_only=True)
class BoxesConfig(TaskConfig):
    """Boxes in a row above a plane."""

    control_dt: float = quantity(0.02, "s", "time between two actions")
    decimation: int = quantity(4, "1", "physics steps in one control step")
    episode_seconds: float = quantity(0.8, "s", "time after which an episode is truncated")
    num_boxes: int = quantity(2, "1", "boxes")
    contacts: int = quantity(16, "1", "room for contacts of a world, on average")
    constraints: int = quantity(64, "1", "room for constraint rows of a world")
    lowest_start: float = quantity(0.12, "m", "lowest start height of a box's centre")
    highest_start: float = quantity(0.3, "m", "highest start height of a box's centre")
    spin: float = quantity(2.0, "rad/s", "largest start spin about each axis")
    airborne: int = quantity(-1, "1", "number of a world that starts 100 m up and touches nothing")
    wall: float = quantity(10.0, "m", "the episode ends when the first box is farther out in x")
    reward_weights: ToyWeights = field(default_factory=ToyWeights)
    randomization: BoxesRandomization = field(default_factory=BoxesRandomization)


OBSERVED = ("height", "position", "velocity")
BOX = 0.05  # half size [m]
PUSH = 3.0  # largest force [N]


class Boxes(ArticulatedTask):
    """Free boxes drop on a plane; the action pushes the first one along x and z."""

    id = "toy/Boxes-v0"
    config_class = BoxesConfig
    kpis = tuple(Kpi(f"{how}_height", "m", how, "height of the first box") for how in REDUCTIONS)

    def __init__(self, config=None):
        super().__init__(config)
        self.capacities = Capacities(
            contacts=self.config.contacts, constraints=self.config.constraints
        )

    def make_layout(self):
        boxes = self.config.num_boxes
        return Layout(
            (
                Entry("height", (), "m", "height of the first box", "world"),
                Entry("position", (boxes, 3), "m", "centres", "world"),
                Entry("velocity", (boxes, 6), "m/s, rad/s", "twists", "world"),
            )
        )

    def make_action_layout(self):
        return Layout((Entry("push", (2,), "3 N", "force in x, z", low=-1, high=1),))

    def spec(self, *, visual):
        spec = mujoco.MjSpec()
        spec.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.1])
        for i in range(self.config.num_boxes):
            body = spec.worldbody.add_body(name=f"box{i}", pos=[0, 0.4 * i, 1.0])
            body.add_freejoint(name=f"free{i}")
            body.add_geom(name=f"box{i}", type=mujoco.mjtGeom.mjGEOM_BOX, size=[BOX] * 3, mass=0.5)
            if i == 0:
                body.add_site(name="push")
        for name, gear in (("x", [PUSH, 0, 0, 0, 0, 0]), ("z", [0, 0, PUSH, 0, 0, 0])):
            actuator = spec.add_actuator(name=name, target="push")
            actuator.trntype = mujoco.mjtTrn.mjTRN_SITE
            actuator.gear[:] = gear
        return spec

    def build(self, sim):
        self._data = sim.engine.data

    def control(self, sim):
        wp.copy(sim.command, sim.action)

    def evaluate(self, sim):
        wp.launch(
            _boxes_evaluate,
            dim=sim.num_worlds,
            inputs=[self._data.qpos, self.config.wall],
            outputs=[sim.reward_terms, sim.success, sim.terminated, sim.kpi],
            device=sim.device,
        )

    def reset(self, sim, mask):
        c = self.config
        wp.launch(
            _boxes_reset,
            dim=sim.num_worlds,
            inputs=[
                mask, sim.seed, sim.world_id, sim.episode, c.num_boxes, c.lowest_start,
                c.highest_start, c.spin, c.airborne,
            ],
            outputs=[self._data.qpos, self._data.qvel, sim.command],
            device=sim.device,
        )  # fmt: skip

    def observe(self, sim, mask, observation):
        starts = [part.start for name, part in self.layout.slices.items() if name in OBSERVED]
        wp.launch(
            _boxes_observe,
            dim=sim.num_worlds,
            inputs=[mask, self._data.qpos, self._data.qvel, self.config.num_boxes, *starts],
            outputs=[observation],
            device=sim.device,
        )


@wp.kernel
def _boxes_evaluate(
    qpos: wp.array2d[float],
    wall: float,
    reward_terms: wp.array2d[float],
    success: wp.array[wp.bool],
    terminated: wp.array[wp.bool],
    kpi: wp.array2d[float],
):
    worldid = wp.tid()
    z = qpos[worldid, 2]
    reward_terms[worldid, Term.value] = z
    reward_terms[worldid, Term.square] = z * z
    success[worldid] = z < 0.1
    terminated[worldid] = wp.abs(qpos[worldid, 0]) > wall
    for k in range(5):
        kpi[worldid, k] = z


@wp.kernel
def _boxes_reset(
    mask: wp.array[wp.bool],
    seed: wp.array[wp.uint64],
    world_id: wp.array[int],
    episode: wp.array[int],
    num_boxes: int,
    low: float,
    high: float,
    spin: float,
    airborne: int,
    qpos: wp.array2d[float],
    qvel: wp.array2d[float],
    command: wp.array2d[float],
):
    worldid = wp.tid()
    if not mask[worldid]:
        return
    key = random_key(seed[worldid], world_id[worldid], episode[worldid], _STREAM_START)
    up = wp.where(world_id[worldid] == airborne, 100.0, 0.0)
    for i in range(num_boxes):
        qpos[worldid, 7 * i + 2] = up + uniform(key, i, low, high)
        for k in range(3):
            qvel[worldid, 6 * i + 3 + k] = uniform(key, 100 + 3 * i + k, -spin, spin)
    for i in range(command.shape[1]):
        command[worldid, i] = 0.0


@wp.kernel
def _boxes_observe(
    mask: wp.array[wp.bool],
    qpos: wp.array2d[float],
    qvel: wp.array2d[float],
    num_boxes: int,
    height: int,
    position: int,
    velocity: int,
    observation: wp.array2d[float],
):
    worldid = wp.tid()
    if not mask[worldid]:
        return
    observation[worldid, height] = qpos[worldid, 2]
    for i in range(num_boxes):
        for k in range(3):
            observation[worldid, position + 3 * i + k] = qpos[worldid, 7 * i + k]
        for k in range(6):
            observation[worldid, velocity + 6 * i + k] = qvel[worldid, 6 * i + k]


@dataclass(frozen=True, kw_only=True)
class PendulumRandomization(RandomizationConfig):
    mass: Randomization = Randomization(field="body_mass")
    damping: Randomization = Randomization(field="joint_damping")
    gain: Randomization = Randomization(field="actuator_gain")
    latency: Randomization = Randomization(
        field="control_latency", operation="set", low=0.0, high=0.0, unit="s"
    )
    noise: Randomization = Randomization(
        field="observation_noise", target="angle", operation="set", low=0.0, high=0.0, unit="rad"
    )


@dataclass(frozen=True, kw_only=True)
class PendulumConfig(TaskConfig):
    """Three pendulums side by side."""

    control_dt: float = quantity(0.02, "s", "time between two actions")
    decimation: int = quantity(4, "1", "physics steps in one control step")
    episode_seconds: float = quantity(0.5, "s", "time after which an episode is truncated")
    constraints: int = quantity(3, "1", "room for constraint rows of a world")
    start: float = quantity(0.5, "rad", "half range of the start angles")
    broken: bool = quantity(False, "1", "make a model that does not compile")
    reward_weights: ToyWeights = field(default_factory=ToyWeights)
    randomization: PendulumRandomization = field(default_factory=PendulumRandomization)


LIMIT = 1.2  # rad


HINGES = Layout(
    (Entry("angle", (3,), "rad", "joint angles"), Entry("speed", (3,), "rad/s", "joint speeds"))
)
SWING = (Kpi("angle", "rad", "last", "angle of the first hinge"),)
Hinges, Swing = columns(HINGES), columns(SWING)


class Pendulum(ArticulatedTask):
    """Position servos move three limited hinges; an action is the angles wanted."""

    id = "toy/Pendulum-v0"
    config_class = PendulumConfig
    kpis = SWING

    def __init__(self, config=None):
        super().__init__(config)
        self.capacities = Capacities(contacts=0, constraints=self.config.constraints)

    observation = HINGES

    def make_action_layout(self):
        return Layout((Entry("wanted", (3,), "rad", "angles", low=-1, high=1),))

    def spec(self, *, visual):
        spec = mujoco.MjSpec()
        spec.compiler.degree = False
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
        for i in range(3):
            body = spec.worldbody.add_body(name=f"bob{i}", pos=[0, 0.2 * i, 1])
            body.add_joint(
                name=f"hinge{i}", axis=[0, 1, 0], range=[-LIMIT, LIMIT], damping=0.05,
                limited=mujoco.mjtLimited.mjLIMITED_TRUE,
            )  # fmt: skip
            if self.config.broken:
                continue  # a moving body without mass
            body.add_geom(
                name=f"bob{i}", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.03] * 3,
                pos=[0, 0, -0.3], mass=0.4,
            )  # fmt: skip
            actuator = spec.add_actuator(name=f"servo{i}", target=f"hinge{i}")
            actuator.trntype = mujoco.mjtTrn.mjTRN_JOINT
            actuator.set_to_position(kp=3.0, kv=0.1)
        return spec

    def build(self, sim):
        self._data = sim.engine.data

    def control(self, sim):
        wp.copy(sim.command, sim.action)

    def evaluate(self, sim):
        wp.launch(
            _pendulum_evaluate,
            dim=sim.num_worlds,
            inputs=[self._data.qpos],
            outputs=[sim.reward_terms, sim.success, sim.kpi],
            device=sim.device,
        )

    def reset(self, sim, mask):
        wp.launch(
            _pendulum_reset,
            dim=sim.num_worlds,
            inputs=[mask, sim.seed, sim.world_id, sim.episode, self.config.start],
            outputs=[self._data.qpos, sim.command],
            device=sim.device,
        )

    def observe(self, sim, mask, observation):
        wp.launch(
            _pendulum_observe,
            dim=sim.num_worlds,
            inputs=[mask, self._data.qpos, self._data.qvel],
            outputs=[observation],
            device=sim.device,
        )


@wp.kernel
def _pendulum_evaluate(
    qpos: wp.array2d[float],
    reward_terms: wp.array2d[float],
    success: wp.array[wp.bool],
    kpi: wp.array2d[float],
):
    worldid = wp.tid()
    angle = qpos[worldid, 0]
    reward_terms[worldid, Term.value] = angle
    reward_terms[worldid, Term.square] = angle * angle
    success[worldid] = wp.abs(angle) < 0.1
    kpi[worldid, Swing.angle] = angle


@wp.kernel
def _pendulum_reset(
    mask: wp.array[wp.bool],
    seed: wp.array[wp.uint64],
    world_id: wp.array[int],
    episode: wp.array[int],
    start: float,
    qpos: wp.array2d[float],
    command: wp.array2d[float],
):
    worldid = wp.tid()
    if not mask[worldid]:
        return
    key = random_key(seed[worldid], world_id[worldid], episode[worldid], _STREAM_START)
    for i in range(3):
        qpos[worldid, i] = uniform(key, i, -start, start)
        command[worldid, i] = 0.0


@wp.kernel
def _pendulum_observe(
    mask: wp.array[wp.bool],
    qpos: wp.array2d[float],
    qvel: wp.array2d[float],
    observation: wp.array2d[float],
):
    worldid = wp.tid()
    if not mask[worldid]:
        return
    for i in range(3):
        observation[worldid, Hinges.angle + i] = qpos[worldid, i]
        observation[worldid, Hinges.speed + i] = qvel[worldid, i]


def switched_on(config_class, **changes):
    """A config with some randomisations changed: name -> fields of the `Randomization`."""
    group = config_class().randomization
    changed = {
        name: dataclasses.replace(getattr(group, name), **fields)
        for name, fields in changes.items()
    }
    return config_class(randomization=dataclasses.replace(group, **changed))
