"""Where the worlds of a vector environment live: in this process, or split over worker processes.

Warp runs a CPU kernel on one thread, so on the CPU the other cores are reached by processes. Each
worker owns a contiguous slice of the worlds, records its own graph, and reads and writes its rows
of arrays in shared memory. World numbers are global, so the number of workers changes no bit.
Worker 0 is the calling process itself: it would only wait for the others, and waking one process
less a step is worth several per cent of a short one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import warp as wp

from proveout.envs.core import wire
from proveout.envs.core.errors import ProveoutError, WorkerError
from proveout.envs.core.exchange import SharedExchange, device_exchange
from proveout.envs.core.scene_pose import ScenePose
from proveout.envs.core.simulation import Simulation
from proveout.envs.core.startup_notice import startup_notice
from proveout.envs.core.task import Task

STARTUP_TIMEOUT = 600.0  # s; a cold compile on a slow machine takes minutes
STEP_TIMEOUT = 10.0  # s; the least time before a silent worker counts as hung
STEP_TIMEOUT_FACTOR = 50.0  # times the slowest step so far


def default_workers(num_worlds: int, device: wp.Device) -> int:
    """All cores this process may use, at most one a world; one on CUDA and without POSIX."""
    if not device.is_cpu or os.name != "posix":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, num_worlds))


class InProcess:
    """All worlds in this process, on any device."""

    workers = 1

    def __init__(self, task: Task, num_worlds: int, device: wp.Device) -> None:
        self.device = device
        self.exchange = device_exchange(task, num_worlds, device)
        with startup_notice(task.id or type(task).__name__):
            self.simulation = Simulation(task, self.exchange, device)
        self.compile_seconds = self.simulation.compile_seconds
        # On the CPU these are views on the device arrays themselves.
        self._host = {name: array.numpy() for name, array in self.exchange.items()}

    def read(self, name: str) -> np.ndarray:
        """An exchange array on the host: on the CPU a view that the next step overwrites."""
        return self._host[name] if self.device.is_cpu else self.exchange[name].numpy()

    def write(self, name: str, values: np.ndarray) -> None:
        """Write a whole exchange array from the host."""
        if self.device.is_cpu:
            self._host[name][...] = values
        else:
            self.exchange[name].assign(values)

    def step(self) -> None:
        """One control step."""
        self.simulation.step()

    def launch_step(self) -> None:
        """See `Simulation.launch_step`."""
        self.simulation.launch_step()

    def reset(self) -> None:
        """Reset the worlds in the exchange's mask."""
        self.simulation.reset()

    def state_dict(self) -> dict[str, np.ndarray]:
        """See `Simulation.state_dict`."""
        return self.simulation.state_dict()

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """See `Simulation.load_state_dict`."""
        self.simulation.load_state_dict(state)

    def scene_pose(self, worlds: Sequence[int]) -> list[ScenePose]:
        """Poses for a renderer."""
        return self.simulation.scene_pose(worlds)

    def bare_physics(self, repeats: int) -> float:
        """Seconds of bare physics for `repeats` control steps."""
        return self.simulation.bare_physics(repeats)

    def contacts_per_world(self) -> float | None:
        """Mean contacts of a world in the last physics step."""
        return self.simulation.engine.contacts_per_world()

    def close(self) -> None:
        """Nothing outlives this object."""


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
        self._links: list[_Link] = []
        self._own: Simulation | None = None
        self._slowest = 0.0
        self._closed = False
        try:
            with startup_notice(task.id or type(task).__name__):
                # They import while this process compiles; then they find its kernels.
                self._links = [_Link(k, self._shared.fd) for k in range(1, workers)]
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
        for link, reply in zip(self._links, _collect(self._links, STARTUP_TIMEOUT), strict=True):
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

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Give every worker its rows, once they are all found right."""
        self.simulation.check_state(state, self._slices[-1][1])
        rows = [{name: value[a:b] for name, value in state.items()} for a, b in self._slices]
        self._call("load_state_dict", [{"state": part} for part in rows])

    def scene_pose(self, worlds: Sequence[int]) -> list[ScenePose]:
        """Poses for a renderer, in the order asked for."""
        wanted: list[list[int]] = [[] for _ in self._slices]
        for world in worlds:
            owner = next(k for k, (a, b) in enumerate(self._slices) if a <= world < b)
            wanted[owner].append(world)
        calls = [
            {"worlds": [n - first for n in numbers]}
            for numbers, (first, _) in zip(wanted, self._slices, strict=True)
        ]
        found: dict[int, ScenePose] = {}
        for numbers, poses in zip(wanted, self._call("scene_pose", calls), strict=True):
            found.update(zip(numbers, poses, strict=True))
        return [found[world] for world in worlds]

    def bare_physics(self, repeats: int) -> float:
        """Seconds of bare physics of the slowest worker, all running freely side by side."""
        return max(self._all("bare_physics", timeout=STARTUP_TIMEOUT, repeats=repeats))

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
            name: A method of `Simulation`, or `contacts_per_world`.
            arguments: Of each worker, this process first.
            timeout: [s]; None for that of a step.
        """
        simulation = self.simulation
        limit = timeout or self._timeout()
        started = time.perf_counter()
        # An interrupt between two calls would leave the workers at different steps.
        with _InterruptsHeld():
            try:
                for link in self._links:
                    link.call(name, arguments[link.number], limit)
                failure: Exception | None = None
                own: Any = None
                try:
                    own = wire.perform(simulation, name, arguments[0])
                except Exception as error:  # raised when the others are in step again
                    failure = error
                replies = _collect(self._links, limit)
                if failure is not None:
                    raise failure
            except WorkerError:
                self.close()
                raise
        self._slowest = max(self._slowest, time.perf_counter() - started)
        return [own, *replies]


