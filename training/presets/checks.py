"""What the hyper-parameters of Stable-Baselines3 may be, told before anything is built."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from typing import Any

from proveout.assets.files.errors import ProveoutError

# Of these, the ones with an int as lower end are whole numbers. The upper ends are far above what
# trains, and below what overflows float32 or asks for more memory than there is.
_LARGE = 1e6
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("gamma", "gae_lambda", "tau"), (0.0, 1.0)),
    **dict.fromkeys(("ent_coef", "vf_coef", "exploration_noise"), (0.0, _LARGE)),
    **dict.fromkeys(("target_policy_noise", "target_noise_clip"), (0.0, _LARGE)),
    **dict.fromkeys(("learning_rate", "rms_prop_eps"), (0.0, 1.0)),
    **dict.fromkeys(("clip_range", "clip_range_vf", "max_grad_norm", "target_kl"), (0.0, 1e9)),
    "target_entropy": (-_LARGE, _LARGE),
    "num_envs": (1, 10**9),
    "total_timesteps": (1, 10**15),
    **dict.fromkeys(("n_steps", "n_epochs", "train_freq", "gradient_steps"), (1, 10**6)),
    **dict.fromkeys(("policy_delay", "stats_window_size"), (1, 10**6)),
    **dict.fromkeys(("batch_size", "buffer_size", "target_update_interval"), (1, 10**9)),
    "learning_starts": (0, 10**15),
    "sde_sample_freq": (-1, 10**9),
    "top_quantiles_to_drop_per_net": (0, 1000),
}
_POLICY_RANGES: dict[str, tuple[float, float]] = {
    "log_std_init": (-20.0, 5.0),
    "action_head_scale": (0.0, 1e3),
    "initial_std": (0.0, 1e3),
    "clip_mean": (0.0, _LARGE),
    "n_critics": (1, 100),
    "n_quantiles": (1, 1000),
}
_POSITIVE = (
    *("learning_rate", "clip_range", "clip_range_vf", "max_grad_norm", "target_kl", "tau"),
    *("exploration_noise", "rms_prop_eps", "initial_std"),
)
_OPTIONAL = ("target_kl", "clip_range_vf", "exploration_noise", "stats_window_size")
_SCHEDULES = ("learning_rate", "clip_range", "clip_range_vf")
_FLAGS = (
    *("normalize_advantage", "normalize_observations", "use_sde", "optimize_memory_usage"),
    *("use_rms_prop", "use_sde_at_warmup"),
)
_POLICY_FLAGS = (
    *("ortho_init", "full_std", "use_expln", "squash_output", "use_sde", "normalize_images"),
    "share_features_extractor",
)
# Algorithms whose entropy coefficient can be learnt.
_LEARNT_ENTROPY = ("sac", "tqc")
_AUTO = re.compile(r"auto(_\d+(\.\d*)?(e-?\d+)?)?")
_WIDEST_LAYER = 2**14
_MOST_LAYERS = 64
# Of 4 bytes; gradients and Adam's moments take three times as much again.
_MOST_WEIGHTS = 2**26
# What the command gives the algorithm by itself.
_ELSEWHERE = {
    "seed": "--seed",
    "device": "--device",
    "tensorboard_log": "--runs",
    "action_noise": "exploration_noise",
}
NOT_PRESET = frozenset((*_ELSEWHERE, "env", "verbose", "_init_setup_model"))


class PresetError(ProveoutError, ValueError):
    """A hyper-parameter with a value that cannot be used."""


def checked(name: str, value: Any, algo: str) -> Any:
    """Return the value of a hyper-parameter.

    Args:
        name: Of the algorithm, or one of a preset's own.
        value: Plain data; from Python also a class, or a schedule (a callable).
        algo: Key of `presets.ALGORITHMS` whose preset it is, "sac" for "tensor_sac".

    Raises:
        PresetError: of a wrong type, or outside its range.
    """
    if name in _ELSEWHERE:
        raise PresetError(f"{name} is not a hyper-parameter here; use {_ELSEWHERE[name]}.")
    if name in _FLAGS and not isinstance(value, bool):
        raise PresetError(f"{name} must be True or False, got {_told(value)}.")
    if name == "policy" and not isinstance(value, str | type):
        raise PresetError(f"policy must be a name such as 'MlpPolicy', got {_told(value)}.")
    if name == "policy_kwargs":
        return None if value is None else _checked_policy(value)
    if name.endswith("_kwargs") and value is not None:
        return checked_mapping(name, value)
    if name.endswith("_class") and not (value is None or isinstance(value, type)):
        raise PresetError(f"{name} must be a class, which only Python can give; leave it out.")
    if name not in _RANGES:
        return value
    if (value is None and name in _OPTIONAL) or (name in _SCHEDULES and callable(value)):
        return value
    if name == "train_freq" and isinstance(value, tuple | list):
        return _checked_frequency(value)
    if name == "ent_coef" and algo in _LEARNT_ENTROPY and isinstance(value, str):
        if _AUTO.fullmatch(value):
            return value
    if name == "target_entropy" and value == "auto":
        return value
    if name == "gradient_steps" and value == -1:  # as many as steps were made
        return value
    return _checked_number(name, value, *_RANGES[name])


def checked_mapping(name: str, value: Any) -> dict[str, Any]:
    """Return keyword arguments.

    Raises:
        PresetError: no dict, or one whose keys are not all text.
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise PresetError(f"{name} must be a dict with names as keys, got {_told(value)}.")
    return dict(value)


