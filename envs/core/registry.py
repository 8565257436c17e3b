"""Which tasks there are, and how Gymnasium makes them."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium

from proveout.envs.core.errors import ConfigError, ModelError, unknown
from proveout.envs.core.single import WarpEnv
from proveout.envs.core.task import Task, TaskConfig
from proveout.envs.core.vector_env import WarpVectorEnv, with_max_episode_steps

TASKS_VARIABLE = "PROVEOUT_TASKS"
ENTRY_POINT_GROUP = "proveout.tasks"
_ID = re.compile(r"^[A-Za-z0-9_-]+/[A-Za-z0-9_-]+-v\d+$")
_TASKS: dict[str, type[Task]] = {}


def register(task_id: str) -> Callable[[type[Task]], type[Task]]:
    """Class decorator: make a task known to Proveout and to Gymnasium.

    Args:
        task_id: "namespace/Name-vN", for example "proveout/Reach-v0".
    """
    if not _ID.match(task_id):
        raise ConfigError(f"task id {task_id!r}: 'namespace/Name-vN' expected")

    def add(task_class: type[Task]) -> type[Task]:
        known = _TASKS.get(task_id)
        if known is not None and known.__qualname__ != task_class.__qualname__:
            raise ConfigError(f"task id {task_id!r} is taken by {known.__module__}")
        task_class.id = task_id
        _TASKS[task_id] = task_class
        if task_id not in gymnasium.registry:
            gymnasium.register(
                task_id,
                entry_point=f"{__name__}:make_single",
                vector_entry_point=f"{__name__}:make_vector",
                kwargs={"task_id": task_id},
            )
        return task_class

    return add


def task_ids() -> list[str]:
    """Ids of all tasks, sorted."""
    return sorted(_TASKS)


def task_class(task_id: str) -> type[Task]:
    """The class of a task; `UnknownNameError` names the nearest known id."""
    if task_id not in _TASKS:
        raise unknown("environment", task_id, task_ids())
    return _TASKS[task_id]


def make_task(
    task_id: str,
    config: TaskConfig | Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
) -> Task:
    """A task with a config (an instance, or plain nested data), or with its defaults."""
    cls = task_class(task_id)
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise ConfigError(f"task {task_id} ({cls.__name__}) lacks: {', '.join(missing)}")
    if config is None:
        config = cls.config_class()
    elif isinstance(config, Mapping):
        config = cls.config_class.from_dict(config)
    return cls(with_max_episode_steps(config, max_episode_steps))


def make_single(
    task_id: str,
    config: TaskConfig | Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
    **kwargs: Any,
) -> WarpEnv:
    """Gymnasium's entry point of a single environment; see `WarpEnv`."""
    return WarpEnv(make_task(task_id, config, max_episode_steps), **kwargs)


def make_vector(
    task_id: str,
    num_envs: int = 1,
    config: TaskConfig | Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
    **kwargs: Any,
) -> WarpVectorEnv:
    """Gymnasium's entry point of a vector environment; see `WarpVectorEnv`."""
    return WarpVectorEnv(make_task(task_id, config, max_episode_steps), num_envs, **kwargs)


def discover(*packages: str) -> None:
    """Import every task: the modules of the given packages, installed plug-ins (entry points of
    the group `proveout.tasks`) and the files named in the variable PROVEOUT_TASKS."""
    for package in packages:
        module = importlib.import_module(package)
        for info in pkgutil.iter_modules(module.__path__):
            if not info.ispkg:
                importlib.import_module(f"{package}.{info.name}")
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        entry_point.load()
    for path in os.environ.get(TASKS_VARIABLE, "").split(os.pathsep):
        if path:
            load_task_file(Path(path))


def load_task_file(path: Path) -> None:
    """Import a Python file that registers a task."""
    if not path.is_file():
        raise ModelError(f"task file {path} does not exist (named in {TASKS_VARIABLE})")
    name = f"proveout_task_{path.stem}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"task file {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
