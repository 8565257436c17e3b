"""SAC whose roll-outs and replay buffer stay on the device of the worlds."""

from __future__ import annotations

from stable_baselines3 import SAC

from proveout.training.sb3.tensor.off_policy import TensorOffPolicy


class TensorSAC(TensorOffPolicy, SAC):  # type: ignore[misc]
    """Stock SAC with another roll-out: same arguments, parameters, callbacks, zips and results.

    See `TensorOffPolicy` for what differs. `n_steps` works for Dict observations too.
    """
