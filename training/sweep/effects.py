"""What parameters do to outcomes: main effects, and shares of the variance (Sobol indices).

A cell is a dict as `summary.cells` gives them; an outcome is "success" or the name of a figure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from proveout.training.evaluation.statistics import wilson_interval
from proveout.training.run.optional import optional_module
from proveout.training.sweep.space import Space

SUCCESS = "success"
_Z95 = 1.959963984540054  # normal quantile of a two-sided 95 % interval
_MOST_LEVELS = 12
_BINS = 8


def outcome(cell: dict[str, Any], name: str) -> tuple[float, float, int]:
    """Mean, variance of the rows and their number, of an outcome in a cell; NaN without a row."""
    if name == SUCCESS:
        rate, count = cell["success_rate"], cell["valid"]
        return (math.nan, math.nan, 0) if rate is None else (rate, rate * (1 - rate), count)
    mean, deviation = cell["means"][name], cell["deviations"][name]
    count = cell["counts"][name]
    if mean is None or not count:
        return math.nan, math.nan, 0
    return mean, 0.0 if deviation is None else deviation**2, count


def main_effect(cells: Sequence[dict[str, Any]], parameter: str, name: str) -> list[dict[str, Any]]:
    """The mean of an outcome at each value of a parameter, over all others.

    A parameter of more than twelve numbers is cut into eight ranges with as many cells each. Cells
    weigh the same, however many rows they have: one that ended early is no lesser point.

    Args:
        cells: Of one policy.
        parameter: Which.
        name: Of the outcome.

    Returns:
        `value` (of a range: its mean), `mean`, `low`, `high` (95 %), `rows`; in order of value.
        The interval of a success rate is Wilson's, others are normal: of the rows within the cells
        where values are a grid, of the cells' means where they are drawn.
    """
    told = []
    for value, members, drawn in _levels(cells, parameter):
        found = np.array([outcome(cell, name) for cell in members])
        found = found[found[:, 2] > 0]
        if not len(found):
            continue
        means, variances, counts = found.T
        rows, mean = counts.sum(), float(means.mean())
        if drawn and len(found) > 1:
            half = _Z95 * float(np.sqrt(means.var(ddof=1) / len(found)))
            low, high = mean - half, mean + half
        elif name == SUCCESS:
            # Rows of cells as large as each other that would tell as much.
            alike = round(len(means) ** 2 / (1.0 / counts).sum())
            low, high = wilson_interval(round(mean * alike), alike)
        else:
            half = _Z95 * float(np.sqrt((variances / counts).sum())) / len(means)
            low, high = mean - half, mean + half
        if name == SUCCESS:
            low, high = max(low, 0.0), min(high, 1.0)
        told.append({"value": value, "mean": mean, "low": low, "high": high, "rows": int(rows)})
    return told


def _levels(
    cells: Sequence[dict[str, Any]], parameter: str
) -> list[tuple[Any, list[dict[str, Any]], bool]]:
    """(value, its cells, whether the value stands for a range) in order."""
    having = [cell for cell in cells if cell["parameters"].get(parameter) is not None]
    values = [cell["parameters"][parameter] for cell in having]
    known = sorted(set(values), key=lambda v: (isinstance(v, str), v))
    if len(known) <= _MOST_LEVELS or isinstance(known[0], str):
        return [
            (k, [c for c, v in zip(having, values, strict=True) if v == k], False) for k in known
        ]
    order = np.argsort(np.array(values, float), kind="stable")
    return [
        (float(np.mean([values[i] for i in part])), [having[i] for i in part], True)
        for part in np.array_split(order, _BINS)
    ]


def sobol_indices(
    space: Space, cells: Sequence[dict[str, Any]], name: str
) -> tuple[list[dict[str, Any]], str]:
    """Shares of an outcome's variance over the space that parameters have.

    Args:
        space: Of the study.
        cells: Of one policy, in the study's order, all of them.
        name: Of the outcome.

    Returns:
        `parameter`, `first` (alone), `total` (with all interactions), `first_interval` and
        `total_interval` (half widths, 95 %; None: not known), and how they were found; an empty
        list and why not where the design does not allow it.
    """
    found = np.array([outcome(cell, name) for cell in cells]).reshape(-1, 3)
    if len(found) != space.count() or len(found) < 2:
        return [], "not all cells are done"
    means, variances, counts = found.T
    if (counts == 0).any():
        return [], "a cell has no valid row"
    names = [parameter.name for parameter in space.parameters]
    if space.is_full_grid:
        shape = [len(parameter.values) for parameter in space.parameters]
        noise = float((variances / counts).mean())
        return _of_grid(names, means.reshape(shape), noise), (
            "from the analysis of variance of the full grid, less the noise of the rows"
        )
    alone = [group[0].name for group in space.groups() if group[0].distribution]
    if space.method == "saltelli" and len(alone) == len(names):
        return _of_saltelli(alone, means), "by Saltelli's estimators (SALib)"
    return [], (
        "the design allows none: take a full grid, or draw with the method saltelli, without "
        "links or conditions"
    )


def _of_grid(names: Sequence[str], means: np.ndarray, noise: float) -> list[dict[str, Any]]:
    """Sobol', Math. Comput. Simul. 55 (2001), for independent parameters uniform on their values.

    Variances of means of independent rows are too large by known multiples of the rows' own noise.
    """
    number = means.size
    whole = means.var() - noise * (number - 1) / number
    told = []
    for axis, name in enumerate(names):
        levels = means.shape[axis]
        others = tuple(i for i in range(means.ndim) if i != axis)
        first = total = 0.0
        if whole > 0.0 and levels > 1:
            alone = means.mean(axis=others).var() - noise * (levels - 1) / number
            rest = number // levels
            without = means.mean(axis=axis).var() - noise / levels * (rest - 1) / rest
            first, total = alone / whole, 1.0 - without / whole
        told.append(_index(name, first, total, None, None))
    return told


def _of_saltelli(names: Sequence[str], means: np.ndarray) -> list[dict[str, Any]]:
    sobol = optional_module("SALib.analyze.sobol", "report", "SALib")
    if not means.std() > 0.0:
        return [_index(name, 0.0, 0.0, None, None) for name in names]
    # The bounds are not looked at: the points are made already.
    problem = {"num_vars": len(names), "names": list(names), "bounds": [[0.0, 1.0]] * len(names)}
    found = sobol.analyze(problem, means, calc_second_order=False, seed=0)
    return [
        _index(name, *(float(found[key][i]) for key in ("S1", "ST", "S1_conf", "ST_conf")))
        for i, name in enumerate(names)
    ]


def _index(
    name: str, first: float, total: float, first_half: float | None, total_half: float | None
) -> dict[str, Any]:
    return {
        "parameter": name,
        "first": min(max(first, 0.0), 1.0),
        "total": min(max(total, 0.0), 1.0),
        "first_interval": first_half,
        "total_interval": total_half,
    }
