"""What MuJoCo C needs to go on with a world, beside the arrays that the kernels of a task know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import warp as wp

wp.set_module_options({"enable_backward": False})

_BITS = mujoco.mjtState
# Everything that determines the future of a world, in float64.
INTEGRATION = int(_BITS.mjSTATE_INTEGRATION)
# Parts of it that have an array in MuJoCo Warp's data, and whether physics changes them.
_PARTS = {
    _BITS.mjSTATE_TIME: ("time", True),
    _BITS.mjSTATE_QPOS: ("qpos", True),
    _BITS.mjSTATE_QVEL: ("qvel", True),
    _BITS.mjSTATE_ACT: ("act", True),
    _BITS.mjSTATE_WARMSTART: ("qacc_warmstart", True),
    _BITS.mjSTATE_CTRL: ("ctrl", False),
    _BITS.mjSTATE_QFRC_APPLIED: ("qfrc_applied", False),
    _BITS.mjSTATE_XFRC_APPLIED: ("xfrc_applied", False),
    _BITS.mjSTATE_EQ_ACTIVE: ("eq_active", False),
    _BITS.mjSTATE_MOCAP_POS: ("mocap_pos", False),
    _BITS.mjSTATE_MOCAP_QUAT: ("mocap_quat", False),
}


@dataclass(frozen=True)
class _Part:
    """One part of the state of all worlds."""

    exact: np.ndarray
    """In float64, (N, numbers): columns of the rows."""
    known: np.ndarray
    """As kernels know it, (N, numbers)."""
    moves: bool
    """Whether physics changes it."""


class IntegrationStates:
    """A row of numbers of each world from which MuJoCo C goes on exactly.

    Kernels read and write the same quantities in float32. What one of them has written counts:
    a number that is no longer the rounded one of the row replaces it.

    Args:
        model: `mujoco.MjModel`.
        data: MuJoCo Warp's data of N worlds on the CPU.

    Attributes:
        array: float64, (N, numbers of MuJoCo's mjSTATE_INTEGRATION).
        rows: The same as NumPy's.
    """

    def __init__(self, model: Any, data: Any) -> None:
        size = mujoco.mj_stateSize(model, INTEGRATION)
        initial = np.empty(size)
        mujoco.mj_getState(model, mujoco.MjData(model), initial, INTEGRATION)
        worlds = data.qpos.shape[0]
        self._initial = wp.array(initial, dtype=wp.float64, device="cpu")
        self.array = wp.array(np.tile(initial, (worlds, 1)), dtype=wp.float64, device="cpu")
        self.rows: np.ndarray = self.array.numpy()
        self._parts = []
        start = 0
        for bit in (1 << i for i in range(int(_BITS.mjNSTATE))):
            count = mujoco.mj_stateSize(model, bit) if bit & INTEGRATION else 0
            if count and _BITS(bit) in _PARTS:
                name, moves = _PARTS[_BITS(bit)]
                known = getattr(data, name).numpy().reshape(worlds, count)
                self._parts.append(_Part(self.rows[:, start : start + count], known, moves))
            start += count

    def take_over(self) -> None:
        """Host: what kernels have written since `hand_back`."""
        with np.errstate(over="ignore", invalid="ignore"):
            for part in self._parts:
                written = part.exact.astype(part.known.dtype) != part.known
                if written.any():
                    part.exact[written] = part.known[written]

    def hand_back(self) -> None:
        """Host: what physics has changed, for the kernels."""
        with np.errstate(over="ignore", invalid="ignore"):
            for part in self._parts:
                if part.moves:
                    part.known[...] = part.exact

    def reset(self, mask: wp.array) -> None:
        """Launch: the model's initial state for the worlds in the mask."""
        wp.launch(
            _reset_kernel,
            dim=mask.shape[0],
            inputs=[mask, self._initial],
            outputs=[self.array],
            device=mask.device,
        )


@wp.kernel
def _reset_kernel(
    # In:
    mask_in: wp.array[wp.bool],
    initial_in: wp.array[wp.float64],
    # Out:
    state_out: wp.array2d[wp.float64],
):
    worldid = wp.tid()
    if mask_in[worldid]:
        for i in range(state_out.shape[1]):
            state_out[worldid, i] = initial_in[i]
