"""TD3 whose roll-outs and replay buffer stay on the device of the worlds."""

from __future__ import annotations

from stable_baselines3 import TD3

from proveout.training.sb3.tensor.off_policy import TensorOffPolicy


class TensorTD3(TensorOffPolicy, TD3):  # type: ignore[misc]
    """Stock TD3 with another roll-out: same arguments, parameters, callbacks, zips and results.

    See `TensorOffPolicy` for what differs. `n_steps` works for Dict observations too.
    """
