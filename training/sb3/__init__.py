"""Stable-Baselines3 on batched worlds: a `VecEnv`, and algorithms with roll-outs on the device.

Imported when they are asked for: each needs torch and Stable-Baselines3.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proveout.training.sb3.callbacks.adaptive_kl import AdaptiveKL
    from proveout.training.sb3.callbacks.normalizer import NormalizerCallback
    from proveout.training.sb3.tensor.ppo import TensorPPO
    from proveout.training.sb3.tensor.sac import TensorSAC
    from proveout.training.sb3.tensor.td3 import TensorTD3
    from proveout.training.sb3.vec_env import SB3VecEnv

__all__ = [
    "AdaptiveKL",
    "NormalizerCallback",
    "SB3VecEnv",
    "TensorPPO",
    "TensorSAC",
    "TensorTD3",
]

_MODULES = {
    "AdaptiveKL": "callbacks.adaptive_kl",
    "NormalizerCallback": "callbacks.normalizer",
    "SB3VecEnv": "vec_env",
    "TensorPPO": "tensor.ppo",
    "TensorSAC": "tensor.sac",
    "TensorTD3": "tensor.td3",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