class _InterruptsHeld:
    """Let Ctrl-C act only after this block."""

    def __enter__(self) -> None:
        self._came: list[tuple[int, Any]] = []
        self._main = threading.get_ident() == threading.main_thread().ident
        if self._main:
            self._before = signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: Any) -> None:
        self._came.append((number, frame))

    def __exit__(self, *_: object) -> None:
        if not self._main:
            return
        # None: a handler that Python did not install and cannot put back.
        signal.signal(signal.SIGINT, signal.SIG_DFL if self._before is None else self._before)
        if self._came:
            if callable(self._before):
                self._before(*self._came[0])
            elif self._before != signal.SIG_IGN:
                signal.raise_signal(signal.SIGINT)


def _collect(links: Sequence[_Link], timeout: float) -> list[Any]:
    """One reply of each; an error is raised when all are in, so that the pipes are empty."""
    replies = []
    deadline = time.monotonic() + timeout
    failure: ProveoutError | None = None
    for link in links:
        try:
            replies.append(link.reply(deadline, timeout))
        except WorkerError:
            raise
        except ProveoutError as error:
            failure = error
    if failure is not None:
        raise failure
    return replies


class _Link:
    """One other worker process and the pipes to it."""

    def __init__(self, number: int, shared_fd: int) -> None:
        self.number = number
        self.compile_seconds = 0.0
        calls_out, self._calls = os.pipe()
        self._replies, replies_in = os.pipe()
        # The worker ends when this pipe's other end closes, however this process ended.
        lifeline, self._lifeline = os.pipe()
        passed = (shared_fd, calls_out, replies_in, lifeline)
        environment = {**os.environ, wire.WORKER_VARIABLE: str(number)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "proveout.envs.core.worker", *map(str, passed)],
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            # Whatever a library prints must not end up in the parent's (perhaps JSON) output.
            stdout=sys.__stderr__.fileno() if sys.__stderr__ else subprocess.DEVNULL,
            env=environment,
            # Ctrl-C and Ctrl-Z reach the parent alone, which decides what they mean.
            process_group=0,
        )
        for fd in passed[1:]:
            os.close(fd)
        os.set_blocking(self._calls, False)
        os.set_blocking(self._replies, False)
        self._open = True

    def call(self, name: str, arguments: Mapping[str, Any], timeout: float) -> None:
        """Send a call without waiting for its reply."""
        try:
            wire.send(self._calls, (name, dict(arguments)), time.monotonic() + timeout)
        except TimeoutError as error:
            raise self._hung(timeout) from error
        except OSError as error:
            raise self._lost() from error

    def reply(self, deadline: float, timeout: float) -> Any:
        """Wait for the reply to the oldest call."""
        try:
            kind, value = wire.receive(self._replies, deadline)
        except TimeoutError as error:
            raise self._hung(timeout) from error
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if kind == "error":
            raise value
        if kind == "crash":
            raise WorkerError(f"worker {self.number} failed: {value}")
        return value

    def _hung(self, timeout: float) -> WorkerError:
        return WorkerError(
            f"worker {self.number} (pid {self._process.pid}) has not answered for "
            f"{timeout:.0f} s and was given up; the environment is closed"
        )

    def _lost(self) -> WorkerError:
        try:
            code: int | None = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            code = None
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return WorkerError(
            f"worker {self.number} (pid {self._process.pid}) died ({how}); "
            "the environment is closed"
        )

    def hang_up(self) -> None:
        """Close the pipes: the worker ends by itself."""
        if self._open:
            self._open = False
            for fd in (self._calls, self._replies, self._lifeline):
                os.close(fd)

    def wait(self, seconds: float) -> None:
        """Wait for the end of the process, then kill it."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def make_pool(
    task: Task, num_worlds: int, device: wp.Device, workers: int | None
) -> InProcess | WorkerPool:
    """The one place that chooses where worlds live.

    Args:
        task: The task.
        num_worlds: Worlds.
        device: CUDA, or the CPU.
        workers: Processes on the CPU; None for `default_workers`.

    Raises:
        WorkerError: More workers than worlds, fewer than one, or workers on CUDA; or a worker
            makes an environment while it imports the script that defines the task.
    """
    if wire.is_worker():
        raise WorkerError(
            "a worker process tried to make an environment of its own: put the code that makes "
            'environments under `if __name__ == "__main__":`'
        )
    wanted = default_workers(num_worlds, device) if workers is None else workers
    if wanted < 1:
        raise WorkerError(f"workers must be at least 1, got {wanted}")
    if wanted > num_worlds:
        raise WorkerError(
            f"{wanted} workers for {num_worlds} world{'s' if num_worlds != 1 else ''}: "
            f"use at most {num_worlds}"
        )
    if wanted > 1 and not device.is_cpu:
        raise WorkerError(f"workers are for the CPU; on {device.alias} use workers=1")
    if wanted > 1 and os.name != "posix":
        raise WorkerError("worker processes need a POSIX system; use workers=1")
    if wanted == 1:
        return InProcess(task, num_worlds, device)
    return WorkerPool(task, num_worlds, wanted)
