"""Whether an array of a saved state can be restored."""

from __future__ import annotations

from typing import Any

import numpy as np

from proveout.envs.core.errors import StateError

# NumPy's kinds of type that may be restored into each: never a wider one.
_KINDS = {"f": "f", "i": "iu", "u": "iu", "b": "b"}


def check_array(name: str, value: Any, here: np.ndarray, num_worlds: int, finite: bool) -> None:
    """Raise `StateError` unless `value` can be written into the array that is there.

    Args:
        name: For the message.
        value: What was saved, (num_worlds, ...).
        here: The array to restore, (worlds of this process, ...).
        num_worlds: Rows that `value` must have.
        finite: NaN and infinite numbers are refused.
    """
    try:
        rows = np.asarray(value)
    except ValueError as error:
        raise StateError(f"{name}: {error}") from error
    if rows.shape[:1] != (num_worlds,):
        had = rows.shape[0] if rows.ndim else "no"
        raise StateError(f"{name} has {had} rows; this environment has {num_worlds} worlds")
    if rows.shape[1:] != here.shape[1:]:
        shape = (num_worlds, *here.shape[1:])
        raise StateError(f"{name}: shape {shape} expected, got {rows.shape}")
    if rows.dtype.kind not in _KINDS[here.dtype.kind]:
        raise StateError(f"{name}: {here.dtype} expected, got {rows.dtype}")
    if here.dtype.kind in "iu" and rows.size:
        limits = np.iinfo(here.dtype)
        if int(rows.min()) < limits.min or int(rows.max()) > limits.max:
            raise StateError(f"{name}: numbers from {limits.min} to {limits.max} expected")
    if here.dtype.kind == "f" and finite:
        with np.errstate(over="ignore"):
            sound = np.isfinite(rows.astype(here.dtype)).reshape(num_worlds, -1).all(axis=1)
        if not sound.all():
            raise StateError(f"{name}: world {int(np.flatnonzero(~sound)[0])} is not finite")
