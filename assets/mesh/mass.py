"""Mass, centre of mass and inertia of a body of even density."""

from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray

from proveout.assets.files.errors import ModelError
from proveout.assets.mesh.repair import soundness


@dataclass(frozen=True, kw_only=True)
class MassProperties:
    """Of a rigid body.

    Attributes:
        mass: [kg].
        center: Centre of mass in the mesh's frame [m], shape (3,).
        inertia: Tensor about the centre, along the mesh's axes [kg m2], shape (3, 3).
        source: "mesh", or "hull" where the surface is not closed and its convex hull was taken.
    """

    mass: float
    center: NDArray[np.float64]
    inertia: NDArray[np.float64]
    source: str


def mass_properties(
    mesh: trimesh.Trimesh, *, density: float | None = None, mass: float | None = None
) -> MassProperties:
    """Integrate over the volume, by the divergence theorem over the faces.

    Formula: Mirtich, Fast and Accurate Computation of Polyhedral Mass Properties (1996), as in
    trimesh. A surface that is not closed has no volume: its convex hull is taken, and told in
    `source`.

    Args:
        mesh: Vertices in metres.
        density: Of the whole body [kg/m3]; give this or `mass`.
        mass: Of the whole body [kg].

    Raises:
        ModelError: Neither or both of density and mass are given, one is not positive, or the
            body has no volume.
    """
    given = [value for value in (density, mass) if value is not None]
    if len(given) != 1 or not (np.isfinite(given[0]) and given[0] > 0.0):
        raise ModelError(
            f"give either a density or a mass, positive and finite; got density {density} and "
            f"mass {mass}."
        )
    source = "mesh" if soundness(mesh).solid else "hull"
    try:
        body = mesh if source == "mesh" else mesh.convex_hull
        volume = float(body.volume)
    except Exception as error:  # scipy's QhullError has no public base of its own
        raise ModelError("a mesh without volume has no mass by density; give it walls.") from error
    if not volume > 0.0:
        raise ModelError("a mesh without volume has no mass by density; give it walls.")
    actual = density if density is not None else given[0] / volume
    moments = np.asarray(body.moment_inertia) * actual  # trimesh: for a density of one.
    if float(body.density) != 1.0:
        moments = moments / float(body.density)
    return MassProperties(
        mass=actual * volume,
        center=np.array(body.center_mass, dtype=np.float64),
        inertia=moments,
        source=source,
    )
