"""A robot as clean MJCF with its meshes, in one folder."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import mujoco

from proveout.assets.files.errors import ModelError
from proveout.assets.robot import Robot, load_robot

_ASSETS = "assets"


def write_mjcf(robot: Robot, folder: Path) -> Path:
    """Write NAME.xml and an `assets` folder, and load it again to see that it is the same robot.

    MuJoCo writes numbers with six significant digits; the models agree to that.

    Args:
        robot: To write.
        folder: New, or empty.

    Returns:
        Path of the MJCF file.

    Raises:
        ModelError: The folder holds something already, an asset cannot be read, or what was written
            is not the same robot.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelError(f"folder {folder} is there already; name a new one.")
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", robot.name) or "robot"
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        temporary.chmod(0o755)
        spec = robot.spec.copy()
        _write_assets(robot, spec, temporary / _ASSETS)
        path = temporary / f"{name}.xml"
        try:
            spec.compile()
            path.write_text(spec.to_xml())
        except (ValueError, mujoco.FatalError) as error:
            raise ModelError(
                f"robot {robot.name} cannot be written as MJCF ({' '.join(str(error).split())})."
            ) from error
        _check_same(robot, load_robot(path))
        if folder.exists():
            folder.rmdir()
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder / f"{name}.xml"


def _write_assets(robot: Robot, spec: Any, target: Path) -> None:
    """Copy every file that the specification names, under a name of its own."""
    given = robot.spec.assets
    written: dict[str, str] = {}

    def keep(file: str, directory: str) -> str:
        key = f"{directory}/{file}"
        if key in written:
            return written[key]
        if file in given:
            data = bytes(given[file])
        else:
            source = robot.path.parent / directory / file
            if not source.is_file():
                source = robot.path.parent / file
            try:
                data = source.read_bytes()
            except OSError as error:
                raise ModelError(
                    f"asset {file} of robot {robot.name} cannot be read ({error.strerror})."
                ) from error
        stem = re.sub(r"[^A-Za-z0-9_.-]", "_", Path(file).stem)
        suffix, number = Path(file).suffix, 0
        name = f"{stem}{suffix}"
        while name in written.values():
            number += 1
            name = f"{stem}_{number}{suffix}"
        target.mkdir(exist_ok=True)
        (target / name).write_bytes(data)
        written[key] = name
        return name

    meshes, textures = spec.meshdir, spec.texturedir
    for mesh in spec.meshes:
        if mesh.file:
            mesh.name = mesh.name or Path(mesh.file).stem
            mesh.file = keep(mesh.file, meshes)
    for kind in (spec.hfields, spec.skins):
        for item in kind:
            if item.file:
                item.file = keep(item.file, meshes)
    for texture in spec.textures:
        if texture.file:
            texture.file = keep(texture.file, textures)
        texture.cubefiles = [keep(file, textures) if file else "" for file in texture.cubefiles]
    spec.meshdir = spec.texturedir = _ASSETS
    spec.strippath = False
    spec.modelfiledir = str(target.parent)
    spec.assets = {}


def _check_same(one: Robot, two: Robot) -> None:
    import numpy as np

    first, second = one.spec.copy().compile(), two.spec.copy().compile()
    for count in ("nq", "nv", "nu", "nbody", "njnt", "ngeom", "nsite", "nmesh", "neq", "nkey"):
        if getattr(first, count) != getattr(second, count):
            raise ModelError(
                f"robot {one.name} is not the same as MJCF: {count} is {getattr(second, count)} "
                f"instead of {getattr(first, count)}."
            )
    for field in ("body_mass", "body_inertia", "body_pos", "jnt_range", "qpos0", "geom_size"):
        if not np.allclose(getattr(first, field), getattr(second, field), rtol=1e-4, atol=1e-5):
            raise ModelError(f"robot {one.name} is not the same as MJCF: {field} differs.")
