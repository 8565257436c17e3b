"""Where a randomised value of an engine lives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import warp as wp

from proveout.envs.core.errors import ModelError


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
        at_reset: Whether a task's `reset` may write the quantity: the drawn number then changes
            what stands there after it, and `nominal` is what stands there if it does not.
    """

    array: wp.array
    element: np.ndarray
    component: np.ndarray
    nominal: np.ndarray
    reference: np.ndarray | None = None
    positive: bool = False
    at_reset: bool = False


def matching(target: str, names: Sequence[str]) -> list[int]:
    """Indices of the names that a randomisation's target matches as a whole.

    Raises:
        ModelError: It matches none, or is no regular expression.
    """
    try:
        pattern = re.compile(target)
    except re.error as error:
        raise ModelError(f"randomisation target {target!r} is no expression: {error}") from None
    found = [i for i, name in enumerate(names) if pattern.fullmatch(name)]
    if not found:
        known = ", ".join(name for name in names if name)
        raise ModelError(f"randomisation target {target!r} matches none of: {known}")
    return found
