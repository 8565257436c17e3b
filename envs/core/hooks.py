"""The four functions of one world that a task is made of, and the kernels around them.

A task says what happens in world `w`; launches, dimensions, masks and the order of arguments stand
here, once. All kernels of a task are compiled in the Warp module of its file.
"""

# Annotations of the kernels' bodies are values, which a type checker does not follow.
# mypy: disable-error-code="valid-type"

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import warp as wp

from proveout.envs.core.columns import filled_starts, starts_names
from proveout.envs.core.number_groups import NumberGroup
from proveout.envs.core.number_rows import NumberRows
from proveout.envs.core.rng import STREAM_TASK, random_key
from proveout.envs.core.task_state import TaskState

if TYPE_CHECKING:
    from proveout.envs.core.simulation import Simulation
    from proveout.envs.core.task import Task

wp.set_module_options({"enable_backward": False})

_STREAM_TASK = wp.constant(STREAM_TASK)

# Annotations of kernels made in a function are evaluated where they stand, so that this file does
# without postponed ones.


@wp.struct
class Step:
    """What every task has in a control step, of all worlds (N).

    Attributes:
        action: Clipped, finite actions, (N, action size); zero when an episode begins.
        last_action: Those of the control step before, likewise.
        command: What the engine is told, (N, commands); zero when an episode begins.
        reward: Raw reward terms, (N, terms). kpi: Of this step, (N, KPIs).
        success, terminated: (N,). The second is false when a step begins.
        elapsed: Control steps since the episode began, this one included, (N,).
        max_steps: Control steps of a whole episode.
        seed, world_id, episode: Key of the random numbers, (N,).
    """

    action: wp.array2d[float]
    last_action: wp.array2d[float]
    command: wp.array2d[float]
    reward: wp.array2d[float]
    kpi: wp.array2d[float]
    success: wp.array[wp.bool]
    terminated: wp.array[wp.bool]
    elapsed: wp.array[int]
    max_steps: int
    seed: wp.array[wp.uint64]
    world_id: wp.array[int]
    episode: wp.array[int]


@wp.struct
class Empty:
    """The state of a task that keeps none."""

    nothing: wp.array[int]


@wp.func
def action_rate(step: Step, w: int) -> float:
    """Squared change of the action since the control step before."""
    rate = float(0.0)
    for i in range(step.action.shape[1]):
        change = step.action[w, i] - step.last_action[w, i]
        rate += change * change
    return rate


@wp.func
def episode_key(step: Step, w: int, stream: int):
    """Key of random numbers of this world's episode, for `uniform` and others.

    Args:
        step: The step. w: The world.
        stream: One of the task's own streams, from 0: a number for each purpose.
    """
    return random_key(step.seed[w], step.world_id[w], step.episode[w], _STREAM_TASK + stream)


@functools.cache
def numbers_struct(config_class: Any) -> Any:
    """A Warp struct of the numbers of a config dataclass: its float, int and bool fields, and a
    struct of each group of numbers."""
    types = {float: float, int: int, bool: wp.bool}
    default = config_class()
    annotations = {}
    for field in dataclasses.fields(config_class):
        value = getattr(default, field.name)
        if isinstance(value, NumberGroup):
            group: Any = type(value)
            annotations[field.name] = numbers_struct(group)
        elif type(value) in types:
            annotations[field.name] = types[type(value)]
    name = f"{config_class.__name__}Numbers"
    made = type(name, (), {"__annotations__": annotations, "__module__": config_class.__module__})
    return wp.struct(made)


