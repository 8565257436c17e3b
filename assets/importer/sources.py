"""Robots that come with other packages: `menagerie:NAME` and `example-robot-data:NAME`."""

from __future__ import annotations

import importlib
import importlib.metadata
from pathlib import Path
from typing import Any, NamedTuple

from proveout.assets.files.errors import ModelError, unknown

MENAGERIE, EXAMPLES = "menagerie", "example-robot-data"
SCHEMES = (MENAGERIE, EXAMPLES)


class Source(NamedTuple):
    """Where a robot of another package lies.

    Attributes:
        path: Of its file.
        roots: In which its meshes may lie.
    """

    path: Path
    roots: tuple[Path, ...]


def find_source(text: str) -> Source | None:
    """Return the file of `menagerie:NAME` or `example-robot-data:NAME`; None for any other text.

    menagerie:NAME/ENTRY names one of several models of a robot. That package downloads a robot when
    it is first used.

    Raises:
        ModelError: The package is not installed, or the download failed.
        UnknownNameError: It has no such robot.
    """
    scheme, _, name = text.partition(":")
    if scheme == MENAGERIE and name:
        return _menagerie(name)
    if scheme == EXAMPLES and name:
        return _example(name)
    return None


def _menagerie(text: str) -> Source:
    try:
        package: Any = importlib.import_module("mujoco_menagerie")
    except ModuleNotFoundError as error:
        raise ModelError(
            "mujoco-menagerie is not installed; run: pip install mujoco-menagerie"
        ) from error
    name, _, entry = text.partition("/")
    if name not in package.names():
        raise unknown("robot of mujoco-menagerie", name, package.names())
    robot = package.get(name)
    entry = entry or robot.default_model
    if entry not in robot.entry_names:
        raise unknown(f"model of {name}", entry, robot.entry_names)
    try:
        path = Path(robot.xml(entry))
    except (package.MenagerieError, OSError) as error:
        raise ModelError(
            f"robot {name} of mujoco-menagerie cannot be had ({' '.join(str(error).split())}); it "
            f"is downloaded at its first use, so look at the network."
        ) from error
    return Source(path, (Path(robot.path()),))


def _example(name: str) -> Source:
    try:
        files = importlib.metadata.files("example-robot-data") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise ModelError(
            "example-robot-data is not installed; run: pip install example-robot-data"
        ) from error
    found = {}
    for file in files:
        if file.suffix == ".urdf":
            found[file.stem] = Path(str(file.locate()))
    if name not in found:
        raise unknown("robot of example-robot-data", name, found)
    path = found[name]
    # package://example-robot-data/robots/... lies below share/.
    roots = [folder.parent for folder in path.parents if folder.name == "example-robot-data"]
    return Source(path, tuple(roots[:1]))
