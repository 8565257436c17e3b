"""One process's share of the worlds: the control step, recorded once and replayed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import warp as wp

from proveout.envs.core import randomize
from proveout.envs.core.episode_statistics import EpisodeStatistics
from proveout.envs.core.errors import ConfigError, StateError
from proveout.envs.core.exchange import host_views
from proveout.envs.core.graph import Graph
from proveout.envs.core.hooks import Hooks
from proveout.envs.core.kernel_modules import load_modules
from proveout.envs.core.launches_only import launches_only
from proveout.envs.core.next_episode import EPISODE
from proveout.envs.core.reset_request import check_parameter
from proveout.envs.core.rng import STREAM_OBSERVATION_NOISE, STREAM_RANDOMIZATION
from proveout.envs.core.saved_state import check_array
from proveout.envs.core.scene_pose import ScenePose
from proveout.envs.core.step_kernels import StepKernels
from proveout.envs.core.step_told import StepTold
from proveout.envs.core.task import Task
from proveout.envs.core.task_state import TaskState
from proveout.envs.core.unwritten import Unwritten

_KERNEL_MODULES = tuple(
    f"proveout.envs.core.{name}" for name in ("step_kernels", "number_rows", "task_state")
)


class Simulation:
    """N worlds of a task on one device.

    A control step is always, in this order: action, control, physics x decimation, refresh,
    guard, evaluate, final observation, reset of finished worlds, refresh, observe. It is recorded
    once as a graph; nothing in it reads from the device to the host.

    Args:
        task: The task; it is built on these worlds.
        exchange: Arrays of `exchange_specs`, on the device.
        device: Where everything runs.

    Attributes that a task's kernels use (N worlds):
        action: Clipped, finite actions, shape (N, action size); zero when an episode begins.
        last_action: Those of the control step before, likewise.
        command: What `Task.control` made of them, shape (N, len(worlds.command_names)): as wide as
            the engine's commands, whatever the width of an action. Zero when an episode begins.
        reward_terms: Raw terms, shape (N, terms). success, terminated: bool, shape (N,).
        kpi: This step's KPI values, shape (N, KPIs).
        elapsed: Control steps since the episode began, this one included, shape (N,).
        seed, world_id, episode: Key of the random numbers, shape (N,).

    With `workers` it is also the pool of a vector environment whose worlds live in one process.
    """

    workers = 1

    def __init__(self, task: Task, exchange: Mapping[str, wp.array], device: wp.Device) -> None:
        started = time.perf_counter()
        self.task = task
        self.device = device
        self.exchange = exchange
        self._host = host_views(exchange) if device.is_cpu else {}
        self.num_worlds = n = int(exchange["reward"].shape[0])
        self._state: dict[str, wp.array] = {}
        # Saved arrays in which a NaN has a meaning.
        self._undefined = {
            f"exchange/{kind}{name}_override"
            for kind in ("", "next_")
            for name in ("parameter", "number")
        }

        self.seed: wp.array = exchange["seed"]
        self.world_id: wp.array = exchange["world_id"]
        self.episode: wp.array = exchange["episode"]
        self.elapsed: wp.array = exchange["elapsed"]
        self.terminated: wp.array = exchange["terminated"]
        terms, kpis = len(task.reward_terms), len(task.kpis)
        self.action = self.array("core/action", (task.action_layout.size,))
        self.last_action = self.array("core/last_action", (task.action_layout.size,))
        # Of an invalid world, terms may be anything; a KPI may be undefined in any.
        self.reward_terms = self.array("core/reward_terms", (max(1, terms),), finite=False)
        self.kpi = self.array("core/kpi", (max(1, kpis),), finite=False)
        self.success = self.array("core/success", (), dtype=wp.bool)
        self.bad_start = self.array("core/bad_start", (), dtype=wp.int32)
        drawn = max(1, len(task.randomizations))
        self.drawn = self.array("core/drawn", (drawn,))
        self.statistics = EpisodeStatistics(self)
        self._all = wp.full(n, True, dtype=wp.bool, device=device)

        self.engine = task.make_engine(n, device)
        self.command_size = len(self.engine.command_names)
        self.command = self.array("core/command", (self.command_size,))
        # What an episode's command begins with: zero, once the first runs are over.
        self.blank = wp.zeros(1, dtype=float, device=device)
        self._kernels = StepKernels(self)
        if self.engine.num_worlds != n:
            raise ConfigError(
                f"{task.id}: make_engine made {self.engine.num_worlds} worlds instead of {n}"
            )
        task.build(self)
        self.hooks = Hooks(task, self)
        self._bind_randomizations()

        drawing = (randomize.__name__,) if task.randomizations else ()
        load_modules(
            (type(task).__module__, *self.engine.kernel_modules, *_KERNEL_MODULES, *drawing), device
        )
        unwritten = Unwritten(self)
        self._holds_back = False

        def check_reset() -> None:
            unwritten.check_reset()
            # From here on marks would be taken for numbers that are not finite.
            self._holds_back = True
            self._kernels.hold_back(self._all)

        # The first runs are of new episodes in all worlds, without overrides.
        exchange["reset_mask"].fill_(True)
        exchange["parameter_override"].fill_(math.nan)
        exchange["number_override"].fill_(math.nan)
        exchange["next_parameter_override"].fill_(math.nan)
        exchange["next_number_override"].fill_(math.nan)
        self._reset_graph = self.record(self._launch_reset, check_reset)
        self._step_graph = self.record(self.launch_step, unwritten.check_step)
        exchange["times_invalid"].zero_()  # marks are no numbers, but nobody's fault
        self._physics_graph: Graph | None = None
        self.compile_seconds = time.perf_counter() - started

    def array(
        self,
        name: str,
        columns: tuple[int, ...] = (),
        dtype: Any = wp.float32,
        *,
        finite: bool = True,
    ) -> wp.array:
        """A per-world array, shape (N, *columns), that is part of the saved state.

        Args:
            name: Its name in the state, "task/what".
            columns: Shape of one world's part.
            dtype: Warp type of an element.
            finite: A state with a NaN or an infinite number here is refused.
        """
        if name in self._state:
            raise ConfigError(f"array {name!r} is declared twice")
        array = self.allocate((self.num_worlds, *columns), dtype)
        self._state[name] = array
        if not finite:
            self._undefined.add(name)
        return array

    def adopt_state(self, state: TaskState) -> None:
        """Make a task's declared state part of the saved one, as "task/<field>".

        Raises:
            ConfigError: `Task.undefined` names a field that is no array of it.
        """
        for name in self.task.undefined:
            if name not in state.arrays:
                raise ConfigError(f"{self.task.id}: `undefined` names no field {name!r}")
            self._undefined.add(f"task/{name}")
        self._state.update({f"task/{name}": array for name, array in state.arrays.items()})

    def task_state(self, name: str) -> np.ndarray:
        """Host: a copy of a field of the task's state, (N, ...)."""
        values: np.ndarray = self._state[f"task/{name}"].numpy()
        return values.copy()

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> wp.array:
        """Memory of `array`, zeros."""
        return wp.zeros(shape, dtype=dtype, device=self.device)

    def record(self, launches: Callable[[], None], after_first_run: Callable[[], None]) -> Graph:
        """Run launches once, then record them."""
        return Graph(launches, self.device, after_first_run)

    def hook(self, name: str) -> AbstractContextManager[None]:
        """The context in which a hook of the task launches."""
        return launches_only(f"{self.task.id or type(self.task).__name__}: `{name}`")

    def constant(self, values: Any, dtype: Any = wp.float32) -> wp.array:
        """A device array that is the same for all worlds and never changes."""
        return wp.array(np.asarray(values), dtype=dtype, device=self.device)

    def _bind_randomizations(self) -> None:
        task, config = self.task, self.task.config
        self._bound: list[randomize.BoundRandomization] = []
        self._noise: list[tuple[int, wp.array]] = []
        self._delay: randomize.CommandDelay | None = None
        for column, (name, r) in enumerate(task.randomizations):
            columns: list[Any] = []
            if r.field == randomize.OBSERVATION_NOISE:
                entries = task.layout.indices(r.target)
                if not entries:
                    raise ConfigError(
                        f"randomisation {name}: no observation entry matches {r.target!r}; "
                        f"the entries are {', '.join(task.layout.names)}"
                    )
                self._noise.append((column, self.constant(entries, wp.int32)))
            elif r.field == randomize.CONTROL_LATENCY:
                if self._delay is not None:
                    raise ConfigError(f"randomisation {name}: control_latency is declared twice")
                self._delay = randomize.CommandDelay(
                    self.num_worlds, self.command_size, r.high, config.control_dt, column,
                    self.device,
                )  # fmt: skip
                self._state["core/command_history"] = self._delay.history
            elif r.number is None:
                columns = self.engine.parameter(r.field, r.target)
                r.check_limits(f"randomisation {name}", columns, (r.low, r.high))
                for i, place in enumerate(columns):
                    self._state[f"core/parameter/{name}/{i}"] = place.array
            self._bound.append(randomize.BoundRandomization(r, column, tuple(columns), self.device))

    def check_parameter(self, name: str, ends: tuple[float, float]) -> None:
        """Raise `ConfigError` where a value between the ends is no value of its quantity.

        Numbers of the config are checked world by world, with `Numbers.check`.
        """
        for (declared, r), bound in zip(self.task.randomizations, self._bound, strict=True):
            if declared == name:
                r.check_limits(f"parameter {name}", bound.columns, ends)

    def launch_step(self) -> None:
        """Launch a control step, for a graph that somebody records; `step` replays our own."""
        ex, task, worlds = self.exchange, self.task, self.engine
        self._kernels.begin()
        with self.hook("control"):
            self.hooks.control()
        if self._delay is not None:
            self._delay.push(self.command)
        worlds.control_step(task.config.decimation, self._command_at)
        worlds.after_physics(self._all)
        worlds.guard(ex["invalid_reason"])
        with self.hook("evaluate"):
            self.hooks.evaluate()
        self._observe(self._all, ex["final_observation"])
        self._kernels.finish()
        self._launch_episode_start(ex["done"])
        self._observe(ex["done"], ex["observation"])
        self._kernels.hold_back(ex["done"])

    def _command_at(self, substep: int) -> wp.array | None:
        """What the worlds are told before a physics step; None: nothing new."""
        if self._delay is None:
            return self.command if substep == 0 else None
        self._delay.select(self.drawn, substep * self.task.config.physics_dt)
        return self._delay.applied

    def _launch_reset(self) -> None:
        mask = self.exchange["reset_mask"]
        self._kernels.start(mask)
        self._launch_episode_start(mask)
        self._observe(mask, self.exchange["observation"])
        if self._holds_back:
            self._kernels.hold_back(mask)

    def _launch_episode_start(self, mask: wp.array) -> None:
        if self.hooks.state is not None:
            self.hooks.state.clear(mask)
        self.hooks.numbers.write(mask, self.exchange["number_override"])
        self.engine.reset(mask)
        for bound in self._bound:
            bound.launch(
                mask, self.seed, self.world_id, self.episode,
                self.exchange["parameter_override"], self.drawn, STREAM_RANDOMIZATION,
            )  # fmt: skip
        if self._bound:
            self.hooks.numbers.write_drawn(mask, self.drawn)
            self.engine.after_randomize(mask)
        with self.hook("reset"):
            self.hooks.reset(mask)
        for bound in self._bound:
            bound.launch_after_reset(mask, self.drawn)
        if self._delay is not None:
            self._delay.fill(mask, self.command)
        self.engine.refresh(mask)

    def _observe(self, mask: wp.array, observation: wp.array) -> None:
        with self.hook("observe"):
            self.hooks.observe(mask, observation)
        for column, entries in self._noise:
            randomize.add_noise(
                mask, self.seed, self.world_id, self.episode, self.elapsed, self.drawn, column,
                STREAM_OBSERVATION_NOISE, entries, observation,
            )  # fmt: skip

    def step(self) -> None:
        """One control step of all worlds with the exchange's actions."""
        self._step_graph.replay()

    def reset(self) -> None:
        """New episodes for the worlds in the exchange's reset mask."""
        self._reset_graph.replay()

    def bare_physics(self, repeats: int) -> float:
        """Seconds for `repeats` control steps' worth of physics alone, the ceiling of `step`."""
        if self._physics_graph is None:
            self._physics_graph = Graph(self._launch_physics, self.device)
        wp.synchronize_device(self.device)
        started = time.perf_counter()
        for _ in range(repeats):
            self._physics_graph.replay()
        wp.synchronize_device(self.device)
        return time.perf_counter() - started

    def _launch_physics(self) -> None:
        self.engine.control_step(self.task.config.decimation)

    def _all_state(self) -> dict[str, wp.array]:
        waiting = ("next_waits", *(f"next_{name}" for name in EPISODE))
        boundary = (*EPISODE, *waiting, "elapsed", "observation")
        return {
            **{f"exchange/{name}": self.exchange[name] for name in boundary},
            **self._state,
            **{f"engine/{name}": array for name, array in self.engine.state().items()},
        }

    def state_dict(self) -> dict[str, np.ndarray]:
        """Everything that determines the future, as copies with the worlds as first dimension."""
        wp.synchronize_device(self.device)
        return {name: array.numpy().copy() for name, array in self._all_state().items()}

    def check_state(self, state: Any, num_worlds: int) -> None:
        """Raise `StateError` unless `state` fits this simulation, with rows for `num_worlds`."""
        arrays = self._all_state()
        if not isinstance(state, Mapping):
            raise StateError(f"a saved state is a mapping of names to arrays, got {type(state)}")
        if set(arrays) != set(state):
            odd = ", ".join(sorted(map(str, set(arrays) ^ set(state))))
            raise StateError(f"saved state does not fit this environment: {odd} differ")
        for name, array in arrays.items():
            here = array.numpy()
            finite = name not in self._undefined
            check_array(f"saved state {name}", state[name], here, num_worlds, finite)
        self._check_meaning(state)

    def _check_meaning(self, state: Mapping[str, Any]) -> None:
        """Raise `StateError` for clocks and overrides that no reset and no step could leave."""
        steps = self.task.max_episode_steps
        for name in ("exchange/elapsed", "core/episode_steps"):
            clock = np.asarray(state[name])
            if clock.min() < 0 or clock.max() > steps:
                raise StateError(f"saved state {name}: control steps from 0 to {steps} expected")
        for name, last in self.engine.state_limits().items():
            index = np.asarray(state[f"engine/{name}"])
            if index.min() < 0 or index.max() > last:
                raise StateError(f"saved state engine/{name}: from 0 to {last} expected")
        for kind in ("", "next_"):
            overrides = np.asarray(state[f"exchange/{kind}parameter_override"], np.float64)
            numbers = np.asarray(state[f"exchange/{kind}number_override"], np.float64)
            self._check_overrides(overrides, numbers)

    def _check_overrides(self, overrides: np.ndarray, numbers: np.ndarray) -> None:
        try:
            for column, (name, r) in enumerate(self.task.randomizations):
                check_parameter(name, r, overrides[:, column], self)
            everywhere = np.ones(len(numbers), dtype=bool)
            known = self.task.numbers
            known.check(numbers[:, : len(known.names)], everywhere, overrides)
        except ConfigError as error:
            raise StateError(f"saved state: {error}") from error

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore `state_dict`; `StateError`, and nothing changed, when it does not fit."""
        self.check_state(state, self.num_worlds)
        for name, array in self._all_state().items():
            array.assign(np.ascontiguousarray(state[name], dtype=array.numpy().dtype))
        self.hooks.numbers.write(self._all, self.exchange["number_override"])
        if self._bound:
            self.hooks.numbers.write_drawn(self._all, self.drawn)
            self.engine.after_randomize(self._all)
        self.engine.refresh(self._all)
        wp.synchronize_device(self.device)

    def read(self, name: str) -> np.ndarray:
        """An exchange array on the host: on the CPU a view that the next step overwrites."""
        return self._host[name] if self._host else self.exchange[name].numpy()

    def write(self, name: str, values: np.ndarray) -> None:
        """Write a whole exchange array from the host."""
        if self._host:
            self._host[name][...] = values
        else:
            self.exchange[name].assign(values)

    def times_invalid(self) -> int:
        """Times a world has been invalid since they were made."""
        return int(self.read("times_invalid").sum())

    def contacts_per_world(self) -> float | None:
        """Mean contacts of a world in the last physics step; None without contacts."""
        return self.engine.contacts_per_world()

    def close(self) -> None:
        """Nothing outlives this object."""

    def step_told(self, worlds: Sequence[int]) -> list[StepTold]:
        """What the last step told of the given worlds of this process, as copies."""
        chosen = list(worlds)
        terms, kpis = len(self.task.reward_terms), len(self.task.kpis)
        rows = (self.reward_terms.numpy()[chosen], self.kpi.numpy()[chosen])
        success = self.success.numpy()[chosen]
        return [
            StepTold(term[:terms], kpi[:kpis], bool(ok))
            for term, kpi, ok in zip(*rows, success, strict=True)
        ]

    def scene_pose(self, worlds: Sequence[int]) -> list[ScenePose]:
        """Poses for a renderer of the given worlds of this process."""
        wp.synchronize_device(self.device)
        return self.task.scene_pose(self, worlds)
