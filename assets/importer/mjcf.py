"""MJCF files: checked before MuJoCo reads them, since a file from outside may ask for anything."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import mujoco
import numpy as np
from lxml import etree

from proveout.assets.files.errors import ModelError
from proveout.assets.files.xml import line_of, read_xml
from proveout.assets.importer.paths import PACKAGE_SCHEMES, Places
from proveout.assets.mesh.read import MAX_BYTES, MAX_FACES, read_pieces

MAX_BODIES = 2000
_MAX_DOCUMENTS = 100
_MAX_DEPTH = 20
_MAX_COPIES = 10_000
_MAX_TABLE = 16_000_000  # numbers of a height field, pixels of a texture
_MAX_SIZE = 10_000_000  # of a <size> attribute
# Attributes that make many of something, by tag; those of one element multiply.
_COPIES = {"replicate": ("count",), "composite": ("count",), "flexcomp": ("count",)}
_TABLES = {"hfield": ("nrow", "ncol"), "texture": ("width", "height")}
_CONVERTED = (".dae", ".glb")


def read_mjcf(path: Path, roots: tuple[Path, ...]) -> mujoco.MjSpec:
    """Read an MJCF file.

    Raises:
        ModelError: One sentence with the file and the element: not MJCF, too large, a file outside
            the folder of the robot and the roots, a missing or broken mesh, or what MuJoCo refuses.
    """
    _Checker(Places(path, roots)).check()
    try:
        return mujoco.MjSpec.from_file(str(path))
    except (ValueError, mujoco.FatalError) as error:
        raise refused(path, error) from error


def refused(path: Path, error: Exception) -> ModelError:
    """The error for what MuJoCo does not accept."""
    reason = re.sub(r"\s+", " ", str(error)).strip().rstrip(".")
    reason = re.sub(r"^(XML )?Error:? ?:?", "", reason).strip()
    return ModelError(f"robot file {path} does not compile ({reason}); correct it there.")


class _Checker:
    """Walks a file and all that it includes."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.documents: list[tuple[Path, etree._Element]] = []
        self.folders = {""}

    def check(self) -> None:
        self.document(self.places.file, 0)
        bodies = 0
        for path, root in self.documents:
            copies = self.copies(path, root)
            bodies += sum(copies[element] for element in root.iter("body"))
            for element in root.iter():
                self.sizes(path, element)
                for file in self.files(path, element):
                    if element.tag not in ("include", "model"):
                        check_file(file)
        if bodies > MAX_BODIES:
            raise ModelError(
                f"robot file {self.places.file} has {bodies} bodies; give one with at most "
                f"{MAX_BODIES}."
            )

    def fault(self, path: Path, element: etree._Element, text: str) -> ModelError:
        return ModelError(f"robot file {path}: {line_of(element)} {text}.")

    def document(self, path: Path, depth: int) -> None:
        """Read a file and what it includes, and note the folders in which it looks for files."""
        if len(self.documents) >= _MAX_DOCUMENTS or depth > _MAX_DEPTH:
            raise ModelError(
                f"robot file {self.places.file} includes more than {_MAX_DOCUMENTS} files, or "
                f"itself; include fewer."
            )
        root = read_xml(path, "robot file")
        if depth == 0 and root.tag != "mujoco":
            raise ModelError(
                f"robot file {path} is not MJCF: its root is <{root.tag}>, not <mujoco>."
            )
        self.documents.append((path, root))
        for compiler in root.iter("compiler"):
            for key in ("meshdir", "texturedir", "assetdir"):
                self.folders.add(compiler.get(key) or "")
        for element in root.iter("include", "model"):
            if not element.get("file"):
                continue
            found = next(iter(self.files(path, element)), None)
            if found is None:
                raise self.fault(path, element, f"needs {element.get('file')}, which is not there")
            self.document(found, depth + 1)

    def copies(self, path: Path, root: etree._Element) -> dict[etree._Element, int]:
        """How often each element is made, by the replicas around it."""
        counts: dict[etree._Element, int] = {}
        for element in root.iter():
            above = element.getparent()
            count = counts[above] if above is not None else 1
            for key in _COPIES.get(str(element.tag), ()):
                for number in _numbers(element.get(key, "1")):
                    count *= max(1, int(min(number, 2.0**31)))
            if count > _MAX_COPIES:
                raise self.fault(path, element, f"makes {count} copies; at most {_MAX_COPIES}")
            counts[element] = count
        return counts

    def sizes(self, path: Path, element: etree._Element) -> None:
        tag = str(element.tag)
        if tag in _TABLES:
            total = 1.0
            for key in _TABLES[tag]:
                total *= max([1.0, *_numbers(element.get(key, "1"))])
            if total > _MAX_TABLE:
                raise self.fault(path, element, f"has {total:g} entries; at most {_MAX_TABLE}")
        if tag == "size":
            for key, value in element.attrib.items():
                if max([0.0, *_numbers(str(value))]) > _MAX_SIZE or (
                    key == "memory" and re.search(r"[GTPE]\s*$", str(value), re.IGNORECASE)
                ):
                    raise self.fault(path, element, f"asks for {key}={str(value)[:40]!r}; too much")

    def files(self, path: Path, element: etree._Element) -> Iterator[Path]:
        """Files that an element names, wherever MuJoCo might look; it tells of missing ones itself.

        Raises:
            ModelError: One of them lies outside the folder of the robot and the roots.
        """
        names = [str(v) for k, v in element.attrib.items() if str(k).startswith("file") and v]
        inside = (self.places.folder, *(root.resolve() for root in self.places.roots))
        for name in names:
            if name.split("://")[0] in PACKAGE_SCHEMES:
                yield self.places.find(name, line_of(element))
                continue
            for base in dict.fromkeys((self.places.folder, path.resolve().parent)):
                for folder in self.folders:
                    candidate = base / folder / name
                    try:
                        if not candidate.is_file():
                            continue
                        real = candidate.resolve()
                    except (OSError, ValueError):  # a name that no file can have
                        continue
                    if not any(real.is_relative_to(top) for top in inside):
                        raise ModelError(
                            f"robot file {path}: {line_of(element)} names {name}, which lies "
                            f"outside its folder; give the folder that holds it as a root "
                            f"(--roots)."
                        )
                    yield real


