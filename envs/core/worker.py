"""A worker process: one slice of the worlds, driven over pipes; started by `worker_link`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import sys
import threading
import traceback
from typing import Any

import warp as wp

from proveout.envs.core import wire
from proveout.envs.core.errors import ProveoutError
from proveout.envs.core.exchange import SharedExchange
from proveout.envs.core.simulation import Simulation
from proveout.envs.core.task import Task


def load_task(
    module: str,
    path: str | None,
    qualname: str,
    config: dict[str, Any],
    physics: str,
    search_path: list[str],
) -> Task:
    """The task that `wire.task_reference` describes."""
    sys.path[:] = search_path
    if module == "__main__":
        module = "__proveout_main__"
    try:
        loaded = sys.modules.get(module) or importlib.import_module(module)
    except ModuleNotFoundError:
        if path is None:
            raise
        spec = importlib.util.spec_from_file_location(module, path)
        if spec is None or spec.loader is None:
            raise
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[module] = loaded
        spec.loader.exec_module(loaded)
    task_class: Any = loaded
    for part in qualname.split("."):
        task_class = getattr(task_class, part)
    task: Task = task_class(task_class.config_class.from_dict(config))
    return task.with_physics(physics)


def _end_with_parent(lifeline: int) -> None:
    """End this process as soon as the parent's end of the pipe is closed."""

    def wait() -> None:
        while os.read(lifeline, 1):
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def serve(shared_fd: int, calls: int, replies: int, lifeline: int) -> None:
    """Answer calls until the parent hangs up."""
    # Ctrl-C reaches the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):  # so does the end of a terminal
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _end_with_parent(lifeline)
    os.set_blocking(calls, False)
    simulation: Simulation | None = None
    while True:
        try:
            name, arguments = wire.receive(calls)
        except EOFError:
            return
        try:
            value: Any = None
            if name == "build":
                count, first = arguments.pop("count"), arguments.pop("first")
                num_worlds = arguments.pop("num_worlds")
                task = load_task(**arguments)
                shared = SharedExchange(task, num_worlds, shared_fd)
                simulation = Simulation(task, shared.slice(first, count), wp.get_device("cpu"))
                value = simulation.compile_seconds
            elif simulation is None:
                raise RuntimeError(f"{name} before build")
            else:
                value = getattr(simulation, name)(**arguments)
            answer = ("value", value)
        except ProveoutError as error:
            answer = ("error", error)
        except BaseException as error:
            traceback.print_exc()
            answer = ("crash", f"{type(error).__name__}: {error}")
        try:
            wire.send(replies, answer)
        except BrokenPipeError:
            return


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:5]))
