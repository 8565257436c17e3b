"""An actor as data: what is before its perceptron, the perceptron, the bounds of its action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from proveout.policies.card import ACTIVATIONS

FEATURES = "features."


def activation_class(name: str) -> Any:
    """Return the torch.nn class of a name in `ACTIVATIONS`."""
    import torch

    return getattr(torch.nn, ACTIVATIONS[name])


@dataclass(frozen=True)
class Features:
    """What an actor does with an observation before its perceptron: normaliser, encoder.

    Attributes:
        description: Plain data: `layout`, `normalizer`, `encoder`; see `FeatureGraph`.
        tensors: Its parameters and statistics, by name.
    """

    description: Mapping[str, Any]
    tensors: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Network:
    """An actor as data: features, then a multilayer perceptron, then the bounds of the action.

    Attributes:
        weights: For each layer (out, in) float32.
        biases: For each layer (out,) float32.
        activation: Between the layers; key of `ACTIVATIONS`.
        output: One of `OUTPUTS`.
        low: Lower bounds of the action (A,).
        high: Upper bounds of the action (A,).
        features: Before the first layer; None: the observation as it is.
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    activation: str
    output: str
    low: np.ndarray
    high: np.ndarray
    features: Features | None = None

    @property
    def sizes(self) -> list[int]:
        """Widths of the perceptron, from features to action."""
        return [self.weights[0].shape[1], *(weight.shape[0] for weight in self.weights)]

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all parameters by name, as in files."""
        named: dict[str, np.ndarray] = {}
        if self.features is not None:
            named = {f"{FEATURES}{name}": value for name, value in self.features.tensors.items()}
        pairs = zip(self.weights, self.biases, strict=True)
        for number, (weight, bias) in enumerate(pairs):
            named[f"layers.{number}.weight"] = weight
            named[f"layers.{number}.bias"] = bias
        return {name: np.ascontiguousarray(value) for name, value in named.items()}

    def describe(self) -> dict[str, Any]:
        """Return the rest of it as plain data, for a card."""
        features = None if self.features is None else dict(self.features.description)
        return {
            "sizes": self.sizes,
            "activation": self.activation,
            "output": self.output,
            "action_low": self.low.tolist(),
            "action_high": self.high.tolist(),
            "features": features,
        }
