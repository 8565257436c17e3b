"""From a task's preset (plain data) to an algorithm of Stable-Baselines3 that is ready to learn.

A preset is a dict of the algorithm's own keyword arguments, and of

- `num_envs`, `total_timesteps`: the worlds and samples of a training run;
- `adaptive_kl`: target KL divergence of an update (or its bounds, a pair), see `AdaptiveKL`;
- `policy_kwargs`: as in SB3, but `activation_fn` is a name such as "elu",
  and `action_head_scale` multiplies the last layer of the policy's mean network at the start.
"""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from proveout.assets.errors import ProveoutError, unknown

# Where each algorithm lives; imported when used.
ALGORITHMS: dict[str, tuple[str, str]] = {
    "ppo": ("stable_baselines3", "PPO"),
    "a2c": ("stable_baselines3", "A2C"),
    "sac": ("stable_baselines3", "SAC"),
    "td3": ("stable_baselines3", "TD3"),
    "tqc": ("sb3_contrib", "TQC"),
    "tensor_ppo": ("proveout.training.sb3.tensor_ppo", "TensorPPO"),
}
# Algorithms that take the preset of another: the same mathematics on another path.
PRESET_OF = {"tensor_ppo": "ppo"}

# For tasks without a preset of their own: what works with hundreds of worlds on one machine.
_ON_POLICY: dict[str, Any] = {
    "num_envs": 512,
    "total_timesteps": 2_000_000,
    "n_steps": 16,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "policy_kwargs": {
        "net_arch": [128, 128],
        "activation_fn": "elu",
        "ortho_init": False,
        "log_std_init": -0.5,
        "action_head_scale": 0.05,
    },
}
_OFF_POLICY: dict[str, Any] = {
    "num_envs": 64,
    "total_timesteps": 300_000,
    "batch_size": 1024,
    "buffer_size": 300_000,
    "learning_starts": 5_000,
    "gradient_steps": 16,
    "train_freq": 1,
    "gamma": 0.99,
    "policy_kwargs": {"net_arch": [256, 256], "activation_fn": "relu"},
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "ppo": {
        **_ON_POLICY,
        "batch_size": 2048,
        "n_epochs": 5,
        "learning_rate": 1e-3,
        "adaptive_kl": 0.01,
        "ent_coef": 0.0,
    },
    "a2c": {**_ON_POLICY, "learning_rate": 7e-4},
    "sac": _OFF_POLICY,
    "td3": _OFF_POLICY,
    "tqc": _OFF_POLICY,
}

_OWN_KEYS = ("num_envs", "total_timesteps", "adaptive_kl", "policy_kwargs")
_POLICY_KEYS = ("activation_fn", "action_head_scale")
_MAX_MINIBATCHES = 100


class PresetError(ProveoutError, ValueError):
    """A hyper-parameter with a value that cannot be used."""


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
    """

    algo: str
    num_envs: int
    total_timesteps: int
    adaptive_kl: tuple[float, float] | None = None
    algorithm: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)

    def to_plain(self) -> dict[str, Any]:
        """Return it as the plain dict that `make_preset` takes as overrides."""
        return {
            "num_envs": self.num_envs,
            "total_timesteps": self.total_timesteps,
            "adaptive_kl": None if self.adaptive_kl is None else list(self.adaptive_kl),
            **self.algorithm,
            "policy_kwargs": dict(self.policy),
        }


def algorithm_class(algo: str) -> Any:
    """Return the algorithm's class.

    Raises:
        UnknownNameError: not in `ALGORITHMS`.
        PresetError: its package is not installed.
    """
    if algo not in ALGORITHMS:
        raise unknown("algorithm", algo, ALGORITHMS)
    module, name = ALGORITHMS[algo]
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        package = module.replace("_", "-")
        raise PresetError(
            f"algorithm '{algo}' needs the package {package}; run: pip install {package}"
        ) from error


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
    known = set(inspect.signature(algorithm_class(algo).__init__).parameters) - {"self"}
    known |= set(_OWN_KEYS)
    base = PRESET_OF.get(algo, algo)
    data = copy.deepcopy(dict(presets.get(algo, presets.get(base, DEFAULTS[base]))))
    for key, value in dict(overrides or {}).items():
        if key == "policy_kwargs":
            data[key] = {**data.get(key, {}), **value}
        else:
            data[key] = value
    for key in data:
        if key not in known:
            raise unknown(f"hyper-parameter of {algo}", key, known)
    defaults = {**DEFAULTS[base], **data}
    adaptive = data.pop("adaptive_kl", None)
    policy = data.pop("policy_kwargs", {}) or {}
    for key in ("num_envs", "total_timesteps"):
        data.pop(key, None)
    preset = Preset(
        algo=algo,
        num_envs=_count("num_envs", defaults["num_envs"]),
        total_timesteps=_count("total_timesteps", defaults["total_timesteps"]),
        adaptive_kl=_kl_bounds(adaptive),
        algorithm=data,
        policy=policy,
    )
    if preset.adaptive_kl is not None and base != "ppo":
        raise PresetError(f"adaptive_kl works with ppo only, not with {algo}; leave it out.")
    policy_kwargs(preset)  # refuses an unknown activation
    return preset


def run_preset(run: Any) -> Preset:
    """Return the preset with which a run was started, from its manifest."""
    algo = run.manifest["algo"]
    return make_preset(algo, {algo: run.manifest["preset"]})


def parse_hyperparameters(assignments: Iterable[str]) -> dict[str, Any]:
    """Return overrides from `key=value` texts; `policy_kwargs.key=value` for the policy's.

    Raises:
        PresetError: no "=" in one of them.
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
            key = key.removeprefix("policy_kwargs.")
        try:
            target[key] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            target[key] = value.strip()
    return overrides


