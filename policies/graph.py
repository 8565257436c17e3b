"""The whole way from an observation to an action as one torch module, and where it comes from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from proveout.policies.actor_network import Features, Network, activation_class
from proveout.policies.card import ACTIVATIONS, is_float32
from proveout.policies.errors import PolicyError
from proveout.policies.networks import NETWORKS, LayoutEncoder, plain_layout
from proveout.policies.normalize import ObservationNormalizer
from proveout.policies.parts import layout_size, read_parts


class FeatureGraph(nn.Module):
    """Normaliser and encoder, rebuilt from plain data; names of tensors as in the extractors."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        """Read what an extractor's `describe` gave.

        Raises:
            PolicyError: not such a description.
        """
        super().__init__()
        layout = description.get("layout")
        if layout is not None:
            layout = plain_layout(layout)
        normalizer, encoder = description.get("normalizer"), description.get("encoder")
        self.size = layout_size(layout) if layout is not None else 0
        self.features = self.size
        self.normalizer: nn.Module = nn.Identity()
        self.encoder: nn.Module = nn.Identity()
        if normalizer is not None:
            size, clip, epsilon = (normalizer.get(key) for key in ("size", "clip", "epsilon"))
            if type(size) is not int or not 0 < size <= 10_000_000:
                raise PolicyError(f"the normaliser has size {size!r}.")
            if not all(is_float32(x) and x > 0 for x in (clip, epsilon)):
                raise PolicyError("the normaliser's clip and epsilon must be positive numbers.")
            self.normalizer = ObservationNormalizer(size, layout, clip=clip, epsilon=epsilon)
            self.size = self.features = size
        if encoder is not None:
            kinds, width = encoder.get("kinds"), encoder.get("width")
            fine = isinstance(kinds, list) and all(kind in NETWORKS["auto"] for kind in kinds)
            if layout is None or not fine or not (width is None or type(width) is int):
                raise PolicyError("the encoder needs a layout, known kinds and a whole width.")
            made = LayoutEncoder(layout, kinds, width)
            self.encoder, self.features = made, made.features
        if self.size == 0:
            raise PolicyError("the features have neither a layout nor a normaliser.")

    def forward(self, observation: Tensor) -> Tensor:
        """Return (N, features) for (N, size)."""
        return self.encoder(self.normalizer(observation))


class ActorGraph(nn.Module):
    """Observation -> normaliser -> encoder -> perceptron -> clipping or scaling -> action."""

    low: Tensor
    high: Tensor

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str,
        output: str,
        low: np.ndarray,
        high: np.ndarray,
        features: Mapping[str, Any] | None = None,
    ) -> None:
        """Make an untrained one; arguments as the attributes of `Network`."""
        super().__init__()
        self.features = None if features is None else FeatureGraph(features)
        self.observation_size = sizes[0] if self.features is None else self.features.size
        if self.features is not None and self.features.features != sizes[0]:
            raise PolicyError(
                f"the features are {self.features.features} numbers, the network takes {sizes[0]}."
            )
        self.layers = nn.ModuleList(
            nn.Linear(before, after) for before, after in itertools.pairwise(sizes)
        )
        self.activation = activation_class(activation)()
        self._squash = output == "tanh"
        self.register_buffer("low", torch.from_numpy(low.copy()), persistent=False)
        self.register_buffer("high", torch.from_numpy(high.copy()), persistent=False)

    def forward(self, observation: Tensor) -> Tensor:
        """Return actions (N, A), within their bounds, for observations (N, O)."""
        values = observation if self.features is None else self.features(observation)
        for number, layer in enumerate(self.layers):
            values = layer(values if number == 0 else self.activation(values))
        if self._squash:
            values = self.low + 0.5 * (self.high - self.low) * (torch.tanh(values) + 1.0)
        return torch.maximum(torch.minimum(values, self.high), self.low)


def actor_graph(network: Network) -> ActorGraph:
    """Return the module of a network, its parameters loaded and frozen."""
    features = network.features
    graph = ActorGraph(
        network.sizes,
        network.activation,
        network.output,
        network.low,
        network.high,
        None if features is None else features.description,
    )
    tensors = {name: torch.from_numpy(value) for name, value in network.tensors().items()}
    graph.load_state_dict(tensors)
    return graph.requires_grad_(False).eval()


def expected_tensors(
    sizes: Sequence[int], features: Mapping[str, Any] | None
) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Return the shape and type of every tensor of a network, without taking memory for it.

    Raises:
        PolicyError: a description that contradicts itself.
    """
    bounds = np.zeros(0, np.float32)
    try:
        with torch.device("meta"):
            graph = ActorGraph(sizes, next(iter(ACTIVATIONS)), "clip", bounds, bounds, features)
    except (RuntimeError, TypeError, OverflowError) as error:
        first = str(error).splitlines()[0]
        raise PolicyError(f"the network cannot be built ({first}).") from error
    kinds: dict[torch.dtype, np.dtype] = {
        torch.float32: np.dtype(np.float32),
        torch.float64: np.dtype(np.float64),
    }
    return {
        name: (tuple(tensor.shape), kinds[tensor.dtype])
        for name, tensor in graph.state_dict().items()
    }


