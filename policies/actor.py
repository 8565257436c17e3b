"""A trained actor as a file: weights in safetensors, everything else on a JSON card beside it.

No pickle, sizes bounded, checked before use: a policy from outside can be loaded safely.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from proveout.policies.actor_network import FEATURES, Features, Network
from proveout.policies.card import card_path, check_digest, read_with_card, write_with_card
from proveout.policies.errors import PolicyError


class Actor:
    """The deterministic policy of a `Network`.

    Attributes:
        network: Weights and bounds.
        card: What is known of it; see `save_actor`.
        observation_size: Numbers of an observation.
        action_size: Numbers of an action.
    """

    def __init__(self, network: Network, card: Mapping[str, Any], device: str = "cpu") -> None:
        """Put the network on a torch device."""
        from proveout.policies.graph import actor_graph

        self.network = network
        self.card = dict(card)
        self.graph = actor_graph(network).to(device)
        self.observation_size = self.graph.observation_size
        self.action_size = network.sizes[-1]
        self._device = device

    def predict(self, observation: np.ndarray) -> np.ndarray:
        """Return actions (N, A) or (A,) for observations (N, O) or (O,)."""
        import torch

        with torch.no_grad():
            given = torch.as_tensor(observation, dtype=torch.float32, device=self._device)
            rows = given if given.ndim == 2 else given.unsqueeze(0)
            return self.graph(rows).reshape(*given.shape[:-1], self.action_size).cpu().numpy()


def save_actor(policy: Any, path: Path | str, card: Mapping[str, Any]) -> Path:
    """Write `path` (.safetensors) and the card `path` with suffix .json; return the card's path.

    Args:
        policy: A policy of Stable-Baselines3, or a `Network`.
        path: Ends in .safetensors.
        card: JSON data: `env_id`, `config`, `observation` and `action` (layouts as JSON objects),
            `control_dt` [s], `training`, `evaluation`, `versions`, as far as known. `format`,
            `network` and `weights_sha256` are added.

    Raises:
        PolicyError: a policy that cannot be exported, another suffix, or a file that cannot be
            written.
    """
    from safetensors.numpy import save

    path = _weights_path(path)
    network = as_network(policy)
    return write_with_card(path, save(network.tensors()), card, network.describe())


def as_network(policy: Any) -> Network:
    """Return the actor of a policy of Stable-Baselines3; a `Network` as it is."""
    if isinstance(policy, Network):
        return policy
    from proveout.policies.graph import actor_network

    return actor_network(policy)


def load_actor(path: Path | str, device: str = "cpu") -> Actor:
    """Read what `save_actor` wrote.

    Raises:
        PolicyError: a file is missing, too large, damaged, or they do not belong together.
    """
    from proveout.policies.graph import expected_tensors

    path = _weights_path(path)
    data, card = read_with_card(path)
    network = card["network"]
    sizes, features = network["sizes"], network.get("features")
    try:
        expected = expected_tensors(sizes, features)
    except PolicyError as error:
        raise PolicyError(f"{card_path(path)}: network: {error}") from error
    tensors = _read_tensors(path, data, expected)
    check_digest(path, data, card)
    count = len(sizes) - 1
    loaded = Network(
        weights=tuple(tensors[f"layers.{i}.weight"] for i in range(count)),
        biases=tuple(tensors[f"layers.{i}.bias"] for i in range(count)),
        activation=network["activation"],
        output=network["output"],
        low=np.array(network["action_low"], np.float32),
        high=np.array(network["action_high"], np.float32),
        features=None
        if features is None
        else Features(
            features,
            {
                name.removeprefix(FEATURES): value
                for name, value in tensors.items()
                if name.startswith(FEATURES)
            },
        ),
    )
    return Actor(loaded, card, device)


def _read_tensors(
    path: Path, data: bytes, expected: Mapping[str, tuple[tuple[int, ...], np.dtype]]
) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise PolicyError(
            f"{path} is damaged or not safetensors ({error}); export the policy again."
        ) from error
    for name, (shape, kind) in expected.items():
        if name not in tensors:
            raise PolicyError(f"{path} has no tensor '{name}', which its card announces.")
        found = tensors[name]
        if found.shape != shape or found.dtype != kind:
            raise PolicyError(
                f"{path}: tensor '{name}' is {found.dtype} {found.shape}, expected {kind} {shape}."
            )
        if not np.isfinite(found).all():
            raise PolicyError(f"{path}: tensor '{name}' has numbers that are not finite.")
    for name in tensors:
        if name not in expected:
            raise PolicyError(f"{path} has a tensor '{name}', which its card does not announce.")
    return tensors


def _weights_path(path: Path | str) -> Path:
    path = Path(path)
    if path.suffix != ".safetensors":
        raise PolicyError(f"{path} must end in .safetensors; the card goes beside it as .json.")
    return path
