"""What the hyper-parameters of Stable-Baselines3 may be, told before anything is built."""

from __future__ import annotations

import math
import re
from typing import Any

from proveout.assets.errors import ProveoutError

# Of these, the ones with an int as lower end are whole numbers.
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("gamma", "gae_lambda", "tau"), (0.0, 1.0)),
    **dict.fromkeys(("ent_coef", "vf_coef"), (0.0, math.inf)),
    **dict.fromkeys(("learning_rate", "clip_range", "max_grad_norm", "target_kl"), (0.0, math.inf)),
    **dict.fromkeys(("n_steps", "n_epochs", "batch_size", "buffer_size"), (1, math.inf)),
    **dict.fromkeys(("learning_starts",), (0, math.inf)),
    **dict.fromkeys(("train_freq", "gradient_steps"), (1, math.inf)),
}
_POSITIVE = ("learning_rate", "clip_range", "max_grad_norm", "target_kl", "tau")
_FLAGS = ("normalize_advantage", "normalize_observations", "use_sde", "optimize_memory_usage")
_AUTO = re.compile(r"auto(_\d+(\.\d*)?(e-?\d+)?)?")
# What the command gives the algorithm by itself.
_ELSEWHERE = {"seed": "--seed", "device": "--device", "tensorboard_log": "--runs"}
NOT_PRESET = frozenset((*_ELSEWHERE, "env", "verbose", "_init_setup_model"))


class PresetError(ProveoutError, ValueError):
    """A hyper-parameter with a value that cannot be used."""


def checked(name: str, value: Any) -> Any:
    """Return the value of a hyper-parameter; None and schedules (callables) pass.

    Raises:
        PresetError: of a wrong type, or outside its range.
    """
    if name in _ELSEWHERE:
        raise PresetError(f"{name} is not a hyper-parameter here; use {_ELSEWHERE[name]}.")
    if name in _FLAGS and not isinstance(value, bool):
        raise PresetError(f"{name} must be True or False, got {value!r}.")
    if name not in _RANGES or value is None or callable(value):
        return value
    if name == "train_freq" and isinstance(value, tuple | list):  # (number, "step" or "episode")
        return tuple(value)
    if name == "ent_coef" and isinstance(value, str) and _AUTO.fullmatch(value):
        return value
    if name == "gradient_steps" and value == -1:  # as many as steps were made
        return value
    low, high = _RANGES[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise PresetError(f"{name} must be a number, got {value!r}.")
    if name in _POSITIVE and not value > 0.0:
        raise PresetError(f"{name} must be positive, got {value!r}.")
    if not low <= value <= high:
        told = f"at least {low:g}" + ("" if math.isinf(high) else f" and at most {high:g}")
        raise PresetError(f"{name} must be {told}, got {value!r}.")
    if isinstance(low, int):
        if value != int(value):
            raise PresetError(f"{name} must be a whole number, got {value!r}.")
        return int(value)
    return value


def check_net_arch(value: Any) -> None:
    """Refuse layers that are no widths: [128, 128], or {"pi": [64], "vf": [64]}.

    Raises:
        PresetError: of anything else.
    """
    for layers in value.values() if isinstance(value, dict) else (value,):
        widths = isinstance(layers, list | tuple) and all(
            isinstance(width, int) and not isinstance(width, bool) and width > 0 for width in layers
        )
        if not widths:
            raise PresetError(f"net_arch must be a list of widths such as [128, 128], got {value}.")
