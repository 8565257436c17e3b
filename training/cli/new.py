"""`proveout new`: a task to start from."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proveout.training.cli.command import Help, flag

HELP = Help(
    text=(
        "Write a task of one file that passes `check` and learns within a minute: a finger that "
        "presses a button, or a car that follows another. Change it to yours; "
        "docs/adding-a-task.md and docs/adding-a-road-task.md explain each part."
    ),
    examples=(
        "proveout new acme/Press-v0",
        "proveout new acme/Follow-v0 --engine driving --out follow.py",
    ),
)


@dataclass(frozen=True, kw_only=True)
class NewFlags:
    """Flags of `new`."""

    engine: str = flag("factory", "factory (a robot or machine) or driving (a road)")
    out: Path | None = flag(None, "file to write; None: the name of the id, in this folder")  # noqa: RUF009


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Write a commented task."""
    from proveout.training.cli.arguments import UsageError
    from proveout.training.cli.targets import parse_flags, take_target
    from proveout.training.new import write_task
    from proveout.training.run.failures import check_output

    env_id, rest = take_target(arguments, NewFlags)
    flags = parse_flags(rest, NewFlags, f"{prog} ID", text)
    if env_id is None:
        raise UsageError(f"which id? {prog} acme/Press-v0 --engine factory|driving")
    path = flags.out or Path(f"{env_id.partition('/')[2].partition('-v')[0].lower() or 'task'}.py")
    check_output(path, "--out")
    write_task(env_id, flags.engine, path)
    print(
        f"Task:  {path}\n"
        f"Check: PROVEOUT_TASKS={shlex.quote(str(path))} proveout check {env_id}\n"
        f"Train: PROVEOUT_TASKS={shlex.quote(str(path))} proveout train {env_id}"
    )
    return 0
