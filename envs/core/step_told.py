"""What the last control step told of a world, for a page that shows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StepTold:
    """What a task wrote about one world in its last control step.

    Attributes:
        reward_terms: Raw terms, in the order of `Task.reward_terms`, shape (terms,).
        kpis: Values of this step alone, in the order of `Task.kpis`, shape (KPIs,).
        success: Whether the episode counts as a success so far.
    """

    reward_terms: np.ndarray
    kpis: np.ndarray
    success: bool