def checked_kl(value: Any) -> tuple[float, float] | None:
    """Return the bounds of a target (half and double, as in rsl_rl) or of a pair.

    Raises:
        PresetError: anything else, or a pair that does not rise.
    """
    if value is None:
        return None
    pair = value if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2 or not all(_is_number(end) for end in pair):
        raise PresetError(f"adaptive_kl must be a number or a pair, got {_told(value)}.")
    low, high = (float(end) for end in pair)
    if pair is not value:
        low, high = low / 2.0, high * 2.0
    if not 0.0 < low < high <= _LARGE:
        raise PresetError(f"adaptive_kl must be positive, or a rising pair, got {_told(value)}.")
    return low, high


def check_net_arch(value: Any) -> None:
    """Refuse layers that are no widths: [128, 128], or {"pi": [64], "vf": [64]}.

    Raises:
        PresetError: of anything else, or of more than memory holds.
    """
    for layers in value.values() if isinstance(value, dict) else (value,):
        widths = isinstance(layers, list | tuple) and all(
            isinstance(width, int) and not isinstance(width, bool) and width > 0 for width in layers
        )
        if not widths:
            raise PresetError(
                f"net_arch must be a list of widths such as [128, 128], got {_told(value)}."
            )
        if len(layers) > _MOST_LAYERS or max(layers, default=0) > _WIDEST_LAYER:
            raise PresetError(
                f"net_arch may have {_MOST_LAYERS} layers of at most {_WIDEST_LAYER}, "
                f"got {_told(value)}."
            )
        weights = sum(before * after for before, after in itertools.pairwise(layers))
        if weights > _MOST_WEIGHTS:
            raise PresetError(
                f"net_arch may have {_MOST_WEIGHTS} weights between its layers, {_told(value)} "
                f"has {weights}."
            )


def _checked_policy(value: Any) -> dict[str, Any]:
    """Return `policy_kwargs`; what is not known here is left to Stable-Baselines3."""
    kwargs = checked_mapping("policy_kwargs", value)
    for key, item in kwargs.items():
        name = f"policy_kwargs.{key}"
        if item is None:
            continue
        if key == "net_arch":
            check_net_arch(item)
        elif key == "activation_fn" and not isinstance(item, str):
            raise PresetError(f"{name} must be a name such as 'elu', got {_told(item)}.")
        elif key in _POLICY_FLAGS and not isinstance(item, bool):
            raise PresetError(f"{name} must be True or False, got {_told(item)}.")
        elif key in _POLICY_RANGES:
            kwargs[key] = _checked_number(name, item, *_POLICY_RANGES[key])
        elif key.endswith("_kwargs"):
            checked_mapping(name, item)
        elif key.endswith("_class") and not isinstance(item, type):
            raise PresetError(f"{name} must be a class, which only Python can give; leave it out.")
    return kwargs


def check_together(preset: Mapping[str, Any], num_envs: int) -> None:
    """Refuse hyper-parameters that fit by themselves and not together.

    Raises:
        PresetError: learning after each episode of several worlds, whose episodes differ in length.
    """
    frequency = preset.get("train_freq")
    if num_envs > 1 and isinstance(frequency, tuple) and frequency[1] == "episode":
        raise PresetError(
            f"train_freq={frequency} needs num_envs=1, got {num_envs}; count steps instead: "
            f'({frequency[0]}, "step").'
        )


def _checked_frequency(value: Any) -> tuple[Any, Any]:
    """Return a pair of a number and "step" or "episode"."""
    if len(value) != 2 or value[1] not in ("step", "episode"):
        raise PresetError(
            f'train_freq must be a number, or a pair such as (4, "step"), got {_told(value)}.'
        )
    return _checked_number("train_freq", value[0], *_RANGES["train_freq"]), value[1]


def _checked_number(name: str, value: Any, low: float, high: float) -> Any:
    if not _is_number(value):
        raise PresetError(f"{name} must be a number, got {_told(value)}.")
    if name.rpartition(".")[2] in _POSITIVE and not value > 0.0:
        raise PresetError(f"{name} must be positive, got {_told(value)}.")
    if not low <= value <= high:
        raise PresetError(
            f"{name} must be at least {low:g} and at most {high:g}, got {_told(value)}."
        )
    if isinstance(low, int):
        if value != int(value):
            raise PresetError(f"{name} must be a whole number, got {_told(value)}.")
        return int(value)
    return value


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # A whole number may be too large for a float.
    return number and (isinstance(value, int) or math.isfinite(value))


def _told(value: Any) -> str:
    """Return a value in a message, shortened."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:90]}..."
