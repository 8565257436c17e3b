"""Find what a task declares and never writes, before it can pass for a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import warp as wp

from proveout.envs.core.errors import ConfigError

if TYPE_CHECKING:
    from proveout.envs.core.simulation import Simulation

# A quiet NaN with a payload that no computation makes by itself (IEEE 754-2019, section 6.2): a KPI
# may be NaN, where it is undefined.
_MARK = np.uint32(0x7FDEAD01)


class Unwritten:
    """Marks observation, command, reward terms and KPIs, and looks where the mark still stands.

    Used around the first reset and the first step of a simulation, which run before anybody uses
    its worlds.

    Args:
        sim: A simulation whose arrays exist and whose worlds have not run yet.
    """

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        # The command is cleared when an episode begins: then by the mark too.
        for array in (sim.exchange["observation"], sim.reward_terms, sim.kpi, sim.blank):
            array.assign(np.full(array.shape, _MARK, np.uint32).view(np.float32))
        self._command = np.zeros(0, bool)

    def check_reset(self) -> None:
        """After a reset of all worlds.

        Raises:
            ConfigError: A part of the observation was written in no world.
        """
        self._command = _marked(self._sim.command)
        layout = self._sim.task.layout
        missing = _unwritten(self._sim.exchange["observation"], layout.size)
        told = []
        for name in layout.names:
            at = layout.slices[name]
            columns = [c for c in missing if at.start <= c < at.stop]
            if len(columns) == at.stop - at.start:
                told.append(f"observation '{name}' (columns {at.start}:{at.stop})")
            elif columns:
                word = "column" if len(columns) == 1 else "columns"
                told.append(f"{word} {', '.join(map(str, columns))} of observation '{name}'")
        self._complain("observe", told)

    def check_step(self) -> None:
        """After a step of all worlds.

        Raises:
            ConfigError: A reward term or a KPI was written in no world, or a part of the command
                in some world.
        """
        sim, task = self._sim, self._sim.task
        sim.blank.zero_()
        self._check_command()
        terms, kpis = task.reward_terms, [kpi.name for kpi in task.kpis]
        told = [
            f"reward term '{terms[c]}' (column {c})"
            for c in _unwritten(sim.reward_terms, len(terms))
        ]
        told += [f"KPI '{kpis[c]}' (column {c})" for c in _unwritten(sim.kpi, len(kpis))]
        self._complain("evaluate", told)

    def _check_command(self) -> None:
        """What neither the reset nor the step wrote would stay as it is for ever."""
        idle = self._command & _marked(self._sim.command)
        if not idle.any():
            return
        names = [
            f"'{name}'"
            for name, missing in zip(self._sim.engine.command_names, idle.T, strict=True)
            if missing.any()
        ]
        worlds = idle.any(axis=1)
        task = self._sim.task
        where = "" if worlds.all() else f" in {worlds.sum()} of {len(worlds)} worlds"
        raise ConfigError(
            f"{task.id or type(task).__name__}: neither `reset` nor `control` writes the command "
            f"of {', '.join(names)}{where}; `sim.command` has {idle.shape[1]} columns, one for "
            "each actuator: write all of them, 0 for one that rests"
        )

    def _complain(self, hook: str, told: list[str]) -> None:
        if told:
            task = self._sim.task
            raise ConfigError(
                f"{task.id or type(task).__name__}: `{hook}` never writes {', '.join(told)}; "
                "write every column, in every step and world"
            )


def _marked(array: wp.array) -> np.ndarray:
    """Where the mark stands, shape (N, columns)."""
    marked: np.ndarray = np.ascontiguousarray(array.numpy()).view(np.uint32) == _MARK
    return marked


def _unwritten(array: wp.array, columns: int) -> list[int]:
    """Columns that are still marked in all worlds."""
    return [int(c) for c in np.flatnonzero(_marked(array)[:, :columns].all(axis=0))]
