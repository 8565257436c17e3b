"""A policy whose action for a world does not depend on the worlds beside it.

A matrix product may sum in another order when it has another number of rows. So a policy is always
asked for the same number of rows, and once, beforehand, whether their order matters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from proveout.policies.errors import PolicyError
from proveout.training.evaluation.policy_source import Policy, actions_of

# Rows of a question; what is missing is filled with zeros. Small batches cost little more.
BLOCK = 256


class SteadyPolicy:
    """Actions of a policy, the same bits for an observation in whatever company it comes."""

    def __init__(self, policy: Policy, observation_size: int) -> None:
        """Find out whether blocks do, or only single rows.

        Args:
            policy: Deterministic.
            observation_size: Numbers in an observation.

        Raises:
            PolicyError: Asked twice, it gives two answers: no row could be replayed.
        """
        self._policy = policy
        self._size = observation_size
        self.block = BLOCK
        draw = np.random.default_rng(0)
        seen = draw.normal(size=(BLOCK, observation_size)).astype(np.float32)
        first = self._ask(seen)
        if not np.array_equal(first, self._ask(seen), equal_nan=True):
            raise PolicyError(
                "the policy gives other actions for the same observations, so that no row could be "
                "replayed; give a deterministic one, such as expert, pretrained, a run or a file."
            )
        order = draw.permutation(BLOCK)
        if not np.array_equal(first[order], self._ask(seen[order]), equal_nan=True):
            self.block = 1

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Return actions (N, A), float32, for observations (N, O)."""
        number = len(observation)
        asked = np.zeros((-(-number // self.block) * self.block, self._size), np.float32)
        asked[:number] = observation
        answers = [
            self._ask(asked[start : start + self.block])
            for start in range(0, len(asked), self.block)
        ]
        return np.concatenate(answers)[:number]

    def _ask(self, block: np.ndarray) -> Any:
        return np.asarray(actions_of(self._policy, block), np.float32)
