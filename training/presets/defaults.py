"""Presets for tasks without one of their own."""

from __future__ import annotations

from typing import Any

# For tasks without a preset of their own: what works with hundreds of worlds on one machine.
_ON_POLICY: dict[str, Any] = {
    "num_envs": 512,
    "total_timesteps": 2_000_000,
    "n_steps": 16,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "policy_kwargs": {
        "net_arch": [128, 128],
        "activation_fn": "elu",
        "ortho_init": False,
        "log_std_init": -0.5,
        "action_head_scale": 0.05,
    },
}
_OFF_POLICY: dict[str, Any] = {
    "num_envs": 64,
    "total_timesteps": 300_000,
    "batch_size": 1024,
    "buffer_size": 300_000,
    "learning_starts": 5_000,
    "gradient_steps": 16,
    "train_freq": 1,
    "gamma": 0.99,
    "policy_kwargs": {"net_arch": [256, 256], "activation_fn": "relu"},
}
# Hundreds to thousands of worlds: one update for 32 samples, on what several steps told (n_steps),
# so gradient_steps goes up with num_envs; small first actions, and an entropy bonus that does not
# drown rewards of about 0.1 a step. Reach, SAC: 0.95 after 0.25 M samples with 128 worlds, after
# 0.35 M with 1,024 (32 updates a step).
_OFF_POLICY_TENSOR: dict[str, Any] = {
    "num_envs": 256,
    "total_timesteps": 400_000,
    "batch_size": 256,
    "buffer_size": 1_000_000,
    "learning_starts": 5_000,
    "gradient_steps": 8,
    "train_freq": 1,
    "n_steps": 3,
    "learning_rate": 1e-3,
    "tau": 0.02,
    "gamma": 0.98,
}
_OFF_POLICY_TENSOR_NET: dict[str, Any] = {
    "net_arch": [128, 128],
    "activation_fn": "relu",
    "action_head_scale": 0.05,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "ppo": {
        **_ON_POLICY,
        "batch_size": 2048,
        "n_epochs": 5,
        "learning_rate": 1e-3,
        "adaptive_kl": 0.01,
        "ent_coef": 0.0,
    },
    "a2c": {**_ON_POLICY, "learning_rate": 7e-4},
    "sac": _OFF_POLICY,
    "td3": {**_OFF_POLICY, "exploration_noise": 0.1},
    "tqc": _OFF_POLICY,
    "tensor_sac": {
        **_OFF_POLICY_TENSOR,
        "ent_coef": "auto_0.001",
        "policy_kwargs": {**_OFF_POLICY_TENSOR_NET, "initial_std": 0.4},
    },
    "tensor_td3": {
        **_OFF_POLICY_TENSOR,
        "exploration_noise": 0.2,
        "policy_kwargs": _OFF_POLICY_TENSOR_NET,
    },
}
