"""Numbers of a model that differ between worlds, put into MuJoCo C's model world by world."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import mujoco
import numpy as np

# What the diagonal of the inertia matrix comes from: MuJoCo C takes it as it was in the model's
# initial pose for bodies that stand alone (`mjModel.dof_M0`), and computes it for others.
_INERTIAL = frozenset({"body_mass", "body_inertia"})


class ModelFields:
    """Fields of a model of which every world has its own.

    Args:
        model: The `mujoco.MjModel` that is stepped; its fields are overwritten.
        arrays: MuJoCo Warp's model on the CPU, with the numbers of all worlds.
        names: Of the fields; in both they are called the same.
        num_worlds: Worlds N.
    """

    def __init__(self, model: Any, arrays: Any, names: Iterable[str], num_worlds: int) -> None:
        names = tuple(names)
        self._fields: list[tuple[np.ndarray, np.ndarray]] = []
        for name in names:
            there = getattr(model, name)
            values = getattr(arrays, name).numpy().reshape(num_worlds, *there.shape)
            self._fields.append((there, values))
        self._inertial = [
            (name, field[1]) for name, field in zip(names, self._fields, strict=True)
            if name in _INERTIAL
        ]  # fmt: skip
        if not self._inertial:
            return
        self._diagonal = np.tile(model.dof_M0, (num_worlds, 1))
        self._fields.append((model.dof_M0, self._diagonal))
        self._seen = [np.full_like(values, np.nan) for _, values in self._inertial]
        # Another model: what else depends on an inertia keeps its nominal value.
        self._scratch = copy.copy(model)
        self._scratch_data = mujoco.MjData(self._scratch)

    def update(self) -> None:
        """Host: what follows from numbers that have changed."""
        if not self._inertial:
            return
        changed = np.zeros(len(self._diagonal), bool)
        for (_, values), seen in zip(self._inertial, self._seen, strict=True):
            changed |= (values != seen).reshape(len(changed), -1).any(axis=1)
            seen[...] = values
        for world in np.flatnonzero(changed):
            for name, values in self._inertial:
                getattr(self._scratch, name)[...] = values[world]
            mujoco.mj_setConst(self._scratch, self._scratch_data)
            self._diagonal[world] = self._scratch.dof_M0

    def put(self, world: int) -> None:
        """Host: the numbers of a world into the model."""
        for there, values in self._fields:
            there[...] = values[world]
