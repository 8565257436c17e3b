"""What each rank does in test_distributed.py; run as a program, one process a rank.

Usage: ranks_at_work.py FOLDER. Each rank leaves FOLDER/<rank>.pt, what it has come to. At the end
rank 1 hangs, so that rank 0 must give it up.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import fake_env
import tensor_env
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.distributions import DiagGaussianDistribution

from proveout.training.distributed import pulse
from proveout.training.distributed.joining import joined
from proveout.training.distributed.ranks import RankError, Ranks
from proveout.training.presets import build_algorithm, make_preset
from proveout.training.sb3.callbacks import synchronous
from proveout.training.sb3.callbacks.adaptive_kl import AdaptiveKL
from proveout.training.sb3.callbacks.normalizer import NormalizerCallback
from proveout.training.sb3.callbacks.synchronous import SharedLimit, Synchronous, begin_together
from proveout.training.sb3.vec_env import SB3VecEnv

SEED = 3
STEPS = 4  # of a roll-out
ENVS = {
    "ppo": fake_env.PointVectorEnv,
    "tensor_ppo": tensor_env.TensorPointVectorEnv,
}
# One minibatch of all samples, advantages as they are: then K ranks with N worlds each and one
# process with K N worlds have the same loss, but for the order of additions.
WHOLE_BATCH = {"n_epochs": 4, "normalize_advantage": False}


class WatchedLimit(SharedLimit):
    """Counts where this rank alone would have decided otherwise."""

    lonely = 0

    def __mul__(self, factor: float) -> WatchedLimit:
        return WatchedLimit(self.value * factor, self._ranks)

    __rmul__ = __mul__

    def __lt__(self, divergence: Any) -> bool:
        together = super().__lt__(divergence)
        WatchedLimit.lonely += together != (float(divergence) > self.value)
        return together


def learn(
    ranks: Ranks, algo: str, num_envs: int, updates: int, *, same_noise: bool = False, **preset: Any
) -> dict[str, Any]:
    """Train `updates` iterations; return the parameters and what tells how they came about."""
    WatchedLimit.lonely = 0
    venv = SB3VecEnv(ENVS[algo](num_envs))
    overrides = {"num_envs": num_envs, "n_steps": STEPS, "normalize_observations": True, **preset}
    made = make_preset(algo, fake_env.PointTask.presets, overrides)
    model = build_algorithm(made, venv, seed=ranks.seed(SEED), device="cpu")
    begin_together(ranks, model, venv, SEED)
    steps = []
    model.policy.optimizer.register_step_post_hook(lambda *_: steps.append(None))
    assert made.adaptive_kl is not None
    callbacks: list[BaseCallback] = [
        NormalizerCallback(ranks.sum_),
        AdaptiveKL(*made.adaptive_kl, annealed=False),
    ]
    if ranks.size > 1:
        callbacks.insert(0, Synchronous(ranks))
    original = DiagGaussianDistribution.sample
    if same_noise:
        DiagGaussianDistribution.sample = _noise_of_all_worlds(ranks)
    try:
        model.learn(updates * STEPS * num_envs * ranks.size, callback=callbacks)
    finally:
        DiagGaussianDistribution.sample = original
    synchronous.check_identical(ranks, model)
    return {
        "policy": {name: value.clone() for name, value in model.policy.state_dict().items()},
        "rate": model.learning_rate,
        "samples": model.num_timesteps,
        "epochs": model._n_updates,
        "optimizer_steps": len(steps),
        "lonely": WatchedLimit.lonely,
        "target_kl": model.target_kl,
        "goals": torch.tensor(venv.env._goal[:2]),
        "model": model,
    }


def _noise_of_all_worlds(ranks: Ranks) -> Any:
    """Return a `sample` that gives a world the same noise, whichever rank it is on."""
    generator = torch.Generator().manual_seed(11)

    def sample(self: DiagGaussianDistribution) -> torch.Tensor:
        loc, scale = self.distribution.loc, self.distribution.scale
        rows, columns = loc.shape
        whole = torch.randn(rows * ranks.size, columns, generator=generator)
        return loc + scale * whole[ranks.rank * rows : (ranks.rank + 1) * rows]

    return sample


def _all_cases(ranks: Ranks) -> dict[str, Any]:
    synchronous.SharedLimit = WatchedLimit  # type: ignore[misc]
    told = {
        "plain": learn(ranks, "ppo", 8, 50, batch_size=8, n_epochs=2),
        # Far below the divergence of the first minibatch's step: every update stops early.
        "early": learn(ranks, "ppo", 8, 50, batch_size=8, n_epochs=2, target_kl=0.002),
        "tensor": learn(ranks, "tensor_ppo", 8, 20, batch_size=8, n_epochs=2, target_kl=0.002),
        "half": learn(ranks, "ppo", 8, 12, same_noise=True, batch_size=8 * STEPS, **WHOLE_BATCH),
    }
    models = [case.pop("model") for case in told.values()]
    told["numbers"] = {
        "mean": ranks.mean(float(ranks.rank)),
        "highest": ranks.highest(-ranks.rank, ranks.rank),
        "any": [ranks.any(ranks.rank == 1), ranks.any(False)],
        "broadcast": ranks.broadcast(f"from {ranks.rank}"),
        "gather": ranks.gather(ranks.rank),
        "collect": ranks.collect(ranks.rank),
    }
    if ranks.rank == 1:
        with torch.no_grad():
            models[0].policy.action_net.bias[0] += 1e-6
    try:
        synchronous.check_identical(ranks, models[0])
    except RankError as error:
        told["differing"] = str(error)
    return told


if __name__ == "__main__":
    torch.set_num_threads(1)
    pulse.SILENT, pulse.GRACE = 3.0, 1.0
    with joined("ppo", "cpu") as these:
        torch.save(_all_cases(these), Path(sys.argv[1]) / f"{these.rank}.pt")
        these.barrier()
        if these.rank == 1:  # stopped in its tracks, its connections stay open
            os.kill(os.getpid(), signal.SIGSTOP)
        these.barrier()
