"""Scaling along the axes, mirrors included."""

import numpy as np
import trimesh


def scaled(mesh: trimesh.Trimesh, factors: tuple[float, float, float]) -> trimesh.Trimesh:
    """Return a mesh scaled along x, y and z; a mirror turns its faces too, so outside stays so."""
    if factors == (1.0, 1.0, 1.0):
        return mesh
    faces = np.asarray(mesh.faces)
    if np.prod(factors) < 0.0:
        faces = faces[:, ::-1]
    return trimesh.Trimesh(np.asarray(mesh.vertices) * factors, faces, process=False)
