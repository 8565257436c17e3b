"""Which scenario files of some folders are read, as tables for the documentation."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proveout.assets.files.errors import ProveoutError, ScenarioError
from proveout.assets.scenario.coverage import markdown as coverage_table
from proveout.assets.scenario.node import read_node
from proveout.assets.scenario.rows import load_rows
from proveout.assets.scenario.scenario import version_of
from proveout.assets.scenario.structures import Structures

MAX_ROWS = 1_000_000  # of which every structure is made; of more, that of row 0
MARKER = "<!-- made by `proveout scenario survey`; what is above is kept -->"


@dataclass(frozen=True)
class Trial:
    """What came of a file.

    Attributes:
        file: Below its folder.
        version: Of the standard; empty where it cannot be read.
        rows: That it expands to; 0 where it cannot be read.
        told: Why it is not read, or what in it is not supported, one sentence each.
        read: Whether it is.
    """

    file: str
    version: str
    rows: int
    told: tuple[str, ...]
    read: bool


def survey(folder: Path) -> Iterator[Trial]:
    """Try every scenario and distribution below a folder, with each structure that its rows have.

    Catalogues are left out.

    Raises:
        ScenarioError: There is none.
    """
    met = False
    for file in sorted(folder.rglob("*.xosc")):
        name = file.relative_to(folder).as_posix()
        try:
            if read_node(file).child("Catalog") is not None:
                continue
            met = True
            rows = load_rows(file)
            structures = Structures(rows)
            if rows.size <= MAX_ROWS:
                deque(structures.groups(), maxlen=0)
            else:
                structures.known.append(rows.scenario.structure(rows.row(0)))
        except ProveoutError as error:
            yield Trial(name, "", 0, (_below(str(error), folder),), False)
            continue
        told = dict.fromkeys(
            f"line {f.place.line}, <{f.place.element}>: {_below(f.reason, folder)}"
            for structure in structures.known
            for f in structure.findings
        )
        version = ".".join(str(number) for number in version_of(rows.scenario.root))
        yield Trial(name, version, rows.size, tuple(told), True)
    if not met:
        raise ScenarioError(f"{folder} holds no scenario; give a folder with .xosc files.")


def _below(text: str, folder: Path) -> str:
    """A sentence without the path of the folder."""
    return text.replace(f"{folder}/", "").replace(f"{folder.resolve()}/", "")


def table(title: str, trials: list[Trial]) -> str:
    """Return a table of trials in Markdown."""
    read = sum(trial.read for trial in trials)
    lines = [
        f"### {title}: {read} of {len(trials)} files are read",
        "",
        "| file | version | rows | not read, or not supported in it |",
        "|---|---|---|---|",
    ]
    for trial in trials:
        told = "; ".join(trial.told).replace("|", "\\|").replace("<", "&lt;")
        shown = told if trial.read else f"**not read**: {told}"
        lines.append(f"| {trial.file} | {trial.version} | {trial.rows or ''} | {shown} |")
    return "\n".join(lines)


def document(sections: list[str], before: str) -> str:
    """Return a document: what stood above the marker, then coverage and tables."""
    head = before.split(MARKER)[0].rstrip()
    parts = [MARKER, "## Files", *sections, "## Coverage", coverage_table()]
    return "\n\n".join([head, *parts] if head else parts) + "\n"