class Hooks:
    """What a control step calls of a task: its functions of one world, or its own launches.

    Args:
        task: It has been built on the simulation.
        sim: The simulation.
    """

    def __init__(self, task: "Task", sim: "Simulation") -> None:
        self._task, self._sim = task, sim
        self._functions = task.functions
        self.state: TaskState | None = None
        struct: Any = None
        if self._functions:
            config_class: Any = type(task.config)
            struct = numbers_struct(config_class)
        self.numbers = NumberRows(task, struct, sim.num_worlds, sim.device)
        if not self._functions:
            return
        state_struct = task.state_class or Empty
        self.state = TaskState(
            state_struct, task.state_columns(), self._fixed, sim.num_worlds, sim.device
        )
        sim.adopt_state(self.state)
        self._step = _step_struct(sim)
        self._engine = task.engine_struct(sim)
        self._kernels = {
            name: _kernel(type(task), name, function, self._engine._cls, struct, state_struct)
            for name, function in self._functions.items()
        }

    def _fixed(self, name: str, kind: Any) -> Any:
        """The value of a struct in the task's state, which is the same in all worlds."""
        if starts_names(kind) is None:
            return self._task.place(self._sim, name, kind)
        return filled_starts(kind, (self._task.layout, self._task.action_layout))

    def control(self) -> None:
        """Launch."""
        self._launch("control")

    def evaluate(self) -> None:
        """Launch."""
        self._launch("evaluate")

    def reset(self, mask: wp.array) -> None:
        """Launch, for the worlds in the mask."""
        self._launch("reset", mask)

    def observe(self, mask: wp.array, observation: wp.array) -> None:
        """Launch, for the worlds in the mask."""
        self._launch("observe", mask, observation)

    def _launch(self, name: str, *arguments: wp.array) -> None:
        if name not in self._functions:
            getattr(self._task, name)(self._sim, *arguments)
            return
        assert self.state is not None
        wp.launch(
            self._kernels[name],
            dim=self._sim.num_worlds,
            inputs=[
                self._step,
                self._engine,
                self.numbers.config,
                self.state.instance,
                *arguments,
            ],
            device=self._sim.device,
        )


def _step_struct(sim: "Simulation") -> Any:
    step = Step()
    step.action, step.last_action = sim.action, sim.last_action
    step.command, step.reward, step.kpi = sim.command, sim.reward_terms, sim.kpi
    step.success, step.terminated = sim.success, sim.terminated
    step.elapsed, step.max_steps = sim.elapsed, sim.task.max_episode_steps
    step.seed = sim.seed
    step.world_id, step.episode = sim.world_id, sim.episode
    return step


@functools.cache
def _kernel(
    task_class: Any, name: str, function: Any, engine: Any, numbers: Any, state: Any
) -> wp.Kernel:
    """The kernel around one function of one world."""
    body: Any
    if name in ("control", "evaluate"):
        body = _of_all(function, engine, numbers, state)
    elif name == "reset":
        body = _of_the_reset(function, engine, numbers, state)
    else:
        body = _of_the_observed(function, engine, numbers, state)
    module = wp.get_module(task_class.__module__)
    module.options["enable_backward"] = False
    key = f"{task_class.__qualname__}_{name}".replace(".", "_").replace("<locals>", "")
    return wp.Kernel(body, key=key, module=module)


def _of_all(function: Any, engine: Any, numbers: Any, state: Any) -> Any:
    def body(step: Step, engine: engine, config: wp.array(dtype=numbers), state: state):
        w = wp.tid()
        function(w, step, engine, config[w], state)

    return body


def _of_the_reset(function: Any, engine: Any, numbers: Any, state: Any) -> Any:
    def body(
        step: Step,
        engine: engine,
        config: wp.array(dtype=numbers),
        state: state,
        mask: wp.array[wp.bool],
    ):
        w = wp.tid()
        if mask[w]:
            function(w, step, engine, config[w], state)

    return body


def _of_the_observed(function: Any, engine: Any, numbers: Any, state: Any) -> Any:
    def body(
        step: Step,
        engine: engine,
        config: wp.array(dtype=numbers),
        state: state,
        mask: wp.array[wp.bool],
        observation: wp.array2d[float],
    ):
        w = wp.tid()
        if mask[w]:
            function(w, step, engine, config[w], state, observation)

    return body
