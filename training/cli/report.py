"""`proveout report`: one HTML file of a training or a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proveout.training.cli.command import Help, flag

HELP = Help(
    text=(
        "Write one HTML file, which works without a network, of a run, a folder of several seeds, "
        "or a sweep: curves with intervals over seeds, evaluation, video and manifest; of a sweep "
        "the same as sweep report."
    ),
    examples=(
        "proveout report runs/proveout-Reach-v0/20250131-120000-seed0",
        "proveout report runs/proveout-Reach-v0/20250131-120000-seeds0-9 --out seeds.html",
    ),
)


@dataclass(frozen=True, kw_only=True)
class ReportFlags:
    """Flags of `report`."""

    out: Path | None = flag(None, "file; None: report.html in the folder")  # noqa: RUF009


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Write a report."""
    from proveout.training.cli.arguments import UsageError
    from proveout.training.cli.targets import parse_flags, take_target
    from proveout.training.registry.entries import the_entry
    from proveout.training.report.training import write_training_report
    from proveout.training.sweep.report import write_report

    folder, rest = take_target(arguments, ReportFlags)
    flags = parse_flags(rest, ReportFlags, prog, text)
    if folder is None:
        raise UsageError(f"of what? {prog} RUN")
    kind = the_entry(folder).kind
    if kind == "tune":
        raise UsageError(f"{folder} is a search; report its runs, or see tune.json")
    write = write_report if kind == "sweep" else write_training_report
    print(f"Report: {write(folder, flags.out)}")
    return 0