def minibatches(preset: Preset) -> int | None:
    """Return the gradient steps of one iteration (minibatches x epochs); None off-policy."""
    if "n_steps" not in preset.algorithm or "batch_size" not in preset.algorithm:
        return None
    samples = preset.algorithm["n_steps"] * preset.num_envs
    epochs = preset.algorithm.get("n_epochs", 10)
    return math.ceil(samples / preset.algorithm["batch_size"]) * epochs


def policy_kwargs(preset: Preset) -> dict[str, Any]:
    """Return `policy_kwargs` as SB3 takes them.

    Raises:
        UnknownNameError: unknown activation.
    """
    from proveout.policies.actor import ACTIVATIONS, activation_class

    kwargs = {key: value for key, value in preset.policy.items() if key not in _POLICY_KEYS}
    name = preset.policy.get("activation_fn")
    if name is not None:
        if name not in ACTIVATIONS:
            raise unknown("activation", str(name), ACTIVATIONS)
        kwargs["activation_fn"] = activation_class(name)
    return kwargs


def build_algorithm(
    preset: Preset, env: Any, *, seed: int | None = None, device: str = "auto", **extra: Any
) -> Any:
    """Construct the algorithm on an SB3 `VecEnv`, policy head scaled.

    Args:
        preset: What to build.
        env: Has `preset.num_envs` worlds.
        seed: Seed of torch, NumPy and the environment.
        device: Torch device of the policy.
        extra: Further keyword arguments of the algorithm.

    Raises:
        PresetError: the algorithm refuses its arguments.
    """
    gradient_steps = minibatches(preset)
    if gradient_steps is not None and gradient_steps > _MAX_MINIBATCHES:
        warnings.warn(
            f"{gradient_steps} minibatches in one iteration (n_steps {preset.algorithm['n_steps']}"
            f" x {preset.num_envs} worlds / batch_size {preset.algorithm['batch_size']} x epochs): "
            f"learning will take longer than stepping; raise batch_size so that there are at most "
            f"{_MAX_MINIBATCHES}.",
            stacklevel=2,
        )
    arguments = {**preset.algorithm, **extra, "policy_kwargs": policy_kwargs(preset)}
    policy = arguments.pop("policy", "MlpPolicy")
    # With hundreds of worlds, SB3's window of 100 episodes would be the last few steps only.
    arguments.setdefault("stats_window_size", max(100, preset.num_envs))
    try:
        model = algorithm_class(preset.algo)(policy, env, seed=seed, device=device, **arguments)
    except (TypeError, ValueError, AssertionError) as error:
        raise PresetError(f"{preset.algo} cannot be built with this preset: {error}") from error
    scale = preset.policy.get("action_head_scale")
    if scale is not None:
        scale_action_head(model.policy, float(scale))
    return model


def build_policy(
    preset: Preset, observation_space: Any, action_space: Any, device: str = "cpu"
) -> Any:
    """Construct the policy alone, without environment or buffers, to load parameters into it."""
    algorithm = algorithm_class(preset.algo)
    name = preset.algorithm.get("policy", "MlpPolicy")
    if name not in algorithm.policy_aliases:
        raise unknown(f"policy of {preset.algo}", str(name), algorithm.policy_aliases)
    kwargs = policy_kwargs(preset)
    if preset.algorithm.get("use_sde"):
        kwargs["use_sde"] = True
    policy_class = algorithm.policy_aliases[name]
    policy = policy_class(observation_space, action_space, lambda _: 0.0, **kwargs)
    return policy.to(device)


def scale_action_head(policy: Any, scale: float) -> None:
    """Multiply the last linear layer of the network that gives the mean action, in place.

    Small first actions keep the exploration around the neutral action, and the first value
    estimates sensible.
    """
    import torch

    actor: Any = getattr(policy, "actor", None)
    head = getattr(policy, "action_net", None)
    if head is None and actor is not None:
        head = getattr(actor, "mu", None)
    if isinstance(head, torch.nn.Sequential):  # TD3: the head is the whole network
        head = next((m for m in reversed(head) if isinstance(m, torch.nn.Linear)), None)
    if not isinstance(head, torch.nn.Linear):
        raise PresetError("action_head_scale: this policy has no linear action head; leave it out.")
    with torch.no_grad():
        head.weight.mul_(scale)
        head.bias.mul_(scale)
    target = getattr(policy, "actor_target", None)
    if target is not None:
        target.load_state_dict(actor.state_dict())


def _count(name: str, value: Any) -> int:
    if not isinstance(value, int | float) or value != int(value) or value < 1:
        raise PresetError(f"{name} must be a whole number of at least 1, got {value!r}.")
    return int(value)


def _kl_bounds(value: Any) -> tuple[float, float] | None:
    """Return the bounds of a target (half and double, as in rsl_rl) or of a pair."""
    if value is None:
        return None
    low, high = (value / 2.0, value * 2.0) if isinstance(value, int | float) else value
    if not 0.0 < low < high:
        raise PresetError(f"adaptive_kl must be positive, or a rising pair, got {value!r}.")
    return float(low), float(high)
