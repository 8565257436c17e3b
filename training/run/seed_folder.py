"""A folder of runs that differ in their seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from proveout.envs.core.errors import RunError
from proveout.training.run.directory import MANIFEST, Run
from proveout.training.run.json_files import read_json

SEEDS = "seeds.json"
SUMMARY = "summary.json"
_NEEDED = {"env_id": str, "algo": str, "seeds": list, "config": dict, "train": dict}


class SeedFolder:
    """The folder of a training from several seeds.

    Attributes:
        folder: The directory.
        manifest: What its seeds.json says.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        """Use `open`."""
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def open(cls, folder: Path | str) -> SeedFolder:
        """Open an existing one.

        Raises:
            RunError: There is none, or its seeds.json is damaged.
        """
        folder = Path(folder)
        path = folder / SEEDS
        if not path.is_file():
            raise RunError(f"{folder} has no {SEEDS}: it is no folder of several seeds.")
        manifest = read_json(path)
        for name, kind in _NEEDED.items():
            if not isinstance(manifest.get(name), kind):
                raise RunError(f"{path} is damaged: '{name}' is missing or wrong; train again.")
        if not all(type(seed) is int and 0 <= seed < 2**32 for seed in manifest["seeds"]):
            raise RunError(f"{path} is damaged: 'seeds' holds whole numbers; train again.")
        return cls(folder, manifest)

    @property
    def env_id(self) -> str:
        """Registered id of the environment."""
        return str(self.manifest["env_id"])

    @property
    def seeds(self) -> list[int]:
        """Seeds that are asked for."""
        return list(self.manifest["seeds"])

    def runs(self) -> dict[int, Run]:
        """Runs that have been begun, by seed; of several of one seed, the last."""
        found = {}
        for path in sorted((self.folder / self.env_id.replace("/", "-")).glob("*-seed*")):
            if (path / MANIFEST).is_file():
                run = Run.open(path)
                found[int(run.manifest["seed"])] = run
        return found


def is_seed_folder(folder: Path | str) -> bool:
    """Whether a folder holds runs of several seeds."""
    return (Path(folder) / SEEDS).is_file()
