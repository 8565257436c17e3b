"""The JSON card beside a policy's file: what it observes, what it does, where it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proveout.assets.files.atomic import read_regular, write_described
from proveout.policies.errors import PolicyError

FORMAT = "proveout-actor"
VERSION = 2
# Version 1 knew multilayer perceptrons only; it is a special case of version 2.
_READABLE = {(FORMAT, VERSION), ("proveout-mlp-actor", 1)}
# A few times the largest network trained on these tasks.
MAX_WEIGHTS_BYTES = 256 * 2**20
MAX_CARD_BYTES = 8 * 2**20
MAX_LAYERS = 64
_LARGEST = (2.0 - 2.0**-23) * 2.0**127

# Names in presets and on cards -> classes of torch.nn, with their default parameters.
ACTIVATIONS = {
    "elu": "ELU",
    "gelu": "GELU",
    "leaky_relu": "LeakyReLU",
    "relu": "ReLU",
    "selu": "SELU",
    "silu": "SiLU",
    "softplus": "Softplus",
    "tanh": "Tanh",
}
# "clip": the last layer's values, clipped to the bounds (PPO).
# "tanh": their tanh, from -1..1 to the bounds (SAC, TD3, TQC).
OUTPUTS = ("clip", "tanh")


def card_path(path: Path) -> Path:
    """Return where a policy's card lies: p.json for p.safetensors, p.onnx.json for p.onnx."""
    if path.suffix == ".safetensors":
        return path.with_suffix(".json")
    return path.with_name(f"{path.name}.json")


def write_with_card(
    path: Path, data: bytes, card: Mapping[str, Any], network: Mapping[str, Any]
) -> Path:
    """Write a policy's file and its card; return the card's path.

    Args:
        path: The policy's file.
        data: Its bytes.
        card: What is told of the policy.
        network: What is needed to use it.

    Raises:
        PolicyError: one of them cannot be written; then neither is.
    """
    whole = {
        "format": FORMAT,
        "version": VERSION,
        **card,
        "network": dict(network),
        "weights_sha256": hashlib.sha256(data).hexdigest(),
    }
    target = card_path(path)
    text = json.dumps(whole, indent=1, allow_nan=False) + "\n"
    try:
        write_described(path, data, target, text)
    except OSError as error:
        raise PolicyError(
            f"{path} and its card cannot be written: {error.strerror or error}; make room, or "
            "choose another place for it."
        ) from error
    return target


def read_with_card(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of a policy's file and its card, whose network can be relied on.

    The checksum is left to `check_digest`, so that a damaged file can be told from another one.

    Raises:
        PolicyError: one of them is missing, too large or damaged.
    """
    card = _read_card(card_path(path))
    return read_bounded(path, MAX_WEIGHTS_BYTES), card


def check_digest(path: Path, data: bytes, card: Mapping[str, Any]) -> None:
    """Raise PolicyError unless the card describes these bytes."""
    if hashlib.sha256(data).hexdigest() != card["weights_sha256"]:
        raise PolicyError(
            f"{path} is not the file that {card_path(path).name} describes (checksums differ); "
            "export the policy again."
        )


def read_bounded(path: Path, limit: int) -> bytes:
    """Return a regular file's bytes, at most `limit`."""
    try:
        data = read_regular(path, limit)
    except FileNotFoundError as error:
        raise PolicyError(
            f"{path} does not exist; a policy is a .safetensors or .onnx file with its JSON card "
            "beside it (p.json for p.safetensors, p.onnx.json for p.onnx)."
        ) from error
    except OSError as error:
        raise PolicyError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > limit:
        raise PolicyError(f"{path} is larger than {limit // 2**20} MiB, too large for a policy.")
    return data


def is_float32(value: Any) -> bool:
    """Return whether a value of JSON is a number that is finite as float32."""
    return type(value) in (int, float) and -_LARGEST <= value <= _LARGEST


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(read_bounded(path, MAX_CARD_BYTES))
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"{path} is not valid JSON ({error}); export again.") from error
    formats = [name for name, _ in _READABLE]
    if not isinstance(card, dict) or card.get("format") not in formats:
        raise PolicyError(f"{path} is not the card of a policy (format '{FORMAT}').")
    version: Any = card.get("version")
    if type(version) is not int or (card["format"], version) not in _READABLE:
        raise PolicyError(f"{path} has version {version!r}; this release reads version {VERSION}.")
    for key in ("observation", "action"):
        if key in card and not isinstance(card[key], dict):
            raise PolicyError(f"{path}: '{key}' must be the JSON object of a layout; export again.")
    network: Any = card.get("network")
    if not isinstance(network, dict) or not isinstance(card.get("weights_sha256"), str):
        raise PolicyError(f"{path} has no 'network' or no 'weights_sha256'; export again.")
    sizes: Any = network.get("sizes")
    widths_fine = isinstance(sizes, list) and all(type(n) is int and n > 0 for n in sizes)
    if not widths_fine or not 2 <= len(sizes) <= MAX_LAYERS:
        raise PolicyError(f"{path}: network.sizes must be 2 to {MAX_LAYERS} positive integers.")
    for key, known in (("activation", tuple(ACTIVATIONS)), ("output", OUTPUTS)):
        if network.get(key) not in known:
            raise PolicyError(f"{path}: network.{key} is {network.get(key)!r}, expected {known}.")
    for key in ("action_low", "action_high"):
        values: Any = network.get(key)
        numbers = isinstance(values, list) and all(is_float32(value) for value in values)
        if not numbers or len(values) != sizes[-1]:
            raise PolicyError(
                f"{path}: network.{key} must be {sizes[-1]} numbers that are finite as float32."
            )
    bounds = zip(network["action_low"], network["action_high"], strict=True)
    if any(low > high for low, high in bounds):
        raise PolicyError(f"{path}: network.action_low is above network.action_high.")
    features: Any = network.get("features")
    if features is not None and (
        not isinstance(features, dict)
        or any(not isinstance(value, dict | None) for value in features.values())
    ):
        raise PolicyError(f"{path}: network.features must be null or hold JSON objects.")
    return card
