"""When the observation normaliser inside a policy learns: once between two roll-outs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

from proveout.policies.normalize import normalizers
from proveout.training.sb3.errors import BridgeError


class NormalizerCallback(BaseCallback):
    """Takes the observations of each roll-out into the policy's statistics after its update.

    They are summed up at the end of the roll-out, where the buffer lies, and merged before the next
    one begins: the update in between sees the statistics that the roll-out acted with, so that
    PPO's ratio starts at exactly 1. Nothing is read on the host.

    It must stand before a callback that saves checkpoints at the start of a roll-out.
    """

    def __init__(self, reduce: Callable[[torch.Tensor], Any] | None = None) -> None:
        """Set up.

        Args:
            reduce: Sums a tensor over all ranks, in place; None: one process.
        """
        super().__init__()
        self._reduce = reduce
        self._pending: torch.Tensor | None = None
        self._seen = 0

    def _on_training_start(self) -> None:
        if not normalizers(self.model.policy):
            raise BridgeError(
                "the policy has no observation normaliser; set normalize_observations=True in its "
                "preset, or leave this callback out."
            )
        self._pending = None
        self._seen = self.model.num_timesteps

    def _on_rollout_start(self) -> None:
        self._apply()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        steps = (self.model.num_timesteps - self._seen) // self.training_env.num_envs
        self._seen = self.model.num_timesteps
        if steps == 0:
            return
        observations = torch.as_tensor(_observations(self.model, steps))
        state = normalizers(self.model.policy)[0].state_for_reduction(observations)
        if self._reduce is not None:
            self._reduce(state)
        self._pending = state

    def _on_training_end(self) -> None:
        self._apply()

    def _apply(self) -> None:
        if self._pending is None:
            return
        for normalizer in normalizers(self.model.policy):
            normalizer.merge(self._pending)
        self._pending = None


def _observations(model: Any, steps: int) -> Any:
    """Return the observations (T, N, O) of the roll-out that has just ended."""
    buffer = getattr(model, "rollout_buffer", None)
    if buffer is not None:
        data = getattr(buffer, "data", None)  # a buffer of tensors
        return buffer.observations if data is None else data["observation"]
    buffer = model.replay_buffer
    newest = np.arange(buffer.pos - min(steps, buffer.buffer_size), buffer.pos)
    return buffer.observations[newest % buffer.buffer_size]
