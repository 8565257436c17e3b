"""Articulated worlds stepped by MuJoCo C: a second opinion beside MuJoCo Warp, on the CPU.

All worlds of a process share one `mujoco.MjData`: a world's state and its own numbers are put in,
`mj_step` makes all physics steps of a control step, and the state is taken out. MuJoCo's own
`rollout` does the same in C and took as long (256 worlds of PickPlace, 10 steps: 32 ms of one core
either way), but gives back neither the warm start nor the forces of actuators nor the warnings of a
world. Other cores are reached by worker processes, which share out the task's kernels as well.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import mujoco
import numpy as np
import warp as wp

from proveout.envs.core.graph import on_host
from proveout.envs.core.invalid import Invalid
from proveout.envs.factory.c_data import MEASURED, FilledData
from proveout.envs.factory.c_fields import ModelFields
from proveout.envs.factory.c_state import INTEGRATION, IntegrationStates
from proveout.envs.factory.engine import ArticulatedEngine, Capacities

_WARNINGS = mujoco.mjtWarning
# Why a world is invalid in which MuJoCo warns; all others are states that no world should have.
_REASONS = {
    _WARNINGS.mjWARN_CONTACTFULL: Invalid.CONTACT_LOST,
    _WARNINGS.mjWARN_CNSTRFULL: Invalid.CONSTRAINT_OVERFLOW,
}
# MuJoCo prints a warning and writes it to a file when it counts the first one of its kind: with so
# many there already it only counts.
_TOLD = 1000
# MuJoCo Warp's own room for contacts and constraints is not used.
_NO_ROOM = Capacities(contacts=0, constraints=0)


class CEngine(ArticulatedEngine):
    """N worlds of one compiled model on the CPU; see `ArticulatedEngine`.

    The room for contacts and constraints is the memory of the model (`MjSpec.memory`).
    """

    kernel_modules = (*ArticulatedEngine.kernel_modules, "proveout.envs.factory.c_state")

    def __init__(
        self,
        model: Any,
        num_worlds: int,
        device: wp.Device,
        randomized: Sequence[str] = (),
        written: Sequence[str] = (),
    ) -> None:
        super().__init__(model, num_worlds, _NO_ROOM, device, randomized, written)
        self._c_model = copy.copy(model)
        # A state that is not sound stays as it is, to be told.
        self._c_model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        if "geom_size" in self._batched:
            # It looks at boxes around a body's geoms of the model's own sizes.
            self._c_model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
        self._states = IntegrationStates(model, self.data)
        self._fields = ModelFields(self._c_model, self.model, self._batched, num_worlds)
        arrays = {name: getattr(self.data, name).numpy() for name in MEASURED}
        self._measured = {name: array for name, array in arrays.items() if array.size}
        self._reasons = self._reason.numpy()
        self._slots: list[wp.array] = []
        self._contacts = 0
        self.data = FilledData(self.data)
        self._renew()

    def _renew(self) -> None:
        """The memory in which one world after the other is stepped."""
        self._c_data = mujoco.MjData(self._c_model)
        self._warnings = self._c_data.warning.number
        self._warnings[:] = _TOLD
        self._outputs = [
            (known, getattr(self._c_data, name)) for name, known in self._measured.items()
        ]

    def state(self) -> dict[str, wp.array]:
        """That of the arrays, and the exact one."""
        return {**super().state(), "integration": self._states.array}

    def apply(self, command: wp.array) -> None:
        """Actuator controls, in the order of the model's actuators."""
        wp.copy(self.data.ctrl, command)

    def physics(self, first: bool = False) -> None:
        """One step of MuJoCo C; `control_step` makes several at once."""
        on_host(functools.partial(self._advance, 1, []), self.device)

    def control_step(
        self, substeps: int, command: Callable[[int], wp.array | None] | None = None
    ) -> None:
        """All physics steps of a world, then those of the next one."""
        told: list[np.ndarray] = []
        for substep in range(substeps):
            given = None if command is None else command(substep)
            if given is not None:
                slot = self._slot(len(told))
                wp.copy(slot, given)
                told.append(slot.numpy())
                self.apply(given)
        # Commands that do not change are those of `apply`.
        varying = told if len(told) == substeps > 1 else []
        on_host(functools.partial(self._advance, substeps, varying), self.device)

    def _slot(self, number: int) -> wp.array:
        """Memory for the commands of one physics step."""
        if number == len(self._slots):
            self._slots.append(wp.zeros_like(self.data.ctrl))
        return self._slots[number]

    def _advance(self, substeps: int, commands: list[np.ndarray]) -> None:
        """Host: physics steps of every world.

        Args:
            substeps: Their number.
            commands: Of each physics step, (N, actuators); empty where they stay as they are.
        """
        states, rows, model = self._states, self._states.rows, self._c_model
        quiet = [_TOLD] * len(self._warnings)
        states.take_over()
        self._fields.update()
        self._contacts = 0
        for world in range(self.num_worlds):
            data, row = self._c_data, rows[world]
            self._fields.put(world)
            mujoco.mj_setState(model, data, row, INTEGRATION)
            try:
                if commands:
                    for command in commands:
                        data.ctrl[:] = command[world]
                        mujoco.mj_step(model, data)
                else:
                    mujoco.mj_step(model, data, substeps)
            except mujoco.FatalError:  # no memory left for a contact that it had counted
                self._reasons[world] |= Invalid.ENGINE_OVERFLOW
                self._renew()
                continue
            mujoco.mj_getState(model, data, row, INTEGRATION)
            for known, exact in self._outputs:
                known[world] = exact
            self._contacts += data.ncon
            if self._warnings.tolist() != quiet:
                self._note_warnings(world)
        states.hand_back()

    def _note_warnings(self, world: int) -> None:
        for kind in np.flatnonzero(self._warnings != _TOLD):
            reason = _REASONS.get(_WARNINGS(int(kind)), Invalid.NON_FINITE_STATE)
            self._reasons[world] |= reason
        self._warnings[:] = _TOLD

    def reset(self, mask: wp.array) -> None:
        """As of any engine, and the exact state."""
        super().reset(mask)
        self._states.reset(mask)

    def contacts_per_world(self) -> float | None:
        """Contacts of the last physics step divided by the worlds."""
        return self._contacts / self.num_worlds if self.has_contacts else None
