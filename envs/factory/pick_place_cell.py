"""The cell of PickPlace: a UR5e with a gripper on a bench, a part, and a fixture for it.

Solver, as measured with grips of 30 to 200 N on parts of 0.1 to 0.28 kg, in MuJoCo C and Warp: a
pyramidal cone lets go at 0.7 of the friction's limit, the elliptic one within a tenth of it. Under
three times its weight for 2 s a part of 0.28 kg creeps by 2.4 mm at impratio 1 and 0.25 mm at 10;
beyond 10 grips explode. With 10 or 20 iterations of the line search instead of 50 some do, too, and
with physics steps of 10 ms pads sink into the part by centimetres; with 5 ms none did. Contacts
need no torsion (condim 3): four corners hold a face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from proveout.assets.robot import load_robot
from proveout.envs.core.randomize import Randomization
from proveout.envs.core.task import RandomizationConfig
from proveout.envs.factory.resized_boxes import add_pieces
from proveout.envs.factory.scenery import add_studio

# Half lengths of the part as it lies [m]: it is gripped along x.
PART = (0.020, 0.030, 0.020)
PART_MASS = 0.2  # kg
# On bench and fixture; between pad and part the pad's own counts.
PART_FRICTION = 0.4
# Middle of the fixture on the bench, and how much wider than the nominal part it is [m].
FIXTURE = (0.45, -0.18)
ROOM = 0.009
_POST = 0.006  # half length of a corner post [m]
_BENCH_HEIGHT = 0.74  # m


@dataclass(frozen=True, kw_only=True)
class PickPlaceRandomization(RandomizationConfig):
    """On by default, mildly."""

    part_size: Randomization = Randomization(
        field="geom_size", target="part", low=0.9, high=1.1, strong=(0.8, 1.15)
    )
    part_mass: Randomization = Randomization(
        field="body_mass", target="part", low=0.6, high=1.4, strong=(0.3, 2.0)
    )
    part_friction: Randomization = Randomization(
        field="geom_friction", target="part", low=0.75, high=1.25, strong=(0.5, 1.75)
    )
    pad_friction: Randomization = Randomization(
        field="geom_friction", target="gripper_.*_finger", low=0.8, high=1.1, strong=(0.5, 1.2)
    )
    servo_gain: Randomization = Randomization(
        field="actuator_gain", low=0.95, high=1.05, strong=(0.8, 1.1)
    )
    latency: Randomization = Randomization(
        field="control_latency", operation="set", low=0.0, high=0.0, strong=(0.0, 0.05), unit="s"
    )
    part_noise: Randomization = Randomization(
        field="observation_noise", target="part_offset", operation="set", low=0.0, high=0.0,
        strong=(0.0, 0.001), unit="m",
    )  # fmt: skip


_BOX, _PLANE = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_PLANE
_HIDDEN = 3  # group of geoms that are not drawn


def arm_with_gripper() -> Any:
    """The arm, with the parallel gripper on its flange, whose names begin with "gripper_"."""
    return load_robot("ur5e").with_tool(load_robot("gripper_2f"), prefix="gripper_").spec


def cell_spec(*, visual: bool) -> Any:
    """The `mujoco.MjSpec` of the cell, whose bench is the plane z = 0.

    The links of the arm touch nothing: the task keeps the tool where they could not.
    """
    spec = arm_with_gripper()
    for geom in list(spec.geoms):
        of_arm = geom.group == _HIDDEN and not geom.name.startswith("gripper_")
        if of_arm or (geom.group == 2 and not visual):
            spec.delete(geom)
    option = spec.option
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone, option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0
    option.iterations, option.ls_iterations = 10, 50
    for name in ("left_finger", "right_finger", "palm"):
        spec.geom(f"gripper_{name}").condim = 3

    world = spec.worldbody
    world.add_geom(name="bench", type=_PLANE, size=[0, 0, 0.1], group=_HIDDEN)
    middle = np.array([*FIXTURE, _POST])
    apart = np.array([PART[0] + 0.5 * ROOM + _POST, PART[1] + 0.5 * ROOM + _POST, 0.0])
    for i, (x, y) in enumerate(((-1, -1), (-1, 1), (1, -1), (1, 1))):
        world.add_geom(
            name=f"post{i}", type=_BOX, size=[_POST] * 3, pos=middle + apart * (x, y, 0),
            rgba=[0.93, 0.62, 0.12, 1.0],
        )  # fmt: skip
    part = world.add_body(name="part", pos=[0.45, 0.12, PART[2]])
    part.add_freejoint(name="part")
    part.add_geom(
        name="part", type=_BOX, size=PART, mass=PART_MASS, priority=1, group=_HIDDEN,
        friction=[PART_FRICTION, 0.005, 0.0001],
    )  # fmt: skip
    if visual:
        _add_scenery(spec)
    return spec


def _add_scenery(spec: Any) -> None:
    """Bench, mat of the fixture, floor, lights, camera, and the pieces that show the part."""
    add_studio(spec, target=(0.38, -0.04, 0.13), distance=1.0, azimuth=35.0, elevation=26.0)
    spec.geom("studio_floor").pos = [0, 0, -_BENCH_HEIGHT]
    drawn: dict[str, Any] = {"type": _BOX, "contype": 0, "conaffinity": 0}
    world = spec.worldbody
    world.add_geom(
        size=[0.55, 0.5, 0.02], pos=[0.28, 0, -0.02], rgba=[0.66, 0.68, 0.70, 1.0], **drawn
    )
    for x in (-0.22, 0.78):
        for y in (-0.45, 0.45):
            half = 0.5 * _BENCH_HEIGHT - 0.02
            world.add_geom(
                size=[0.03, 0.03, half], pos=[x, y, -0.04 - half], rgba=[0.3, 0.32, 0.35, 1.0],
                **drawn,
            )  # fmt: skip
    mat = [PART[0] + 0.5 * ROOM + 2 * _POST, PART[1] + 0.5 * ROOM + 2 * _POST, 0.0001]
    world.add_geom(size=mat, pos=[*FIXTURE, 0.0001], rgba=[0.25, 0.27, 0.3, 1.0], **drawn)
    add_pieces(spec, PART, [0.20, 0.45, 0.80, 1.0])
