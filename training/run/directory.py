"""The run directory: what a training was told, what it measured and what it left."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shlex
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proveout.assets.files.atomic import write_atomic
from proveout.envs.core.errors import ProveoutError, RunError
from proveout.envs.core.task import PHYSICS
from proveout.training.run.failures import one_line
from proveout.training.run.files import cannot_write, read_bounded, refuse_other
from proveout.training.run.json_files import read_json, write_json
from proveout.training.run.lock import LOCK
from proveout.training.run.manifest import check_manifest

MANIFEST = "manifest.json"
POLICY = "policy.zip"
EVALUATION = "evaluation.json"
# In another physics than that of the training.
OTHER_EVALUATIONS = {physics: f"evaluation_{physics}.json" for physics in PHYSICS}
VIDEO = "video.mp4"
CHECKPOINTS = "checkpoints"
PROGRESS = "progress.csv"
_MAX_POLICY_BYTES = 2 * 2**30
# What is read and written in a run directory; a link would lead out of it.
_NAMES = (
    *(MANIFEST, POLICY, EVALUATION, *OTHER_EVALUATIONS.values(), VIDEO, CHECKPOINTS),
    *(PROGRESS, f"{PROGRESS}.new", LOCK),
)
# What `atomic_path` calls a file until it is whole.
_LEFTOVER = re.compile(
    r"\.(manifest|evaluation(_[a-z]+)?)-[a-z0-9_]{8}\.json"
    r"|\.policy-[a-z0-9_]{8}\.zip|\.video-[a-z0-9_]{8}\.mp4"
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
            refuse_other(folder / name, folder=name == CHECKPOINTS)
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
    def physics(self) -> str:
        """What stepped its worlds, a key of `envs.core.task.PHYSICS`."""
        return str(self.manifest["train"].get("physics", "warp"))

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

    def evaluation_path(self, physics: str) -> Path:
        """Return where an evaluation lies: of the run's own physics, or of another one."""
        if physics == self.physics:
            return self.folder / EVALUATION
        return self.folder / OTHER_EVALUATIONS[physics]

    def evaluation(
        self, policy: SavedPolicy | None = None, physics: str | None = None
    ) -> dict[str, Any] | None:
        """Return what evaluation.json says of a policy, or None.

        A file that measured another policy, or does not say which, counts as missing; a warning
        says so.

        Args:
            policy: The policy; None: the one that is there.
            physics: In which it was measured; None: in that of its training.
        """
        path = self.evaluation_path(physics or self.physics)
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
            for name in (EVALUATION, *OTHER_EVALUATIONS.values(), VIDEO):
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
