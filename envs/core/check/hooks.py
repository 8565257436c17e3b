"""Checks on the hooks of one of Proveout's own tasks: they write what is theirs, and only that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import warp as wp

from proveout.envs.core.check.report import Recorder
from proveout.envs.core.check.session import CUDA_TOLERANCE
from proveout.envs.core.exchange import exchange_specs
from proveout.envs.core.simulation import Simulation
from proveout.envs.core.task import Task

_WORLDS = 3
_STEPS = 20
_STEPS_AFTER_RESET = 3
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
        self.given: set[int] = set()
        # What `build` left in the arrays.
        self.built: dict[str, np.ndarray] = {}
        exchange = {}
        for spec in exchange_specs(task):
            exchange[spec.name] = self._guard(spec.name, spec.shape(_WORLDS), spec.dtype)
        super().__init__(task, exchange, device)

    def array(self, name: str, *args: Any, **kwargs: Any) -> wp.array:
        """As in `Simulation`, guarded."""
        self._name = name
        return super().array(name, *args, **kwargs)

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
        if not self.built:
            self.built = {name: array.numpy().copy() for name, array in self._state.items()}
        launches()
        after_first_run()

    @contextmanager
    def hook(self, name: str) -> Iterator[None]:
        """As in `Simulation`; notes what kernels are given, and which guards were written."""
        with super().hook(name), _noted(self.given):
            yield
        for array, guard, _ in self._guarded:
            changed = (guard.numpy() != _GUARD).any(axis=0)
            if changed.any():
                self.written_past[name, array] = 1 + int(np.flatnonzero(changed).max())
                guard.fill_(_GUARD)

    def begin(self, seed: int) -> None:
        """A new episode in all worlds."""
        self.exchange["seed"].fill_(seed)
        self.exchange["world_id"].assign(np.arange(_WORLDS, dtype=np.int32))
        self.exchange["episode"].fill_(0)
        self._launch_reset()

    def act(self, seed: int, steps: int) -> list[dict[str, np.ndarray]]:
        """Steps with random actions, one launch after another; return what each one told."""
        generator = np.random.default_rng(seed)
        space = self.task.action_layout.space()
        told = []
        for _ in range(steps):
            action = generator.uniform(space.low, space.high, (_WORLDS, *space.shape))
            self.exchange["action"].assign(action.astype(np.float32))
            self.launch_step()
            arrays = {
                "observation": self.exchange["final_observation"],
                "reward term": self.reward_terms,
                "KPI": self.kpi,
                "success": self.success,
                "end": self.exchange["terminated"],
            }
            told.append({name: array.numpy().copy() for name, array in arrays.items()})
        return told

    def changed_by(self, launch: Callable[[], None]) -> list[str]:
        """Names of the saved arrays that differ after a call."""
        before = self.state_dict()
        launch()
        after = self.state_dict()
        return sorted(n for n in before if before[n].tobytes() != after[n].tobytes())

    def mark_state(self) -> None:
        """Write numbers that no task writes into every saved number of the worlds and the task."""
        for name, array in self._all_state().items():
            if not name.startswith("exchange/") and array.dtype not in (wp.int32, wp.uint64):
                array.assign(np.full_like(array.numpy(), _GUARD))

    def of_the_task(self) -> list[str]:
        """Names of the arrays that the task itself declared."""
        return [name for name in self._state if not name.startswith("core/")]


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
    sim.begin(seed)
    sim.act(seed, _STEPS)
    if id(sim.success) not in sim.given:
        record.warn(
            "hooks",
            "success",
            "No kernel is given `sim.success`: no episode can succeed. Write it in `evaluate`.",
        )
    for (hook, array), columns in sim.written_past.items():
        record.error(
            "hooks",
            f"{hook} past {array}",
            f"`{hook}` writes past the end of {array}, by up to {columns} column(s); in the real "
            "arrays that is another world's row.",
        )
    _check_left_over(sim, seed, record)
    _check_masks(sim, record)


def _check_left_over(sim: GuardedSimulation, seed: int, record: Recorder) -> None:
    """Nothing of the last episode may show in the next one."""
    arrays = {name: sim._state[name] for name in sim.of_the_task()}

    def forget() -> None:
        for name, array in arrays.items():
            array.assign(sim.built[name])

    forget()
    sim.begin(seed)
    expected = sim.act(seed, _STEPS_AFTER_RESET)
    for name, array in arrays.items():
        values = array.numpy()
        if sim.built[name].any() and np.array_equal(values, sim.built[name]):
            continue  # a constant of `build`
        forget()
        # An integer may be an index: it must stay a plausible one.
        array.assign(np.full_like(values, _GUARD if values.dtype.kind == "f" else 1))
        sim.begin(seed)
        seen = sim.act(seed, _STEPS_AFTER_RESET)
        for step, (a, b) in enumerate(zip(expected, seen, strict=True), start=1):
            tolerance = 0.0 if sim.device.is_cpu else CUDA_TOLERANCE
            different = [k for k in a if not np.allclose(a[k], b[k], tolerance, tolerance, True)]
            if different:
                record.error(
                    "hooks",
                    f"left over {name}",
                    f"What the last episode left in {name} shows in the next one ({different[0]} "
                    f"of step {step}); write it in `reset`, for the worlds in the mask.",
                )
                break


def _check_masks(sim: GuardedSimulation, record: Recorder) -> None:
    """With a mask that names no world, `reset` and `observe` must do nothing."""
    nobody = wp.zeros(sim.num_worlds, dtype=wp.bool, device=sim.device)
    observation = sim.exchange["observation"]
    observation.fill_(_GUARD)  # written again, it would otherwise stay as it is
    sim.mark_state()
    for hook, launch in (
        ("observe", lambda: sim.task.observe(sim, nobody, observation)),
        ("reset", lambda: sim.task.reset(sim, nobody)),
    ):
        changed = sim.changed_by(launch)
        if changed:
            record.error(
                "hooks",
                f"{hook} mask",
                f"`{hook}` with a mask that names no world changed {', '.join(changed)}; its "
                "kernels must return where `mask[world]` is False.",
            )


@contextmanager
def _noted(given: set[int]) -> Iterator[None]:
    """Add the ids of everything that is given to a kernel or copied."""
    launch, copy = wp.launch, wp.copy

    def noted_launch(*args: Any, **kwargs: Any) -> Any:
        for values in (*args[2:4], kwargs.get("inputs", ()), kwargs.get("outputs", ())):
            given.update(id(value) for value in values)
        return launch(*args, **kwargs)

    def noted_copy(target: Any, *args: Any, **kwargs: Any) -> Any:
        given.add(id(target))
        return copy(target, *args, **kwargs)

    wp.launch, wp.copy = noted_launch, noted_copy
    try:
        yield
    finally:
        wp.launch, wp.copy = launch, copy
