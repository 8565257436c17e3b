"""`proveout doctor`: what is wrong with this machine."""

from __future__ import annotations

from collections.abc import Sequence

from proveout.training.cli.command import Help, JsonFlags

HELP = Help(
    text=(
        "Check versions, devices, driver, caches, ffmpeg, disk and shared memory. Exits with 1 if "
        "something is wrong."
    ),
    examples=("proveout doctor",),
)


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Look for what is wrong."""
    from proveout.training.cli.streams import quiet_stdout
    from proveout.training.cli.targets import parse_flags
    from proveout.training.doctor import examine, table
    from proveout.training.run.json_files import dump_json

    flags = parse_flags(arguments, JsonFlags, prog, text)
    with quiet_stdout(True) as emit:
        report = examine()
        emit(dump_json(report) if flags.json else table(report))
    return 0 if report["ok"] else 1
