"""Reading mesh files from outside: bounded size, finite numbers, colours kept, units applied."""

from __future__ import annotations

import io
import json
import re
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import trimesh
from lxml import etree

from proveout.assets.files.atomic import read_regular
from proveout.assets.files.errors import ModelError
from proveout.assets.files.xml import parse_xml
from proveout.assets.mesh.join import joined

SUFFIXES = (".stl", ".obj", ".dae", ".glb")
MAX_BYTES = 128 * 2**20
MAX_FACES = 2_000_000
_MAX_INSTANCES = 10_000  # of geometry in the scene of one file
_TEXTURED = "0.7 0.7 0.7 1"  # colour of what has a texture
_STL_HEADER, _STL_FACE = 84, 50  # bytes

Color = tuple[float, float, float, float]


class Piece(NamedTuple):
    """What has one colour in a mesh file.

    Attributes:
        mesh: Vertices in metres, in the frame of the file.
        rgba: 0 to 1; None where the file says none.
    """

    mesh: trimesh.Trimesh
    rgba: Color | None


def read_mesh(path: Path) -> trimesh.Trimesh:
    """Return a mesh file as one mesh, in metres where the file says its unit.

    Raises:
        ModelError: As for `read_pieces`.
    """
    pieces, _ = read_pieces(path)
    return joined([piece.mesh for piece in pieces])


