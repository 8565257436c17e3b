"""Fewer faces for nearly the same shape."""

import numpy as np
import trimesh

from proveout.assets.files.errors import ModelError
from proveout.assets.mesh.changed import Changed


def simplify(mesh: trimesh.Trimesh, faces: int) -> Changed:
    """Collapse edges until at most about `faces` faces are left.

    Method: Garland and Heckbert, Surface Simplification Using Quadric Error Metrics (1997), as in
    the package fast-simplification. A mesh that has no more is returned as it is.

    Args:
        mesh: To simplify.
        faces: How many to keep, at least 4.

    Raises:
        ModelError: Fewer than 4 faces are asked for.
    """
    if faces < 4:
        raise ModelError(f"a solid has at least 4 faces; asked to simplify to {faces}.")
    before = len(mesh.faces)
    if before <= faces:
        return Changed(mesh)
    import fast_simplification

    welded = mesh.copy()
    welded.merge_vertices(merge_norm=True, merge_tex=True)
    points, triangles = fast_simplification.simplify(
        np.asarray(welded.vertices, np.float64),
        np.asarray(welded.faces, np.int32),
        target_count=faces,
    )
    result = trimesh.Trimesh(points, triangles, process=False)
    if len(result.faces) >= before:
        return Changed(mesh)
    return Changed(result, (f"simplified from {before} to {len(result.faces)} faces",))
