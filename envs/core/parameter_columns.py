"""Where a randomised value of an engine lives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp


@dataclass(frozen=True)
class ParameterColumns:
    """Where a randomised value goes: some components of one per-world array.

    Attributes:
        array: float32 view, shape (num_worlds, elements, components).
        element: Element index of each column, shape (columns,).
        component: Component index of each column, shape (columns,).
        nominal: The model's own value of each column, shape (columns,).
        reference: Model value of the quantity that each column is proportional to, as inertia is
            to mass, shape (columns,); None where the columns are the quantity itself.
        positive: Whether the quantity must stay above zero where the model's is, as a mass.
    """

    array: wp.array
    element: np.ndarray
    component: np.ndarray
    nominal: np.ndarray
    reference: np.ndarray | None = None
    positive: bool = False
