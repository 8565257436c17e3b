"""Where a search for hyper-parameters looks, for each algorithm.

Bounds are ours: about a factor of ten around the presets for many worlds, so that the default is
inside.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proveout.assets.files.errors import unknown
from proveout.training.presets.algorithms import PRESET_OF, algorithm_class
from proveout.training.presets.preset import Preset

_NET = "policy_kwargs.net_arch"
# As texts, which are what Optuna's databases hold.
_NETS = ("[64,64]", "[128,128]", "[256,256]", "[256,128]")


@dataclass(frozen=True)
class Between:
    """A number between two ends, both included; `log`: each factor is as likely."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Among:
    """One of several values."""

    values: tuple[Any, ...]


_ON_POLICY: dict[str, Between | Among] = {
    "n_steps": Among((8, 16, 32, 64)),
    "gamma": Among((0.95, 0.97, 0.98, 0.99, 0.995)),
    "gae_lambda": Between(0.9, 0.99),
    "ent_coef": Among((0.0, 1e-4, 1e-3, 1e-2)),
    _NET: Among(_NETS),
}
_OFF_POLICY: dict[str, Between | Among] = {
    "learning_rate": Between(1e-4, 3e-3, log=True),
    "batch_size": Among((256, 512, 1024, 2048)),
    "tau": Between(0.002, 0.05, log=True),
    "gamma": Among((0.95, 0.97, 0.98, 0.99, 0.995)),
    "gradient_steps": Among((4, 8, 16, 32)),
    _NET: Among(_NETS),
}
SEARCH: dict[str, dict[str, Between | Among]] = {
    "ppo": {
        "learning_rate": Between(1e-4, 5e-3, log=True),
        "batch_size": Among((512, 1024, 2048, 4096)),
        "n_epochs": Between(2, 10, whole=True),
        "clip_range": Between(0.1, 0.3),
        "adaptive_kl": Among((0.005, 0.01, 0.02, 0.03)),
        **_ON_POLICY,
    },
    "a2c": {"learning_rate": Between(1e-4, 5e-3, log=True), **_ON_POLICY},
    "sac": _OFF_POLICY,
    "td3": {**_OFF_POLICY, "exploration_noise": Between(0.05, 0.5, log=True)},
    "tqc": _OFF_POLICY,
}


def search_space(preset: Preset) -> dict[str, Between | Among]:
    """The space of a preset's algorithm, widened where the preset itself lies outside.

    Raises:
        UnknownNameError: There is none.
    """
    base = PRESET_OF.get(preset.algo, preset.algo)
    if base not in SEARCH:
        raise unknown("algorithm to tune", preset.algo, [*SEARCH, *PRESET_OF])
    own = own_values(preset)
    space: dict[str, Between | Among] = {}
    for name, where in SEARCH[base].items():
        if name not in own:
            if name != _NET:  # a network of another kind is left as it is
                space[name] = where
        elif isinstance(where, Among):
            more = () if own[name] in where.values else (own[name],)
            space[name] = Among((*where.values, *more))
        else:
            ends = min(where.low, own[name]), max(where.high, own[name])
            space[name] = Between(*ends, log=where.log and ends[0] > 0.0, whole=where.whole)
    return space


def own_values(preset: Preset) -> dict[str, Any]:
    """What the preset, or its algorithm by default, has of what is searched."""
    arguments = inspect.signature(algorithm_class(preset.algo).__init__).parameters
    told = {name: argument.default for name, argument in arguments.items()} | preset.to_plain()
    net = (told.get("policy_kwargs") or {}).get("net_arch")
    told[_NET] = json.dumps(net).replace(" ", "") if net is not None else None
    kl = told.get("adaptive_kl")
    if isinstance(kl, list | tuple):  # the bounds that a target makes
        told["adaptive_kl"] = round((kl[0] * kl[1]) ** 0.5, 6)
    found = {}
    for name, where in SEARCH[PRESET_OF.get(preset.algo, preset.algo)].items():
        value = told.get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number or (name == _NET and value is not None):
            found[name] = value
        elif isinstance(where, Among) and name == "adaptive_kl":
            found[name] = value  # None: the rate is left alone
    return found


def assignments(chosen: Mapping[str, Any]) -> tuple[str, ...]:
    """What was chosen, as `--hyperparameters` takes it; numbers to three digits."""
    return tuple(
        f"{name}={float(f'{value:.3g}')}" if isinstance(value, float) else f"{name}={value}"
        for name, value in chosen.items()
    )
