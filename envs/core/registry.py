"""Which tasks there are, and how Gymnasium makes them."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium

from proveout.envs.core.errors import (
    ConfigError,
    ModelError,
    UnknownNameError,
    nearest,
    unknown,
)
from proveout.envs.core.single import WarpEnv
from proveout.envs.core.task import Task, TaskConfig
from proveout.envs.core.vector_env import WarpVectorEnv, with_max_episode_steps
from proveout.envs.core.wire import is_worker

TASKS_VARIABLE = "PROVEOUT_TASKS"
ENTRY_POINT_GROUP = "proveout.tasks"
_ID = re.compile(r"^[A-Za-z0-9_-]+/[A-Za-z0-9_-]+-v\d+$")
_TASKS: dict[str, type[Task]] = {}
# Task files and plug-ins that could not be loaded.
_BROKEN: list[str] = []
_FILE_MODULE = "proveout_task_"


def register(task_id: str) -> Callable[[type[Task]], type[Task]]:
    """Class decorator: make a task known to Proveout and to Gymnasium.

    Args:
        task_id: "namespace/Name-vN", for example "proveout/Reach-v0".
    """
    if not is_task_id(task_id):
        raise ConfigError(f"task id {task_id!r}: 'namespace/Name-vN' expected")

    def add(task_class: type[Task]) -> type[Task]:
        known = _TASKS.get(task_id)
        if known is not None and _origin(known) != _origin(task_class):
            raise ConfigError(
                f"task id {task_id!r} is taken by {known.__qualname__} in {_file_of(known)}; "
                "give one of the two another id"
            )
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


def is_task_id(text: str) -> bool:
    """Whether a text has the form "namespace/Name-vN"."""
    return _ID.match(text) is not None


def _origin(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


def _file_of(cls: type) -> str:
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return str(file or cls.__module__)


def task_file(task_id: str) -> str | None:
    """The file given in PROVEOUT_TASKS from which a task came, or None."""
    cls = task_class(task_id)
    return _file_of(cls) if cls.__module__.startswith(_FILE_MODULE) else None


def task_ids() -> list[str]:
    """Ids of all tasks, sorted."""
    return sorted(_TASKS)


def task_class(task_id: str) -> type[Task]:
    """The class of a task; `UnknownNameError` names the nearest known id."""
    if task_id in _TASKS:
        return _TASKS[task_id]
    error = unknown("environment", task_id, task_ids())
    if _BROKEN:
        raise UnknownNameError(f"{error} Not loaded, see the warning: {', '.join(_BROKEN)}.")
    if nearest(task_id, task_ids()) is None:
        raise UnknownNameError(
            f"{error} A task file of your own is found through the variable {TASKS_VARIABLE}."
        )
    raise error


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
        try:
            entry_point.load()
        except Exception as error:
            _set_aside(
                entry_point.name,
                f"plug-in {entry_point.name} ({entry_point.value}) cannot be loaded: "
                f"{type(error).__name__}: {error}",
            )
    for path in os.environ.get(TASKS_VARIABLE, "").split(os.pathsep):
        try:
            if path:
                load_task_file(Path(path))
        except ModelError as error:
            _set_aside(path, str(error))


def _set_aside(what: str, problem: str) -> None:
    """Tell of tasks that cannot be loaded; the others are as good as before."""
    _BROKEN.append(what)
    if not is_worker():
        print(f"proveout: warning: {problem}", file=sys.stderr)


def load_task_file(path: Path) -> None:
    """Import a Python file that registers a task.

    Raises:
        ModelError: It does not exist, or it fails; the message has the line.
    """
    path = path.absolute()
    if not path.is_file():
        raise ModelError(f"task file {path} does not exist (named in {TASKS_VARIABLE})")
    name = f"{_FILE_MODULE}{path.stem}"
    if name in sys.modules and sys.modules[name].__file__ != str(path):
        # Another file of the same name, in another folder.
        name += f"_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"task file {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        for task_id in [i for i, cls in _TASKS.items() if cls.__module__ == name]:
            del _TASKS[task_id], gymnasium.registry[task_id]
        raise ModelError(
            f"task file {path}{_line_of(error, path)} cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error


def _line_of(error: Exception, path: Path) -> str:
    """The last line of a file that an error passed through, as ", line N"."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f", line {error.lineno},"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return f", line {lines[-1]}," if lines else ""
