"""A trained actor as a file: weights in safetensors, everything else on a JSON card beside it.

No pickle, sizes bounded, checked before use: a policy from outside can be loaded safely.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from proveout.assets.errors import ProveoutError
from proveout.policies.atomic import atomic_path, write_atomic

FORMAT = "proveout-mlp-actor"
VERSION = 1
# A few times the largest network trained on these tasks.
MAX_WEIGHTS_BYTES = 256 * 2**20
MAX_CARD_BYTES = 8 * 2**20
MAX_LAYERS = 64

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


class PolicyError(ProveoutError):
    """A policy file that is missing, damaged, of another kind, or does not fit."""


def activation_class(name: str) -> Any:
    """Return the torch.nn class of a name in `ACTIVATIONS`."""
    import torch

    return getattr(torch.nn, ACTIVATIONS[name])


@dataclass(frozen=True)
class Network:
    """A multilayer perceptron from observation to action.

    Attributes:
        weights: For each layer (out, in) float32.
        biases: For each layer (out,) float32.
        activation: Between the layers; key of `ACTIVATIONS`.
        output: One of `OUTPUTS`.
        low: Lower bounds of the action (A,).
        high: Upper bounds of the action (A,).
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    activation: str
    output: str
    low: np.ndarray
    high: np.ndarray

    @property
    def sizes(self) -> list[int]:
        """Widths, from observation to action."""
        return [self.weights[0].shape[1], *(weight.shape[0] for weight in self.weights)]


class MlpActor:
    """The deterministic policy of a `Network`.

    Attributes:
        network: Weights and bounds.
        card: What is known of it; see `save_actor`.
    """

    def __init__(self, network: Network, card: Mapping[str, Any], device: str = "cpu") -> None:
        """Put the network on a torch device."""
        import torch

        self.network = network
        self.card = dict(card)
        modules: list[Any] = []
        for weight, bias in zip(network.weights, network.biases, strict=True):
            if modules:
                modules.append(activation_class(network.activation)())
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
            layer.weight.data.copy_(torch.from_numpy(weight))
            layer.bias.data.copy_(torch.from_numpy(bias))
            modules.append(layer)
        self._device = device
        self._layers = torch.nn.Sequential(*modules).to(device).requires_grad_(False)
        self._low = torch.from_numpy(network.low).to(device)
        self._high = torch.from_numpy(network.high).to(device)

    def predict(self, observation: np.ndarray) -> np.ndarray:
        """Return actions (N, A) or (A,) for observations (N, O) or (O,)."""
        import torch

        with torch.no_grad():
            values = self._layers(torch.as_tensor(observation, device=self._device))
            if self.network.output == "tanh":
                half = 0.5 * (self._high - self._low)
                values = self._low + half * (torch.tanh(values) + 1.0)
            return torch.clamp(values, self._low, self._high).cpu().numpy()


def actor_network(policy: Any) -> Network:
    """Return the actor of a Stable-Baselines3 policy (PPO, A2C, SAC, TD3, TQC with an MLP).

    Raises:
        PolicyError: another network than linear layers with one activation, or action bounds that
            are not a finite Box.
    """
    import torch

    space = policy.action_space
    if not hasattr(space, "low") or not np.all(np.isfinite([space.low, space.high])):
        raise PolicyError("Only policies with a bounded Box action space can be exported.")
    if policy.features_extractor_class.__name__ != "FlattenExtractor":
        name = policy.features_extractor_class.__name__
        raise PolicyError(f"The features extractor {name} cannot be exported to an MLP actor.")
    actor = getattr(policy, "actor", None)
    if actor is None:
        output = "tanh" if policy.squash_output else "clip"
        modules = [*policy.mlp_extractor.policy_net, policy.action_net]
    elif hasattr(actor, "latent_pi"):
        output, modules = "tanh", [*actor.latent_pi, actor.mu]
    else:
        output, modules = "tanh", list(actor.mu)
    if isinstance(modules[-1], torch.nn.Tanh):
        modules.pop()
    layers = [module for module in modules if isinstance(module, torch.nn.Linear)]
    between = [module for module in modules if not isinstance(module, torch.nn.Linear)]
    classes = {value: key for key, value in ACTIVATIONS.items()}
    kinds = {type(module).__name__ for module in between}
    if len(between) != len(layers) - 1 or len(kinds) > 1 or not kinds <= set(classes):
        raise PolicyError(f"The layers {[type(m).__name__ for m in modules]} cannot be exported.")
    return Network(
        weights=tuple(_array(layer.weight) for layer in layers),
        biases=tuple(_array(layer.bias) for layer in layers),
        activation=classes[kinds.pop()] if kinds else "relu",
        output=output,
        low=np.asarray(space.low, np.float32).ravel(),
        high=np.asarray(space.high, np.float32).ravel(),
    )