def check_file(path: Path) -> None:
    """Refuse an asset that is too large, or a binary STL whose numbers are no numbers.

    Raises:
        ModelError: It is.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ModelError(
            f"file {path} has {size // 2**20} MiB; give one of at most {MAX_BYTES // 2**20}."
        )
    if path.suffix.lower() != ".stl" or size < 84:
        return
    data = path.read_bytes()
    (faces,) = struct.unpack_from("<I", data, 80)
    if len(data) != 84 + 50 * faces:
        return  # Text, or broken, which MuJoCo tells.
    if faces > MAX_FACES:
        raise ModelError(f"mesh {path} has {faces} faces; simplify it to at most {MAX_FACES}.")
    records = np.frombuffer(data, np.dtype([("corners", "<f4", 12), ("unused", "<u2")]), -1, 84)
    if not np.isfinite(records["corners"][:, 3:]).all():
        raise ModelError(f"mesh {path} has a vertex that is not finite; export it again.")


def resolve_meshes(spec: mujoco.MjSpec, places: Places) -> list[str]:
    """Find meshes named package://..., and convert those of formats that MuJoCo does not read.

    Returns:
        What was changed.

    Raises:
        ModelError: A mesh is missing or cannot be read.
    """
    notes = []
    for mesh in spec.meshes:
        if not mesh.file:
            continue
        path: Path | None = None
        if mesh.file.split("://")[0] in PACKAGE_SCHEMES:
            path = places.find(mesh.file, f"mesh {mesh.name!r}")
            mesh.file = str(path)
        if Path(mesh.file).suffix.lower() in _CONVERTED:
            import trimesh

            path = path or _in_folder(spec, places, mesh.file)
            pieces, changes = read_pieces(path)
            whole = trimesh.util.concatenate([piece.mesh for piece in pieces])
            name = f"{mesh.name or path.stem}.stl"
            spec.assets = {**spec.assets, name: bytes(trimesh.exchange.stl.export_stl(whole))}
            mesh.file = name
            notes.append(f"mesh {path.name}: converted to STL")
            notes.extend(f"mesh {path.name}: {change}" for change in changes)
    return notes


def _in_folder(spec: mujoco.MjSpec, places: Places, name: str) -> Path:
    inside = Places(places.file, (places.folder / spec.meshdir, *places.roots))
    return inside.find(name, f"a mesh of kind {Path(name).suffix}")


def missing_mesh(path: Path, spec: mujoco.MjSpec) -> ModelError | None:
    """Name a missing mesh and where it was looked for, which MuJoCo's own message leaves out."""
    folder = path.parent / spec.meshdir
    for mesh in spec.meshes:
        if mesh.file and mesh.file not in spec.assets and not (folder / mesh.file).is_file():
            return ModelError(
                f"robot file {path} needs the mesh {mesh.file}, which is not in {folder}; "
                f"put it there or set the compiler's meshdir."
            )
    return None


def _numbers(text: str) -> Iterator[float]:
    for part in text.split():
        try:
            value = float(part)
        except ValueError:
            continue
        if np.isfinite(value):
            yield value
