"""The run directory: what a training was told, what it measured and what it left."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import math
import os
import platform
import shlex
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from proveout.envs.core.errors import RunError
from proveout.policies.atomic import write_atomic

MANIFEST = "manifest.json"
POLICY = "policy.zip"
EVALUATION = "evaluation.json"
VIDEO = "video.mp4"
CHECKPOINTS = "checkpoints"
PROGRESS = "progress.csv"
_MAX_JSON_BYTES = 64 * 2**20

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


class Run:
    """A run directory.

    Attributes:
        folder: The directory.
        manifest: What its manifest.json says.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        """Use `create` or `open`."""
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def create(cls, runs: Path | str, env_id: str, seed: int, manifest: Mapping[str, Any]) -> Run:
        """Make `runs/<env>/<time>-seed<k>/` with its manifest.

        Args:
            runs: Folder of all runs.
            env_id: Its "/" becomes "-".
            seed: Seed of the run.
            manifest: Further entries.

        Raises:
            RunError: the folder cannot be made.
        """
        parent = Path(runs) / env_id.replace("/", "-")
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-seed{seed}"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            folder = _new_folder(parent, name)
        except OSError as error:
            raise RunError(
                f"{parent / name} cannot be made ({error.strerror}); choose another --runs folder."
            ) from error
        whole = {"env_id": env_id, "seed": seed, "state": "started", **manifest}
        run = cls(folder, whole)
        run.save_manifest()
        return run

    @classmethod
    def open(cls, folder: Path | str) -> Run:
        """Open an existing run.

        Raises:
            RunError: not a run directory, or one whose creation was cut off.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise RunError(f"{folder} is not a run directory: there is no such folder.")
        path = folder / MANIFEST
        if not path.is_file():
            raise RunError(
                f"{folder} has no {MANIFEST}: it is not a run directory, or it was cut off while "
                "being made; delete it and train again."
            )
        manifest = read_json(path)
        for key in ("env_id", "seed", "config", "preset", "train"):
            if key not in manifest:
                raise RunError(f"{path} has no '{key}': it is half written; train again.")
        return cls(folder, manifest)

    @property
    def env_id(self) -> str:
        """Registered id of the environment."""
        return str(self.manifest["env_id"])

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.folder / CHECKPOINTS

    def policy_path(self) -> Path:
        """Return the path of the finished policy.

        Raises:
            RunError: the training was cut off before it was saved.
        """
        path = self.folder / POLICY
        if not path.is_file():
            if self.manifest.get("state") == "failed":
                why = self.manifest.get("error")
                raise RunError(f"{self.folder} has no {POLICY}: its training failed: {why}")
            raise RunError(
                f"{self.folder} has no {POLICY}: its training was cut off; "
                f"finish it with: proveout train --resume {shlex.quote(str(self.folder))}"
            )
        return path

    def update(self, **entries: Any) -> None:
        """Change entries of the manifest, on disk too."""
        self.manifest.update(entries)
        self.save_manifest()

    def discard_unstarted(self) -> None:
        """Remove the directory if it holds a manifest and nothing else."""
        if [path.name for path in self.folder.iterdir()] == [MANIFEST]:
            (self.folder / MANIFEST).unlink()
            self.folder.rmdir()
            with contextlib.suppress(OSError):  # other runs are in them
                self.folder.parent.rmdir()
                self.folder.parent.parent.rmdir()

    def save_manifest(self) -> None:
        """Write the manifest."""
        write_json(self.folder / MANIFEST, self.manifest)


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


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically; numbers that are not finite become null."""
    write_atomic(path, dump_json(data, indent=1) + "\n")


def dump_json(data: Any, indent: int | None = None) -> str:
    """Return JSON text; numbers that are not finite become null."""
    return json.dumps(plain(data), indent=indent, allow_nan=False)


def plain(data: Any) -> Any:
    """Return data of JSON's types: NumPy numbers and arrays, paths and tuples converted."""
    if isinstance(data, Mapping):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, np.ndarray):
        return plain(data.tolist())
    if isinstance(data, list | tuple | set | frozenset):
        return [plain(value) for value in data]
    if isinstance(data, np.generic):
        data = data.item()
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if data is None or isinstance(data, str | bool | int):
        return data
    return str(data)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RunError: unreadable, too large, or not an object.
    """
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise RunError(f"{path} is larger than {_MAX_JSON_BYTES // 2**20} MiB, too large.")
        data = json.loads(path.read_text())
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"{path} is not valid JSON ({error}): it is half written or damaged; restore it, or "
            "train again."
        ) from error
    if not isinstance(data, dict):
        raise RunError(f"{path} must hold a JSON object, found a {type(data).__name__}.")
    return data


def _new_folder(parent: Path, name: str) -> Path:
    """Make a folder; a number is appended if two runs start in the same second."""
    for number in range(1, 1000):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(17, "a thousand runs of this name exist", str(parent / name))
