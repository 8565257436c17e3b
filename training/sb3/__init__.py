"""Stable-Baselines3 on batched worlds: a `VecEnv`, and algorithms with roll-outs on the device.

Imported when they are asked for: each needs torch and Stable-Baselines3.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proveout.training.sb3.tensor_ppo import TensorPPO
    from proveout.training.sb3.tensor_sac import TensorSAC
    from proveout.training.sb3.tensor_td3 import TensorTD3
    from proveout.training.sb3.vec_env import SB3VecEnv

__all__ = ["SB3VecEnv", "TensorPPO", "TensorSAC", "TensorTD3"]

_MODULES = {
    "SB3VecEnv": "vec_env",
    "TensorPPO": "tensor_ppo",
    "TensorSAC": "tensor_sac",
    "TensorTD3": "tensor_td3",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
