"""Parts of an articulated model by name: where their numbers lie in the engine's arrays.

A field of one of these types in a task's state struct is filled once, when worlds are made, with
the part of the same name, or of the name that the task's `places` gives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mujoco
import warp as wp

from proveout.envs.core.errors import ConfigError, unknown
from proveout.envs.factory.arm import Arm
from proveout.envs.factory.kinematics import matrix_to_quat

wp.set_module_options({"enable_backward": False})


@wp.struct
class Joint:
    """A hinge or a slide.

    Attributes:
        qpos: Column of its position in `arm.qpos`. dof: Of its velocity in `arm.qvel`.
        index: Its number, as of `arm.low` and `arm.high`.
    """

    qpos: int
    dof: int
    index: int


@wp.struct
class FreeBody:
    """A body with a free joint.

    Attributes:
        qpos: First of its seven columns in `arm.qpos`. dof: First of six in `arm.qvel`.
        index: Number of the body, as of `arm.body_position`.
    """

    qpos: int
    dof: int
    index: int


@wp.struct
class Body:
    """Any body: `index` is its column in `arm.body_position` and `arm.body_orientation`."""

    index: int


@wp.struct
class Mocap:
    """A body that only the task moves, such as a fixture that stands elsewhere in each episode.

    Attributes:
        index: Its column in `arm.mocap_position`.
    """

    index: int


@wp.struct
class Site:
    """A site: `index` is its column in `arm.site_position` and `arm.site_rotation`."""

    index: int


@wp.struct
class Geom:
    """A geom: `half_size` tells how large it is in a world."""

    index: int


@wp.struct
class Sensor:
    """A sensor: `start` is its first column in `arm.sensor`, `size` their number."""

    start: int
    size: int


@wp.struct
class Actuator:
    """An actuator: `index` is its column in `step.command`."""

    index: int


_KINDS: Mapping[Any, tuple[str, Any]] = {
    Joint: ("joint", mujoco.mjtObj.mjOBJ_JOINT),
    FreeBody: ("body", mujoco.mjtObj.mjOBJ_BODY),
    Body: ("body", mujoco.mjtObj.mjOBJ_BODY),
    Mocap: ("body", mujoco.mjtObj.mjOBJ_BODY),
    Site: ("site", mujoco.mjtObj.mjOBJ_SITE),
    Geom: ("geom", mujoco.mjtObj.mjOBJ_GEOM),
    Sensor: ("sensor", mujoco.mjtObj.mjOBJ_SENSOR),
    Actuator: ("actuator", mujoco.mjtObj.mjOBJ_ACTUATOR),
}
_SINGLE = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))


def is_place(kind: Any) -> bool:
    """Whether a struct is one of this file's."""
    return kind in _KINDS


def find(model: Any, kind: Any, name: str) -> Any:
    """The place of a part of a compiled model.

    Args:
        model: `mujoco.MjModel`.
        kind: `Joint`, `FreeBody`, `Body`, `Mocap`, `Site`, `Geom`, `Sensor` or `Actuator`.
        name: Its name in the model.

    Raises:
        UnknownNameError: No such part; the nearest name is told.
        ConfigError: A joint of more than one number, a body that is not free, or no mocap body.
    """
    word, code = _KINDS[kind]
    index = mujoco.mj_name2id(model, code, name)
    if index < 0:
        raise unknown(word, name, _names(model, code))
    place = kind()
    if kind is Joint:
        if int(model.jnt_type[index]) not in _SINGLE:
            raise ConfigError(f"joint {name!r} is no hinge and no slide; name a free body instead")
        place.index = index
        place.qpos, place.dof = int(model.jnt_qposadr[index]), int(model.jnt_dofadr[index])
    elif kind is FreeBody:
        joint = int(model.body_jntadr[index])
        if joint < 0 or model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_FREE:
            raise ConfigError(f"body {name!r} has no free joint: add one with `add_freejoint`")
        place.index = index
        place.qpos, place.dof = int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])
    elif kind is Mocap:
        place.index = int(model.body_mocapid[index])
        if place.index < 0:
            raise ConfigError(f"body {name!r} is no mocap body: make it with `mocap=True`")
    elif kind is Sensor:
        place.start, place.size = int(model.sensor_adr[index]), int(model.sensor_dim[index])
    else:
        place.index = index
    return place


