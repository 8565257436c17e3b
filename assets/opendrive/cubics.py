"""Piecewise cubic polynomials, as OpenDRIVE writes elevations, widths and offsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cubics:
    """Records a + b u + c u^2 + d u^3 with u = s - start, each valid up to the next one's start.

    Attributes:
        start: Where each record begins, ascending [m], shape (n,); before the first all is 0.
        coefficients: a, b, c, d, shape (n, 4).
    """

    start: Floats
    coefficients: Floats

    @classmethod
    def of(cls, records: Sequence[Sequence[float]]) -> Cubics:
        """From rows (start, a, b, c, d), in any order; of two with one start the later counts."""
        table = np.array(records, np.float64).reshape(-1, 5)
        table = table[np.argsort(table[:, 0], kind="stable")]
        return cls(table[:, 0].copy(), table[:, 1:].copy())

    def __call__(self, s: Floats, order: int = 0) -> Floats:
        """Value, or derivative of the given order (up to 2), at each s; shape of `s`."""
        s = np.asarray(s, np.float64)
        if len(self.start) == 0:
            return np.zeros(s.shape)
        index = np.searchsorted(self.start, s, side="right") - 1
        u = s - self.start[np.maximum(index, 0)]
        a, b, c, d = self.coefficients[np.maximum(index, 0)].T
        if order == 0:
            value = a + u * (b + u * (c + u * d))
        elif order == 1:
            value = b + u * (2.0 * c + 3.0 * u * d)
        else:
            value = 2.0 * c + 6.0 * u * d
        return np.where(index >= 0, value, 0.0)
