"""The cell of Palletize: a UR5e with a vacuum gripper between an infeed belt and a pallet.

A Euro pallet is out of reach of an arm of 0.85 m, so it is a quarter of one, 600 x 400 mm, and a
layer is four cartons of the module 300 x 200 mm. Belt and deck are level.

Solver, as measured with MuJoCo C and Warp on the gripper, carton and belt alone, with steps of 5
and 10 ms, both cones and impratio 1, 10 and 100: cups break away at their force and a belt's
speed is reached to 1e-6 with all of them. At impratio 1 cups slip at 0.6 of friction's limit and
a carton of 2 kg creeps by 4 to 7 mm in 2 s of three times its weight and 20 N aside; at 10 they
slip at 0.96 or more and creep by under 0.8 mm, at 100 no better in all cases. A sliding carton
stops v dt / 2 early: with six steps of 8.3 ms in a control step by 2.7 % at 1.5 m/s, with five by
3.2 %. With the elliptic cone a step takes half as long again; a sparse Jacobian halves that, but
then the last bits depend on the number of worlds. On the arm a carton that is held still for
seconds creeps, by 47 mm in 3 s, as single cups open and close again: a transfer of 1 to 2 s hardly
feels it, a long wait would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import warp as wp

from proveout.assets.objects.belt_conveyor import RAIL, belt_conveyor
from proveout.assets.objects.carton import QUARTER_MODULE, carton
from proveout.assets.objects.pallet import QUARTER, quarter_pallet
from proveout.assets.robot import load_robot
from proveout.envs.core.randomize import Randomization
from proveout.envs.core.task import RandomizationConfig
from proveout.envs.factory import places
from proveout.envs.factory.arm import Arm
from proveout.envs.factory.control import top_down
from proveout.envs.factory.control.belt import front_of
from proveout.envs.factory.resized_boxes import add_pieces
from proveout.envs.factory.scenery import add_studio

CARTONS = 4
NAMES = tuple(f"carton{i}" for i in range(CARTONS))
# Whole lengths of a carton, the long one along x [m]: 10 mm less than its module, and mass.
SIZE, MASS = (0.290, 0.190, 0.150), 2.0
# Height of belt and deck in the base frame of the arm [m].
SURFACE = -0.15
# Middle of the pallet [m], and of the places on it, in the order in which they are filled: the far
# row first, so that nothing is carried past what stands.
PALLET = (0.52, 0.27)
_X, _Y = 0.5 * QUARTER_MODULE[0], 0.5 * QUARTER_MODULE[1]
SLOTS = tuple(
    (PALLET[0] + x, PALLET[1] + y) for x, y in ((_X, _Y), (-_X, _Y), (_X, -_Y), (-_X, -_Y))
)
# The belt runs along y: its middle, its end, and the light barrier at which a carton's front stops.
BELT_X, BELT_END, BARRIER = 0.45, -0.06, -0.10
PITCH = 0.30  # of the cartons on the belt [m]
_BELT_LENGTH, _BELT_WIDTH = 1.75, 0.36
BELT_SPEED = 0.25  # m/s
_FLOOR = -0.85

_SLOTS = wp.constant(wp.types.matrix((CARTONS, 2), float)(*(x for slot in SLOTS for x in slot)))
wp.set_module_options({"enable_backward": False})


@dataclass(frozen=True, kw_only=True)
class PalletizeRandomization(RandomizationConfig):
    """On by default, mildly."""

    carton_size: Randomization = Randomization(
        field="geom_size", target="carton.", low=0.96, high=1.01, strong=(0.9, 1.01)
    )
    carton_mass: Randomization = Randomization(
        field="body_mass", target="carton.", low=0.7, high=1.3, strong=(0.3, 1.8)
    )
    carton_friction: Randomization = Randomization(
        field="geom_friction", target="carton.", low=0.8, high=1.2, strong=(0.5, 1.5)
    )
    cup_friction: Randomization = Randomization(
        field="geom_friction", target="gripper_cup.", low=0.8, high=1.1, strong=(0.5, 1.2)
    )
    belt_speed: Randomization = Randomization(
        field="config.belt_speed", operation="set", low=0.2, high=0.3, strong=(0.1, 0.4),
        unit="m/s",
    )  # fmt: skip
    servo_gain: Randomization = Randomization(
        field="actuator_gain", target="shoulder.*|elbow|wrist.*", low=0.95, high=1.05,
        strong=(0.8, 1.1),
    )  # fmt: skip
    latency: Randomization = Randomization(
        field="control_latency", operation="set", low=0.0, high=0.0, strong=(0.0, 0.05), unit="s"
    )
    carton_noise: Randomization = Randomization(
        field="observation_noise", target="carton_offset", operation="set", low=0.0, high=0.0,
        strong=(0.0, 0.002), unit="m",
    )  # fmt: skip


_BOX, _CYLINDER = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
_HIDDEN, _DRAWN = 3, 2


def arm_with_cups() -> Any:
    """The arm, with the vacuum gripper on its flange, whose names begin with "gripper_"."""
    return load_robot("ur5e").with_tool(load_robot("vacuum_gripper"), prefix="gripper_").spec


def cell_spec(*, visual: bool) -> Any:
    """The `mujoco.MjSpec` of the cell.

    The links of the arm touch nothing: the task keeps the tool where they could not.
    """
    spec = arm_with_cups()
    for geom in list(spec.geoms):
        if geom.group == _HIDDEN and not geom.name.startswith("gripper_"):
            spec.delete(geom)
    option = spec.option
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone, option.impratio = mujoco.mjtCone.mjCONE_PYRAMIDAL, 10.0
    option.iterations, option.ls_iterations = 10, 50
    option.jacobian = mujoco.mjtJacobian.mjJAC_DENSE

    world = spec.worldbody
    along_y = [np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)]
    conveyor = belt_conveyor(_BELT_LENGTH, _BELT_WIDTH, SURFACE - _FLOOR, BELT_SPEED)
    infeed = world.add_frame(pos=[BELT_X, BELT_END, SURFACE], quat=along_y)
    spec.attach(conveyor, prefix="infeed_", frame=infeed)
    ground = world.add_frame(pos=[*PALLET, SURFACE - QUARTER[2]])
    spec.attach(quarter_pallet(), prefix="load_", frame=ground)
    for i in range(CARTONS):
        place = world.add_frame(pos=[BELT_X, -0.3 - PITCH * i, SURFACE + 0.5 * SIZE[2]])
        spec.attach(carton(SIZE, MASS, name=str(i)), prefix="carton", frame=place)
    for geom in list(spec.geoms):
        # Cartons of any size are drawn as pieces.
        of_carton = geom.parent.name in NAMES
        drawn = geom.group == _DRAWN and geom.contype == 0
        if drawn and (of_carton or not visual):
            spec.delete(geom)
    if visual:
        _add_scenery(spec)
    return spec


def _add_scenery(spec: Any) -> None:
    """Floor, pedestal, lift table, light barrier, camera, and the pieces that show the cartons."""
    add_studio(spec, target=(0.40, -0.12, -0.12), distance=2.5, azimuth=38.0, elevation=28.0)
    spec.geom("studio_floor").pos = [0, 0, _FLOOR]
    drawn: dict[str, Any] = {"contype": 0, "conaffinity": 0}
    world, steel = spec.worldbody, [0.30, 0.32, 0.35, 1.0]
    half = -0.5 * _FLOOR
    world.add_geom(type=_CYLINDER, size=[0.09, half, 0], pos=[0, 0, -half], rgba=steel, **drawn)
    world.add_geom(
        type=_BOX, size=[0.16, 0.16, 0.01], pos=[0, 0, _FLOOR + 0.01], rgba=steel, **drawn
    )
    table = SURFACE - QUARTER[2]  # the top of the table
    size = [0.5 * QUARTER[0] + 0.02, 0.5 * QUARTER[1] + 0.02, 0.02]
    for height, rgba in ((table - 0.02, [0.93, 0.62, 0.12, 1.0]), (_FLOOR + 0.02, steel)):
        world.add_geom(type=_BOX, size=size, pos=[*PALLET, height], rgba=rgba, **drawn)
    low, high = _FLOOR + 0.04, table - 0.04
    for y in (-0.16, 0.16):  # the scissors
        for lean in (-0.2, 0.2):
            world.add_geom(
                type=mujoco.mjtGeom.mjGEOM_CAPSULE, size=[0.018, 0, 0], rgba=steel,
                fromto=[PALLET[0] - lean, PALLET[1] + y, low,
                        PALLET[0] + lean, PALLET[1] + y, high], **drawn,
            )  # fmt: skip
    for side in (-1, 1):
        x = BELT_X + side * (0.5 * _BELT_WIDTH + RAIL[0] + 0.012)
        world.add_geom(
            type=_BOX, size=[0.012, 0.014, 0.06], pos=[x, BARRIER, SURFACE + 0.02],
            rgba=[0.85, 0.15, 0.12, 1.0], **drawn,
        )  # fmt: skip
    for _ in NAMES:
        add_pieces(
            spec, [0.5 * s for s in SIZE], [0.72, 0.53, 0.33, 1.0], stripe=[0.86, 0.76, 0.57, 1.0]
        )


@wp.func
def way_to_place(i: int, box: wp.transform, half: wp.vec3) -> wp.vec3:
    """Way from the i-th carton, of these half lengths, to its place on the pallet [m]."""
    place = wp.vec3(_SLOTS[i, 0], _SLOTS[i, 1], SURFACE + half[2])
    return place - wp.transform_get_translation(box)


@wp.func
def waits_at_barrier(box: wp.transform, half: wp.vec3) -> bool:
    """Whether a carton on the belt has reached the light barrier at its end."""
    at = wp.transform_get_translation(box)
    on_belt = at[1] < BELT_END and at[2] < SURFACE + half[2] + 0.02
    return on_belt and front_of(box, half, wp.vec3(0.0, 1.0, 0.0)) > BARRIER


@wp.func
def layer(
    arm: Arm,
    w: int,
    first: places.FreeBody,
    half: wp.vec3,
    turns: int,
    released: wp.array2d[wp.vec3],
    position_tolerance: float,
    angle_tolerance: float,
):
    """How the cartons stand.

    Args:
        arm: The engine's arrays. w: The world.
        first: The first carton. half: Half lengths of all of them [m].
        turns: How many cartons have had their turn.
        released: Where each of those was let go [m], (N, cartons).
        position_tolerance: Error of one that stands in its place [m]. angle_tolerance: [rad].

    Returns:
        Whether the carton whose turn it is stands in its place; of those before it, how many do,
        the sum of their errors [m] and the largest way since their release [m]; and whether any
        carton has fallen.
    """
    now, fallen = bool(False), bool(False)
    standing, errors, settled = int(0), float(0.0), float(0.0)
    for i in range(CARTONS):
        body = places.next_body(first, i)
        pose = places.free_pose(arm, w, body)
        at, way = wp.transform_get_translation(pose), way_to_place(i, pose, half)
        straight = top_down.askew(wp.transform_get_rotation(pose)) < angle_tolerance
        rests = wp.length(places.free_velocity(arm, w, body)) < 0.02
        stands = wp.length(way) < position_tolerance and straight and rests
        fallen = fallen or at[2] < SURFACE
        if i == turns:
            now = stands
        elif i < turns:
            standing += wp.where(stands, 1, 0)
            errors += wp.length(way)
            settled = wp.max(settled, wp.length(released[w, i] - at))
    return now, standing, errors, settled, fallen
