"""Articulated worlds stepped by MuJoCo Warp, on the CPU or on CUDA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import warp as wp

from proveout.envs.core.invalid import Invalid
from proveout.envs.factory import articulated_kernels as kernels
from proveout.envs.factory.engine import ArticulatedEngine, Capacities


class WarpEngine(ArticulatedEngine):
    """N worlds of one compiled model; see `ArticulatedEngine`."""

    # Of MuJoCo Warp's the largest that it does not make for each model; the longest come first.
    kernel_modules = (
        "mujoco_warp._src.forward",
        "mujoco_warp._src.smooth",
        "mujoco_warp._src.passive",
        "mujoco_warp._src.derivative",
        "mujoco_warp._src.solver",
        *ArticulatedEngine.kernel_modules,
    )

    def __init__(
        self,
        model: Any,
        num_worlds: int,
        capacities: Capacities,
        device: wp.Device,
        randomized: Sequence[str] = (),
        written: Sequence[str] = (),
    ) -> None:
        super().__init__(model, num_worlds, capacities, device, randomized, written)
        import mujoco_warp

        self._mjw = mujoco_warp
        self._overflow_bits = _overflow_bits(mujoco_warp)
        self.model.opt.warn_overflow = 0  # the guard tells it, world by world
        if self.has_contacts:
            # Runs between collision detection and the constraints, in every physics step.
            self.model.callback.contactfilter = self._attribute_lost_contacts

    def apply(self, command: wp.array) -> None:
        """Actuator controls, in the order of the model's actuators."""
        wp.copy(self.data.ctrl, command)
        # Before the physics as well: normalising a quaternion turns a NaN into a plausible pose.
        kernels.note_unsound(self.data, int(Invalid.NON_FINITE_STATE), self._reason)

    def physics(self, first: bool = False) -> None:
        """One step of MuJoCo Warp."""
        with wp.ScopedDevice(self.device):
            self._mjw.step(self.model, self.data)

    def _attribute_lost_contacts(self, model: Any, data: Any) -> None:
        kernels.attribute_lost_contacts(model, data, self._reason, int(Invalid.CONTACT_LOST))

    def contacts_per_world(self) -> float | None:
        """Contacts of the last physics step divided by the worlds."""
        if not self.has_contacts:
            return None
        return float(self.data.nacon.numpy()[0]) / self.num_worlds


def _overflow_bits(mujoco_warp: Any) -> tuple[int, int]:
    """Bits that mean a full constraint list, and bits of other per-world overflows."""
    o = mujoco_warp.OverflowType
    constraint = o.NEFC | o.NJMAX_NNZ
    # Arena overflows are set on every world and attributed by the contact filter instead;
    # iteration limits of the solvers lose nothing.
    other = o.ALL & ~(constraint | o.BROADPHASE | o.NARROWPHASE | o.ITERATIONS | o.LS_ITERATIONS)
    return int(constraint), int(other)
