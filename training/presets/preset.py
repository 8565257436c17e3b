"""A task's preset: the hyper-parameters of an algorithm as plain data, checked.

A preset is a dict of the algorithm's own keyword arguments, and of

- `num_envs`, `total_timesteps`: the worlds and samples of a training run;
- `adaptive_kl`: target KL divergence of an update (or its bounds, a pair), see `AdaptiveKL`;
- `exploration_noise`: off-policy, standard deviation of Gaussian noise on actions of -1 to 1;
- `normalize_observations`: true: running statistics inside the policy, see
  `proveout.policies.normalize`;
- `network`: "mlp" (default: the policy of stock SB3, so that results stay what they are), "auto",
  "set", "lidar" or "image", see `proveout.policies.networks`;
- `policy_kwargs`: as in SB3, but `activation_fn` is a name such as "elu",
  `action_head_scale` multiplies the last layer of the policy's mean network at the start, and
  `initial_std` is the standard deviation of a SAC policy's first actions, before squashing.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proveout.assets.files.errors import unknown
from proveout.training.presets.algorithms import ALGORITHMS, PRESET_OF, algorithm_class
from proveout.training.presets.checks import (
    NOT_PRESET,
    PresetError,
    check_together,
    checked,
    checked_kl,
    checked_mapping,
)
from proveout.training.presets.defaults import DEFAULTS
from proveout.training.presets.policy import policy_kwargs

_OWN_KEYS = (
    *("num_envs", "total_timesteps", "adaptive_kl", "policy_kwargs"),
    *("normalize_observations", "network"),
)
_NETWORKS = ("auto", "mlp", "set", "lidar", "image")


@dataclass(frozen=True)
class Preset:
    """A preset, checked and taken apart.

    Attributes:
        algo: Key of `ALGORITHMS`.
        num_envs: Number of worlds.
        total_timesteps: Samples, over all worlds.
        adaptive_kl: (low, high) KL divergence between which the learning rate is left alone, or
            None.
        algorithm: Keyword arguments of the algorithm.
        policy: Its `policy_kwargs`, as data.
        normalize_observations: Whether the policy normalises what it observes.
        network: Key of `proveout.policies.networks.NETWORKS`.
    """

    algo: str
    num_envs: int
    total_timesteps: int
    adaptive_kl: tuple[float, float] | None = None
    algorithm: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    normalize_observations: bool = False
    network: str = "mlp"

    def to_plain(self) -> dict[str, Any]:
        """Return it as the plain dict that `make_preset` takes as overrides."""
        return {
            "num_envs": self.num_envs,
            "total_timesteps": self.total_timesteps,
            "adaptive_kl": None if self.adaptive_kl is None else list(self.adaptive_kl),
            **self.algorithm,
            "normalize_observations": self.normalize_observations,
            "network": self.network,
            "policy_kwargs": dict(self.policy),
        }


def make_preset(
    algo: str, presets: Mapping[str, Mapping[str, Any]], overrides: Mapping[str, Any] | None = None
) -> Preset:
    """Return a task's preset for an algorithm, or the default one, with overrides.

    Args:
        algo: Key of `ALGORITHMS`.
        presets: `Task.presets`.
        overrides: Same keys; `policy_kwargs` is merged key by key.

    Raises:
        UnknownNameError: unknown algorithm or key; the message names the nearest.
        PresetError: a value out of its range.
    """
    arguments = inspect.signature(algorithm_class(algo).__init__).parameters
    known = (set(arguments) - {"self"} - NOT_PRESET) | set(_OWN_KEYS)
    if "action_noise" in arguments:
        known.add("exploration_noise")
    base = PRESET_OF.get(algo, algo)
    default = DEFAULTS.get(algo, DEFAULTS[base])
    data = copy.deepcopy(dict(presets.get(algo, presets.get(base, default))))
    for key, value in dict(overrides or {}).items():
        if key == "policy_kwargs":
            data[key] = {**(data.get(key) or {}), **checked_mapping(key, value)}
        else:
            data[key] = value
    data = {key: checked(key, value, base) for key, value in data.items()}
    for key in data:
        if key not in known:
            raise unknown(f"hyper-parameter of {algo}", key, known)
    aliases = algorithm_class(algo).policy_aliases
    name = data.get("policy", "MlpPolicy")
    if not isinstance(name, type) and (not isinstance(name, str) or name not in aliases):
        raise unknown(f"policy of {algo}", str(name), aliases)
    defaults = {**default, **data}
    check_together(data, defaults["num_envs"])
    adaptive = data.pop("adaptive_kl", None)
    policy = data.pop("policy_kwargs", {}) or {}
    normalize, network = data.pop("normalize_observations", False), data.pop("network", "mlp")
    if network not in _NETWORKS:
        raise unknown("network", str(network), _NETWORKS)
    for key in ("num_envs", "total_timesteps"):
        data.pop(key, None)
    preset = Preset(
        algo=algo,
        num_envs=defaults["num_envs"],
        total_timesteps=defaults["total_timesteps"],
        adaptive_kl=checked_kl(adaptive),
        algorithm=data,
        policy=policy,
        normalize_observations=normalize,
        network=network,
    )
    if preset.adaptive_kl is not None and base != "ppo":
        raise PresetError(f"adaptive_kl works with ppo only, not with {algo}; leave it out.")
    policy_kwargs(preset)  # refuses an unknown activation
    return preset


def run_preset(run: Any, total_timesteps: int | None = None) -> Preset:
    """Return the preset with which a run was started, from its manifest.

    Args:
        run: The run.
        total_timesteps: Another end of the training; None: as it was.

    Raises:
        RunError: a preset that cannot be used; the message names the manifest and the key.
        PresetError: `total_timesteps` is out of range, or the algorithm's package is missing.
    """
    algo = run.manifest["algo"]
    if algo in ALGORITHMS:
        algorithm_class(algo)  # a package that is missing is no fault of the manifest
    with run.reading("preset"):
        preset = make_preset(algo, {algo: run.manifest["preset"]})
    if total_timesteps is None:
        return preset
    return make_preset(algo, {algo: preset.to_plain()}, {"total_timesteps": total_timesteps})
