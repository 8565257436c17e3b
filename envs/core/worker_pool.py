"""Worlds split over worker processes.

Warp runs a CPU kernel on one thread, so on the CPU the other cores are reached by processes. Each
worker owns a contiguous slice of the worlds, records its own graph, and reads and writes its rows
of arrays in shared memory. World numbers are global, so the number of workers changes no bit.
Worker 0 is the calling process itself: it would only wait for the others, and waking one process
less a step is worth several per cent of a short one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import warp as wp

from proveout.envs.core import wire
from proveout.envs.core.errors import WorkerError
from proveout.envs.core.exchange import SharedExchange
from proveout.envs.core.interrupts import InterruptsHeld
from proveout.envs.core.scene_pose import ScenePose
from proveout.envs.core.simulation import Simulation
from proveout.envs.core.step_told import StepTold
from proveout.envs.core.task import Task
from proveout.envs.core.worker_link import WorkerLink, collect

STARTUP_TIMEOUT = 600.0  # s; a cold compile on a slow machine takes minutes
STEP_TIMEOUT = 10.0  # s; the least time before a silent worker counts as hung
STEP_TIMEOUT_FACTOR = 50.0  # times the slowest step so far


class WorkerPool:
    """The worlds split over K processes on the CPU, this one and K - 1 others.

    Args:
        task: The task; its class and config are sent to the workers.
        num_worlds: Worlds in total.
        workers: Processes.

    Raises:
        WorkerError: A worker died, hung or could not build its worlds; its number is named.
    """

    def __init__(self, task: Task, num_worlds: int, workers: int) -> None:
        wire.check_findable(task)
        self.device = wp.get_device("cpu")
        self.workers = workers
        self._slices = [
            (k * num_worlds // workers, (k + 1) * num_worlds // workers) for k in range(workers)
        ]
        self._shared = SharedExchange(task, num_worlds)
        self._host = self._shared.arrays()
        self._links: list[WorkerLink] = []
        self._own: Simulation | None = None
        self._slowest = 0.0
        self._closed = False
        self._times_invalid = 0
        try:
            # They import while this process compiles; then they find its kernels.
            self._links = [WorkerLink(k, self._shared.fd) for k in range(1, workers)]
            self._own = Simulation(task, self._shared.slice(0, self._slices[0][1]), self.device)
            self._build(task, num_worlds)
        except BaseException:
            self.close()
            raise
        others = [link.compile_seconds for link in self._links]
        self.compile_seconds = max([self._own.compile_seconds, *others])

    def _build(self, task: Task, num_worlds: int) -> None:
        reference = wire.task_reference(task)
        for link in self._links:
            first, end = self._slices[link.number]
            share = {"num_worlds": num_worlds, "first": first, "count": end - first}
            link.call("build", {**reference, **share}, STARTUP_TIMEOUT)
        for link, reply in zip(self._links, collect(self._links, STARTUP_TIMEOUT), strict=True):
            link.compile_seconds = float(reply)

    @property
    def simulation(self) -> Simulation:
        """This process's share of the worlds."""
        self._check_open()
        assert self._own is not None
        return self._own

    def read(self, name: str) -> np.ndarray:
        """A view on the shared array of all worlds; the next step overwrites it."""
        self._check_open()
        return self._host[name]

    def write(self, name: str, values: np.ndarray) -> None:
        """Write a whole exchange array."""
        self._check_open()
        self._host[name][...] = values

    def step(self) -> None:
        """One control step of every worker, side by side."""
        self._all("step")

    def reset(self) -> None:
        """Reset the worlds in the exchange's mask."""
        self._all("reset")

    def state_dict(self) -> dict[str, np.ndarray]:
        """The state of all worlds, put together."""
        parts = self._all("state_dict")
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def check_parameter(self, name: str, ends: tuple[float, float]) -> None:
        """See `Simulation.check_parameter`."""
        self.simulation.check_parameter(name, ends)

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Give every worker its rows, once they are all found right."""
        self.simulation.check_state(state, self._slices[-1][1])
        rows = [{name: value[a:b] for name, value in state.items()} for a, b in self._slices]
        self._call("load_state_dict", [{"state": part} for part in rows])

    def scene_pose(self, worlds: Sequence[int]) -> list[ScenePose]:
        """Poses for a renderer, in the order asked for."""
        return self._of_worlds("scene_pose", worlds)

    def step_told(self, worlds: Sequence[int]) -> list[StepTold]:
        """What the last step told, in the order asked for."""
        return self._of_worlds("step_told", worlds)

    def _of_worlds(self, name: str, worlds: Sequence[int]) -> list[Any]:
        """What a method of `Simulation` that takes worlds gives for each of them."""
        wanted: list[list[int]] = [[] for _ in self._slices]
        for world in worlds:
            owner = next(k for k, (a, b) in enumerate(self._slices) if a <= world < b)
            wanted[owner].append(world)
        calls = [
            {"worlds": [n - first for n in numbers]}
            for numbers, (first, _) in zip(wanted, self._slices, strict=True)
        ]
        found: dict[int, Any] = {}
        for numbers, told in zip(wanted, self._call(name, calls), strict=True):
            found.update(zip(numbers, told, strict=True))
        return [found[world] for world in worlds]

    def bare_physics(self, repeats: int) -> float:
        """Seconds of bare physics of the slowest worker, all running freely side by side."""
        return max(self._all("bare_physics", timeout=STARTUP_TIMEOUT, repeats=repeats))

    def times_invalid(self) -> int:
        """Times a world has been invalid since they were made, also when they are closed."""
        if not self._closed:
            self._times_invalid = int(self._host["times_invalid"].sum())
        return self._times_invalid

    def contacts_per_world(self) -> float | None:
        """Mean contacts of a world in the last physics step."""
        parts = self._all("contacts_per_world")
        if parts[0] is None:
            return None
        counts = [end - first for first, end in self._slices]
        return float(np.average(parts, weights=counts))

    def close(self) -> None:
        """End the workers; those that do not end by themselves within 2 s are killed."""
        if self._closed:
            return
        self.times_invalid()
        self._closed = True
        for link in self._links:
            link.hang_up()
        for link in self._links:
            link.wait(2.0)
        self._own = None
        self._host = {}
        self._shared.close()

    def _timeout(self) -> float:
        return max(STEP_TIMEOUT, STEP_TIMEOUT_FACTOR * self._slowest)

    def _check_open(self) -> None:
        if self._closed:
            raise WorkerError("the environment is closed (or a worker was lost); make a new one")

    def _all(self, name: str, timeout: float | None = None, **arguments: Any) -> list[Any]:
        return self._call(name, [arguments] * self.workers, timeout)

    def _call(
        self, name: str, arguments: Sequence[dict[str, Any]], timeout: float | None = None
    ) -> list[Any]:
        """Call all workers side by side; without an answer from each, the environment closes.

        Args:
            name: A method of `Simulation`.
            arguments: Of each worker, this process first.
            timeout: [s]; None for that of a step.
        """
        simulation = self.simulation
        limit = timeout or self._timeout()
        started = time.perf_counter()
        # An interrupt between two calls would leave the workers at different steps.
        with InterruptsHeld():
            try:
                for link in self._links:
                    link.call(name, arguments[link.number], limit)
                failure: Exception | None = None
                own: Any = None
                try:
                    own = getattr(simulation, name)(**arguments[0])
                except Exception as error:  # raised when the others are in step again
                    failure = error
                replies = collect(self._links, limit)
                if failure is not None:
                    raise failure
            except WorkerError:
                self.close()
                raise
        self._slowest = max(self._slowest, time.perf_counter() - started)
        return [own, *replies]
