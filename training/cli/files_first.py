"""Arguments of subcommands that take files before their flags."""

from __future__ import annotations

from typing import Any


def files_and_flags(
    arguments: list[str], kind: type, prog: str, text: str, wanted: str, *, several: bool = False
) -> tuple[list[str], Any]:
    """Split the files that come first from the flags.

    Args:
        arguments: Of the subcommand.
        kind: Class of its flags.
        prog: The command, for errors and help.
        text: Of its help.
        wanted: What stands first, such as "one robot".
        several: Whether more than one may.

    Raises:
        UsageError: No file, too many, or flags that are not understood.
    """
    from proveout.training.cli.arguments import UsageError, build, combine, mirror, parse

    count = next((i for i, a in enumerate(arguments) if a.startswith("-")), len(arguments))
    files, rest = arguments[:count], arguments[count:]
    told = parse(rest, combine(mirror(kind, kind())), prog=prog, description=f"  {text}")
    if not files or (len(files) > 1 and not several):
        raise UsageError(f"`{prog}` needs {wanted} first")
    return files, build(kind, told.flags)
