"""A new task from a commented example: one for each engine, in files of their own."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from proveout.assets.files.atomic import write_atomic
from proveout.assets.files.errors import unknown
from proveout.envs.core.errors import ConfigError
from proveout.envs.core.registry import is_task_id

# Engine -> the example's file, id and name.
ENGINES = {
    "factory": ("factory_task.py", "acme/Press-v0", "Press"),
    "driving": ("driving_task.py", "acme/Follow-v0", "Follow"),
}


def task_text(env_id: str, engine: str) -> str:
    """The example of an engine under another id; its classes take the id's name.

    Raises:
        ConfigError: no id.
        UnknownNameError: no such engine.
    """
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if not is_task_id(env_id):
        raise ConfigError(f"{env_id!r} is no id: 'namespace/Name-vN' expected, as in acme/Press-v0")
    file, example, name = ENGINES[engine]
    text = importlib.resources.files(__name__).joinpath(file).read_text()
    short = env_id.partition("/")[2].rpartition("-v")[0]
    wanted = "".join(letter for letter in short if letter.isalnum())
    if not wanted[:1].isalpha():
        raise ConfigError(f"{env_id!r}: the name after the slash must begin with a letter")
    wanted = wanted[0].upper() + wanted[1:]
    text = text.replace(example, env_id)
    for suffix in ("Weights", "Config", "State", "(", ":"):
        text = text.replace(f"{name}{suffix}", f"{wanted}{suffix}")
    return text


def write_task(env_id: str, engine: str, path: Path) -> None:
    """Write it; a file that is there stays as it is.

    Raises:
        ConfigError: as `task_text`, or there is such a file.
    """
    text = task_text(env_id, engine)
    if path.suffix != ".py":
        raise ConfigError(f"{path} must end in .py")
    if path.exists():
        raise ConfigError(f"{path} is there already; give another --out")
    write_atomic(path, text)
