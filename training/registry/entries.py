"""Runs, sweeps, searches and folders of seeds below a folder."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proveout.envs.core.errors import ConfigError, ProveoutError, RunError
from proveout.training.run.directory import EVALUATION, MANIFEST
from proveout.training.run.json_files import read_json, write_json
from proveout.training.run.lock import working_on
from proveout.training.run.seed_folder import SEEDS, SUMMARY

TAGS = "tags.json"
TUNE = "tune.json"
KINDS = ("run", "sweep", "seeds", "tune")
_DEEPEST = 8
_LONGEST_TAG = 100


@dataclass(frozen=True)
class Entry:
    """One of them.

    Attributes:
        path: Its folder.
        kind: One of `KINDS`.
        env_id: Environment.
        state: Of its manifest; "complete" for what has its summary.
        created: When it was begun, as text that sorts by time.
        what: In a few words: algorithm and seed, or rows and policies.
        figure: Its success, or another figure, in words; "" where there is none.
        tags: Given by `tag`, sorted.
        data: The manifest.
    """

    path: Path
    kind: str
    env_id: str
    state: str
    created: str
    what: str
    figure: str
    tags: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict, repr=False)

    def plain(self) -> dict[str, Any]:
        """As data for JSON, without the manifest."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "env_id": self.env_id,
            "state": self.state,
            "created": self.created,
            "what": self.what,
            "figure": self.figure,
            "tags": list(self.tags),
        }


def entries(folder: Path | str) -> list[Entry]:
    """All that lie below a folder, oldest first; what cannot be read is warned of and left out.

    Raises:
        RunError: There is no such folder.
    """
    top = Path(folder)
    if not top.is_dir():
        raise RunError(f"{top} is no folder; --runs names the one in which runs are.")
    found = []
    for place in _folders(top, _DEEPEST):
        with warnings.catch_warnings():
            try:
                one = entry(place)
            except ProveoutError as error:
                warnings.warn(f"left out: {error}", stacklevel=2)
                continue
        if one is not None:
            found.append(one)
    return sorted(found, key=lambda one: (one.created, str(one.path)))


def _folders(top: Path, depth: int) -> Iterator[Path]:
    yield top
    if depth:
        with contextlib.suppress(OSError), os.scandir(top) as inside:
            for item in sorted(inside, key=lambda item: item.name):
                if item.is_dir(follow_symlinks=False) and not item.name.startswith("."):
                    yield from _folders(Path(item.path), depth - 1)


def entry(folder: Path | str) -> Entry | None:
    """What lies in a folder; None if it is none of these.

    Raises:
        RunError: Its manifest cannot be read.
    """
    path = Path(folder)
    if (path / SEEDS).is_file():
        return _seeds(path, read_json(path / SEEDS))
    if (path / TUNE).is_file():
        return _tune(path, read_json(path / TUNE))
    if not (path / MANIFEST).is_file():
        return None
    data = read_json(path / MANIFEST)
    if isinstance(data.get("study"), dict) and "digest" in data:
        return _sweep(path, data)
    if "env_id" in data and isinstance(data.get("train"), dict):
        return _run(path, data)
    return None


def the_entry(folder: Path | str) -> Entry:
    """What lies in a folder.

    Raises:
        RunError: None of these.
    """
    found = entry(folder) if Path(folder).is_dir() else None
    if found is None:
        raise RunError(f"{folder} is no run, sweep, search or folder of seeds.")
    return found


def _run(path: Path, data: dict[str, Any]) -> Entry:
    figure = ""
    if (path / EVALUATION).is_file():
        figure = _success(read_json(path / EVALUATION))
    what = f"{data.get('algo', '')}, seed {data.get('seed', '')}"
    return _made(path, "run", data, what, figure, str(data.get("state", "")))


def _sweep(path: Path, data: dict[str, Any]) -> Entry:
    study = data["study"]
    policies = study.get("policies") or []
    what = f"{data.get('rows', 0)} rows, {', '.join(map(str, policies))}"
    sessions = data.get("sessions") or [{}]
    about = {"env_id": study.get("env", ""), "created": sessions[0].get("created", ""), **data}
    return _made(path, "sweep", about, what, "", str(data.get("state", "")))


def _seeds(path: Path, data: dict[str, Any]) -> Entry:
    figure, state = "", "started"
    if (path / SUMMARY).is_file():
        told = read_json(path / SUMMARY).get("figures", {}).get("success", {})
        state = "complete"
        if told.get("iqm") is not None:
            figure = f"success {told['iqm']:.3f}"
            if told.get("interval"):
                figure += f" ({told['interval'][0]:.3f} to {told['interval'][1]:.3f})"
    what = f"{data.get('algo', '')}, {len(data.get('seeds') or [])} seeds"
    return _made(path, "seeds", data, what, figure, state)


def _tune(path: Path, data: dict[str, Any]) -> Entry:
    best = data.get("best") or {}
    trials = sum((data.get("trials") or {}).values())
    what = f"{(data.get('settings') or {}).get('algo', '')}, {trials} trials"
    figure = f"{data.get('objective', '')} {best.get('value', float('nan')):.3g}" if best else ""
    return _made(path, "tune", data, what, figure, "complete")


def _made(path: Path, kind: str, data: dict[str, Any], what: str, figure: str, state: str) -> Entry:
    return Entry(
        path, kind, str(data.get("env_id", "")), state, str(data.get("created", "")), what, figure,
        tuple(tags_of(path)), data,
    )  # fmt: skip


def _success(told: dict[str, Any]) -> str:
    if told.get("success_rate") is None:
        return "no valid episode"
    low, high = told["success_interval"]
    return f"success {told['success_rate']:.3f} ({low:.3f} to {high:.3f})"


def tags_of(path: Path) -> list[str]:
    """Tags of a folder, sorted."""
    if not (path / TAGS).is_file():
        return []
    told = read_json(path / TAGS).get("tags")
    if not isinstance(told, list) or not all(isinstance(one, str) for one in told):
        raise RunError(f"{path / TAGS} is damaged; remove it, and tag again.")
    return sorted(told)


def tag(path: Path | str, add: list[str], remove: list[str]) -> list[str]:
    """Give a folder tags, or take them; return those that it has now.

    Raises:
        ConfigError: A tag that is empty, too long or has a comma; one to remove that is not there.
        RunError: No such folder, or one that cannot be written.
    """
    found = the_entry(path)
    for one in add:
        if not one.strip() or one != one.strip() or len(one) > _LONGEST_TAG or "," in one:
            raise ConfigError(f"tag {one[:200]!r}: at most {_LONGEST_TAG} letters, without a comma")
    for one in remove:
        if one not in found.tags:
            has = ", ".join(found.tags) or "none"
            raise ConfigError(f"{path} has no tag {one!r}; it has: {has}")
    tags = sorted(({*found.tags} | {*add}) - {*remove})
    write_json(found.path / TAGS, {"tags": tags})
    return tags


def without_tagged(found: list[Entry], around: list[Entry]) -> list[Entry]:
    """Those that have no tag, and in which nothing has one."""
    kept = [one.path.resolve() for one in around if one.tags]
    return [
        one
        for one in found
        if not any(one.path.resolve() in (path, *path.parents) for path in kept)
    ]


def prune(found: list[Entry]) -> None:
    """Delete folders with all that is in them; one that a process works on stays.

    Raises:
        RunError: Somebody works on one; those before it are gone.
    """
    import shutil

    for one in sorted(found, key=lambda one: len(one.path.parts), reverse=True):
        with working_on(one.path):
            shutil.rmtree(one.path)
