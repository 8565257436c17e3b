"""The presets of the two engines, number for number: published figures were trained with them."""

from proveout.envs.driving.task import RoadTask
from proveout.envs.factory.task import ArticulatedTask

ARTICULATED = {
    "num_envs": 512,
    "total_timesteps": 1_200_000,
    "n_steps": 16,
    "batch_size": 2048,
    "n_epochs": 5,
    "learning_rate": 1e-3,
    "adaptive_kl": (0.008, 0.025),
    "gamma": 0.98,
    "gae_lambda": 0.95,
    "ent_coef": 0.0,
    "max_grad_norm": 1.0,
    "normalize_observations": False,  # the default
    "policy_kwargs": {
        "net_arch": [128, 128],
        "activation_fn": "elu",
        "log_std_init": -0.5,
        "ortho_init": False,
        "action_head_scale": 0.05,
    },
}
ROAD = {
    "num_envs": 1024,
    "total_timesteps": 1_000_000,
    "n_steps": 16,
    "batch_size": 4096,
    "n_epochs": 3,
    "learning_rate": 1e-3,
    "adaptive_kl": (0.008, 0.025),
    "gamma": 0.98,
    "gae_lambda": 0.95,
    "ent_coef": 0.0,
    "max_grad_norm": 1.0,
    "normalize_observations": False,  # the default
    "policy_kwargs": {
        "net_arch": [128, 128],
        "activation_fn": "elu",
        "log_std_init": -1.0,
        "ortho_init": False,
        "action_head_scale": 0.05,
    },
}


def test_both_engines_keep_their_numbers():
    assert ArticulatedTask.presets == {"ppo": ARTICULATED}
    assert RoadTask.presets == {"ppo": ROAD}