def actor_network(policy: Any) -> Network:
    """Return the actor of a Stable-Baselines3 policy (PPO, A2C, SAC, TD3, TQC).

    Raises:
        PolicyError: a features extractor other than those of this package, another network behind
            it than linear layers with one activation, or bounds that are not a finite Box.
    """
    space = policy.action_space
    if not hasattr(space, "low") or not np.all(np.isfinite([space.low, space.high])):
        raise PolicyError("Only policies with a bounded Box action space can be exported.")
    actor = getattr(policy, "actor", None)
    if actor is None:
        extractor = policy.pi_features_extractor
        output = "tanh" if policy.squash_output else "clip"
        modules = [*policy.mlp_extractor.policy_net, policy.action_net]
    elif hasattr(actor, "latent_pi"):
        extractor = actor.features_extractor
        output, modules = "tanh", [*actor.latent_pi, actor.mu]
    else:
        extractor = actor.features_extractor
        output, modules = "tanh", list(actor.mu)
    if isinstance(modules[-1], nn.Tanh):
        modules.pop()
    layers = [module for module in modules if isinstance(module, nn.Linear)]
    between = [module for module in modules if not isinstance(module, nn.Linear)]
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
        features=_features(extractor),
    )


def sample_observations(
    network: Network, layout: Mapping[str, Any] | None, count: int, seed: int = 0
) -> np.ndarray:
    """Return observations (count, O) to compare two forms of a policy with.

    They are drawn around the normaliser's mean, as wide as three of its standard deviations, within
    the layout's bounds; about half of a set's rows are present.
    """
    draw = np.random.default_rng(seed)
    size = actor_graph(network).observation_size
    mean, deviation = np.zeros(size, np.float32), np.ones(size, np.float32)
    held = {} if network.features is None else network.features.tensors
    if "normalizer.running_mean" in held:
        mean = held["normalizer.running_mean"]
        deviation = np.sqrt(held["normalizer.running_var"])
    rows = mean + 3.0 * deviation * draw.standard_normal((count, size))
    rows = rows.astype(np.float32)
    parts = () if layout is None else read_parts(layout)
    for part in parts if parts and parts[-1].stop == size else ():
        block = rows[:, part.start : part.stop]
        if math.isfinite(part.low) and math.isfinite(part.high):
            block[:] = draw.uniform(part.low, part.high, block.shape)
        np.clip(block, part.low, part.high, out=block)
        if part.kind == "set":
            entities = block.reshape(count, *part.shape)
            present = draw.integers(0, 2, entities.shape[:2])
            entities *= present[..., None]
            entities[..., 0] = present
            block[:] = entities.reshape(block.shape)
    return rows


def _features(extractor: Any) -> Features | None:
    """Return what comes before the perceptron, or None if nothing does."""
    if type(extractor).__name__ == "FlattenExtractor":
        return None
    if not hasattr(extractor, "describe"):
        raise PolicyError(
            f"The features extractor {type(extractor).__name__} cannot be exported; use those of "
            "proveout.policies.networks and proveout.policies.normalize."
        )
    tensors = {name: value.cpu().numpy().copy() for name, value in extractor.state_dict().items()}
    return Features(extractor.describe(), tensors)


def _array(parameter: Any) -> np.ndarray:
    return parameter.detach().cpu().numpy().astype(np.float32)
