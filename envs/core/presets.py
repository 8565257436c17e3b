"""Hyper-parameters that tasks share, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def ppo_preset(
    *,
    num_envs: int,
    total_timesteps: int,
    batch_size: int,
    n_epochs: int,
    log_std_init: float,
    n_steps: int = 16,
    net_arch: Sequence[int] = (128, 128),
    normalize_observations: bool = False,
) -> dict[str, Any]:
    """PPO for hundreds to thousands of worlds; what differs from engine to engine is given.

    Args:
        num_envs: Worlds.
        total_timesteps: Samples over all of them.
        batch_size: Samples of a minibatch.
        n_epochs: Passes over a roll-out.
        log_std_init: Logarithm of the first actions' standard deviation; actions are -1 to 1.
        n_steps: Steps of a roll-out.
        net_arch: Widths of the hidden layers.
        normalize_observations: Whether the policy scales what it observes by running statistics.
    """
    return {
        "num_envs": num_envs,
        "total_timesteps": total_timesteps,
        "n_steps": n_steps,
        "batch_size": batch_size,
        "n_epochs": n_epochs,
        "learning_rate": 1e-3,
        "adaptive_kl": (0.008, 0.025),
        "gamma": 0.98,
        "gae_lambda": 0.95,
        "ent_coef": 0.0,
        "max_grad_norm": 1.0,
        "normalize_observations": normalize_observations,
        "policy_kwargs": {
            "net_arch": list(net_arch),
            "activation_fn": "elu",
            "log_std_init": log_std_init,
            "ortho_init": False,
            "action_head_scale": 0.05,
        },
    }
