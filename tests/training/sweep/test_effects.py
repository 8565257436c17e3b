"""Main effects and Sobol indices against closed forms."""

import numpy as np
import pytest

from proveout.training.evaluation.statistics import wilson_interval
from proveout.training.sweep.effects import main_effect, sobol_indices
from proveout.training.sweep.space import Parameter, Space


def cells_of(space, function, rows=1, noise=0.0, seed=0):
    """Cells of a space, whose figure is a function of the parameters plus the rows' noise."""
    columns = space.columns()
    draw = np.random.default_rng(seed)
    made = []
    for values in zip(*columns.values(), strict=True):
        drawn = function(*values) + noise * draw.normal(size=rows)
        made.append({
            "cell": "", "policy": "p", "first_row": "", "rows": rows, "valid": rows,
            "parameters": dict(zip(columns, values, strict=True)),
            "success_rate": 0.25, "success_interval": [0.0, 1.0],
            "means": {"y": float(drawn.mean())},
            "deviations": {"y": float(drawn.std(ddof=1)) if rows > 1 else None},
            "counts": {"y": rows},
        })  # fmt: skip
    return made


def grid(*sizes):
    return Space(
        parameters=tuple(
            Parameter(name=f"x{i}", values=tuple(range(n))) for i, n in enumerate(sizes)
        )
    )


def test_indices_of_a_grid_are_those_of_the_closed_form():
    # y = a + 2 b + a b over a, b in {0, 1, 2}: var a = var b = 2/3, var ab around the means 4/9.
    # Alone, a moves y by (1 + mean b) a = 2 a, and b by (2 + mean a) b = 3 b.
    space = grid(3, 3)
    told, _ = sobol_indices(space, cells_of(space, lambda a, b: a + 2 * b + a * b), "y")
    alone_a, alone_b, both = 4 * 2 / 3, 9 * 2 / 3, 4 / 9
    whole = alone_a + alone_b + both
    assert [one["first"] for one in told] == pytest.approx([alone_a / whole, alone_b / whole])
    assert [one["total"] for one in told] == pytest.approx(
        [(alone_a + both) / whole, (alone_b + both) / whole]
    )


def test_noise_of_the_rows_is_no_share_of_a_parameter():
    space = grid(6, 6)
    found = []
    for seed in range(20):
        cells = cells_of(space, lambda a, b: 0.2 * a, rows=20, noise=1.0, seed=seed)
        told, _ = sobol_indices(space, cells, "y")
        found.append([told[0]["first"], told[1]["total"]])
    first, total = np.mean(found, axis=0)
    assert first == pytest.approx(1.0, abs=0.06)
    assert total == pytest.approx(0.0, abs=0.08)


def test_indices_of_saltelli_points():
    pytest.importorskip("SALib")
    parameters = tuple(
        Parameter(name=f"x{i}", distribution="uniform", first=0.0, second=1.0) for i in range(2)
    )
    space = Space(parameters=parameters, method="saltelli", points=1024)
    told, how = sobol_indices(space, cells_of(space, lambda a, b: a + 3 * b), "y")
    assert "SALib" in how
    assert [one["first"] for one in told] == pytest.approx([0.1, 0.9], abs=0.02)  # 1 : 9
    assert [one["total"] for one in told] == pytest.approx([0.1, 0.9], abs=0.02)


def test_a_design_that_allows_no_indices_says_so():
    drawn = Space(parameters=(Parameter(name="a", distribution="uniform", second=1.0),), points=16)
    told, why = sobol_indices(drawn, cells_of(drawn, lambda a: a), "y")
    assert told == []
    assert "full grid" in why
    told, why = sobol_indices(grid(2, 2), cells_of(grid(2, 2), lambda a, b: a)[:3], "y")
    assert (told, why) == ([], "not all cells are done")


def test_main_effects_are_means_over_the_other_parameters():
    cells = cells_of(grid(3, 4), lambda a, b: 10 * a + b, rows=5)
    told = main_effect(cells, "x0", "y")
    assert [one["value"] for one in told] == [0, 1, 2]
    assert [one["mean"] for one in told] == [1.5, 11.5, 21.5]
    assert [one["rows"] for one in told] == [20, 20, 20]
    success = main_effect(cells, "x1", "success")
    assert [one["mean"] for one in success] == [0.25] * 4
    assert (success[0]["low"], success[0]["high"]) == wilson_interval(4, 15)


def test_intervals_of_main_effects_hold_the_truth_as_often_as_they_say():
    inside = 0
    for seed in range(200):
        cells = cells_of(grid(2, 3), lambda a, b: a + b, rows=10, noise=0.5, seed=seed)
        inside += sum(one["low"] < one["value"] + 1 < one["high"]
                      for one in main_effect(cells, "x0", "y"))  # fmt: skip
    assert 0.90 < inside / 400 < 0.99


def test_drawn_values_are_cut_into_ranges():
    space = Space(parameters=(Parameter(name="a", distribution="uniform", second=8.0),), points=64)
    told = main_effect(cells_of(space, lambda a: 2 * a), "a", "y")
    assert len(told) == 8
    values = [one["value"] for one in told]
    assert values == sorted(values)
    assert [one["mean"] for one in told] == pytest.approx([2 * v for v in values])
