"""A picture of a robot in its home pose, from the ray tracer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from proveout.assets.robot import Robot

_GROUPS = 3  # of geoms, from 0, which the ray tracer draws
_FIELD = np.deg2rad(42.0)  # of the studio's camera
_LEAST = 0.05  # m, the smallest robot that the camera goes near to


def robot_picture(robot: Robot, size: tuple[int, int] = (960, 720)) -> np.ndarray:
    """Draw a robot in its home pose on a floor.

    What is only for collisions is drawn where nothing else is.

    Args:
        robot: To draw.
        size: Width and height [pixels].

    Returns:
        Shape (height, width, 3), uint8.
    """
    import warp as wp

    from proveout.envs.core.render import Renderer
    from proveout.envs.core.scene_pose import ScenePose
    from proveout.envs.factory.scenery import add_studio

    spec = robot.spec.copy()
    planes = [geom for geom in spec.geoms if geom.type == mujoco.mjtGeom.mjGEOM_PLANE]
    for geom in planes:
        spec.delete(geom)
    if not any(geom.group < _GROUPS for geom in spec.geoms):
        for geom in spec.geoms:
            geom.group = 0
    for geom in spec.geoms:
        geom.rgba = [*geom.rgba[:3], 1.0]  # Seen through, a shape looks like a shadow.
    for item in (*spec.cameras, *spec.lights):
        spec.delete(item)
    for key in list(spec.keys):
        spec.delete(key)
    low, high = _extent(spec.copy().compile(), robot.home)
    center = 0.5 * (low + high)
    radius = max(_LEAST, 0.5 * float(np.linalg.norm(high - low)))
    distance = 1.1 * radius / np.sin(0.5 * _FIELD)
    width, height = size
    if width < height:
        distance *= height / width
    add_studio(spec, target=tuple(center), distance=distance, azimuth=35.0, elevation=18.0)
    # A robot with its base at its hip would stand in the floor.
    floor = spec.geom("studio_floor")
    floor.pos = [0.0, 0.0, min(0.0, float(low[2]))]
    floor.size = [max(6.0, 12.0 * radius)] * 2 + [0.1]
    model = spec.compile()
    renderer = Renderer(model, 1, size, wp.get_device("cpu"))
    mocap: Any = mujoco.MjData(model)
    pose = ScenePose(robot.home, mocap.mocap_pos.copy(), mocap.mocap_quat.copy())
    return renderer.render([pose])[0]


def write_image(image: np.ndarray, path: Path) -> None:
    """Write a picture to a .png file."""
    import imageio.v3 as imageio

    from proveout.assets.files.atomic import atomic_path

    with atomic_path(path) as temporary:
        imageio.imwrite(temporary, image)


def _extent(model: mujoco.MjModel, home: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the box around all that is drawn [m]."""
    data = mujoco.MjData(model)
    data.qpos[:] = home
    mujoco.mj_kinematics(model, data)
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8).T
    for geom in range(model.ngeom):
        if model.geom_group[geom] >= _GROUPS:
            continue
        box = model.geom_aabb[geom]
        corners = (box[:3] + signs * box[3:]) @ data.geom_xmat[geom].reshape(3, 3).T
        corners += data.geom_xpos[geom]
        low, high = np.minimum(low, corners.min(axis=0)), np.maximum(high, corners.max(axis=0))
    if not np.isfinite(low).all():
        return np.full(3, -0.1), np.full(3, 0.1)
    return low, high
