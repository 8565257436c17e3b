"""From a preset to an algorithm of Stable-Baselines3 that is ready to learn."""

from __future__ import annotations

import math
import warnings
from typing import Any

from proveout.training.presets.algorithms import PRESET_OF, algorithm_class
from proveout.training.presets.checks import PresetError
from proveout.training.presets.policy import (
    REFUSALS,
    cannot_be_built,
    layout_for,
    layout_of,
    policy_kwargs,
    scale_action_head,
    set_initial_std,
)
from proveout.training.presets.preset import Preset

_MAX_MINIBATCHES = 100


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
    arguments["policy_kwargs"] = policy_kwargs(preset, layout_for(preset, layout_of(env)))
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
    except REFUSALS as error:
        raise cannot_be_built(preset, error) from error
    scale = preset.policy.get("action_head_scale")
    if scale is not None:
        scale_action_head(model.policy, float(scale))
    std = preset.policy.get("initial_std")
    if std is not None:
        set_initial_std(model.policy, float(std))
    return model


def minibatches(preset: Preset) -> int | None:
    """Return the gradient steps of one iteration (minibatches x epochs); None off-policy."""
    if PRESET_OF.get(preset.algo, preset.algo) != "ppo":
        return None
    if "n_steps" not in preset.algorithm or "batch_size" not in preset.algorithm:
        return None
    samples = preset.algorithm["n_steps"] * preset.num_envs
    epochs = preset.algorithm.get("n_epochs", 10)
    return math.ceil(samples / preset.algorithm["batch_size"]) * epochs


def _exploration_noise(std: float, space: Any) -> Any:
    import numpy as np
    from stable_baselines3.common.noise import NormalActionNoise

    if not std > 0.0:
        raise PresetError(f"exploration_noise must be positive, got {std}.")
    return NormalActionNoise(np.zeros(space.shape), np.full(space.shape, std))
