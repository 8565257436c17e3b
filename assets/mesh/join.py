"""Several meshes as one."""

from collections.abc import Sequence

import numpy as np
import trimesh


def joined(meshes: Sequence[trimesh.Trimesh]) -> trimesh.Trimesh:
    """Return one mesh of all faces; where they touch, nothing is merged."""
    if len(meshes) == 1:
        return meshes[0]
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    return trimesh.Trimesh(
        np.concatenate([np.asarray(mesh.vertices) for mesh in meshes]),
        np.concatenate(
            [np.asarray(mesh.faces) + start for mesh, start in zip(meshes, starts, strict=True)]
        ),
        process=False,
    )
