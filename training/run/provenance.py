"""What decides what a training does: versions, git state, machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

# What decides what a training does; the rest of the environment does not.
_PACKAGES = (
    "proveout",
    "warp-lang",
    "mujoco",
    "mujoco-warp",
    "gymnasium",
    "stable-baselines3",
    "sb3-contrib",
    "torch",
    "numpy",
    "safetensors",
)


def provenance(argv: list[str]) -> dict[str, Any]:
    """Return the versions, the git state, the machine and the arguments of this process."""
    return {
        "argv": list(argv),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "packages": package_versions(),
        "git": git_state(Path.cwd()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
    }


def package_versions() -> dict[str, str | None]:
    """Return the installed versions of what decides what a training does."""
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return `{"commit": hash, "dirty": bool}` of the repository around a folder, or None."""
    try:
        commit, status = (
            subprocess.run(
                ["git", "-C", str(folder), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            ).stdout
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit.strip(), "dirty": bool(status.strip())}


def processor_name() -> str:
    """Return the processor's name, as far as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
