"""The report of a sweep: what was found, what was not valid, and how to see any row again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from proveout.assets.files.atomic import write_atomic
from proveout.envs.core.errors import ConfigError, unknown
from proveout.training.evaluation.statistics import wilson_interval
from proveout.training.report import render_page
from proveout.training.run.cost import cost_line, total_cost
from proveout.training.run.failures import check_output
from proveout.training.run.files import cannot_write
from proveout.training.sweep.effects import SUCCESS, main_effect, sobol_indices
from proveout.training.sweep.ledger import Ledger
from proveout.training.sweep.results import read_results
from proveout.training.sweep.store import Store
from proveout.training.sweep.summary import cells as cells_of
from proveout.training.sweep.summary import figures, invalid_reasons, parameters

# More than these make a page that a telephone cannot open.
_MOST_CELLS = 5_000
_MOST_ROWS = 10_000
_TOLD = 8  # points with invalid rows
_FILE = "report.html"


def write_report(
    folder: Path | str, out: Path | str | None = None, *, pareto: tuple[str, ...] = ()
) -> Path:
    """Write the report of a sweep as one HTML file; return its path.

    Args:
        folder: Of the sweep.
        out: The file; None: report.html in the folder.
        pareto: Two outcomes with their good direction, "success:max", "energy:min", that the page
            shows first; empty: chosen here.

    Raises:
        ConfigError, UnknownNameError: `pareto` names what is not there.
        MissingPackageError: The extra `report` is not installed.
        RunError: No sweep, one without a row, or a file that cannot be written.
    """
    path = Path(out) if out is not None else Path(folder) / _FILE
    check_output(path, "--out")
    page = report_page(folder, pareto=pareto)
    try:
        write_atomic(path, page)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def report_page(folder: Path | str, *, pareto: tuple[str, ...] = ()) -> str:
    """Return what `write_report` writes; arguments and errors are the same."""
    store = Store.open(folder)
    plan = store.plan()
    table = read_results(folder)
    cells = cells_of(table)
    names = [SUCCESS, *figures(table)]
    axes = _pareto(pareto, names)
    invalid = table.num_rows - int(np.sum(table.column("valid").to_numpy(zero_copy_only=False)))
    ledger = Ledger.of_table(plan, table)
    spared = int((~ledger.wanted()).sum())
    missing = len(plan) - spared - table.num_rows
    drawn_cells = _thinned(len(cells), _MOST_CELLS)
    rows = _rows(table, names)
    data = {
        "parameters": _described(table, parameters(table), "parameter/"),
        "outcomes": _described(table, names, ""),
        "policies": list(plan.study.policies),
        "effects": _effects(plan, cells, names, parameters(table)),
        "sobol": _sobol(plan, cells, names),
        "pareto": axes,
        "cells": [_cell_row(cells[i], names) for i in drawn_cells],
        "rows": rows,
        "replay": f"proveout sweep replay {shlex.quote(str(folder))} --row ",
    }
    values = {
        "title": plan.study.env,
        "facts": _facts(store, plan, table, invalid, missing, spared),
        "reasons": list(invalid_reasons(table).items()),
        "invalid_cells": _invalid_cells(cells),
        "invalid": invalid,
        "missing": missing,
        "resume": f"proveout sweep --resume {shlex.quote(str(folder))}",
        "cells_note": _note("points", len(drawn_cells), len(cells)),
        "rows_note": _note("rows", len(rows), table.num_rows),
        "same_starts": plan.study.same_starts,
        "session": _session(store),
    }
    return render_page("sweep.html.jinja", data, values)


def _pareto(given: tuple[str, ...], names: list[str]) -> list[dict[str, str]]:
    if not given:
        known = ("energy", "max_lateral_acceleration", "final_distance", *names[1:], SUCCESS)
        other = next(name for name in known if name in names)
        return [{"name": other, "good": "min"}, {"name": SUCCESS, "good": "max"}]
    told = []
    for one in given:
        name, sign, good = one.rpartition(":")
        if not sign or good not in ("min", "max"):
            raise ConfigError(f"--pareto {one}: NAME:min or NAME:max expected, as in energy:min")
        if name not in names:
            raise unknown("outcome of --pareto", name, names)
        told.append({"name": name, "good": good})
    if len(told) != 2:
        raise ConfigError(f"--pareto takes two outcomes, such as energy:min,success:max; {given}")
    return told


def _described(table: Any, names: list[str], prefix: str) -> list[dict[str, Any]]:
    told = []
    for name in names:
        about: dict[bytes, bytes] = {}
        if prefix + name in table.column_names:
            about = table.schema.field(prefix + name).metadata or {}
        unit = about.get(b"unit", b"").decode()
        numeric = True
        if prefix:
            kind = str(table.schema.field(prefix + name).type)
            numeric = kind == "double"
        told.append(
            {
                "name": name,
                "unit": "" if unit == "1" else unit,
                "text": about.get(b"description", b"").decode(),
                "numeric": numeric,
            }
        )
    return told


def _effects(plan: Any, cells: list[Any], names: list[str], known: list[str]) -> dict[str, Any]:
    """Outcome -> parameter -> policy -> points."""
    by_policy = {p: [c for c in cells if c["policy"] == p] for p in plan.study.policies}
    return {
        name: {
            parameter: {p: main_effect(own, parameter, name) for p, own in by_policy.items()}
            for parameter in known
        }
        for name in names
    }


def _sobol(plan: Any, cells: list[Any], names: list[str]) -> dict[str, Any]:
    """Outcome -> policy -> indices and how they were found."""
    told: dict[str, Any] = {}
    for name in names:
        told[name] = {}
        for policy in plan.study.policies:
            own = [cell for cell in cells if cell["policy"] == policy]
            indices, how = sobol_indices(plan.study.space, own, name)
            told[name][policy] = {"indices": indices, "how": how}
    return told


def _cell_row(cell: dict[str, Any], names: list[str]) -> list[Any]:
    """policy, parameters, rows, valid, interval, outcomes, id of its first row."""
    means = [cell["success_rate"] if n == SUCCESS else cell["means"][n] for n in names]
    values = list(cell["parameters"].values())
    interval = cell["success_interval"]
    return [cell["policy"], values, cell["rows"], cell["valid"], interval, means, cell["first_row"]]


def _rows(table: Any, names: list[str]) -> list[list[Any]]:
    """id, policy, parameters, seed, episode, why invalid or None, outcomes; invalid rows first."""
    valid = np.asarray(table.column("valid").to_numpy(zero_copy_only=False), bool)
    bad, good = np.flatnonzero(~valid), np.flatnonzero(valid)
    bad = bad[_thinned(len(bad), _MOST_ROWS // 2)]
    good = good[_thinned(len(good), _MOST_ROWS - len(bad))]
    picked = table.take(np.concatenate([bad, good])).to_pylist()
    known = [n for n in table.column_names if n.startswith("parameter/")]
    return [
        [
            row["row"], row["policy"], [row[n] for n in known], row["seed"], row["episode"],
            row["reason"], [_plain_number(row.get(n)) for n in names],
        ]
        for row in picked
    ]  # fmt: skip


def _plain_number(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _thinned(number: int, most: int) -> np.ndarray:
    """Indices of at most so many, evenly spread."""
    if number <= most:
        return np.arange(number)
    return np.linspace(0, number - 1, most).round().astype(int)


def _note(what: str, shown: int, there: int) -> str:
    if shown == there:
        return ""
    return f"{shown:,} of {there:,} {what} are shown, evenly picked; the Parquet files hold all."


def _facts(
    store: Store, plan: Any, table: Any, invalid: int, missing: int, spared: int
) -> list[tuple[str, str, str]]:
    """(label, figure, note)."""
    valid = table.num_rows - invalid
    each = len(plan) // plan.cells
    sessions = store.manifest.get("sessions", [])
    seconds = sum(session.get("seconds", 0.0) for session in sessions)
    facts = [
        ("rows", f"{table.num_rows:,}", f"of {len(plan) - spared:,}" if missing else "all done"),
        ("points", f"{plan.cells:,}", f"{'at most ' if spared else ''}{each:,} rows each"),
    ]
    if valid and SUCCESS in table.column_names:
        successes = sum(1 for value in table.column(SUCCESS).to_pylist() if value)
        low, high = wilson_interval(successes, valid)
        rate, interval = f"{successes / valid:.3f}", f"{low:.3f} to {high:.3f}"
        facts.append(("success, all points", rate, interval))
    facts.append(("invalid rows", f"{invalid:,}", "not counted" if invalid else "none"))
    facts.append(("time", _duration(seconds), f"{len(sessions)} session(s)"))
    return facts


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _invalid_cells(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells with most invalid rows."""
    bad = [cell for cell in cells if cell["valid"] < cell["rows"]]
    bad.sort(key=lambda cell: cell["valid"] - cell["rows"])
    return [
        {
            "text": ", ".join(
                f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in cell["parameters"].items()
                if value is not None
            ),
            "policy": cell["policy"],
            "invalid": cell["rows"] - cell["valid"],
            "rows": cell["rows"],
        }
        for cell in bad[:_TOLD]
    ]


def _session(store: Store) -> dict[str, str]:
    """Where the last rows came from."""
    sessions = store.manifest.get("sessions", [])
    last = sessions[-1] if sessions else {}
    packages = last.get("packages", {})
    git = last.get("git") or {}
    return {
        "when": str(last.get("created", "")),
        "command": shlex.join(map(str, last.get("argv", []))),
        "versions": ", ".join(f"{k} {v}" for k, v in packages.items() if v),
        "machine": f"{last.get('processor', '')}, {last.get('cores', '')} cores",
        "commit": f"{git.get('commit', '')}{' (changed)' if git.get('dirty') else ''}",
        "study": str(store.manifest.get("digest", ""))[:16],
        "cost": cost_line(total_cost(s["cost"] for s in sessions if "cost" in s)),
    }
