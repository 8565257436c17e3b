"""Inertia tensors that no body can have, and the nearest one that it can."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_DENSITY = 1000.0  # kg/m3: of the sphere that stands in for a body without a shape
_ROUNDING = 1e-3  # relative: a tensor this near to a possible one was only rounded
_LEAST = 1e-12  # kg m2; less than a grain of sand has is a zero with rounding
_SMALLEST = 1e-10  # kg m2, which MuJoCo still takes
_MARGIN = 1e-6  # relative: keeps a repaired tensor on the right side in single precision


class Repaired(NamedTuple):
    """A possible tensor, and what was wrong with the one given.

    Attributes:
        tensor: Symmetric, positive, with the triangle inequality [kg m2], shape (3, 3).
        fault: Empty where nothing, or only the last digits, had to change.
    """

    tensor: NDArray[np.float64]
    fault: str


def sphere_inertia(mass: float) -> float:
    """Moment of a solid sphere of the density of water [kg m2]; 2/5 m r^2."""
    radius = (3.0 * mass / (4.0 * np.pi * _DENSITY)) ** (1.0 / 3.0)
    return max(0.4 * mass * radius**2, _SMALLEST)


def repair_inertia(tensor: NDArray[np.float64], mass: float) -> Repaired:
    """Return the nearest tensor that a body of this mass can have.

    A body's principal moments are positive, and the largest is not above the sum of the others.
    Where the second fails, the three moments move by a third of the excess each, which is the least
    change in the sense of squares. Where the first fails, a solid sphere of the density of water
    stands in.

    Args:
        tensor: About the centre of mass [kg m2], shape (3, 3), symmetric and finite.
        mass: [kg], positive.
    """
    moments, axes = np.linalg.eigh(tensor)
    if moments[2] <= _LEAST or moments[0] < -_ROUNDING * moments[2]:
        kind = "zero" if abs(moments).max() <= _LEAST else "not positive"
        value = sphere_inertia(mass)
        return Repaired(
            value * np.eye(3), f"inertia is {kind}: that of a sphere taken ({value:.3g} kg m2)"
        )
    excess = moments[2] - moments[0] - moments[1]
    if excess <= -_MARGIN * moments[2] and moments[0] > 0.0:
        return Repaired(tensor, "")
    moved = moments + (max(excess, 0.0) / 3.0) * np.array([1.0, 1.0, -1.0])
    moved = np.maximum(moved, _MARGIN * moved[2])
    moved[:2] += _MARGIN * moved[2]
    fault = ""
    if excess > _ROUNDING * moments[2]:
        told = ", ".join(f"{value:.3g}" for value in moments)
        fault = f"principal moments {told} kg m2 break the triangle inequality: nearest taken"
    return Repaired(axes @ np.diag(moved) @ axes.T, fault)
