"""The run directory: what a training was told, what it measured and what it left."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import re
import shlex
import subprocess
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from proveout.assets.files.atomic import read_regular, write_atomic
from proveout.envs.core.errors import ProveoutError, RunError
from proveout.training.lock import LOCK
from proveout.training.manifest import check_manifest

MANIFEST = "manifest.json"
POLICY = "policy.zip"
EVALUATION = "evaluation.json"
VIDEO = "video.mp4"
CHECKPOINTS = "checkpoints"
PROGRESS = "progress.csv"
_MAX_JSON_BYTES = 64 * 2**20
_MAX_JSON_DEPTH = 64
_MAX_POLICY_BYTES = 2 * 2**30
# What is read and written in a run directory; a link would lead out of it.
_NAMES = (MANIFEST, POLICY, EVALUATION, VIDEO, CHECKPOINTS, PROGRESS, f"{PROGRESS}.new", LOCK)
# What `atomic_path` calls a file until it is whole.
_LEFTOVER = re.compile(
    r"\.(manifest|evaluation)-[a-z0-9_]{8}\.json"
    r"|\.policy-[a-z0-9_]{8}\.zip|\.video-[a-z0-9_]{8}\.mp4"
)

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


@dataclass(frozen=True)
class SavedPolicy:
    """The finished policy of a run as it lies on the disk, and what is known of that one.

    Attributes:
        path: Its file.
        data: The file's bytes, a zip of Stable-Baselines3.
        digest: Their SHA-256.
        facts: `num_timesteps` [samples], `training_seconds` [s], `invalid_worlds` [episodes],
            `preset`, `device`, `workers`; empty: not known.
    """

    path: Path
    data: bytes
    digest: str
    facts: Mapping[str, Any]


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
        try:
            run.save_manifest()
        except RunError:
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise
        return run

    @classmethod
    def open(cls, folder: Path | str) -> Run:
        """Open an existing run.

        Raises:
            RunError: not a run directory, one whose creation was cut off, one with links in place
                of its files, or a manifest that says what cannot be.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise RunError(f"{folder} is not a run directory: there is no such folder.")
        for name in _NAMES:
            _refuse_other(folder / name, folder=name == CHECKPOINTS)
        path = folder / MANIFEST
        if not path.is_file():
            raise RunError(
                f"{folder} has no {MANIFEST}: it is not a run directory, or it was cut off while "
                "being made; delete it and train again."
            )
        manifest = read_json(path)
        check_manifest(path, manifest)
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

    def read_policy(self) -> SavedPolicy:
        """Return the finished policy: its bytes and what is known of them, never of others.

        Raises:
            RunError: the training was cut off before it was saved, or it cannot be read.
        """
        path = self.policy_path()
        data = read_bounded(path, _MAX_POLICY_BYTES)
        digest = hashlib.sha256(data).hexdigest()
        return SavedPolicy(path, data, digest, self.manifest.get("policies", {}).get(digest, {}))

    def evaluation(self, policy: SavedPolicy | None = None) -> dict[str, Any] | None:
        """Return what evaluation.json says of a policy, or None.

        A file that measured another policy, or does not say which, counts as missing; a warning
        says so.

        Args:
            policy: The policy; None: the one that is there.
        """
        path = self.folder / EVALUATION
        if not path.is_file():
            return None
        told = read_json(path)
        if told.get("policy_sha256") != (policy or self.read_policy()).digest:
            warnings.warn(
                f"{path} is left out: it measured another policy than {POLICY}, or does not say "
                f"which; measure with: proveout evaluate {shlex.quote(str(self.folder))}",
                stacklevel=2,
            )
            return None
        return told

    def publish_policy(self, data: bytes, facts: Mapping[str, Any]) -> str:
        """Give a finished policy its name and let the manifest tell of it; return its digest.

        The facts are on the disk before the policy is, under its digest: whatever a kill leaves,
        a policy is found with its own facts. What was measured of an earlier policy is removed.

        Args:
            data: A zip of Stable-Baselines3.
            facts: As in `SavedPolicy`.

        Raises:
            RunError: something cannot be written.
        """
        digest = hashlib.sha256(data).hexdigest()
        policies = dict(self.manifest.get("policies", {}))
        self.update(policies={**policies, digest: dict(facts)})
        path = self.folder / POLICY
        try:
            write_atomic(path, data)
            for name in (EVALUATION, VIDEO):
                (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        self.update(policies={digest: dict(facts)}, state="trained")
        return digest

    def remove_leftovers(self) -> None:
        """Remove files that a kill kept from getting their names."""
        for path in self.folder.iterdir():
            if _LEFTOVER.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def reading(self, entry: str) -> Iterator[None]:
        """Tell of what is wrong with an entry of the manifest as an error that names it.

        Raises:
            RunError: the block failed on what the entry says.
        """
        try:
            yield
        except RunError:
            raise
        except (
            *(ProveoutError, TypeError, ValueError, AttributeError),
            *(LookupError, ArithmeticError, RecursionError),
        ) as error:
            raise RunError(
                f"{self.folder / MANIFEST}: '{entry}' cannot be used: {one_line(error)}"
            ) from error

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
    """Write JSON atomically; numbers that are not finite become null.

    Raises:
        RunError: the file cannot be written.
    """
    try:
        write_atomic(path, dump_json(data, indent=1) + "\n")
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> RunError:
    """Return what to tell when a file of a run could not be written."""
    return RunError(
        f"{path} cannot be written ({error.strerror or error}): make room, or mend the folder; "
        "what was saved before is whole."
    )


def one_line(error: BaseException) -> str:
    """Return what an error says as one printable line: a name from a file may hold anything."""
    line = " ".join(str(error).split()) or type(error).__name__
    return "".join(c if c.isprintable() else "?" for c in line)


def refuse_link(path: Path) -> None:
    """Raise RunError if a path within a run is a symbolic link, which could lead anywhere."""
    if path.is_symlink():
        raise RunError(
            f"{path} is a symbolic link, which could lead out of the run; put what it stands for "
            "in its place."
        )


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


def _refuse_other(path: Path, *, folder: bool) -> None:
    """Raise RunError if there is a link, a pipe, a device or the like under a name of a run."""
    refuse_link(path)
    if path.exists() and not (path.is_dir() if folder else path.is_file()):
        kind = "folder" if folder else "regular file"
        raise RunError(f"{path} is not a {kind}; take it away, or put the run's own in its place.")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RunError: unreadable, too large, or not an object.
    """
    try:
        data = json.loads(read_bounded(path, _MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"{path} is not valid JSON ({error}): it is half written or damaged; restore it, or "
            "train again."
        ) from error
    if not isinstance(data, dict):
        raise RunError(f"{path} must hold a JSON object, found a {type(data).__name__}.")
    if _is_deep(data):
        raise RunError(f"{path} is nested deeper than {_MAX_JSON_DEPTH} levels; restore it.")
    return data


def read_bounded(path: Path, limit: int) -> bytes:
    """Return a regular file's bytes.

    Raises:
        RunError: unreadable, no regular file, or larger than `limit` [bytes].
    """
    try:
        data = read_regular(path, limit)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(data) > limit:
        raise RunError(f"{path} is larger than {limit // 2**20} MiB, too large.")
    return data


def _is_deep(data: Any) -> bool:
    level = [data]
    for _ in range(_MAX_JSON_DEPTH):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return False
    return True


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
