"""The process in which a task's hooks are tried; started by `check_hooks`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import warp as wp

from proveout.envs.core import wire
from proveout.envs.core.exchange import device_exchange
from proveout.envs.core.simulation import Simulation
from proveout.envs.core.task import Task
from proveout.envs.core.watch import watched
from proveout.envs.core.worker import load_task

_WORLDS = 3
_STEPS = 20
_STEPS_AFTER_RESET = 3
# What stands in arrays that a hook must leave alone.
_MARK = 90

# Tells one thing: "hook" with its name and that of a kernel that it launches, or "error" or
# "warning" with kind and message.
Tell = Callable[..., None]


class TriedSimulation(Simulation):
    """A simulation that is launched step by step, and says which hook is running.

    Args:
        task: A task of its own; building it binds it to this simulation.
        tell: Told of each hook before it runs.
    """

    def __init__(self, task: Task, tell: Tell) -> None:
        self._tell = tell
        # Arrays that any kernel of a hook was given, by id.
        self.given: set[int] = set()
        # What `build` left in the arrays.
        self.built: dict[str, np.ndarray] = {}
        device = wp.get_device("cpu")
        super().__init__(task, device_exchange(task, _WORLDS, device), device)

    def record(self, launches: Callable[[], None], after_first_run: Callable[[], None]) -> Any:
        """Run launches once; nothing is recorded."""
        if not self.built:
            self.built = {name: array.numpy().copy() for name, array in self._state.items()}
        launches()
        after_first_run()

    @contextmanager
    def hook(self, name: str) -> Iterator[None]:
        """As in `Simulation`; notes what kernels are given."""
        self._tell("hook", name, "")
        check_bounds()

        def note_launch(given: Any) -> None:
            self._tell("hook", name, given["kernel"].key)
            for values in (given["inputs"] or (), given["outputs"] or ()):
                for value in values:
                    self.given.add(id(value))
                    if isinstance(value, wp._src.codegen.StructInstance):
                        self.given.update(id(getattr(value, name)) for name in value._cls.vars)

        def note_copy(given: Any) -> None:
            self.given.add(id(given["dest"]))

        with super().hook(name), watched({wp.launch: note_launch, wp.copy: note_copy}):
            yield

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
                array.assign(np.full_like(array.numpy(), _MARK))

    def of_the_task(self) -> list[str]:
        """Names of the arrays that the task itself declared, and so must set back itself."""
        return [name for name in self._state if not name.startswith(("core/", "task/"))]


def check_bounds() -> None:
    """Compile the kernels of all modules but the engine's with checks of their indices."""
    for name, module in wp._src.context.user_modules.items():
        if not name.startswith(("mujoco_warp", "warp.")) and module.options["mode"] != "debug":
            module.options["mode"] = "debug"
            module.mark_modified()


def try_hooks(task: Task, seed: int, tell: Tell) -> None:
    """Run the hooks of a task.

    Args:
        task: It is bound to a simulation here.
        seed: Of the worlds and the actions.
        tell: Told of faults.
    """
    if not task.reward_terms:
        tell(
            "warning",
            "reward",
            "The task has no reward terms: every reward is 0, and nothing can be learnt. Declare "
            "them as the fields of a RewardWeights, `reward_weights` in the config.",
        )
    sim = TriedSimulation(task, tell)
    sim.begin(seed)
    sim.act(seed, _STEPS)
    if id(sim.success) not in sim.given:
        tell(
            "warning",
            "success",
            "No kernel is given `sim.success`: no episode can succeed. Write it in `evaluate`.",
        )
    _check_left_over(sim, seed, tell)
    _check_masks(sim, tell)


def _check_left_over(sim: TriedSimulation, seed: int, tell: Tell) -> None:
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
        array.assign(np.full_like(values, _MARK if values.dtype.kind == "f" else 1))
        sim.begin(seed)
        seen = sim.act(seed, _STEPS_AFTER_RESET)
        for step, (a, b) in enumerate(zip(expected, seen, strict=True), start=1):
            different = [k for k in a if not np.allclose(a[k], b[k], 0.0, 0.0, True)]
            if different:
                tell(
                    "error",
                    f"left over {name}",
                    f"What the last episode left in {name} shows in the next one ({different[0]} "
                    f"of step {step}); write it in `reset`, for the worlds in the mask.",
                )
                break


def _check_masks(sim: TriedSimulation, tell: Tell) -> None:
    """With a mask that names no world, `reset` and `observe` must do nothing."""
    nobody = wp.zeros(sim.num_worlds, dtype=wp.bool, device=sim.device)
    observation = sim.exchange["observation"]
    observation.fill_(_MARK)  # written again, it would otherwise stay as it is
    sim.mark_state()
    for hook, launch in (
        ("observe", lambda: sim.hooks.observe(nobody, observation)),
        ("reset", lambda: sim.hooks.reset(nobody)),
    ):
        tell("hook", hook, "")
        changed = sim.changed_by(launch)
        if changed:
            tell(
                "error",
                f"{hook} mask",
                f"`{hook}` with a mask that names no world changed {', '.join(changed)}; its "
                "kernels must return where `mask[world]` is False.",
            )


def main(calls: int, replies: int) -> None:
    """Try the task that the parent names, and tell it what comes out."""

    def tell(*message: Any) -> None:
        wire.send(replies, message)
        wire.receive(calls)  # one message at a time is in a pipe

    reference, seed = wire.receive(calls)
    try:
        try_hooks(load_task(**reference), seed, tell)
    except Exception as error:
        tell("error", "raised", f"{type(error).__name__}: {error}")
    tell("done")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
    sys.stdout.flush()
    # Whatever hooks have left in memory is not looked at again.
    os._exit(0)
