"""Actions into the worlds and results out of them, as NumPy arrays or torch tensors.

There are two ways to step: `step` checks what it is given and returns copies; `advance` does
neither, and its results are read through `tensors`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp

from proveout.envs.core.errors import BadActionError, ConfigError
from proveout.envs.core.pool import Pool
from proveout.envs.core.simulation import Simulation

# What a step returns, in this order; see `exchange.exchange_specs`.
RESULTS = (
    "observation", "final_observation", "reward", "terminated", "truncated", "done",
    "invalid_reason", "invalid", "statistics", "statistics_mask",
)  # fmt: skip
_TENSORS = (
    "observation", "final_observation", "reward", "terminated", "truncated", "invalid_reason",
    "statistics", "statistics_mask",
)  # fmt: skip


class HostArrays:
    """NumPy arrays on any device, or torch tensors on the CPU.

    Args:
        pool: The worlds.
        torch: Results as tensors; a non-finite action then makes its world invalid, as it does on
            CUDA, and is no error.
    """

    def __init__(self, pool: Pool, torch: bool) -> None:
        self._pool = pool
        self._torch = torch
        self._shape = pool.read("action").shape
        self._finite = np.empty(self._shape, bool)
        # On the CPU these stay where they are.
        self._views = [pool.read(name) for name in RESULTS] if pool.device.is_cpu else []

    def step(self, actions: Any) -> list[Any]:
        """Check actions, step, and return copies of `RESULTS`.

        Raises:
            BadActionError: Wrong shape or dtype, or a non-finite number.
        """
        # After a step of physics nothing of this is left in the processor's caches: what a training
        # loop gives in every step goes by few functions.
        if not self._is_plain(actions):
            actions = self._checked(actions)
        self._pool.write("action", actions)
        self._pool.step()
        results = [view.copy() for view in self._views or map(self._pool.read, RESULTS)]
        return [self.tensor(values) for values in results] if self._torch else results

    def _is_plain(self, actions: Any) -> bool:
        if (
            type(actions) is not np.ndarray
            or actions.dtype != np.float32
            or actions.shape != self._shape
        ):
            return False
        np.isfinite(actions, self._finite)
        return b"\0" not in self._finite.tobytes()

    def _checked(self, actions: Any) -> np.ndarray:
        is_tensor, shape = hasattr(actions, "detach"), self._shape
        try:
            values = actions.detach().cpu().numpy() if is_tensor else np.asarray(actions)
        except (TypeError, ValueError) as error:
            raise BadActionError(f"actions of shape {shape} expected: {error}") from error
        if values.shape != shape:
            raise BadActionError(
                f"actions of shape {shape} (worlds, action size) expected, got {values.shape}"
            )
        if not np.issubdtype(values.dtype, np.floating):
            raise BadActionError(f"floating-point actions expected, got {values.dtype}")
        with np.errstate(over="ignore"):
            values = values.astype(np.float32, copy=False)
        if not self._torch and not np.isfinite(values).all():
            world = int(np.argwhere(~np.isfinite(values))[0, 0])
            raise BadActionError(f"the action of world {world} is not finite: {values[world]}")
        return values

    def advance(self, actions: Any) -> None:
        """Step with a tensor on the CPU.

        Raises:
            ConfigError: The worlds are on CUDA.
        """
        if not self._pool.device.is_cpu:
            raise ConfigError(
                f"advance takes tensors on {self._pool.device.alias}, and this environment was "
                "made for NumPy arrays: make it with array_type='torch', or call step"
            )
        self._pool.write("action", actions.numpy())
        self._pool.step()

    def tensor(self, values: np.ndarray) -> Any:
        """A copy of a host array, of the kind that `step` returns."""
        if not self._torch:
            return values.copy()
        import torch

        return torch.from_numpy(values.copy())

    def tensors(self) -> dict[str, Any]:
        """Tensors on the device that every step overwrites."""
        import torch

        if isinstance(self._pool, Simulation) and not self._pool.device.is_cpu:
            return _device_tensors(self._pool)
        return {name: torch.from_numpy(self._pool.read(name)) for name in _TENSORS}


class DeviceArrays:
    """torch tensors on a CUDA device; nothing crosses to the host.

    Args:
        pool: The worlds.
    """

    def __init__(self, pool: Simulation) -> None:
        self._pool = pool

    def step(self, actions: Any) -> list[Any]:
        """Check shape, dtype and device of actions, step, and return copies of `RESULTS`.

        Raises:
            BadActionError: They are wrong.
        """
        import torch

        self.advance(actions)
        with wp.ScopedStream(self._stream(torch)):
            return [wp.to_torch(self._pool.exchange[name]).clone() for name in RESULTS]

    def advance(self, actions: Any) -> None:
        """Step, as above, without the copies."""
        import torch

        pool, given = self._pool, self._pool.exchange["action"]
        if tuple(actions.shape) != given.shape or actions.dtype != torch.float32:
            raise BadActionError(
                f"float32 actions of shape {given.shape} expected, "
                f"got {actions.dtype} {tuple(actions.shape)}"
            )
        if str(actions.device) != pool.device.alias:
            raise BadActionError(f"actions on {pool.device.alias} expected, got {actions.device}")
        # On torch's own stream, the step is ordered with what the policy computes.
        with wp.ScopedStream(self._stream(torch)):
            wp.copy(given, wp.from_torch(actions.detach().contiguous()))
            pool.step()

    def _stream(self, torch: Any) -> wp.Stream:
        return wp.stream_from_torch(torch.cuda.current_stream(self._pool.device.alias))

    def tensor(self, values: np.ndarray) -> Any:
        """A host array on the device."""
        import torch

        return torch.from_numpy(values.copy()).to(self._pool.device.alias)

    def tensors(self) -> dict[str, Any]:
        """Tensors on the device that every step overwrites."""
        return _device_tensors(self._pool)


def _device_tensors(pool: Simulation) -> dict[str, Any]:
    return {name: wp.to_torch(pool.exchange[name]) for name in _TENSORS}


def step_arrays(pool: Pool, array_type: str) -> HostArrays | DeviceArrays:
    """The arrays of an environment.

    Args:
        pool: Its worlds.
        array_type: "numpy" or "torch".
    """
    if array_type == "torch" and isinstance(pool, Simulation) and not pool.device.is_cpu:
        return DeviceArrays(pool)
    return HostArrays(pool, torch=array_type == "torch")
