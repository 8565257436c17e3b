"""What a run's manifest may say, checked in one place: where the run is opened."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from proveout.assets.files.errors import nearest
from proveout.envs.core.errors import RunError
from proveout.envs.core.task import PHYSICS

# "started" until the policy is saved, "trained" until it is evaluated and filmed.
STATES = ("started", "interrupted", "failed", "trained", "complete")
# Far beyond any run: what is larger is an accident, and would ask for time or memory without end.
MAX_WORLDS = 10**9
MAX_SAMPLES = 2**53
_MAX_TEXT = 10_000
_DIGEST = re.compile("[0-9a-f]{64}")

# What is expected, in words, and whether a value is that.
_Kind = tuple[str, Callable[[Any], bool]]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_TEXT


def _whole(low: int, high: int) -> _Kind:
    return f"a whole number from {low} to {high}", lambda v: type(v) is int and low <= v <= high


def _number(low: float, high: float) -> _Kind:
    words = f"a number from {low:g} to {high:g}"
    return words, lambda v: type(v) in (int, float) and low <= v <= high


def _or_null(kind: _Kind) -> _Kind:
    words, holds = kind
    return f"{words}, or null", lambda v: v is None or holds(v)


_TEXT: _Kind = ("text", _is_text)
_FLAG: _Kind = ("true or false", lambda v: isinstance(v, bool))
_OBJECT: _Kind = ("a JSON object", lambda v: isinstance(v, dict))
_TEXTS: _Kind = ("a list of texts", lambda v: isinstance(v, list) and all(map(_is_text, v)))
_VERSIONS: _Kind = (
    "an object of texts",
    lambda v: isinstance(v, dict) and all(x is None or _is_text(x) for x in v.values()),
)
_OBJECTS: _Kind = (
    "a list of JSON objects",
    lambda v: isinstance(v, list) and all(isinstance(x, dict) for x in v),
)
_STATE: _Kind = (f"one of {', '.join(STATES)}", lambda v: v in STATES)
_SECONDS = _number(0.0, 1e12)
_SAMPLES = _whole(0, MAX_SAMPLES)
_PROCESSES = _whole(1, 4096)

_REQUIRED: dict[str, _Kind] = {
    "env_id": _TEXT,
    "seed": _whole(0, 2**32 - 1),
    "config": _OBJECT,
    "preset": _OBJECT,
    "train": _OBJECT,
    "state": _STATE,
    "algo": _TEXT,
}
# What is known of each saved policy.
_FACTS: dict[str, _Kind] = {
    "num_timesteps": _SAMPLES,
    "training_seconds": _SECONDS,
    "invalid_worlds": _SAMPLES,
    "preset": _OBJECT,
    "device": _TEXT,
    "workers": _PROCESSES,
}
_OPTIONAL: dict[str, _Kind] = {
    "error": _or_null(_TEXT),
    "ranks": _PROCESSES,
    "task_file": _or_null(_TEXT),
    "argv": _TEXTS,
    "created": _TEXT,
    "packages": _VERSIONS,
    "git": _or_null(_OBJECT),
    "python": _TEXT,
    "platform": _TEXT,
    "processor": _TEXT,
    "cores": _or_null(_whole(1, 2**20)),
    "device": _TEXT,
    "workers": _PROCESSES,
    "resumed": _OBJECTS,
    "warm_start": _OBJECT,
    "cost": _OBJECTS,
    "policies": _OBJECT,
    # Earlier releases wrote these without telling of which policy: they are read by nobody.
    "num_timesteps": _SAMPLES,
    "training_seconds": _SECONDS,
    "invalid_worlds": _SAMPLES,
}
_TRAIN: dict[str, _Kind] = {
    "algo": _TEXT,
    "total_timesteps": _or_null(_whole(1, MAX_SAMPLES)),
    "num_envs": _or_null(_whole(1, MAX_WORLDS)),
    "seed": _whole(0, 2**32 - 1),
    "device": _TEXT,
    "workers": _or_null(_PROCESSES),
    "physics": (f"one of {', '.join(PHYSICS)}", lambda v: v in PHYSICS),
    "torch_threads": _whole(1, 1024),
    "hyperparameters": _TEXTS,
    "warm_start": _or_null(("expert", lambda v: v == "expert")),
    "warm_start_samples": _whole(1, 10**8),
    "warm_start_rounds": _whole(0, 1000),
    "checkpoint_interval": _or_null(_number(0.0, 1e300)),  # null: none between
    "evaluation_episodes": _whole(0, MAX_SAMPLES),
    "video": _FLAG,
    "runs": _TEXT,
}


def check_manifest(path: Path, data: Mapping[str, Any]) -> None:
    """Refuse a manifest with an entry that is missing, unknown, of another type or out of range.

    Config and preset are only looked at as a whole: task and algorithm know what is in them.

    Args:
        path: Of the file, for messages.
        data: What it says.

    Raises:
        RunError: the message names the entry.
    """
    for key in _REQUIRED:
        if key not in data:
            raise RunError(f"{path} has no '{key}': it is half written; train again.")
    known = {**_REQUIRED, **_OPTIONAL}
    for key in data:
        if key not in known:
            match = nearest(key, known)
            hint = f"did you mean '{match}'?" if match else "take it out."
            raise RunError(f"{path} has an entry {key[:80]!r}, which is not known here; {hint}")
    _check(path, "", data, known)
    _check(path, "train.", data["train"], _TRAIN)
    for digest, facts in data.get("policies", {}).items():
        if not _DIGEST.fullmatch(digest):
            raise RunError(f"{path}: {digest[:80]!r} in 'policies' is no SHA-256; restore it.")
        where = f"policies.{digest}"
        if not isinstance(facts, dict) or facts.keys() != _FACTS.keys():
            raise RunError(f"{path}: {where} must hold {', '.join(_FACTS)}; restore it.")
        _check(path, f"{where}.", facts, _FACTS)


def _check(path: Path, where: str, data: Mapping[str, Any], kinds: Mapping[str, _Kind]) -> None:
    for key, (words, holds) in kinds.items():
        if key in data and not holds(data[key]):
            told = repr(data[key])
            told = told if len(told) <= 80 else f"{told[:77]}..."
            raise RunError(f"{path}: '{where}{key}' must be {words}, got {told}; restore it.")
