"""Shapes of a URDF: meshes read, coloured, made convex, and written as clean elements."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import trimesh
from lxml import etree

from proveout.assets.files.errors import ModelError
from proveout.assets.files.xml import line_of
from proveout.assets.importer.paths import Places
from proveout.assets.mesh.convex import convex_hull, convex_parts
from proveout.assets.mesh.join import joined
from proveout.assets.mesh.read import read_pieces
from proveout.assets.mesh.scale import scaled
from proveout.assets.mesh.simplify import simplify

VISUAL_FACES = 20_000  # of one colour of one shape; more cost time when drawn, and show nothing
_MAX_COLORS = 12  # of one shape
_SIZES = {
    "box": ("size",),
    "cylinder": ("radius", "length"),
    "sphere": ("radius",),
    "capsule": ("radius", "length"),
}


class _Asset(NamedTuple):
    """One mesh that MuJoCo reads, and its colour if the file says one."""

    name: str
    rgba: tuple[float, float, float, float] | None


class Shapes:
    """Turns the shapes of links into elements that MuJoCo reads, and keeps their meshes.

    Args:
        places: Where meshes may lie.
        decompose: Whether collision meshes become convex parts; else each becomes its hull.
        cache: Folder for convex parts; None: see `cache_folder`.

    Attributes:
        assets: Mesh files by name, binary STL, in metres.
        parts: How many convex parts stand for the collision meshes of each link.
        notes: What was changed or guessed.
    """

    def __init__(
        self, places: Places, *, decompose: bool, cache: str | os.PathLike[str] | None
    ) -> None:
        self.assets: dict[str, bytes] = {}
        self.parts: dict[str, int] = {}
        self.notes: list[str] = []
        self._places = places
        self._decompose = decompose
        self._cache = cache
        self._known: dict[tuple[Path, tuple[float, float, float], bool], list[_Asset]] = {}

    def elements(self, link: str, shape: etree._Element) -> list[etree._Element]:
        """Return clean <visual> or <collision> elements that stand for one of a link."""
        found = shape.find("geometry")
        kinds = [] if found is None else [child for child in found if isinstance(child.tag, str)]
        if not kinds:
            raise self._fault(link, shape, "has no <geometry>; give it one")
        geometry = kinds[0]
        if geometry.tag == "mesh":
            return self._meshes(link, shape, geometry)
        if geometry.tag not in _SIZES:
            raise self._fault(
                link, geometry, f"is no known shape; known are mesh, {', '.join(_SIZES)}"
            )
        for key in _SIZES[geometry.tag]:
            self._positive(link, geometry, key, 3 if key == "size" else 1)
        clean = _copy_of(shape, geometry)
        color = shape.find("material")
        if shape.tag == "visual" and color is not None:
            clean.append(_plain_material(color))
        return [clean]

    def _meshes(
        self, link: str, shape: etree._Element, geometry: etree._Element
    ) -> list[etree._Element]:
        collides = shape.tag == "collision"
        name = geometry.get("filename")
        if not name:
            raise self._fault(link, geometry, "names no file; give it a filename")
        scale = (1.0, 1.0, 1.0)
        if geometry.get("scale") is not None:
            x, y, z = self._finite(link, geometry, "scale", 3)
            scale = (x, y, z)
        if 0.0 in scale:
            raise self._fault(link, geometry, "has a scale of zero; it must be positive")
        path = self._places.find(name, f"link {link!r}")
        key = (path, scale, collides)
        if key not in self._known:
            make = self._convex if collides else self._drawn
            self._known[key] = make(path, scale)
        if collides:
            self.parts[link] = self.parts.get(link, 0) + len(self._known[key])
        elements = []
        for asset in self._known[key]:
            clean = _copy_of(shape, etree.Element("mesh", filename=f"{asset.name}.stl"))
            if not collides:
                own = shape.find("material")
                if asset.rgba is not None:
                    clean.append(_colored(asset.name, asset.rgba))
                elif own is not None:
                    clean.append(_plain_material(own))
            elements.append(clean)
        return elements

    def _drawn(self, path: Path, scale: tuple[float, float, float]) -> list[_Asset]:
        pieces, changes = read_pieces(path)
        self._tell(path, changes)
        if len(pieces) > _MAX_COLORS:
            self._tell(path, (f"{len(pieces)} colours drawn as one",))
            whole = joined([piece.mesh for piece in pieces])
            pieces = [pieces[0]._replace(mesh=whole)]
        drawn = []
        for piece in pieces:
            mesh, changes = simplify(scaled(piece.mesh, scale), VISUAL_FACES)
            self._tell(path, changes)
            if not _has_area(mesh):
                self._tell(path, ("a part without area is not drawn",))
                continue
            drawn.append(_Asset(self._keep(path, "visual", mesh), piece.rgba))
        return drawn

    def _convex(self, path: Path, scale: tuple[float, float, float]) -> list[_Asset]:
        pieces, changes = read_pieces(path)
        self._tell(path, changes)
        mesh = scaled(joined([piece.mesh for piece in pieces]), scale)
        if self._decompose:
            parts, changes = convex_parts(mesh, cache=self._cache)
        else:
            hull, changes = convex_hull(mesh)
            parts = (hull,)
        self._tell(path, changes)
        return [_Asset(self._keep(path, "collision", part), None) for part in parts]

    def _keep(self, path: Path, role: str, mesh: trimesh.Trimesh) -> str:
        stem = re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem)
        stem, number = f"{stem}_{role}", 0
        while f"{stem}_{number}.stl" in self.assets:
            number += 1
        self.assets[f"{stem}_{number}.stl"] = bytes(trimesh.exchange.stl.export_stl(mesh))
        return f"{stem}_{number}"

    def _tell(self, path: Path, changes: tuple[str, ...]) -> None:
        self.notes.extend(f"mesh {path.name}: {change}" for change in changes)

    def _positive(self, link: str, element: etree._Element, key: str, count: int) -> None:
        if min(self._finite(link, element, key, count)) <= 0.0:
            raise self._fault(link, element, f"has {key}={element.get(key)!r}; it must be positive")

    def _finite(self, link: str, element: etree._Element, key: str, count: int) -> list[float]:
        text = element.get(key, "")
        try:
            values = [float(part) for part in text.split()]
        except ValueError:
            values = []
        if len(values) != count or not all(map(math.isfinite, values)):
            raise self._fault(
                link, element, f"has {key}={text[:60]!r}; it must be {count} finite numbers"
            )
        return values

    def _fault(self, link: str, element: etree._Element, text: str) -> ModelError:
        return ModelError(
            f"robot file {self._places.file}: {line_of(element)} of link {link!r} {text}."
        )


def _copy_of(shape: etree._Element, geometry: etree._Element) -> etree._Element:
    """Return a shape of the same place with this geometry alone."""
    clean = etree.Element(shape.tag)
    origin = shape.find("origin")
    if origin is not None:
        etree.SubElement(clean, "origin", dict(origin.attrib))
    inner = etree.SubElement(clean, "geometry")
    etree.SubElement(inner, geometry.tag, dict(geometry.attrib))
    return clean


def _plain_material(material: etree._Element) -> etree._Element:
    """A material's name and colour, without its texture."""
    clean = etree.Element("material", name=material.get("name", ""))
    color = material.find("color")
    if color is not None:
        etree.SubElement(clean, "color", dict(color.attrib))
    return clean


def _colored(name: str, rgba: tuple[float, float, float, float]) -> etree._Element:
    clean = etree.Element("material", name=name)
    etree.SubElement(clean, "color", rgba=" ".join(f"{value:g}" for value in rgba))
    return clean


def _has_area(mesh: trimesh.Trimesh) -> bool:
    """Whether MuJoCo takes it: four different places, and faces that are more than lines."""
    return len(np.unique(np.asarray(mesh.vertices), axis=0)) >= 4 and float(mesh.area) > 1e-12
