"""What the first argument of a subcommand is, and whose flags the others are."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proveout.training.cli.arguments import (
    FLAGS,
    Flag,
    UsageError,
    build,
    combine,
    kebab,
    known_flags,
    mirror,
    parse,
)
from proveout.training.run.directory import MANIFEST, Run
from proveout.training.tasks import is_task_id, nearest_task, run_config, task_class, task_ids


def parse_flags(arguments: Sequence[str], kind: type, prog: str, text: str) -> Any:
    """Parse a command's own flags."""
    told = parse(arguments, combine(mirror(kind, kind())), prog=prog, description=text)
    return build(kind, told.flags)


def parse_with_config(
    arguments: Sequence[str],
    kind: type,
    prog: str,
    text: str,
    env_id: str | None,
    base: Any,
    target: str = "ENV",
) -> tuple[Any, Any]:
    """Parse a command's flags and, under `--env.`, the config of an environment.

    Args:
        arguments: Without the environment.
        kind: Dataclass of the flags.
        prog: For the help.
        text: For the help.
        env_id: None: only `--help` can be answered.
        base: Config for the defaults; None: the task's own.
        target: What stands for the first argument in the help.

    Raises:
        UsageError: no environment.
    """
    flags_kind = mirror(kind, kind())
    if env_id is None:
        if "--help" in arguments or "-h" in arguments:
            parse(["--help"], combine(flags_kind), prog=f"{prog} {target}", description=text)
        raise UsageError(f"which environment? `proveout list` shows them; see {prog} --help")
    config_class = task_class(env_id).config_class
    defaults = config_class() if base is None else base
    brief = "--help" in arguments or "-h" in arguments
    arguments_kind = combine(flags_kind, mirror(config_class, defaults, brief=brief))
    told = parse(arguments, arguments_kind, prog=f"{prog} {env_id}", description=text)
    config = config_class.from_dict(dataclasses.asdict(told.env))
    return build(kind, getattr(told, FLAGS)), config


def take_target(arguments: Sequence[str], kind: type) -> tuple[str | None, list[str]]:
    """Return the argument that is no flag and no flag's value, and the others.

    What follows a flag of a config, which is not known yet, or stands among several values, counts
    if it names an environment or a run.

    Args:
        arguments: Of a subcommand.
        kind: Dataclass of its flags.
    """
    flags = known_flags(mirror(kind, kind()))
    left, doubtful = 0, False  # values of the flag before that are still to come
    for i, argument in enumerate(arguments):
        if argument.startswith("-") and not _is_number(argument):
            flag = flags.get(kebab(argument), _UNKNOWN_FLAG)
            attached = "=" in argument or argument in ("-h", "--help")
            left = 0 if attached else sys.maxsize if flag.values is None else flag.values
            doubtful = flag is _UNKNOWN_FLAG or flag.values is None
        elif left and not (doubtful and _names_target(argument)):
            left -= 1
        else:
            return argument, [*arguments[:i], *arguments[i + 1 :]]
    return None, list(arguments)


# One value, as far as is known.
_UNKNOWN_FLAG = Flag("", 1)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _names_target(text: str) -> bool:
    with contextlib.suppress(OSError):  # as of a name that no file can have
        return text in task_ids() or (Path(text) / MANIFEST).is_file()
    return False


def take_env(arguments: Sequence[str], prog: str, kind: type) -> tuple[str | None, list[str]]:
    """Return the environment's id, checked, and the other arguments."""
    env_id, rest = take_target(arguments, kind)
    if env_id is not None:
        task_class(env_id)
    return env_id, rest


def take_value(
    arguments: Sequence[str],
    flag: str,
    wanted: str = "a run directory: proveout train --resume RUN",
) -> tuple[str, list[str]]:
    """Return a flag's value and the arguments without both."""
    rest = list(arguments)
    if sum(argument.partition("=")[0] == flag for argument in rest) > 1:
        raise UsageError(f"{flag} is given twice; give it once")
    for i, argument in enumerate(rest):
        if argument.startswith(f"{flag}="):
            return argument.partition("=")[2], rest[:i] + rest[i + 1 :]
        if argument == flag and i + 1 < len(rest) and not rest[i + 1].startswith("-"):
            return rest[i + 1], rest[:i] + rest[i + 2 :]
    raise UsageError(f"{flag} needs {wanted}")


def resolve(target: str | None) -> tuple[str | None, Run | None, Any]:
    """Return the environment, the run and its config of a target that is a run or an id."""
    if target is None:
        return None, None, None
    path = Path(target)
    if path.is_dir() or path.is_absolute() or target.startswith("."):
        run = Run.open(path)
        return run.env_id, run, run_config(run)
    if not is_task_id(target):
        match = nearest_task(target)
        hint = f"did you mean {match!r}?" if match else "`proveout list` shows the ids"
        raise UsageError(
            f"{target} is neither a run directory (there is no such folder) nor the id of an "
            f"environment; {hint}"
        )
    task_class(target)
    return target, None, None


def physics_of(given: str | None, run: Run | None) -> str:
    """Return which physics is meant: what is asked for, or that of the run."""
    return given or (run.physics if run is not None else "warp")


def policy_text(given: str | None, run: Run | None, default: str | None, prog: str) -> str:
    """Return which policy is meant."""
    if given is not None:
        return given
    if run is not None:
        return str(run.folder)
    if default is not None:
        return default
    raise UsageError(
        f"which policy? {prog} ENV --policy random|expert|pretrained|FILE, or {prog} RUN"
    )
