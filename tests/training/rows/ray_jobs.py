"""Jobs for a Ray cluster, in a module that its workers import; see test_ray_cluster.py."""

from __future__ import annotations

import os
from pathlib import Path

from proveout.envs.core.errors import ModelError


def square(number: int) -> int:
    """A result that depends on the job alone."""
    return number * number


def dying(folder: str) -> str:
    """A job whose worker dies the first time."""
    marker = Path(folder) / "died"
    if not marker.exists():
        marker.touch()
        os._exit(1)
    return "done"


def hopeless(_: int) -> None:
    """A job whose worker always dies."""
    os._exit(1)


def refusing(_: int) -> None:
    """A job that raises one of our errors."""
    raise ModelError("no such robot")
