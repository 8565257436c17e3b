"""Convex parts of a mesh, as a physics engine wants them, kept by content in a cache folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import trimesh

from proveout.assets.files.atomic import atomic_path
from proveout.assets.files.cache import cache_folder
from proveout.assets.files.errors import ModelError
from proveout.assets.mesh.repair import soundness
from proveout.assets.mesh.simplify import simplify

NEARLY_CONVEX = 0.85  # volume of a mesh over its hull's, from which the hull alone is taken
THRESHOLD = 0.1  # CoACD's concavity, relative to the size
MAX_PARTS = 8
_FACES = 2000  # before the decomposition, whose time grows with them
_SECONDS = 60.0  # of processor time
_WAIT = 10.0  # times as long on the clock, on a machine that is busy
_MEMORY = 4 * 2**30  # bytes
_THINNEST = 1e-3  # m, of the body that stands in for a flat mesh
_VERSION = 2  # of what is written, and of the settings in `convex_worker`


class ConvexParts(NamedTuple):
    """A mesh as convex parts.

    Attributes:
        parts: Convex, closed; at least one.
        changes: What was done, in phrases; empty where the mesh is its own hull.
    """

    parts: tuple[trimesh.Trimesh, ...]
    changes: tuple[str, ...] = ()


def convex_parts(
    mesh: trimesh.Trimesh,
    *,
    max_parts: int = MAX_PARTS,
    threshold: float = THRESHOLD,
    cache: str | os.PathLike[str] | None = None,
    seconds: float = _SECONDS,
) -> ConvexParts:
    """Decompose a mesh into convex parts.

    A closed mesh that fills its hull to `NEARLY_CONVEX` is its hull. Any other goes through CoACD
    (Wei et al., Approximate Convex Decomposition for 3D Meshes with Collision-Aware Concavity and
    Tree Search, 2022). Its result is not the same on every machine, so it is kept under the hash
    of the mesh and the settings. Where it takes too long, the hull is taken, and told.

    Args:
        mesh: Vertices in metres.
        max_parts: At most so many.
        threshold: CoACD's bound on the concavity of a part, 0.01 to 1, relative to the size.
        cache: Folder for results; None: see `cache_folder`.
        seconds: Processor time after which the hull is taken instead.

    Raises:
        ModelError: The mesh has no faces, or a number is out of its range.
    """
    if len(mesh.faces) == 0:
        raise ModelError("a mesh without faces has no convex parts.")
    if max_parts < 1 or not 0.01 <= threshold <= 1.0:
        raise ModelError(
            f"max_parts {max_parts} must be at least 1 and threshold {threshold} in 0.01 to 1."
        )
    hull, changes = convex_hull(mesh)
    if changes or max_parts == 1:
        return ConvexParts((hull,), changes or ("its convex hull taken",))
    if soundness(mesh).solid and mesh.volume >= NEARLY_CONVEX * hull.volume:
        return ConvexParts((hull,))
    simple, changes = simplify(mesh, _FACES)
    path = cache_folder(cache) / "convex" / f"{_key(mesh, max_parts, threshold)}.npz"
    parts = _read(path)
    if parts is None:
        parts = _decompose(simple, max_parts, threshold, seconds, path)
    if parts is None:
        return ConvexParts(
            (hull,), (f"not decomposed within {seconds:g} s and 4 GiB, its convex hull taken",)
        )
    if sum(part.volume for part in parts) >= NEARLY_CONVEX * hull.volume:
        return ConvexParts((hull,), ("its convex hull taken, which it nearly fills",))
    return ConvexParts(parts, (*changes, f"decomposed into {len(parts)} convex parts"))


def convex_hull(mesh: trimesh.Trimesh) -> tuple[trimesh.Trimesh, tuple[str, ...]]:
    """Return the hull; a box stands in for a mesh that is flat, and is told."""
    extents = np.asarray(mesh.extents)
    if extents.min() > 1e-6 * max(1e-3, float(extents.max())):
        try:
            return mesh.convex_hull, ()
        except Exception:  # scipy's QhullError has no public base of its own
            pass
    box = trimesh.creation.box(np.maximum(extents, _THINNEST))
    box.apply_translation(mesh.bounds.mean(axis=0))
    return box, (f"flat, a box of at least {1000 * _THINNEST:g} mm taken",)


def _key(mesh: trimesh.Trimesh, max_parts: int, threshold: float) -> str:
    digest = hashlib.sha256()
    for array, kind in ((mesh.vertices, "<f8"), (mesh.faces, "<i8")):
        digest.update(np.ascontiguousarray(array, dtype=kind).tobytes())
    digest.update(f"{_VERSION} {max_parts} {threshold!r}".encode())
    return digest.hexdigest()


def _decompose(
    mesh: trimesh.Trimesh, max_parts: int, threshold: float, seconds: float, path: Path
) -> tuple[trimesh.Trimesh, ...] | None:
    """Run CoACD and keep its result at `path`; None where it failed or took too long."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.npz"), Path(folder, "out.npz")
        np.savez(
            source, vertices=np.asarray(mesh.vertices, np.float64),
            faces=np.asarray(mesh.faces, np.int32), threshold=threshold, max_parts=max_parts,
            solid=soundness(mesh).solid,
        )  # fmt: skip
        worker = "proveout.assets.mesh.convex_worker"
        bounds = [str(_MEMORY), str(max(1, round(seconds)))]
        command = [sys.executable, "-m", worker, str(source), str(target), *bounds]
        try:
            subprocess.run(
                command, timeout=_WAIT * seconds, check=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
            return None
        parts = _read(target)
        if parts is not None:
            try:
                with atomic_path(path) as temporary:
                    temporary.write_bytes(target.read_bytes())
            except OSError:
                pass  # A cache that cannot be written costs time, not the result.
        return parts


def _read(path: Path) -> tuple[trimesh.Trimesh, ...] | None:
    """Read kept parts; None where there are none or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            vertices, faces = kept["vertices"], kept["faces"]
            ends = np.cumsum(kept["vertex_counts"]), np.cumsum(kept["face_counts"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
        return None
    parts = []
    for points, triangles in zip(
        np.split(vertices, ends[0][:-1]), np.split(faces, ends[1][:-1]), strict=True
    ):
        if len(triangles) == 0 or triangles.min() < 0 or triangles.max() >= len(points):
            return None
        parts.append(trimesh.Trimesh(points, triangles, process=False))
    return tuple(parts) or None
