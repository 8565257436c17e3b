"""Hyper-parameters as they are typed: `key=value`."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from proveout.training.presets.checks import PresetError


def parse_hyperparameters(assignments: Iterable[str]) -> dict[str, Any]:
    """Return overrides from `key=value` texts; `policy_kwargs.key=value` for the policy's.

    Raises:
        PresetError: no "=" in one of them, or a key that is given twice.
    """
    overrides: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise PresetError(f"hyper-parameter '{text}' is not of the form key=value.")
        target = overrides
        if key.startswith("policy_kwargs."):
            target = overrides.setdefault("policy_kwargs", {})
            if not isinstance(target, dict):
                raise PresetError(f"policy_kwargs must be a dict, got {target!r}.")
            key = key.removeprefix("policy_kwargs.")
        if key in target:
            raise PresetError(f"hyper-parameter {key} is given twice.")
        try:
            target[key] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            target[key] = value.strip()
    return overrides
