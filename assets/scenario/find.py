"""Scenario files in folders: which of them are cases, and which only serve others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from proveout.assets.files.errors import ScenarioError
from proveout.assets.scenario.node import read_node

MAX_FILES = 100_000


def case_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files to run: those named, and those in the folders named and below.

    In a folder catalogues are left out, and so are templates: scenarios that a distribution there
    names, and scenarios beside these in a folder without distributions.

    Raises:
        ScenarioError: A path is not there, a folder has no case, or a file in it is no OpenSCENARIO
            file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += _cases_below(path)
        elif path.is_file():
            found.append(path)
        else:
            raise ScenarioError(f"{path} is not there; give a .xosc file or a folder of them.")
    return list(dict.fromkeys(found))


def _cases_below(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.xosc"))
    if len(files) > MAX_FILES:
        raise ScenarioError(
            f"{folder} has {len(files)} .xosc files; give folders with at most {MAX_FILES}."
        )
    plain: list[Path] = []
    distributions: list[Path] = []
    targets: set[Path] = set()
    for file in files:
        root = read_node(file)
        node = root.child("ParameterValueDistribution")
        if node is not None:
            distributions.append(file)
            target = node.need("ScenarioFile").attribute("filepath").replace("\\", "/")
            targets.add((file.parent / target).resolve())
        elif root.child("Catalog") is None:
            plain.append(file)
    own = {file.parent.resolve() for file in distributions}
    served = {target.parent for target in targets} - own
    plain = [
        file
        for file in plain
        if file.resolve() not in targets and file.parent.resolve() not in served
    ]
    if not plain and not distributions:
        raise ScenarioError(f"{folder} holds no scenario; give a folder with .xosc files.")
    return sorted([*plain, *distributions])
