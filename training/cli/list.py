"""`proveout list`: the environments."""

from __future__ import annotations

from collections.abc import Sequence

from proveout.training.cli.command import Help, JsonFlags

HELP = Help(
    text="Show the environments.",
    examples=("proveout list", "proveout list --json"),
)


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Show the environments, and what could not be loaded."""
    from proveout.training.cli.streams import quiet_stdout
    from proveout.training.cli.targets import parse_flags
    from proveout.training.run.json_files import dump_json
    from proveout.training.tasks import described_tasks

    flags = parse_flags(arguments, JsonFlags, prog, text)
    with quiet_stdout(flags.json) as emit:
        from proveout.policies.pretrained import pretrained_names

        shipped = pretrained_names()
        found, aside = described_tasks()
        rows = [{**row, "pretrained": row["id"].replace("/", "-") in shipped} for row in found]
        if flags.json:
            told = [{"what": what, "why": why} for what, why in aside.items()]
            emit(dump_json({"environments": rows, "set_aside": told}))
        else:
            width = max((len(row["id"]) for row in rows), default=0)
            for row in rows:
                note = "  (pretrained)" if row["pretrained"] else ""
                emit(f"{row['id']:<{width}}  {row['summary']}{note}")
            for what, why in aside.items():
                emit(f"set aside: {what}: {why}")
    return 0
