"""Load a robot: a shipped one by its name, or any MJCF or URDF file by its path."""

import os
import re
from pathlib import Path

import mujoco

from proveout.assets.files.errors import ModelError, unknown

ROBOTS = Path(__file__).parent / "robots"
SUFFIXES = (".xml", ".mjcf", ".urdf")
PACKAGE = "package://"


def robot_names() -> list[str]:
    """Names of the shipped robots, sorted."""
    return sorted(
        folder.name for folder in ROBOTS.iterdir() if (folder / f"{folder.name}.xml").is_file()
    )


def load_robot(path_or_name: str | os.PathLike[str]) -> mujoco.MjSpec:
    """Load a robot as an editable MuJoCo specification that is known to compile.

    A mesh that a URDF names as package://NAME/FILE is looked for in the folders above the URDF.

    Args:
        path_or_name: A bare name such as "ur5e", or the path of an .xml, .mjcf or .urdf file.
            A text with a folder separator or one of these endings is a path.

    Returns:
        The specification, not compiled, so that a task can add to it or attach it.

    Raises:
        UnknownNameError: No shipped robot has this name.
        ModelError: The file or one of its meshes is missing, or MuJoCo does not accept it.
    """
    path = _locate(path_or_name)
    try:
        spec = mujoco.MjSpec.from_file(str(path))
    except (ValueError, mujoco.FatalError) as error:
        raise _refused(path, error) from error
    _resolve_packages(path, spec)
    try:
        spec.copy().compile()
    except (ValueError, mujoco.FatalError) as error:
        raise _missing_mesh(path, spec) or _refused(path, error) from error
    return spec


def _locate(path_or_name: str | os.PathLike[str]) -> Path:
    text = os.fspath(path_or_name)
    path = Path(text).expanduser()
    is_path = not isinstance(path_or_name, str) or path.suffix.lower() in SUFFIXES
    if not is_path and path.name == text:
        names = robot_names()
        if text not in names:
            raise unknown("robot", text, names)
        return ROBOTS / text / f"{text}.xml"
    if not path.is_file():
        raise ModelError(
            f"robot file {text} does not exist; give the path of an MJCF or URDF file."
        )
    if path.suffix.lower() not in SUFFIXES:
        raise ModelError(
            f"robot file {text} is not MJCF or URDF; give a file that ends in "
            f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}."
        )
    return path


def _resolve_packages(path: Path, spec: mujoco.MjSpec) -> None:
    """Find meshes named package://NAME/FILE, as ROS does, in the folders above the robot file.

    In each folder, from the file's own upwards, NAME/FILE and FILE are tried; then the file's own
    folder for the bare mesh. What is not found is left as it is.
    """
    for mesh in spec.meshes:
        if not mesh.file.startswith(PACKAGE):
            continue
        inside = Path(mesh.file.removeprefix(PACKAGE))
        rest = Path(*inside.parts[1:])
        folders = path.resolve().parents
        candidates = [folder / part for folder in folders for part in (inside, rest)]
        for candidate in (*candidates, folders[0] / inside.name):
            if candidate.is_file():
                mesh.file = str(candidate)
                break


def _missing_mesh(path: Path, spec: mujoco.MjSpec) -> ModelError | None:
    """Name a missing mesh and where it was looked for, which MuJoCo's own message leaves out."""
    folder = path.parent / spec.meshdir
    for mesh in spec.meshes:
        if mesh.file and not (folder / mesh.file).is_file():
            return ModelError(
                f"robot file {path} needs the mesh {mesh.file}, which is not in {folder}; "
                f"put it there or set the compiler's meshdir."
            )
    return None


def _refused(path: Path, error: Exception) -> ModelError:
    reason = re.sub(r"\s+", " ", str(error)).strip().rstrip(".")
    reason = re.sub(r"^(XML )?Error:? ?:?", "", reason).strip()
    return ModelError(f"robot file {path} does not compile ({reason}); correct it there.")
