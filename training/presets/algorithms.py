"""Which algorithms there are, and where each of them lives."""

from __future__ import annotations

import importlib
from typing import Any

from proveout.assets.files.errors import unknown
from proveout.training.presets.checks import PresetError

# Where each algorithm lives; imported when used.
ALGORITHMS: dict[str, tuple[str, str]] = {
    "ppo": ("stable_baselines3", "PPO"),
    "a2c": ("stable_baselines3", "A2C"),
    "sac": ("stable_baselines3", "SAC"),
    "td3": ("stable_baselines3", "TD3"),
    "tqc": ("sb3_contrib", "TQC"),
    "tensor_ppo": ("proveout.training.sb3.tensor.ppo", "TensorPPO"),
    "tensor_sac": ("proveout.training.sb3.tensor.sac", "TensorSAC"),
    "tensor_td3": ("proveout.training.sb3.tensor.td3", "TensorTD3"),
}
# Algorithms that take the preset of another: the same mathematics on another path.
PRESET_OF = {"tensor_ppo": "ppo", "tensor_sac": "sac", "tensor_td3": "td3"}


def algorithm_class(algo: str) -> Any:
    """Return the algorithm's class.

    Raises:
        UnknownNameError: not in `ALGORITHMS`.
        PresetError: its package is not installed.
    """
    if algo not in ALGORITHMS:
        raise unknown("algorithm", algo, ALGORITHMS)
    module, name = ALGORITHMS[algo]
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        package = module.replace("_", "-")
        raise PresetError(
            f"algorithm '{algo}' needs the package {package}; run: pip install {package}"
        ) from error
