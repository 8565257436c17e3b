"""What a sweep says of each of its cells."""

from __future__ import annotations

from collections import Counter
from typing import Any

from proveout.training.evaluation.statistics import wilson_interval

PARAMETER = "parameter/"
_NO_FIGURES = ("row", "cell", "policy", "seed", "world", "episode", "valid", "reason", "attempts")


def figures(table: Any) -> list[str]:
    """Names of the KPIs and other statistics of a table of rows, without success."""
    known = (*_NO_FIGURES, "wall_seconds", "terminated", "success")
    return [n for n in table.column_names if n not in known and "/" not in n]


def parameters(table: Any) -> list[str]:
    """Names of the parameters of a table of rows."""
    return [n.removeprefix(PARAMETER) for n in table.column_names if n.startswith(PARAMETER)]


def cells(table: Any) -> list[dict[str, Any]]:
    """One dict for each cell and policy, in the order of the table.

    Args:
        table: From `read_results`.

    Returns:
        `cell`, `policy`, `first_row` (id), `parameters` (name -> value), `rows`, `valid`,
        `success_rate` and `success_interval` (95 %; None without a valid row), `means` (name of a
        figure -> mean, or None), `deviations` likewise (sample standard deviation), `counts`
        (name -> rows that have the figure).
    """
    import pyarrow
    import pyarrow.compute as compute

    names = figures(table)
    columns = {n: table.column(n) for n in ("cell", "policy", "row", "valid")}
    for name in parameters(table):
        columns[PARAMETER + name] = table.column(PARAMETER + name)
    if "success" in table.column_names:
        columns["success"] = compute.cast(table.column("success"), pyarrow.float64())
    for name in names:
        columns[name] = compute.cast(table.column(name), pyarrow.float64())
    asked: list[Any] = [("row", "first"), ("row", "count"), ("valid", "sum")]
    asked += [(PARAMETER + name, "first") for name in parameters(table)]
    asked += [("success", "sum")] if "success" in columns else []
    sample = compute.VarianceOptions(ddof=1)
    for name in names:
        asked += [(name, "mean"), (name, "stddev", sample), (name, "count")]
    grouped = pyarrow.table(columns).group_by(["cell", "policy"], use_threads=False)
    return [_cell(row, names, parameters(table)) for row in grouped.aggregate(asked).to_pylist()]


def _cell(row: dict[str, Any], names: list[str], known: list[str]) -> dict[str, Any]:
    valid = int(row["valid_sum"] or 0)
    successes = int(row.get("success_sum") or 0)
    return {
        "cell": row["cell"],
        "policy": row["policy"],
        "first_row": row["row_first"],
        "parameters": {name: row[f"{PARAMETER}{name}_first"] for name in known},
        "rows": row["row_count"],
        "valid": valid,
        "success_rate": successes / valid if valid else None,
        "success_interval": list(wilson_interval(successes, valid)) if valid else None,
        "means": {name: row[f"{name}_mean"] for name in names},
        "deviations": {name: row[f"{name}_stddev"] for name in names},
        "counts": {name: row[f"{name}_count"] for name in names},
    }


def invalid_reasons(table: Any) -> dict[str, int]:
    """Why rows do not count, most frequent first: words -> rows."""
    counts = Counter(reason for reason in table.column("reason").to_pylist() if reason)
    return dict(counts.most_common())


def lines(table: Any, most: int = 60) -> list[str]:
    """A line for each cell: its parameters, success with its interval, rows that do not count."""
    made = []
    for cell in cells(table)[:most]:
        values = [f"{n} {_figure(v)}" for n, v in cell["parameters"].items() if v is not None]
        told = ", ".join([*values, cell["policy"]])
        if not cell["valid"]:
            made.append(f"  {told}: none of {cell['rows']} rows is valid")
            continue
        low, high = cell["success_interval"]
        invalid = cell["rows"] - cell["valid"]
        made.append(
            f"  {told}: success {cell['success_rate']:.3f} ({low:.3f} to {high:.3f}) over "
            f"{cell['valid']} rows{f', {invalid} invalid' if invalid else ''}"
        )
    return made


def _figure(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
