"""Networks whose parameters are not finite any more, told in a sentence."""

from __future__ import annotations

from typing import Any

from proveout.assets.errors import ProveoutError


class DivergedError(ProveoutError):
    """A training whose networks have gone to infinity or NaN."""


def learn(model: Any, samples: int, **arguments: Any) -> None:
    """Let an algorithm of Stable-Baselines3 learn; see its `learn`.

    Raises:
        DivergedError: its networks are not finite, where torch would print a tensor of NaN; or
            after the last update, when nobody would notice before the policy is used.
    """
    try:
        model.learn(samples, **arguments)
    except ValueError as error:
        if _finite(model):
            raise
        raise _diverged(model) from error
    if not _finite(model):
        raise _diverged(model)


def _finite(model: Any) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in model.policy.state_dict().values())


def _diverged(model: Any) -> DivergedError:
    rate = model.lr_schedule(1.0) if hasattr(model, "lr_schedule") else model.learning_rate
    return DivergedError(
        f"the networks diverged within {model.num_timesteps} samples, their parameters are no "
        f"longer finite; try a learning_rate lower than {rate:g}, a lower max_grad_norm, or "
        "smaller reward weights."
    )