def read_pieces(path: Path) -> tuple[list[Piece], tuple[str, ...]]:
    """Read a mesh file by colour.

    Nothing beside the file is opened: textures and material files are left out.

    Args:
        path: An .stl, .obj, .dae or .glb file.

    Returns:
        The pieces, of which there is at least one, and what was changed, in phrases.

    Raises:
        ModelError: The file is missing, of another kind, too large, broken, empty, or holds a
            vertex that is not finite.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise ModelError(f"mesh {path} is not of a known kind; give {', '.join(SUFFIXES)}.")
    try:
        # Before so much is read to find out that it is too much.
        data = read_regular(path, MAX_BYTES) if path.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        raise ModelError(
            f"mesh {path} cannot be read ({error.strerror}); give a readable file."
        ) from error
    if data is None or len(data) > MAX_BYTES:
        raise ModelError(f"mesh {path} is larger than {MAX_BYTES // 2**20} MiB; simplify it.")
    data = _checked(path, kind, data)
    try:
        loaded: Any = trimesh.load_scene(
            io.BytesIO(data), file_type=kind[1:], resolver=None, process=False
        )
    except Exception as error:  # readers of four formats raise whatever they meet
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"mesh {path} cannot be read ({reason}); export it again.") from error
    return _pieces(path, loaded)


def _pieces(path: Path, scene: Any) -> tuple[list[Piece], tuple[str, ...]]:
    nodes = list(scene.graph.nodes_geometry)
    faces = 0
    for node in nodes:
        geometry = scene.geometry[scene.graph[node][1]]
        faces += len(geometry.faces) if isinstance(geometry, trimesh.Trimesh) else 0
    if len(nodes) > _MAX_INSTANCES or faces > MAX_FACES:
        raise _too_many(path, faces)
    scale, changes = _scale(scene)
    by_color: dict[Color | None, list[trimesh.Trimesh]] = {}
    for node in nodes:
        transform, name = scene.graph[node]
        geometry = scene.geometry[name]
        if not isinstance(geometry, trimesh.Trimesh) or len(geometry.faces) == 0:
            continue
        rgba = _color(geometry)
        vertices = np.asarray(geometry.vertices, dtype=np.float64)
        with np.errstate(all="ignore"):
            placed = (vertices @ transform[:3, :3].T + transform[:3, 3]) * scale
        if not np.isfinite(placed).all():
            raise ModelError(f"mesh {path} has a vertex that is not finite; export it again.")
        triangles = np.asarray(geometry.faces)
        if np.linalg.det(transform[:3, :3]) < 0.0:
            triangles = triangles[:, ::-1]  # A mirror turns the surface inside out.
        if triangles.min() < 0 or triangles.max() >= len(placed):
            raise ModelError(f"mesh {path} has a face without its vertices; export it again.")
        by_color.setdefault(rgba, []).append(trimesh.Trimesh(placed, triangles, process=False))
    pieces = [Piece(joined(meshes), rgba) for rgba, meshes in by_color.items()]
    if not pieces:
        raise ModelError(f"mesh {path} has no faces; export it again.")
    for piece in pieces:
        piece.mesh.merge_vertices(merge_norm=True, merge_tex=True)
    return pieces, changes


def _scale(scene: Any) -> tuple[float, tuple[str, ...]]:
    """Metres for one unit of the file; only COLLADA tells its unit."""
    told = re.fullmatch(r"([0-9.eE+-]+) \* meters", str(scene.units or ""))
    if told is None:
        return 1.0, ()
    scale = float(told.group(1))
    if not (np.isfinite(scale) and scale > 0.0):
        return 1.0, ()
    return scale, (f"scaled by {scale:g}, as its unit says",)


def _color(geometry: trimesh.Trimesh) -> Color | None:
    visual: Any = geometry.visual
    if getattr(visual, "kind", None) is None:
        return None
    source = visual.material if hasattr(visual, "material") else visual
    try:
        rgba = np.asarray(source.main_color, dtype=np.float64) / 255.0
    except (AttributeError, TypeError, ValueError):
        return None
    if rgba.shape != (4,) or not np.isfinite(rgba).all():
        return None
    red, green, blue, alpha = (round(float(np.clip(value, 0.0, 1.0)), 4) for value in rgba)
    return red, green, blue, alpha if alpha > 0.0 else 1.0


def _checked(path: Path, kind: str, data: bytes) -> bytes:
    """Refuse what says it is larger than it may be, before memory is spent on it."""
    if kind == ".stl":
        if len(data) >= _STL_HEADER:
            (faces,) = struct.unpack_from("<I", data, 80)
            if len(data) == _STL_HEADER + _STL_FACE * faces and faces > MAX_FACES:
                raise _too_many(path, faces)
    elif kind == ".dae":
        return _checked_collada(path, data)
    elif kind == ".glb":
        _check_gltf(path, data)
    return data


def _checked_collada(path: Path, data: bytes) -> bytes:
    """Return the file without its textures, whose images are not read and are often missing."""
    root = parse_xml(data, f"mesh {path}", long_texts=True)
    named = {node.get("id"): node for node in root.iter("{*}node") if node.get("id")}
    known: dict[str, int] = {}

    def instances(node: Any, above: frozenset[str]) -> int:
        """Geometries below a node with all that it refers to."""
        count = 0
        for child in node:
            tag = str(child.tag).rpartition("}")[2]
            if tag == "node":
                count += instances(child, above)
            elif tag in ("instance_geometry", "instance_controller"):
                count += 1
            elif tag == "instance_node":
                name = str(child.get("url", "")).removeprefix("#")
                if name in above:
                    raise ModelError(f"mesh {path} has a node {name!r} within itself.")
                if name in named:
                    if name not in known:
                        known[name] = instances(named[name], above | {name})
                    count += known[name]
        return count

    if sum(instances(scene, frozenset()) for scene in root.iter("{*}visual_scene")) > (
        _MAX_INSTANCES
    ):
        raise ModelError(f"mesh {path} uses more than {_MAX_INSTANCES} geometries; simplify it.")
    _check_positions(path, root)
    for element in list(root.iter("{*}library_images", "{*}newparam", "{*}texture")):
        above = element.getparent()
        if above is None:
            continue
        tag = etree.QName(element)
        if tag.localname == "texture":
            color = etree.SubElement(above, f"{{{tag.namespace}}}color")
            color.text = _TEXTURED
        above.remove(element)
    return etree.tostring(root)


def _check_positions(path: Path, root: etree._Element) -> None:
    """Refuse vertices that are not finite, whose faces the reader would drop without a word."""
    sources = {source.get("id"): source for source in root.iter("{*}source")}
    for entry in root.iter("{*}input"):
        if entry.get("semantic") != "POSITION":
            continue
        source = sources.get(str(entry.get("source", "")).removeprefix("#"))
        for array in () if source is None else source.iter("{*}float_array"):
            try:
                values = np.array((array.text or "").split(), dtype=np.float64)
            except ValueError:
                continue  # the reader tells
            if not np.isfinite(values).all():
                raise ModelError(f"mesh {path} has a vertex that is not finite; export it again.")


def _check_gltf(path: Path, data: bytes) -> None:
    broken = ModelError(f"mesh {path} is no binary glTF 2; export it again as .glb.")
    if len(data) < 20 or data[:4] != b"glTF":
        raise broken
    (length,) = struct.unpack_from("<I", data, 12)
    try:
        content = json.loads(data[20 : 20 + length])
        counts = [int(accessor["count"]) for accessor in content.get("accessors", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise broken from error
    if any(count < 0 for count in counts) or sum(counts) > 8 * MAX_FACES:
        raise _too_many(path, max(counts) // 3)


def _too_many(path: Path, faces: int) -> ModelError:
    return ModelError(f"mesh {path} has {faces} faces; simplify it to at most {MAX_FACES}.")