def _names(model: Any, code: Any) -> list[str]:
    counts = {
        mujoco.mjtObj.mjOBJ_JOINT: model.njnt,
        mujoco.mjtObj.mjOBJ_BODY: model.nbody,
        mujoco.mjtObj.mjOBJ_SITE: model.nsite,
        mujoco.mjtObj.mjOBJ_GEOM: model.ngeom,
        mujoco.mjtObj.mjOBJ_SENSOR: model.nsensor,
        mujoco.mjtObj.mjOBJ_ACTUATOR: model.nu,
    }
    names = (mujoco.mj_id2name(model, code, i) for i in range(counts[code]))
    return [name for name in names if name]


@wp.func
def next_body(first: FreeBody, i: int) -> FreeBody:
    """The i-th of free bodies of one kind that were added to the model one after another."""
    body = FreeBody()
    body.qpos = first.qpos + 7 * i
    body.dof = first.dof + 6 * i
    body.index = first.index + i
    return body


@wp.func
def next_site(first: Site, i: int) -> Site:
    """The i-th of sites that stand in the model one after another."""
    site = Site()
    site.index = first.index + i
    return site


@wp.func
def free_pose(arm: Arm, w: int, body: FreeBody) -> wp.transform:
    """Pose in the world frame [m], from `qpos`: fresh in every function, in `reset` too."""
    q = body.qpos
    return wp.transform(
        wp.vec3(arm.qpos[w, q], arm.qpos[w, q + 1], arm.qpos[w, q + 2]),
        wp.quat(
            arm.qpos[w, q + 4], arm.qpos[w, q + 5], arm.qpos[w, q + 6], arm.qpos[w, q + 3]
        ),
    )  # fmt: skip


@wp.func
def set_free_pose(arm: Arm, w: int, body: FreeBody, pose: wp.transform):
    """Put a free body somewhere in the world frame [m]; for `reset`."""
    position = wp.transform_get_translation(pose)
    rotation = wp.transform_get_rotation(pose)
    for i in range(3):
        arm.qpos[w, body.qpos + i] = position[i]
        # MuJoCo has the scalar part first, Warp last.
        arm.qpos[w, body.qpos + 4 + i] = rotation[i]
    arm.qpos[w, body.qpos + 3] = rotation[3]


@wp.func
def set_mocap_position(arm: Arm, w: int, body: Mocap, position: wp.vec3):
    """Put a mocap body somewhere in the world frame [m]; for `reset`, which always has to."""
    arm.mocap_position[w, body.index] = position


@wp.func
def free_velocity(arm: Arm, w: int, body: FreeBody) -> wp.vec3:
    """Velocity of a free body's origin in the world frame [m/s]."""
    return wp.vec3(arm.qvel[w, body.dof], arm.qvel[w, body.dof + 1], arm.qvel[w, body.dof + 2])


@wp.func
def free_spin(arm: Arm, w: int, body: FreeBody) -> wp.vec3:
    """Angular velocity of a free body in the world frame [rad/s]."""
    own = wp.vec3(arm.qvel[w, body.dof + 3], arm.qvel[w, body.dof + 4], arm.qvel[w, body.dof + 5])
    return wp.quat_rotate(wp.transform_get_rotation(free_pose(arm, w, body)), own)


@wp.func
def body_pose(arm: Arm, w: int, body: Body) -> wp.transform:
    """Pose of any body in the world frame [m]; within `reset` it is that of the last episode."""
    stored = arm.body_orientation[w, body.index]
    return wp.transform(
        arm.body_position[w, body.index], wp.quat(stored[1], stored[2], stored[3], stored[0])
    )


@wp.func
def site_pose(arm: Arm, w: int, site: Site) -> wp.transform:
    """Pose of a site in the world frame [m]; within `reset` it is that of the last episode."""
    return wp.transform(
        arm.site_position[w, site.index], matrix_to_quat(arm.site_rotation[w, site.index])
    )


@wp.func
def half_size(arm: Arm, w: int, geom: Geom) -> wp.vec3:
    """Sizes of a geom in its own frame [m], half lengths of a box; they may be randomised."""
    return arm.geom_size[w % arm.geom_size.shape[0], geom.index]
