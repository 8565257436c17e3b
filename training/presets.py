"""From a task's preset (plain data) to an algorithm of Stable-Baselines3 that is ready to learn.

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

import ast
import copy
import importlib
import inspect
import json
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from proveout.assets.files.errors import unknown
from proveout.training.preset_checks import (
    NOT_PRESET,
    PresetError,
    check_together,
    checked,
    checked_kl,
    checked_mapping,
)

# Where each algorithm lives; imported when used.
ALGORITHMS: dict[str, tuple[str, str]] = {
    "ppo": ("stable_baselines3", "PPO"),
    "a2c": ("stable_baselines3", "A2C"),
    "sac": ("stable_baselines3", "SAC"),
    "td3": ("stable_baselines3", "TD3"),
    "tqc": ("sb3_contrib", "TQC"),
    "tensor_ppo": ("proveout.training.sb3.tensor_ppo", "TensorPPO"),
    "tensor_sac": ("proveout.training.sb3.tensor_sac", "TensorSAC"),
    "tensor_td3": ("proveout.training.sb3.tensor_td3", "TensorTD3"),
}
# Algorithms that take the preset of another: the same mathematics on another path.
PRESET_OF = {"tensor_ppo": "ppo", "tensor_sac": "sac", "tensor_td3": "td3"}

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
# Hundreds to thousands of worlds: one update for 32 samples, on what several steps told (n_steps),
# so gradient_steps goes up with num_envs; small first actions, and an entropy bonus that does not
# drown rewards of about 0.1 a step. Reach, SAC: 0.95 after 0.25 M samples with 128 worlds, after
# 0.35 M with 1,024 (32 updates a step).
_OFF_POLICY_TENSOR: dict[str, Any] = {
    "num_envs": 256,
    "total_timesteps": 400_000,
    "batch_size": 256,
    "buffer_size": 1_000_000,
    "learning_starts": 5_000,
    "gradient_steps": 8,
    "train_freq": 1,
    "n_steps": 3,
    "learning_rate": 1e-3,
    "tau": 0.02,
    "gamma": 0.98,
}
_OFF_POLICY_TENSOR_NET: dict[str, Any] = {
    "net_arch": [128, 128],
    "activation_fn": "relu",
    "action_head_scale": 0.05,
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
    "td3": {**_OFF_POLICY, "exploration_noise": 0.1},
    "tqc": _OFF_POLICY,
    "tensor_sac": {
        **_OFF_POLICY_TENSOR,
        "ent_coef": "auto_0.001",
        "policy_kwargs": {**_OFF_POLICY_TENSOR_NET, "initial_std": 0.4},
    },
    "tensor_td3": {
        **_OFF_POLICY_TENSOR,
        "exploration_noise": 0.2,
        "policy_kwargs": _OFF_POLICY_TENSOR_NET,
    },
}

_OWN_KEYS = (
    *("num_envs", "total_timesteps", "adaptive_kl", "policy_kwargs"),
    *("normalize_observations", "network"),
)
_NETWORKS = ("auto", "mlp", "set", "lidar", "image")
_POLICY_KEYS = ("activation_fn", "action_head_scale", "initial_std")
_MAX_MINIBATCHES = 100
# What Stable-Baselines3, torch and NumPy raise for arguments that they cannot use.
_REFUSALS = (
    *(TypeError, ValueError, AssertionError, AttributeError, LookupError, ArithmeticError),
    *(MemoryError, RuntimeError),
)


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


def minibatches(preset: Preset) -> int | None:
    """Return the gradient steps of one iteration (minibatches x epochs); None off-policy."""
    if PRESET_OF.get(preset.algo, preset.algo) != "ppo":
        return None
    if "n_steps" not in preset.algorithm or "batch_size" not in preset.algorithm:
        return None
    samples = preset.algorithm["n_steps"] * preset.num_envs
    epochs = preset.algorithm.get("n_epochs", 10)
    return math.ceil(samples / preset.algorithm["batch_size"]) * epochs


def policy_kwargs(preset: Preset, layout: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return `policy_kwargs` as SB3 takes them.

    Args:
        preset: With network "mlp" and no normaliser, the features extractor is left to SB3.
        layout: Of the observation, see `proveout.policies.parts`; None: unknown.

    Raises:
        UnknownNameError: unknown activation.
        PolicyError: the layout does not have what the network needs.
    """
    from proveout.policies.actor import ACTIVATIONS, activation_class

    kwargs = {key: value for key, value in preset.policy.items() if key not in _POLICY_KEYS}
    name = preset.policy.get("activation_fn")
    if name is not None:
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise unknown("activation", str(name), ACTIVATIONS)
        kwargs["activation_fn"] = activation_class(name)
    if preset.network == "mlp" and not preset.normalize_observations:
        return kwargs
    from stable_baselines3.common.torch_layers import FlattenExtractor

    from proveout.policies.networks import features_extractor_for
    from proveout.policies.normalize import normalized

    extractor: Any = FlattenExtractor
    arguments: dict[str, Any] = {}
    if preset.network != "mlp" and layout is not None:
        extractor, arguments = features_extractor_for(layout, preset.network)
    if preset.normalize_observations:
        extractor, arguments = normalized(extractor, arguments, layout)
    kwargs["features_extractor_class"] = extractor
    kwargs["features_extractor_kwargs"] = arguments
    return kwargs


