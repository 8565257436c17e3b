"""Networks that have gone to infinity, told in a sentence."""

from __future__ import annotations

from typing import Any

from proveout.assets.files.errors import ProveoutError

# No weight that has learnt anything is near it; products of larger ones overflow float32.
_SANE_WEIGHT = 1e12


class DivergedError(ProveoutError):
    """A training whose networks have gone to infinity or NaN."""


def learn(model: Any, samples: int, **arguments: Any) -> None:
    """Let an algorithm of Stable-Baselines3 learn; see its `learn`.

    Raises:
        DivergedError: its networks are not sane, where torch would print a tensor of NaN; or after
            the last update, when nobody would notice before the policy is used.
    """
    try:
        model.learn(samples, **arguments)
    except ValueError as error:
        if _sane(model):
            raise
        raise _diverged(model) from error
    refuse_diverged(model)


def refuse_diverged(model: Any) -> None:
    """Raise DivergedError unless the networks of an algorithm are sane."""
    if not _sane(model):
        raise _diverged(model)


def _sane(model: Any) -> bool:
    return all(bool((weight.abs() < _SANE_WEIGHT).all()) for weight in model.policy.parameters())


def _diverged(model: Any) -> DivergedError:
    rate = model.lr_schedule(1.0) if hasattr(model, "lr_schedule") else model.learning_rate
    return DivergedError(
        f"the networks diverged within {model.num_timesteps} samples: their weights went to "
        f"infinity; try a learning_rate lower than {rate:g}, a lower max_grad_norm, or smaller "
        "reward weights."
    )
