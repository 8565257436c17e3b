"""Stock PPO on several ranks as one PPO: the same parameters everywhere, after every update.

`PPO.train` stays as it is. What the ranks must do together happens where it lets others in: in
hooks of the parameters, in the comparison with `target_kl`, and in callbacks between roll-outs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

from proveout.training.distributed.ranks import RankError, Ranks


def begin_together(ranks: Ranks, model: Any, venv: Any, seed: int) -> None:
    """Give all ranks the first one's parameters, and worlds that no other rank has.

    Rank r of N worlds each has the worlds number r N to r N + N - 1 of the run's seed: K ranks
    train on the very worlds of one process with K N of them. (Counting up the seed instead would
    give the second rank the worlds of a run with the next seed.)
    """
    venv.seed(seed)
    start = ranks.rank * venv.num_envs
    venv.set_options({"world_ids": list(range(start, start + venv.num_envs))})
    for tensor in model.policy.state_dict().values():
        ranks.broadcast_(tensor)


def check_identical(ranks: Ranks, model: Any) -> None:
    """Compare the parameters of all ranks, bit by bit.

    Raises:
        RankError: some differ; their ranks are named.
    """
    if ranks.size == 1:
        return
    digest = hashlib.sha256()
    for name, tensor in model.policy.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    told = ranks.gather(digest.hexdigest())
    other = [str(rank) for rank, one in enumerate(told) if one != told[0]]
    if other:
        names = f"rank{'s' if len(other) > 1 else ''} {' and '.join(other)}"
        raise RankError(
            f"the parameters of {names} differ from those of rank 0 after {model.num_timesteps} "
            "samples; use the same machines, devices and libraries for all ranks, and go on from "
            "the last checkpoint with --resume RUN"
        )


class Synchronous(BaseCallback):
    """Makes the ranks update, count and stop as one; must stand before all other callbacks."""

    def __init__(self, ranks: Ranks) -> None:
        """Set up."""
        super().__init__()
        self._ranks = ranks
        self._gradients: AveragedGradients | None = None
        self._updating = False
        self._target_kl: float | None = None

    def _on_training_start(self) -> None:
        self._gradients = AveragedGradients(self.model.policy.parameters(), self._ranks)

    def _on_rollout_start(self) -> None:
        self._finish_update()

    def _on_step(self) -> bool:
        # The model has counted its own worlds.
        self.model.num_timesteps += (self._ranks.size - 1) * self.training_env.num_envs
        return True

    def _on_rollout_end(self) -> None:
        model: Any = self.model
        self._updating = True
        self._target_kl = model.target_kl
        if model.target_kl is not None:
            model.target_kl = SharedLimit(model.target_kl, self._ranks)

    def _on_training_end(self) -> None:
        self._finish_update()
        assert self._gradients is not None
        self._gradients.remove()

    def _finish_update(self) -> None:
        """Let all ranks know the same about the last update, before anybody reads or saves it."""
        if not self._updating:
            return
        self._updating = False
        model: Any = self.model
        model.target_kl = self._target_kl
        logged = self.logger.name_to_value
        names = sorted(
            name
            for name, value in logged.items()
            if name.startswith("train/") and isinstance(value, float | np.floating)
        )
        means = self._ranks.means([float(logged[name]) for name in names])
        logged.update(zip(names, means, strict=True))


class AveragedGradients:
    """At the end of each backward pass, the gradients of all ranks are averaged.

    One all-reduce of one flat tensor, before gradients are clipped.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], ranks: Ranks) -> None:
        """Hook onto the parameters, which are the same on all ranks."""
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._ranks = ranks
        kind = self._parameters[0]
        sizes = [parameter.numel() for parameter in self._parameters]
        self._flat = torch.zeros(sum(sizes), dtype=kind.dtype, device=kind.device)
        self._views = [
            part.view_as(parameter)
            for part, parameter in zip(self._flat.split(sizes), self._parameters, strict=True)
        ]
        self._queued = False
        self._handles = [
            parameter.register_post_accumulate_grad_hook(self._accumulated)
            for parameter in self._parameters
        ]

    def _accumulated(self, parameter: torch.Tensor) -> None:
        # Not when the last parameter has its gradient: one may have none in this pass.
        if not self._queued:
            self._queued = True
            torch.autograd.Variable._execution_engine.queue_callback(self._average)

    def _average(self) -> None:
        self._queued = False
        for parameter, view in zip(self._parameters, self._views, strict=True):
            if parameter.grad is None:
                view.zero_()
            else:
                view.copy_(parameter.grad)
        self._ranks.sum_(self._flat).div_(self._ranks.size)
        for parameter, view in zip(self._parameters, self._views, strict=True):
            parameter.grad = view

    def remove(self) -> None:
        """Unhook."""
        for handle in self._handles:
            handle.remove()


class SharedLimit:
    """A `target_kl` that all ranks exceed together or not at all.

    Stock PPO asks each minibatch `approx_kl_div > 1.5 * self.target_kl` and stops the update if so.
    A rank that stopped alone would leave the others waiting for its gradients. With this object the
    question is about the mean over the ranks.
    """

    # NumPy leaves comparisons to this class.
    __array_ufunc__ = None

    def __init__(self, value: float, ranks: Ranks) -> None:
        """Set the limit."""
        self.value = value
        self._ranks = ranks

    def __mul__(self, factor: float) -> SharedLimit:
        """Return the limit times a factor."""
        return SharedLimit(self.value * factor, self._ranks)

    __rmul__ = __mul__

    def __lt__(self, divergence: Any) -> bool:
        """Return whether the mean divergence of all ranks is above the limit."""
        return self._ranks.mean(float(divergence)) > self.value
