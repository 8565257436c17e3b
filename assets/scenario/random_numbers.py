"""Random numbers that depend on a seed, a name and a row alone: any row can be drawn by itself."""

from __future__ import annotations

import hashlib

import numpy as np


def uniform(seed: int, name: str, rows: np.ndarray) -> np.ndarray:
    """Return numbers in (0, 1), one for each row.

    SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) of the row's number, started at a hash of seed
    and name.

    Args:
        seed: Of the distribution.
        name: Of the parameter.
        rows: Numbers of the rows, shape (rows,).

    Returns:
        float64 of shape (rows,).
    """
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    start = np.uint64(int.from_bytes(digest[:8], "little"))
    with np.errstate(over="ignore"):
        z = start + (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    # The middle of 2**53 equal steps: never 0 or 1, where a normal distribution has no value.
    numbers: np.ndarray = ((z >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return np.minimum(numbers, 1.0 - 2.0**-53)
