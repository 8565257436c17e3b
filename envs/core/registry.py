"""Which tasks there are, and how Gymnasium makes them."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import io
import os
import pkgutil
import re
import signal
import stat
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
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
# Task files and plug-ins that could not be loaded, and why.
_SET_ASIDE: dict[str, str] = {}
# Ids registered so far by the file that is being loaded.
_LOADING: list[set[str]] = []
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
        if _LOADING and task_id in _LOADING[-1]:
            raise ConfigError(f"task id {task_id!r} is registered twice in one file")
        for ids in _LOADING:
            ids.add(task_id)
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


def task_origin(task_id: str) -> str:
    """The file or the module from which a task came."""
    return _file_of(task_class(task_id))


def task_ids() -> list[str]:
    """Ids of all tasks, sorted."""
    return sorted(_TASKS)


def task_class(task_id: str) -> type[Task]:
    """The class of a task; `UnknownNameError` names the nearest known id."""
    if task_id in _TASKS:
        return _TASKS[task_id]
    error = unknown("environment", task_id, task_ids())
    if _SET_ASIDE:
        raise UnknownNameError(f"{error} Not loaded, see the warning: {', '.join(_SET_ASIDE)}.")
    if nearest(task_id, task_ids()) is None:
        raise UnknownNameError(
            f"{error} A task file of your own is found through the variable {TASKS_VARIABLE}."
        )
    raise error


def make_task(
    task_id: str,
    config: TaskConfig | Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
    physics: str = "warp",
) -> Task:
    """A task with a config (an instance, or plain nested data), or with its defaults.

    Args:
        task_id: Registered id.
        config: The config.
        max_episode_steps: Control steps of an episode, in place of the config's seconds.
        physics: What steps its worlds, see `Task.with_physics`.
    """
    cls = task_class(task_id)
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise ConfigError(f"task {task_id} ({cls.__name__}) lacks: {', '.join(missing)}")
    if config is None:
        config = cls.config_class()
    elif isinstance(config, Mapping):
        config = cls.config_class.from_dict(config)
    task = cls(with_max_episode_steps(config, max_episode_steps))
    return task if physics == "warp" else task.with_physics(physics)


def make_single(
    task_id: str,
    config: TaskConfig | Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
    physics: str = "warp",
    **kwargs: Any,
) -> WarpEnv:
    """Gymnasium's entry point of a single environment; see `make_task` and `WarpEnv`."""
    return WarpEnv(make_task(task_id, config, max_episode_steps, physics), **kwargs)


def make_vector(
    task_id: str,
    num_envs: int = 1,
    config: TaskConfig | Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
    physics: str = "warp",
    **kwargs: Any,
) -> WarpVectorEnv:
    """Gymnasium's entry point of a vector environment; see `make_task` and `WarpVectorEnv`."""
    task = make_task(task_id, config, max_episode_steps, physics)
    return WarpVectorEnv(task, num_envs, **kwargs)


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
            with _as_a_guest():
                entry_point.load()
        except _GuestError as failure:
            _set_aside(
                entry_point.name,
                f"plug-in {entry_point.name} ({entry_point.value}) cannot be loaded: {failure}",
            )
    for path in os.environ.get(TASKS_VARIABLE, "").split(os.pathsep):
        try:
            if path:
                load_task_file(Path(path))
        except ModelError as error:
            _set_aside(path, str(error))


def set_aside() -> dict[str, str]:
    """Task files and plug-ins that could not be loaded -> why, in one sentence."""
    return dict(_SET_ASIDE)


def _set_aside(what: str, problem: str) -> None:
    """Tell of tasks that cannot be loaded; the others are as good as before."""
    _SET_ASIDE[what] = problem
    if not is_worker():
        print(f"proveout: warning: {problem}", file=sys.stderr)


def load_task_file(path: Path) -> None:
    """Import a Python file that registers a task. What it prints goes to standard error.

    Raises:
        ModelError: It does not exist, or it fails in whatever way; the message has the line.
    """
    path = path.absolute()
    _check_regular(path)
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
        with _as_a_guest():
            spec.loader.exec_module(module)
    except _GuestError as failure:
        sys.modules.pop(name, None)
        for task_id in [i for i, cls in _TASKS.items() if cls.__module__ == name]:
            del _TASKS[task_id]
            gymnasium.registry.pop(task_id, None)
        raise ModelError(
            f"task file {path}{_line_of(failure.cause, path)} cannot be loaded: {failure}"
        ) from failure.cause


def _check_regular(path: Path) -> None:
    """Refuse what is no file, before it is opened: reading a pipe would wait for ever."""
    what = f"task file {path} (named in {TASKS_VARIABLE})"
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise ModelError(f"{what} does not exist") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ModelError(f"{what} cannot be read: {why}") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise ModelError(f"{what} is {kind}: name a Python file")


class _GuestError(Exception):
    """Somebody else's code failed while it was imported; `cause` is what it raised."""

    def __init__(self, cause: BaseException) -> None:
        """Put the cause into words."""
        try:
            lines = str(cause).strip().splitlines()
        except Exception:  # an error that cannot be printed
            lines = []
        super().__init__(": ".join([type(cause).__name__, *lines[:1]]))
        self.cause = cause


class _StandardError(io.TextIOBase):
    """Prints to standard error, and leaves it open when it is closed itself."""

    def write(self, text: str) -> int:
        """As of a file."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """As of a file."""
        sys.stderr.flush()


@contextlib.contextmanager
def _as_a_guest() -> Iterator[None]:
    """Run somebody else's code such that it can neither end this process nor print results.

    Raises:
        _GuestError: It raised anything at all, such as SystemExit.
        KeyboardInterrupt: The user pressed Ctrl-C meanwhile.
    """
    _LOADING.append(set())
    with contextlib.redirect_stdout(_StandardError()), _interrupts() as pressed:
        try:
            yield
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and pressed():
                raise
            raise _GuestError(error) from error
        finally:
            _LOADING.pop()


@contextlib.contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Yield what tells a KeyboardInterrupt of the user from one that code raises by itself."""
    came: list[int] = []

    def note(number: int, frame: Any) -> None:
        came.append(number)
        signal.default_int_handler(number, frame)

    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: main  # another handler is at work: it may be the user's
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(came)
    finally:
        if signal.getsignal(signal.SIGINT) is note:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _line_of(error: BaseException, path: Path) -> str:
    """The last line of a file that an error passed through, as ", line N"."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f", line {error.lineno},"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return f", line {lines[-1]}," if lines else ""
