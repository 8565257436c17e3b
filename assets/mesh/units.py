"""Units of length: meshes of other units into metres."""

import numpy as np
import trimesh

from proveout.assets.files.errors import ModelError, unknown
from proveout.assets.mesh.changed import Changed

METRES = {
    "m": 1.0,
    "dm": 0.1,
    "cm": 0.01,
    "mm": 0.001,
    "um": 1e-6,
    "in": 0.0254,  # International yard and pound agreement, 1959.
    "ft": 0.3048,
}


def to_metres(mesh: trimesh.Trimesh, unit: str) -> Changed:
    """Scale a mesh whose numbers are in `unit` to metres.

    Args:
        mesh: Vertices in `unit`.
        unit: One of `METRES`.

    Raises:
        UnknownNameError: No such unit.
    """
    if unit not in METRES:
        raise unknown("unit of length", unit, METRES)
    if unit == "m":
        return Changed(mesh)
    scaled = mesh.copy()
    scaled.apply_scale(METRES[unit])
    return Changed(scaled, (f"scaled by {METRES[unit]:g}, from {unit} to m",))


def guess_unit(mesh: trimesh.Trimesh, size: float) -> str:
    """Return the unit of `METRES` in which the mesh is nearest to a known size.

    Args:
        mesh: Vertices in an unknown unit.
        size: Diagonal of the bounding box that is expected, roughly [m].

    Raises:
        ModelError: The mesh has no extent, or the size is not positive.
    """
    diagonal = float(np.linalg.norm(mesh.extents)) if len(mesh.vertices) else 0.0
    if not (diagonal > 0.0 and size > 0.0):
        raise ModelError(
            f"no unit can be guessed for a mesh of diagonal {diagonal:g} and a size of {size:g} m; "
            f"both must be positive."
        )
    return min(METRES, key=lambda unit: abs(np.log(diagonal * METRES[unit] / size)))
