"""Values in a preset that may come from a file: types and sizes, told before anything is built."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

from proveout.training.preset_checks import PresetError

# Weights of a network: as many as a policy's file may have.
_MAX_WEIGHTS = 64 * 2**20
_MAX_LAYERS = 62
_LARGEST = 1e30
# Numbers among `policy_kwargs`, with their ranges; exp(20) is far beyond any action.
_POLICY_NUMBERS: dict[str, tuple[float, float]] = {
    "log_std_init": (-20.0, 20.0),
    "action_head_scale": (-_LARGEST, _LARGEST),
    "initial_std": (0.0, _LARGEST),
}


# Arguments whose values are of several types.
_UNIONS = ("train_freq", "ent_coef", "target_entropy")


def check_size(name: str, value: Any) -> None:
    """Refuse a whole number that is beyond all use, and beyond what floats can hold.

    Raises:
        PresetError: such a number.
    """
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise PresetError(f"{name} must be at most {_LARGEST:g}, got {value!r:.80}.")


def check_count(name: str, value: Any, most: int) -> int:
    """Return a whole number from 1 to `most`.

    Raises:
        PresetError: anything else.
    """
    if type(value) not in (int, float) or not 1 <= value <= most or value != int(value):
        raise PresetError(
            f"{name} must be a whole number of at least 1 and at most {most}, got {value!r:.80}."
        )
    return int(value)


def check_kl_bounds(value: Any) -> tuple[float, float] | None:
    """Return the bounds of a target (half and double, as in rsl_rl) or of a pair; None as it is.

    Raises:
        PresetError: neither.
    """
    if value is None:
        return None
    pair = (value / 2.0, value * 2.0) if _is_number(value) else value
    if (
        not isinstance(pair, list | tuple)
        or len(pair) != 2
        or not all(map(_is_number, pair))
        or not 0.0 < pair[0] < pair[1]
    ):
        raise PresetError(f"adaptive_kl must be positive, or a rising pair, got {value!r:.80}.")
    return float(pair[0]), float(pair[1])


def check_like_default(name: str, value: Any, default: Any) -> None:
    """Refuse a value of another type than the default of the algorithm's own argument.

    Raises:
        PresetError: another type, or a number beyond all use.
    """
    if value is None and isinstance(default, int | float | str):
        raise PresetError(f"{name} must not be None: its default is {default!r}; leave it out.")
    if value is None or callable(value) or name in _UNIONS:
        return
    if isinstance(value, int | float) and not isinstance(value, bool) and not _is_number(value):
        raise PresetError(f"{name} must be a finite number up to {_LARGEST:g}, got {value!r:.80}.")
    if name.endswith("_class"):
        raise PresetError(f"{name} is a class, which only Python code can give; leave it out.")
    if name.endswith("_kwargs") and not isinstance(value, Mapping):
        raise PresetError(f"{name} must be a mapping, got {value!r:.80}.")
    if isinstance(default, bool):
        fits, words = isinstance(value, bool), "True or False"
    elif isinstance(default, int | float):
        fits, words = _is_number(value), "a number"
    else:
        return
    if not fits or (type(default) is int and value != int(value)):
        raise PresetError(f"{name} must be {words} as its default {default}, got {value!r:.80}.")


def check_policy_kwargs(policy: Any) -> dict[str, Any]:
    """Return the `policy_kwargs` of a preset.

    Raises:
        PresetError: no mapping, a number out of its range, a class as text, or a network too large.
    """
    if policy is None:
        return {}
    if not isinstance(policy, Mapping):
        raise PresetError(f"policy_kwargs must be a mapping, got {policy!r:.80}.")
    for key, value in policy.items():
        name = f"policy_kwargs.{key}"
        check_size(name, value)
        low, high = _POLICY_NUMBERS.get(key, (-_LARGEST, _LARGEST))
        numeric = _is_number(value) and low <= value <= high
        if key in _POLICY_NUMBERS and value is not None and not numeric:
            raise PresetError(
                f"{name} must be a number from {low:g} to {high:g}, got {value!r:.80}."
            )
        if key not in ("activation_fn", "net_arch"):
            check_like_default(name, value, None)
    return dict(policy)


def check_network_size(net_arch: Any) -> None:
    """Refuse layers, already known to be widths, that would be too many or too large.

    Raises:
        PresetError: more layers or weights than a policy's file may have.
    """
    for layers in net_arch.values() if isinstance(net_arch, Mapping) else (net_arch,):
        weights = sum(a * b for a, b in itertools.pairwise((1, *layers, 1)))
        if len(layers) > _MAX_LAYERS or weights > _MAX_WEIGHTS:
            raise PresetError(
                f"net_arch must have at most {_MAX_LAYERS} layers and {_MAX_WEIGHTS} weights, got "
                f"{layers!s:.80}."
            )


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= _LARGEST
        and not math.isnan(value)
    )
