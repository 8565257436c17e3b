"""Checks on the hooks of one of Proveout's own tasks: they write what is theirs, and only that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import warp as wp

from proveout.envs.core.check.report import Recorder
from proveout.envs.core.exchange import exchange_specs
from proveout.envs.core.simulation import Simulation
from proveout.envs.core.task import Task

_WORLDS = 3
_STEPS = 20
# Columns behind every array that a kernel must leave alone, and what stands in them.
_GUARD_COLUMNS = 8
_GUARD = 90


class GuardedSimulation(Simulation):
    """A simulation whose arrays have columns behind their end, which no hook may write.

    Args:
        task: A task of its own; building it binds it to this simulation.
        device: Where everything runs.
    """

    def __init__(self, task: Task, device: wp.Device) -> None:
        self._device = device
        self._guarded: list[tuple[str, wp.array, wp.array]] = []
        self.written_past: dict[tuple[str, str], int] = {}
        exchange = {}
        for spec in exchange_specs(task):
            exchange[spec.name] = self._guard(spec.name, spec.shape(_WORLDS), spec.dtype)
        super().__init__(task, exchange, device)

    def array(self, name: str, columns: tuple[int, ...] = (), dtype: Any = wp.float32) -> wp.array:
        """As in `Simulation`, guarded."""
        self._name = name
        return super().array(name, columns, dtype)

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> wp.array:
        """As in `Simulation`, guarded."""
        return self._guard(self._name, shape, dtype)

    def _guard(self, name: str, shape: tuple[int, ...], dtype: Any) -> wp.array:
        if len(shape) != 2 or dtype not in (wp.float32, wp.int32):
            return wp.zeros(shape, dtype=dtype, device=self._device)
        whole = wp.zeros((shape[0], shape[1] + _GUARD_COLUMNS), dtype=dtype, device=self._device)
        guard = whole[:, shape[1] :]
        guard.fill_(_GUARD)
        self._guarded.append((name, guard, whole))
        return whole[:, : shape[1]]

    def record(self, launches: Callable[[], None], after_first_run: Callable[[], None]) -> Any:
        """Run launches once: Warp cannot record copies between arrays with gaps on the CPU."""
        launches()
        after_first_run()

    @contextmanager
    def hook(self, name: str) -> Iterator[None]:
        """As in `Simulation`; afterwards, note which guards were written."""
        with super().hook(name):
            yield
        for array, guard, _ in self._guarded:
            changed = (guard.numpy() != _GUARD).any(axis=0)
            if changed.any():
                self.written_past[name, array] = 1 + int(np.flatnonzero(changed).max())
                guard.fill_(_GUARD)

    def run_episode(self, seed: int) -> None:
        """A new episode in all worlds, then steps with random actions, one launch after another."""
        generator = np.random.default_rng(seed)
        ex = self.exchange
        ex["seed"].fill_(seed)
        ex["world_id"].assign(np.arange(_WORLDS, dtype=np.int32))
        self._launch_reset()
        space = self.task.action_layout.space()
        for _ in range(_STEPS):
            action = generator.uniform(space.low, space.high, (_WORLDS, *space.shape))
            ex["action"].assign(action.astype(np.float32))
            self.launch_step()

    def changed_by(self, launch: Any) -> list[str]:
        """Names of the saved arrays that differ after a call."""
        before = self.state_dict()
        launch()
        after = self.state_dict()
        return sorted(n for n in before if before[n].tobytes() != after[n].tobytes())


def check_hooks(task: Task, device: str, seed: int, record: Recorder) -> None:
    """Run the hooks of a task on guarded arrays.

    Args:
        task: Its class and config are used, not itself.
        device: Name of a Warp device.
        seed: Of the worlds and the actions.
        record: Where faults are recorded.
    """
    again = type(task)(task.config)
    if not again.reward_terms:
        record.warn(
            "hooks",
            "reward",
            "The task has no reward terms: every reward is 0, and nothing can be learnt. Declare "
            "them as the fields of a RewardWeights, `reward_weights` in the config.",
        )
    sim = GuardedSimulation(again, wp.get_device(device))
    sim.run_episode(seed)
    for (hook, array), columns in sim.written_past.items():
        record.error(
            "hooks",
            f"{hook} past {array}",
            f"`{hook}` writes past the end of {array}, by up to {columns} column(s); in the real "
            "arrays that is another world's row.",
        )
    nobody = wp.zeros(sim.num_worlds, dtype=wp.bool, device=sim.device)
    observation = sim.exchange["observation"]
    observation.fill_(_GUARD)  # written again, it would otherwise stay as it is
    for hook, launch in (
        ("reset", lambda: again.reset(sim, nobody)),
        ("observe", lambda: again.observe(sim, nobody, observation)),
    ):
        changed = sim.changed_by(launch)
        if changed:
            record.error(
                "hooks",
                f"{hook} mask",
                f"`{hook}` with a mask that names no world changed {', '.join(changed)}; its "
                "kernels must return where `mask[world]` is False.",
            )
