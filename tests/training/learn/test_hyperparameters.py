"""Hyper-parameters as they are typed."""

from __future__ import annotations

from proveout.training.learn.hyperparameters import parse_hyperparameters


def test_hyperparameters_are_parsed() -> None:
    told = parse_hyperparameters(
        [
            "learning-rate=3e-4",
            "policy_kwargs.net_arch=[64, 64]",
            "policy_kwargs.activation_fn=relu",
        ]
    )
    assert told == {
        "learning_rate": 3e-4,
        "policy_kwargs": {"net_arch": [64, 64], "activation_fn": "relu"},
    }
