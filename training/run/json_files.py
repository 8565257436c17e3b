"""JSON of a run: plain data, finite numbers, bounded files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from proveout.assets.files.atomic import write_atomic
from proveout.envs.core.errors import RunError
from proveout.training.run.files import cannot_write, read_bounded

_MAX_JSON_BYTES = 64 * 2**20
_MAX_JSON_DEPTH = 64


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically; numbers that are not finite become null.

    Raises:
        RunError: the file cannot be written.
    """
    try:
        write_atomic(path, dump_json(data, indent=1) + "\n")
    except OSError as error:
        raise cannot_write(path, error) from error


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
