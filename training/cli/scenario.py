"""`proveout scenario`: count rows of scenario files, look into one, write a row, run all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proveout.training.cli import scenario_run
from proveout.training.cli.command import MAX_SEED, Help, flag
from proveout.training.cli.files_first import files_and_flags
from proveout.training.cli.streams import quiet_stdout

HELP = Help(
    text=(
        "count PATH ...: how many rows OpenSCENARIO files, or those in folders, expand to, and how "
        "many of them are within the constraints of their parameters. inspect FILE: parameters, "
        "entities, the storyboard as a tree, and what is not supported. convert FILE --row K --out "
        "F.xosc: one row as a scenario of its own, without parameters and catalogues, for other "
        "players. survey [TITLE=]DIR ...: which scenarios below some folders are read, and what of "
        "the standard is. run FILE --out DIR: every row as a world, and what became of it. FILE is "
        "a scenario or a file of distributions."
    ),
    examples=(
        "proveout scenario count alks/logical_scenarios --json",
        "proveout scenario inspect cut_in_variation.xosc --row 12",
        "proveout scenario convert cut_in_variation.xosc --row 12 --out row12.xosc",
        "proveout scenario survey ALKS=alks --out openscenario.md",
        "proveout scenario run cut_in_variation.xosc --out runs/cut_in",
    ),
)


def _number(default: int | None, text: str, unit: str, high: int) -> Any:
    """A flag that counts, from 0."""
    return field(default=default, metadata={"help": text, "unit": unit, "low": 0, "high": high})


@dataclass(frozen=True, kw_only=True)
class SeedFlags:
    """How stochastic distributions are drawn."""

    seed: int | None = flag(None, "of stochastic distributions; None: their own", high=MAX_SEED)


@dataclass(frozen=True, kw_only=True)
class CountFlags(SeedFlags):
    """Flags of `scenario count`."""

    limit: int = _number(10_000_000, "look at the constraints of at most so many", "rows", 10**12)
    json: bool = flag(False, "print one JSON object and nothing else")


@dataclass(frozen=True, kw_only=True)
class InspectFlags(SeedFlags):
    """Flags of `scenario inspect`."""

    row: int | None = _number(
        None, "whose names and files are shown; None: the first within the constraints", "", 10**18
    )
    strict: bool = flag(False, "fail where something is not supported")
    json: bool = flag(False, "print one JSON object and nothing else")


@dataclass(frozen=True, kw_only=True)
class ConvertFlags(SeedFlags):
    """Flags of `scenario convert`."""

    row: int = _number(0, "to write", "", 10**18)
    out: Path | None = flag(None, "file to write, .xosc")  # noqa: RUF009
    strict: bool = flag(False, "fail where something is not supported")


@dataclass(frozen=True, kw_only=True)
class SurveyFlags:
    """Flags of `scenario survey`."""

    out: Path | None = flag(None, "write the tables to this .md")  # noqa: RUF009


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Run one of the subcommands of `proveout scenario`."""
    known: dict[str, Callable[[list[str], str], int]] = {
        "count": _count, "inspect": _inspect, "convert": _convert, "survey": _survey,
        "run": scenario_run.run,
    }  # fmt: skip
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: {prog} {{{','.join(known)}}} ... ({prog} inspect --help)\n\n{text}")
        raise SystemExit(0)
    if arguments[0] not in known:
        from proveout.assets.files.errors import unknown

        raise unknown(f"subcommand of `{prog}`", arguments[0], known)
    return known[arguments[0]](list(arguments[1:]), f"{prog} {arguments[0]}")


