"""The cell of WaferTransfer: a wafer robot between a FOUP and a load lock, and one wafer.

    y
    |   [load lock]     seat 0.60 m from the axis of the robot, 1.05 m above the floor
    |
    o-- robot  [FOUP]   seats 0.60 m from the axis, 0.93 to 1.17 m above the floor  --> x

What a wafer touches are spheres: the pads of the fork, four crowns in its slot, three pins in the
lock, and the guides beside them. A sphere and a cylinder have one contact in closed form, and the
sphere's middle lies 4 mm below the face: so contact with a disc 0.8 mm thick stays on its face.

Solver, as measured with a wafer on its pads (0.4 s at a share of mu g, mu 0.3): the elliptic cone
with impratio 10 creeps by 0.03 mm at a share of 0.97 and slides above 1, with physics steps of 2, 4
and 5 ms alike; impratio 1 creeps by 0.28 mm, 100 by 0.003 mm. Contacts are as stiff as steps of 5
ms allow: a wafer sinks by 0.04 mm. The integrator is the robot's, see its README.

The origin of the wafer's body is not its middle but lies where the axis of the robot is while the
fork turns. MuJoCo moves an origin along a straight line in each step and turns the body about it: a
disc that is carried round with its origin in the middle drifts outwards by half of (angle of a
step) squared times the radius, 1.5 mm in a quarter of a turn; about an origin that stands still it
turns exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from proveout.assets.objects import foup, load_lock, wafer
from proveout.assets.robot import load_robot
from proveout.envs.core.number_groups import NumberGroup
from proveout.envs.core.randomize import Randomization
from proveout.envs.core.scene_pose import ScenePose
from proveout.envs.core.task import RandomizationConfig, quantity
from proveout.envs.factory.control.wafer_way import TURNING
from proveout.envs.factory.scenery import add_studio

# The lowest seat of the FOUP and the seat of the lock [m], where no episode has moved them.
FOUP_SEAT, LOCK_SEAT = (0.60, 0.0, 0.93), (0.0, 0.60, 1.05)
SEAT_FRICTION = 0.4  # of crowns, pins and guides; the task writes that of the pads
# Largest forces of the drives in the order of the joints: lift, theta, radial [N, N m, N].
DRIVE_FORCES = (900.0, 90.0, 250.0)

_SOLREF = (0.01, 1.0)  # of all contacts: two physics steps
_BOX = mujoco.mjtGeom.mjGEOM_BOX
_AWAY = (0.0, 0.0, -1.0)  # of what is not drawn, below the floor
_DRAWN = 2


@dataclass(frozen=True, kw_only=True)
class WaferTransferRandomization(RandomizationConfig):
    """On by default, mildly; slots and places of the stations are numbers of the config."""

    pad_friction: Randomization = Randomization(
        field="config.pad_friction", low=0.9, high=1.1, strong=(0.75, 1.2)
    )
    wafer_mass: Randomization = Randomization(
        field="body_mass", target="wafer", low=0.95, high=1.05, strong=(0.8, 1.2)
    )
    servo_gain: Randomization = Randomization(
        field="actuator_gain", low=0.9, high=1.1, strong=(0.6, 1.2)
    )
    station_offset: Randomization = Randomization(field="config.station_offset", strong=(1.0, 3.0))
    latency: Randomization = Randomization(
        field="control_latency", operation="set", low=0.0, high=0.0, strong=(0.0, 0.05), unit="s"
    )
    position_noise: Randomization = Randomization(
        field="observation_noise", target="pick|place", operation="set", low=0.0, high=0.0,
        strong=(0.0, 0.0001), unit="rad, m, m",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class WaferWear(NumberGroup):
    """Wear profile; a new robot has none."""

    drive_friction: float = quantity(
        0.0, "1", "dry friction of each axis, as a share of its drive's force", low=0.0, high=0.5
    )
    backlash: float = quantity(
        0.0, "m", "play of R, and of theta at the pocket, which encoders miss", low=0.0, high=0.005
    )
    pad_loss: float = quantity(
        0.0, "1", "share of the pads' friction that is lost", low=0.0, high=0.95
    )
    sensor_drift: float = quantity(
        0.0, "m/s", "by which the wafer is seen to move away along x and y", low=-0.01, high=0.01
    )


def cell_spec(*, visual: bool) -> Any:
    """The `mujoco.MjSpec` of the cell, whose floor is the plane z = 0."""
    spec = load_robot("wafer_robot").spec
    option = spec.option
    option.cone, option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0
    option.iterations, option.ls_iterations = 10, 20
    for geom in list(spec.geoms):
        if geom.group == _DRAWN and not visual:
            spec.delete(geom)
        elif geom.group != _DRAWN:
            geom.contype, geom.conaffinity = 2, 1  # pads touch the wafer and nothing else

    world = spec.worldbody
    touch: dict[str, Any] = {"contype": 2, "conaffinity": 1, "friction": [SEAT_FRICTION, 0.0, 0.0]}
    touch["solref"], touch["condim"] = _SOLREF, 3
    # They stand elsewhere in each episode: the task moves them.
    seat = world.add_body(name="seat", mocap=True, pos=FOUP_SEAT)
    foup.add_seat(seat, 0.0, "", **touch)
    half_turn = np.sqrt(0.5)
    lock = world.add_body(name="lock", mocap=True, pos=LOCK_SEAT, quat=[half_turn, 0, 0, half_turn])
    load_lock.add_pins(lock, **touch)
    disc = world.add_body(name="wafer", pos=np.subtract(FOUP_SEAT, [TURNING, 0, 0]))
    disc.add_freejoint(name="wafer")
    touch.update(contype=1, conaffinity=2)
    wafer.add_wafer(disc, name="wafer", pos=[TURNING, 0, 0], rgba=[0.4, 0.5, 0.72, 1.0], **touch)
    if visual:
        _add_scenery(spec, lock)
    return spec


def _add_scenery(spec: Any, lock: Any) -> None:
    """FOUP, the other wafers in it, chamber, tables, floor, lights and camera."""
    add_studio(spec, target=(0.22, 0.24, 0.98), distance=1.5, azimuth=232.0, elevation=30.0)
    load_lock.add_chamber(lock, roof=False)
    world = spec.worldbody
    shell = world.add_body(name="foup", mocap=True, pos=FOUP_SEAT)
    foup.add_shell(shell)
    for i in range(foup.SLOTS - 1):
        other = world.add_body(name=f"other{i}", mocap=True, pos=_AWAY)
        wafer.add_wafer(other, contype=0, conaffinity=0, group=_DRAWN)
    drawn: dict[str, Any] = {"type": _BOX, "contype": 0, "conaffinity": 0, "group": _DRAWN}
    for seat, below, across in ((FOUP_SEAT, 0.036, (0.22, 0.24)), (LOCK_SEAT, 0.042, (0.24, 0.22))):
        top = seat[2] - below
        place = [1.02 * seat[0], 1.02 * seat[1]]
        world.add_geom(
            size=[*across, 0.02], pos=[*place, top - 0.02], rgba=[0.30, 0.32, 0.35, 1.0], **drawn
        )
        world.add_geom(
            size=[0.1, 0.1, 0.5 * top - 0.02], pos=[*place, 0.5 * top - 0.02],
            rgba=[0.42, 0.44, 0.47, 1.0], **drawn,
        )  # fmt: skip


def with_other_wafers(pose: ScenePose, slot: int, others: Sequence[int]) -> ScenePose:
    """A pose of the cell with the FOUP and the wafers in it that only are drawn.

    Args:
        pose: Of the engine.
        slot: From which the wafer of the episode comes.
        others: Slots in which others lie; that of the episode is left out.
    """
    seat, lock = pose.mocap_pos[:2]
    lowest = seat - [0.0, 0.0, slot * foup.PITCH]
    positions = [seat, lock, lowest]
    taken = [k for k in others if k != slot][: foup.SLOTS - 1]
    for k in taken:
        height = k * foup.PITCH + 0.5 * wafer.THICKNESS
        positions.append(lowest + np.array([0.0, 0.0, height]))
    positions += [np.array(_AWAY)] * (foup.SLOTS - 1 - len(taken))
    upright = np.tile([1.0, 0.0, 0.0, 0.0], (len(positions), 1))
    upright[:2] = pose.mocap_quat[:2]
    return ScenePose(pose.qpos, np.stack(positions), upright)
