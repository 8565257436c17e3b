"""Pictures of worlds from MuJoCo Warp's ray tracer: no display, no OpenGL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
import warp as wp

from proveout.envs.core.errors import RenderError
from proveout.envs.core.scene_pose import ScenePose

CAMERA = "view"
_SKY = (0.74, 0.82, 0.90, 1.0)  # behind everything, where the scene has no sky box


def write_pose(model: Any, data: Any, pose: ScenePose) -> None:
    """Put a pose into MuJoCo data and update everything that depends on it."""
    check_pose(model, pose)
    if model.nq:
        data.qpos[:] = pose.qpos
    if model.nmocap:
        data.mocap_pos[:] = pose.mocap_pos
        data.mocap_quat[:] = pose.mocap_quat
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)


def check_pose(model: Any, pose: Any) -> None:
    """Raise `RenderError` when a pose does not fit the scene that it is drawn in."""
    if not isinstance(pose, ScenePose):
        raise RenderError(
            f"scene_pose of the task must return a list of ScenePose, one for each world; got "
            f"{type(pose).__name__} in it"
        )
    for name, shape in (
        ("qpos", (model.nq,)),
        ("mocap_pos", (model.nmocap, 3)),
        ("mocap_quat", (model.nmocap, 4)),
    ):
        given = np.shape(getattr(pose, name))
        if given != shape and not (0 in shape and 0 in given):
            raise RenderError(
                f"scene_pose of the task gave {name} of shape {given}; its scene (with visual="
                f"True) has {model.nq} joint coordinates and {model.nmocap} mocap bodies, so "
                f"{shape} is expected"
            )


def _has_skybox(model: Any) -> bool:
    return bool((model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX).any())


class Renderer:
    """Ray traces a few copies of a scene.

    Args:
        model: The scene, a `mujoco.MjModel` with a camera named "view" (else the first one).
        num_worlds: Frames that are drawn together.
        size: Width and height of a frame [pixels].
        device: Where to trace.
    """

    def __init__(
        self, model: Any, num_worlds: int, size: tuple[int, int], device: wp.Device
    ) -> None:
        import mujoco_warp

        if model.ncam == 0:
            raise RenderError(f"the scene has no camera; add one named {CAMERA!r}")
        width, height = size
        if width < 1 or height < 1:
            raise RenderError(f"render_size must be positive, got {size}")
        camera = max(0, mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, CAMERA))
        active = [index == camera for index in range(model.ncam)]
        self._mjw = mujoco_warp
        self._host = mujoco.MjData(model)
        self._host_model = model
        self._device = device
        self._size = size
        with wp.ScopedDevice(device):
            self._model = mujoco_warp.put_model(model)
            self._data = mujoco_warp.make_data(model, nworld=num_worlds, nconmax=1, njmax=1)
            self._context = mujoco_warp.create_render_context(
                model, num_worlds, cam_res=size, render_rgb=True, render_depth=False,
                use_shadows=True, use_textures=True, cam_active=active,
                background_color=_SKY, render_skybox=_has_skybox(model),
            )  # fmt: skip
            self._frames = wp.zeros((num_worlds, height, width), dtype=wp.vec3, device=device)

    def render(self, poses: Sequence[ScenePose]) -> tuple[np.ndarray, ...]:
        """One frame (height, width, 3) uint8 for each pose.

        Raises:
            RenderError: What `scene_pose` of the task gave does not fit its scene.
        """
        for pose in poses:
            check_pose(self._host_model, pose)
        count = len(poses)
        model, data = self._host_model, self._data
        with wp.ScopedDevice(self._device):
            if model.nq:
                data.qpos.assign(np.stack([pose.qpos for pose in poses]).astype(np.float32))
            if model.nmocap:
                data.mocap_pos.assign(np.stack([p.mocap_pos for p in poses]).astype(np.float32))
                data.mocap_quat.assign(np.stack([p.mocap_quat for p in poses]).astype(np.float32))
            self._mjw.kinematics(self._model, data)
            self._mjw.camlight(self._model, data)
            self._mjw.refit_bvh(self._model, data, self._context)
            self._mjw.render(self._model, data, self._context)
            self._mjw.get_rgb(self._context, 0, self._frames)
        rgb = self._frames.numpy()[:count]
        return tuple((np.clip(frame, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8) for frame in rgb)