def save_actor(policy: Any, path: Path | str, card: Mapping[str, Any]) -> Path:
    """Write `path` (.safetensors) and the card `path` with suffix .json; return the card's path.

    Args:
        policy: A policy of Stable-Baselines3, or a `Network`.
        path: Ends in .safetensors.
        card: JSON data: `env_id`, `config`, `observation` and `action` (layouts as JSON objects),
            `control_dt` [s], `training`, `evaluation`, `versions`, as far as known. `format`,
            `network` and `weights_sha256` are added.

    Raises:
        PolicyError: a policy that cannot be exported, or another suffix.
    """
    from safetensors.numpy import save_file

    path = _weights_path(path)
    network = policy if isinstance(policy, Network) else actor_network(policy)
    tensors: dict[str, np.ndarray] = {}
    pairs = zip(network.weights, network.biases, strict=True)
    for number, (weight, bias) in enumerate(pairs):
        tensors[f"layers.{number}.weight"] = np.ascontiguousarray(weight)
        tensors[f"layers.{number}.bias"] = np.ascontiguousarray(bias)
    with atomic_path(path) as temporary:
        save_file(tensors, str(temporary))
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    whole = {
        "format": FORMAT,
        "version": VERSION,
        **card,
        "network": {
            "sizes": network.sizes,
            "activation": network.activation,
            "output": network.output,
            "action_low": network.low.tolist(),
            "action_high": network.high.tolist(),
        },
        "weights_sha256": digest,
    }
    card_path = path.with_suffix(".json")
    write_atomic(card_path, json.dumps(whole, indent=1, allow_nan=False) + "\n")
    return card_path


def load_actor(path: Path | str, device: str = "cpu") -> MlpActor:
    """Read what `save_actor` wrote.

    Raises:
        PolicyError: a file is missing, too large, damaged, or they do not belong together.
    """
    path = _weights_path(path)
    card_path = path.with_suffix(".json")
    card = _read_card(card_path)
    data = _read_bounded(path, MAX_WEIGHTS_BYTES)
    network = card["network"]
    sizes = network["sizes"]
    expected: dict[str, tuple[int, ...]] = {}
    for number in range(len(sizes) - 1):
        expected[f"layers.{number}.weight"] = (sizes[number + 1], sizes[number])
        expected[f"layers.{number}.bias"] = (sizes[number + 1],)
    tensors = _read_tensors(path, data, expected)
    if hashlib.sha256(data).hexdigest() != card["weights_sha256"]:
        raise PolicyError(
            f"{path} is not the file that {card_path.name} describes (checksums differ); "
            "export the policy again."
        )
    count = len(sizes) - 1
    loaded = Network(
        weights=tuple(tensors[f"layers.{i}.weight"] for i in range(count)),
        biases=tuple(tensors[f"layers.{i}.bias"] for i in range(count)),
        activation=network["activation"],
        output=network["output"],
        low=np.array(network["action_low"], np.float32),
        high=np.array(network["action_high"], np.float32),
    )
    return MlpActor(loaded, card, device)


def _read_tensors(
    path: Path, data: bytes, expected: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise PolicyError(
            f"{path} is damaged or not safetensors ({error}); export the policy again."
        ) from error
    for name, shape in expected.items():
        if name not in tensors:
            raise PolicyError(f"{path} has no tensor '{name}', which its card announces.")
        found = tensors[name]
        if found.shape != shape or found.dtype != np.float32:
            raise PolicyError(
                f"{path}: tensor '{name}' is {found.dtype} {found.shape}, expected float32 {shape}."
            )
        if not np.isfinite(found).all():
            raise PolicyError(f"{path}: tensor '{name}' has numbers that are not finite.")
    return tensors


def _read_card(path: Path) -> dict[str, Any]:
    """Return a card whose network description can be relied on."""
    try:
        card = json.loads(_read_bounded(path, MAX_CARD_BYTES))
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"{path} is not valid JSON ({error}); export again.") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise PolicyError(f"{path} is not the card of a policy (format '{FORMAT}').")
    if card.get("version") != VERSION:
        raise PolicyError(
            f"{path} has version {card.get('version')!r}; this release reads version {VERSION}."
        )
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
        numbers = isinstance(values, list) and all(
            type(v) in (int, float) and math.isfinite(v) for v in values
        )
        if not numbers or len(values) != sizes[-1]:
            raise PolicyError(f"{path}: network.{key} must be {sizes[-1]} finite numbers.")
    return card


def _read_bounded(path: Path, limit: int) -> bytes:
    """Return a file's bytes, at most `limit`."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise PolicyError(
            f"{path} does not exist; a policy is a .safetensors file with a .json "
            "card of the same name beside it."
        ) from error
    except OSError as error:
        raise PolicyError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > limit:
        raise PolicyError(f"{path} is larger than {limit // 2**20} MiB, too large for a policy.")
    return data


def _weights_path(path: Path | str) -> Path:
    path = Path(path)
    if path.suffix != ".safetensors":
        raise PolicyError(f"{path} must end in .safetensors; the card goes beside it as .json.")
    return path


def _array(parameter: Any) -> np.ndarray:
    return parameter.detach().cpu().numpy().astype(np.float32)