def _count(arguments: list[str], prog: str) -> int:
    paths, flags = files_and_flags(
        arguments, CountFlags, prog,
        "How many rows files expand to, without running them: proveout scenario count PATH ... In "
        "a folder, catalogues and the templates of distributions are left out.",
        "files or folders",
        several=True,
    )  # fmt: skip
    from proveout.assets.files.errors import ProveoutError
    from proveout.assets.scenario.find import case_files
    from proveout.assets.scenario.rows import Counts, load_rows
    from proveout.training.run.json_files import dump_json

    files = case_files([Path(path) for path in paths])
    counts: dict[Path, Counts] = {}
    faults: dict[Path, str] = {}
    for file in files:
        try:
            rows = load_rows(file, seed=flags.seed)
            counts[file] = rows.count(flags.limit)
            # Rows that could not run are none: catalogues and the road must be there.
            rows.scenario.structure(rows.row(rows.first_within()) if rows.size else {})
        except ProveoutError as error:
            if len(files) == 1:
                raise
            counts.pop(file, None)
            faults[file] = str(error)
            print(f"proveout: error: {error}", file=sys.stderr)
    total = sum(count.rows for count in counts.values())
    withins = [count.within for count in counts.values() if count.within is not None]
    status = 2 if faults else 0
    if flags.json:
        told: list[dict[str, Any]] = [
            {
                "file": str(file), "rows": count.rows, "rows_within_constraints": count.within,
                "rows_breaking_a_bound": count.breaking,
            }
            for file, count in counts.items()
        ]  # fmt: skip
        told += [{"file": str(file), "error": fault} for file, fault in faults.items()]
        within = sum(withins) if len(withins) == len(counts) else None
        data = {"files": told, "total": total, "total_within_constraints": within}
        with quiet_stdout(True) as emit:
            emit(dump_json(data))
        return status
    head = ("rows", "within constraints", "breaking a bound", "file")
    lines = [head]
    for file, count in counts.items():
        lines.append((f"{count.rows:,}", _figure(count.within), _figure(count.breaking), str(file)))
    lines.append((f"{total:,}", f"{sum(withins):,}", "", f"total of {len(counts)} files"))
    widths = [max(len(line[i]) for line in lines) for i in range(3)]
    for line in lines:
        cells = [f"{cell:>{width}}" for cell, width in zip(line, widths, strict=False)]
        print("  ".join([*cells, line[3]]))
    if len(withins) < len(counts):
        print(
            f"not counted: more than {flags.limit:,} rows to look at; raise --limit to count them",
            file=sys.stderr,
        )
    return status


def _figure(number: int | None) -> str:
    return "not counted" if number is None else f"{number:,}"


def _inspect(arguments: list[str], prog: str) -> int:
    (file,), flags = files_and_flags(
        arguments, InspectFlags, prog,
        "Parameters, entities, the storyboard as a tree and what is not supported: proveout "
        "scenario inspect FILE [--row K]",
        "one file",
    )  # fmt: skip
    from proveout.assets.scenario.describe import describe, table
    from proveout.assets.scenario.rows import load_rows
    from proveout.training.run.json_files import dump_json

    rows = load_rows(file, seed=flags.seed)
    row = rows.first_within() if flags.row is None else flags.row
    structure = rows.scenario.structure(rows.row(row))
    if flags.strict:
        _refuse(structure)
    told = describe(rows, structure)
    with quiet_stdout(flags.json) as emit:
        emit(dump_json(told) if flags.json else table(told))
    return 0


def _convert(arguments: list[str], prog: str) -> int:
    (file,), flags = files_and_flags(
        arguments, ConvertFlags, prog,
        "Write one row as a scenario of its own: proveout scenario convert FILE --row K --out "
        "F.xosc",
        "one file",
    )  # fmt: skip
    if flags.out is None:
        from proveout.training.cli.arguments import UsageError

        raise UsageError(f"`{prog}` needs --out, a .xosc file")
    from proveout.assets.scenario.concrete import write_concrete
    from proveout.assets.scenario.rows import load_rows

    rows = load_rows(file, seed=flags.seed)
    structure = rows.scenario.structure(rows.row(flags.row))
    if flags.strict:
        _refuse(structure)
    print(write_concrete(rows, flags.row, flags.out))
    for finding in structure.findings:
        print(f"  kept as it is: {finding}", file=sys.stderr)
    return 0


def _survey(arguments: list[str], prog: str) -> int:
    folders, flags = files_and_flags(
        arguments, SurveyFlags, prog,
        "Which scenarios below some folders are read, and which types of the standard: proveout "
        "scenario survey [TITLE=]DIR ... --out docs/openscenario.md",
        "folders",
        several=True,
    )  # fmt: skip
    from proveout.assets.scenario.survey import document, survey, table
    from proveout.training.cli.survey_document import survey_folders

    def section(title: str, folder: Path) -> str:
        return table(title, list(survey(folder)))

    survey_folders(folders, flags.out, "scenarios", section, document)
    return 0


def _refuse(structure: Any) -> None:
    """Fail with --strict where something is not supported."""
    if structure.findings:
        from proveout.assets.files.errors import ScenarioError

        more = len(structure.findings) - 1
        others = f" (and {more} more)" if more else ""
        raise ScenarioError(
            f"{structure.findings[0]}{others}; leave out --strict to go on without it."
        )
