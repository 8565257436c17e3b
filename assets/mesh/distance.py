"""Signed distance from points to a surface, exact, without an index structure."""

import numpy as np
import trimesh
from numpy.typing import ArrayLike, NDArray

from proveout.assets.files.errors import ModelError
from proveout.assets.mesh.repair import soundness

_PAIRS = 500_000  # point-face pairs worked on together: about 100 MB


def signed_distance(mesh: trimesh.Trimesh, points: ArrayLike) -> NDArray[np.float64]:
    """Distance from each point to the nearest face, negative inside.

    The sign is that of the winding number, which counts how often the surface encloses a point
    (van Oosterom and Strackee, The Solid Angle of a Plane Triangle, 1983). Costs points times
    faces; memory is bounded.

    Args:
        mesh: A closed surface with outward normals.
        points: Shape (n, 3), in the unit of the mesh.

    Returns:
        Shape (n,), in the unit of the mesh.

    Raises:
        ModelError: The surface is not closed, so that it has no inside, or a point is no point.
    """
    places = np.asarray(points, dtype=np.float64)
    if places.ndim != 2 or places.shape[1] != 3 or not np.isfinite(places).all():
        raise ModelError(f"points of shape {places.shape} must be finite and of shape (n, 3).")
    if len(mesh.faces) == 0 or not soundness(mesh).solid:
        raise ModelError("a surface that is not closed has no inside; repair the mesh first.")
    corners = np.asarray(mesh.triangles, dtype=np.float64)
    step = max(1, _PAIRS // len(corners))
    parts = [_chunk(corners, places[i : i + step]) for i in range(0, len(places), step)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _chunk(corners: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b, c = (corners[None, :, i] - points[:, None] for i in range(3))
    squared = _to_plane_inside(a, b, c)
    for start, end in ((a, b), (b, c), (c, a)):
        squared = np.minimum(squared, _to_edge(start, end))
    distance = np.sqrt(squared.min(axis=1))
    la, lb, lc = (np.linalg.norm(v, axis=-1) for v in (a, b, c))
    triple = _dot(a, np.cross(b, c))
    below = la * lb * lc + _dot(a, b) * lc + _dot(b, c) * la + _dot(c, a) * lb
    winding = np.arctan2(triple, below).sum(axis=1) / (2.0 * np.pi)
    return np.where(winding > 0.5, -distance, distance)


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.einsum("...i,...i->...", a, b)


def _to_edge(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distance of the origin from each segment."""
    along = end - start
    length = _dot(along, along)
    t = np.clip(-_dot(start, along) / np.where(length > 0.0, length, 1.0), 0.0, 1.0)
    nearest = start + t[..., None] * along
    return _dot(nearest, nearest)


def _to_plane_inside(
    a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Squared distance of the origin from each face's plane; infinite where it is beside it."""
    normal = np.cross(b - a, c - a)
    square = _dot(normal, normal)
    inside = square > 0.0
    for start, end in ((a, b), (b, c), (c, a)):
        inside &= _dot(np.cross(start, end), normal) >= 0.0
    height = _dot(a, normal)
    return np.where(inside, height * height / np.where(square > 0.0, square, 1.0), np.inf)
