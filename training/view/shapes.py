"""Geoms of a MuJoCo model as meshes and colours."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import trimesh

_SEGMENTS = 24  # around a cylinder
_UNSET = (0.5, 0.5, 0.5, 1.0)  # a geom of this colour has that of its material


def geom_mesh(model: Any, geom: int) -> trimesh.Trimesh | None:
    """A geom in its own frame [m]; None for a kind that is not drawn, such as a plane.

    Args:
        model: The `mujoco.MjModel`.
        geom: Its number.
    """
    kind, size = mujoco.mjtGeom(int(model.geom_type[geom])), model.geom_size[geom]
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        return _mesh(model, int(model.geom_dataid[geom]))
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return trimesh.creation.box(extents=2.0 * size)
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return trimesh.creation.icosphere(subdivisions=2, radius=size[0])
    if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        ball = trimesh.creation.icosphere(subdivisions=2)
        ball.apply_scale(size)
        return ball
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return trimesh.creation.cylinder(radius=size[0], height=2.0 * size[1], sections=_SEGMENTS)
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        capsule = trimesh.creation.capsule(radius=size[0], height=2.0 * size[1], count=[12, 12])
        # Around its own middle, as MuJoCo has it.
        capsule.apply_translation(-capsule.bounds.mean(axis=0))
        return capsule
    return None


def geom_colour(model: Any, geom: int) -> tuple[float, float, float, float]:
    """Red, green, blue and opacity of a geom, 0 to 1, textures by their mean colour."""
    own = tuple(float(c) for c in model.geom_rgba[geom])
    material = int(model.geom_matid[geom])
    if material < 0 or own != _UNSET:
        red, green, blue, alpha = own
        return red, green, blue, alpha
    colour = model.mat_rgba[material].astype(float).copy()
    texture = int(model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB])
    if texture >= 0:
        colour[:3] *= _mean_colour(model, texture)
    red, green, blue, alpha = (round(float(c), 4) for c in colour)
    return red, green, blue, alpha


def _mean_colour(model: Any, texture: int) -> np.ndarray:
    channels = int(model.tex_nchannel[texture])
    count = int(model.tex_height[texture]) * int(model.tex_width[texture]) * channels
    first = int(model.tex_adr[texture])
    pixels = model.tex_data[first : first + count].reshape(-1, channels)
    return np.resize(pixels.mean(axis=0) / 255.0, 3)


def _mesh(model: Any, mesh: int) -> trimesh.Trimesh:
    vertex, face = int(model.mesh_vertadr[mesh]), int(model.mesh_faceadr[mesh])
    vertices = model.mesh_vert[vertex : vertex + int(model.mesh_vertnum[mesh])]
    faces = model.mesh_face[face : face + int(model.mesh_facenum[mesh])]
    return trimesh.Trimesh(vertices.astype(float), faces.astype(np.int64), process=True)
