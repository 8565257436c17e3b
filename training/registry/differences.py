"""Two runs or studies side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proveout.training.registry.entries import Entry
from proveout.training.run.directory import EVALUATION
from proveout.training.run.json_files import read_json
from proveout.training.run.seed_folder import SUMMARY

# Of where and when, not of what.
_LEFT_OUT = (
    *("argv", "created", "runs", "state", "policies", "resumed", "sessions", "cost", "folder"),
    *("format", "task_file", "digest", "policy_sha256", "run", "error"),
)
_NOTHING = "-"


def differences(first: Entry, second: Entry) -> list[tuple[str, str, str]]:
    """(name, of the first, of the second) of settings, then of results, that are not the same."""
    told = []
    for group in (_settings, _results):
        left, right = (_flat(group(one)) for one in (first, second))
        for name in {**left, **right}:
            values = left.get(name, _NOTHING), right.get(name, _NOTHING)
            if values[0] != values[1]:
                told.append((name, *values))
    return told


def _settings(one: Entry) -> dict[str, Any]:
    return {"kind": one.kind, "env_id": one.env_id, **one.data}


def _results(one: Entry) -> dict[str, Any]:
    names = {"run": EVALUATION, "seeds": SUMMARY}
    path = one.path / names.get(one.kind, EVALUATION)
    told = read_json(path) if path.is_file() else {}
    told.pop("runs", None)
    return {"result": told} if told else {}


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested names with dots -> values as text."""
    found: dict[str, str] = {}
    for name, value in data.items():
        if name in _LEFT_OUT:
            continue
        if isinstance(value, Mapping):
            found.update(_flat(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = f"{value:.6g}" if isinstance(value, float) else str(value)
    return found