def layout_of(env: Any) -> dict[str, Any] | None:
    """Return the observation layout of a (bridged) vector environment as plain data, or None."""
    inner = getattr(env, "env", env)
    layout = getattr(getattr(inner, "unwrapped", inner), "layout", None)
    return None if layout is None else json.loads(layout.to_json())


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
    starts = preset.algorithm.get("learning_starts")
    if starts is not None and starts >= preset.total_timesteps:
        warnings.warn(
            f"learning starts after {starts} samples (learning_starts) of {preset.total_timesteps}:"
            " the policy will stay as it begins; train longer, or start earlier.",
            stacklevel=2,
        )
    arguments = {**preset.algorithm, **extra}
    if gradient_steps is not None:  # more would be the same, with a warning
        samples = preset.algorithm["n_steps"] * preset.num_envs
        arguments["batch_size"] = min(arguments["batch_size"], samples)
    arguments["policy_kwargs"] = policy_kwargs(preset, _layout_for(preset, layout_of(env)))
    policy = arguments.pop("policy", "MlpPolicy")
    # With hundreds of worlds, SB3's window of 100 episodes would be the last few steps only.
    arguments.setdefault("stats_window_size", max(100, preset.num_envs))
    noise = arguments.pop("exploration_noise", None)
    if noise is not None:
        arguments["action_noise"] = _exploration_noise(float(noise), env.action_space)
    try:
        with warnings.catch_warnings():
            # Policies of worlds on the GPU train there on purpose.
            warnings.filterwarnings("ignore", r"You are trying to run \w+ on the GPU", UserWarning)
            model = algorithm_class(preset.algo)(policy, env, seed=seed, device=device, **arguments)
    except _REFUSALS as error:
        raise _cannot_be_built(preset, error) from error
    scale = preset.policy.get("action_head_scale")
    if scale is not None:
        scale_action_head(model.policy, float(scale))
    std = preset.policy.get("initial_std")
    if std is not None:
        set_initial_std(model.policy, float(std))
    return model


def build_policy(
    preset: Preset,
    observation_space: Any,
    action_space: Any,
    device: str = "cpu",
    layout: Mapping[str, Any] | None = None,
) -> Any:
    """Construct the policy alone, without environment or buffers, to load parameters into it.

    Raises:
        PresetError: the policy refuses its arguments.
    """
    algorithm = algorithm_class(preset.algo)
    name = preset.algorithm.get("policy", "MlpPolicy")
    kwargs = policy_kwargs(preset, _layout_for(preset, layout))
    if preset.algorithm.get("use_sde"):
        kwargs["use_sde"] = True
    policy_class = name if isinstance(name, type) else algorithm.policy_aliases[name]
    try:
        policy = policy_class(observation_space, action_space, lambda _: 0.0, **kwargs)
    except _REFUSALS as error:
        raise _cannot_be_built(preset, error) from error
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


def set_initial_std(policy: Any, std: float) -> None:
    """Let the first actions of a SAC policy have this standard deviation (before squashing).

    SB3 begins with about 1, which after squashing is close to drawing actions at random: with
    thousands of worlds the replay buffer would hold little else for long.
    """
    import torch

    head = getattr(getattr(policy, "actor", None), "log_std", None)
    if not isinstance(head, torch.nn.Linear):
        raise PresetError(
            "initial_std: this policy has no layer for it; leave it out (with use_sde, give "
            "log_std_init)."
        )
    if not std > 0.0:
        raise PresetError(f"initial_std must be positive, got {std}.")
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(math.log(std))


def _exploration_noise(std: float, space: Any) -> Any:
    import numpy as np
    from stable_baselines3.common.noise import NormalActionNoise

    if not std > 0.0:
        raise PresetError(f"exploration_noise must be positive, got {std}.")
    return NormalActionNoise(np.zeros(space.shape), np.full(space.shape, std))


def _layout_for(preset: Preset, layout: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if layout is None and preset.network != "mlp":
        raise PresetError(
            f"network '{preset.network}' needs an environment that tells the layout of its "
            "observation; use network 'mlp'."
        )
    return layout


def _cannot_be_built(preset: Preset, error: BaseException) -> PresetError:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return PresetError(f"{preset.algo} cannot be built with this preset: {first}")
