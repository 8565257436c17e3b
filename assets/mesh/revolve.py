"""Smooth solids of revolution for robot visuals, without boolean operations."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray

SECTIONS = 32  # Facets around an axis; interpolated normals hide them except at silhouettes.
ARC_POINTS = 3
BLEND_POINTS = 6

Point = Sequence[float]


def rounded_cylinder(
    start: Point,
    end: Point,
    radius: float,
    *,
    start_fillet: float = 0.0,
    end_fillet: float = 0.0,
    sections: int = SECTIONS,
) -> trimesh.Trimesh:
    """Closed cylinder between two points whose rims are rounded.

    Args:
        start: Centre of the first face [m], shape (3,).
        end: Centre of the second face [m], shape (3,).
        radius: Radius [m].
        start_fillet: Radius of the rounding at the first rim [m]; 0 keeps the edge sharp.
        end_fillet: Radius of the rounding at the second rim [m]; 0 keeps the edge sharp.
        sections: Facets around the axis.

    Raises:
        ValueError: The roundings do not fit on the cylinder.
    """
    length = _length(start, end)
    if max(start_fillet, end_fillet) > radius or start_fillet + end_fillet > length:
        raise ValueError(
            f"fillets {start_fillet} and {end_fillet} m do not fit on a cylinder of radius "
            f"{radius} m and length {length:.4g} m; make them smaller."
        )
    lower = _rim(radius, start_fillet)
    upper = _rim(radius, end_fillet)[::-1] * (1.0, -1.0) + (0.0, length)
    return _revolve(np.vstack([lower, upper]), start, end, sections)


def tube(
    start: Point,
    end: Point,
    radius: float,
    *,
    start_radius: float,
    end_radius: float,
    blend: float,
    sections: int = SECTIONS,
) -> trimesh.Trimesh:
    """Closed tube between two points that swells smoothly into the housings at its ends.

    Args:
        start: Centre of the first face [m], shape (3,).
        end: Centre of the second face [m], shape (3,).
        radius: Radius of the middle [m].
        start_radius: Radius at the first face [m].
        end_radius: Radius at the second face [m].
        blend: Length over which the radius changes at each end [m].
        sections: Facets around the axis.

    Raises:
        ValueError: The two blends overlap.
    """
    length = _length(start, end)
    if 2.0 * blend > length:
        raise ValueError(
            f"blends of {blend} m overlap on a tube of {length:.4g} m; make them shorter."
        )
    t = np.linspace(0.0, 1.0, BLEND_POINTS)
    swell = 1.0 - t * t * (3.0 - 2.0 * t)  # Smoothstep: no kink where the blend begins or ends.
    lower = np.column_stack([radius + (start_radius - radius) * swell, blend * t])
    upper = np.column_stack([radius + (end_radius - radius) * swell, length - blend * t])[::-1]
    return _revolve(np.vstack([lower, upper]), start, end, sections)


def export_stl(parts: Iterable[trimesh.Trimesh], path: Path) -> None:
    """Write the parts as one binary STL file."""
    mesh = trimesh.util.concatenate(list(parts))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(trimesh.exchange.stl.export_stl(mesh))


def _length(start: Point, end: Point) -> float:
    return float(np.linalg.norm(np.subtract(end, start)))


def _rim(radius: float, fillet: float) -> NDArray[np.float64]:
    """Quarter circle from the face (z = 0) to the wall, as (radius, z) pairs, shape (n, 2)."""
    if fillet == 0.0:
        return np.array([[radius, 0.0]])
    angle = np.linspace(0.0, np.pi / 2.0, ARC_POINTS)
    return np.column_stack(
        [radius - fillet + fillet * np.sin(angle), fillet - fillet * np.cos(angle)]
    )


def _revolve(
    profile: NDArray[np.float64], start: Point, end: Point, sections: int
) -> trimesh.Trimesh:
    """Revolve (radius, z) pairs about the line from start to end, closed at both faces."""
    on_axis = np.vstack([[0.0, profile[0, 1]], profile, [0.0, profile[-1, 1]]])
    mesh = trimesh.creation.revolve(on_axis, sections=sections)
    direction = np.subtract(end, start)
    pose = trimesh.geometry.align_vectors([0.0, 0.0, 1.0], direction)
    pose[:3, 3] = start
    mesh.apply_transform(pose)
    return mesh
