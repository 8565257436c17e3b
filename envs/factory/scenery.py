"""What is only drawn: floor, lights, camera and markers of articulated scenes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

from proveout.envs.core.scene_pose import ScenePose


def add_studio(
    spec: Any,
    target: tuple[float, float, float],
    distance: float,
    azimuth: float = 40.0,
    elevation: float = 22.0,
) -> None:
    """A tiled floor, two lights and the camera "view".

    Args:
        spec: The `mujoco.MjSpec` to add to.
        target: Point that the camera looks at [m].
        distance: Distance of the camera from it [m].
        azimuth: Direction from the target to the camera about z, from x [degree].
        elevation: Height of the camera above the target [degree].
    """
    spec.add_texture(
        name="studio_floor", type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER, mark=mujoco.mjtMark.mjMARK_EDGE,
        rgb1=[0.55, 0.58, 0.62], rgb2=[0.50, 0.53, 0.57], markrgb=[0.62, 0.65, 0.69],
        width=256, height=256,
    )  # fmt: skip
    material = spec.add_material(name="studio_floor", texrepeat=[4, 4], texuniform=True)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "studio_floor"
    spec.worldbody.add_geom(
        name="studio_floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[6, 6, 0.1],
        material="studio_floor", contype=0, conaffinity=0,
    )  # fmt: skip
    spec.worldbody.add_light(
        name="studio_key", type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, pos=[1.5, 1.5, 3],
        dir=[-0.5, -0.45, -1.0], diffuse=[0.75, 0.75, 0.72], castshadow=True,
    )  # fmt: skip
    spec.worldbody.add_light(
        name="studio_fill", type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, pos=[1, -2, 2],
        dir=[-0.3, 0.8, -0.5], diffuse=[0.25, 0.27, 0.30], castshadow=False,
    )  # fmt: skip
    a, e = np.deg2rad(azimuth), np.deg2rad(elevation)
    out = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    x_axis = np.array([-np.sin(a), np.cos(a), 0.0])
    y_axis = np.cross(out, x_axis)
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, np.stack([x_axis, y_axis, out], axis=1).ravel())
    position = np.asarray(target) + distance * out
    spec.worldbody.add_camera(name="view", pos=position, quat=quat, fovy=42)


def add_pose_marker(spec: Any, name: str) -> None:
    """A mocap body that shows a pose: a translucent sphere and three coloured axes of 8 cm."""
    body = spec.worldbody.add_body(name=name, mocap=True)
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.02, 0, 0], rgba=[1.0, 0.55, 0.1, 1.0],
        contype=0, conaffinity=0,
    )  # fmt: skip
    for axis, colour in enumerate(((0.9, 0.2, 0.2), (0.2, 0.75, 0.25), (0.2, 0.4, 0.95))):
        end = np.zeros(3)
        end[axis] = 0.08
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE, size=[0.006, 0, 0], fromto=[0, 0, 0, *end],
            rgba=[*colour, 1.0], contype=0, conaffinity=0,
        )  # fmt: skip


def with_marker(poses: Sequence[ScenePose], marker: np.ndarray) -> list[ScenePose]:
    """Scene poses whose one mocap body, as of `add_pose_marker`, stands somewhere else.

    Args:
        poses: Of the engine, W worlds.
        marker: Warp's transforms, position [m] and quaternion (x, y, z, w), (W, 7).
    """
    return [
        ScenePose(pose.qpos, at[None, :3].copy(), at[None, [6, 3, 4, 5]].copy())
        for pose, at in zip(poses, marker, strict=True)
    ]


def drop_shapes(spec: Any) -> None:
    """Leave out the geoms that no mass comes from; a world without contacts is faster without."""
    for body in spec.bodies:
        if body.explicitinertial or body.name == "world":
            for geom in list(body.geoms):
                spec.delete(geom)
