"""From a preset to the policy of Stable-Baselines3, and how its first actions are shaped."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proveout.assets.files.errors import unknown
from proveout.training.presets.algorithms import algorithm_class
from proveout.training.presets.checks import PresetError

if TYPE_CHECKING:
    from proveout.training.presets.preset import Preset

_POLICY_KEYS = ("activation_fn", "action_head_scale", "initial_std")
# What Stable-Baselines3, torch and NumPy raise for arguments that they cannot use.
REFUSALS = (
    *(TypeError, ValueError, AssertionError, AttributeError, LookupError, ArithmeticError),
    *(MemoryError, RuntimeError),
)


def policy_kwargs(preset: Preset, layout: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return `policy_kwargs` as SB3 takes them.

    Args:
        preset: With network "mlp" and no normaliser, the features extractor is left to SB3.
        layout: Of the observation, see `proveout.policies.parts`; None: unknown.

    Raises:
        UnknownNameError: unknown activation.
        PolicyError: the layout does not have what the network needs.
    """
    from proveout.policies.actor_network import activation_class
    from proveout.policies.card import ACTIVATIONS

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
    kwargs = policy_kwargs(preset, layout_for(preset, layout))
    if preset.algorithm.get("use_sde"):
        kwargs["use_sde"] = True
    policy_class = name if isinstance(name, type) else algorithm.policy_aliases[name]
    try:
        policy = policy_class(observation_space, action_space, lambda _: 0.0, **kwargs)
    except REFUSALS as error:
        raise cannot_be_built(preset, error) from error
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


def layout_for(preset: Preset, layout: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if layout is None and preset.network != "mlp":
        raise PresetError(
            f"network '{preset.network}' needs an environment that tells the layout of its "
            "observation; use network 'mlp'."
        )
    return layout


def cannot_be_built(preset: Preset, error: BaseException) -> PresetError:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return PresetError(f"{preset.algo} cannot be built with this preset: {first}")
