"""A road network from above, by the ray tracer."""

from __future__ import annotations

import mujoco
import numpy as np
import warp as wp

from proveout.assets.road import RoadNetwork
from proveout.envs.core.render import Renderer
from proveout.envs.core.scene_pose import ScenePose
from proveout.envs.driving.scene import scene

_FIELD = 45.0  # degrees, of the camera
_MARGIN = 12.0  # m of ground around the roads
_FINER = 2  # rays across a pixel


def map_picture(network: RoadNetwork, width: int = 1400) -> np.ndarray:
    """Draw a network from above, its longer extent across.

    Args:
        network: To draw.
        width: [pixels]; the height follows from the roads, between a fifth of it and all of it.

    Returns:
        Shape (height, width, 3), uint8.
    """
    points = np.stack([network.x, network.y], 1)
    middle = 0.5 * (points.min(0) + points.max(0))
    across, up = np.ptp(points, axis=0)
    turned = up > across
    reach = float(np.max(np.maximum(network.left_edge, network.right_edge))) + _MARGIN
    long, short = max(across, up) + 2.0 * reach, min(across, up) + 2.0 * reach
    height = int(np.clip(round(width * short / long), width // 5, width))
    size = (_FINER * width, _FINER * height)
    spec = scene(network, (), 1.0, resolution=size)
    for camera in list(spec.cameras):
        spec.delete(camera)
    for light in spec.lights:
        light.castshadow = False  # from so far, roads would lie in their own
    seen = max(short, long * height / width)
    distance = 0.5 * seen / np.tan(np.deg2rad(0.5 * _FIELD)) + float(network.elevation.max())
    half = np.sqrt(0.5)
    spec.worldbody.add_camera(
        name="above", pos=[*middle, distance], fovy=_FIELD, resolution=list(size),
        quat=[half, 0.0, 0.0, half] if turned else [1.0, 0.0, 0.0, 0.0],
    )  # fmt: skip
    model = spec.compile()
    data = mujoco.MjData(model)
    pose = ScenePose(np.zeros(0), data.mocap_pos.copy(), data.mocap_quat.copy())
    image = Renderer(model, 1, size, wp.get_device("cpu")).render([pose])[0]
    fine = image.reshape(height, _FINER, width, _FINER, 3).astype(np.float32)
    return fine.mean((1, 3)).astype(np.uint8)
