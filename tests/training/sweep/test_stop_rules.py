"""Points end early when their intervals are narrow, the same rows whatever was done first."""

import numpy as np
import pytest
import swept_task
from scipy import stats

from proveout.envs.core.errors import ConfigError, UnknownNameError
from proveout.training.cli import main
from proveout.training.evaluation.statistics import wilson_interval, wilson_widths
from proveout.training.sweep import Study, execute, read_results, run_study
from proveout.training.sweep.plan import Plan
from proveout.training.sweep.stopping import StopRule

OF_THE_RUN = ["attempts", "wall_seconds"]
RULE = {"widths": {"far": 0.2}, "every": 10}


def machine(num_envs=16):
    return execute.Machine(num_envs=num_envs, device="cpu", workers=1)


def study(**changes):
    return Study(
        **{
            "env": swept_task.ID,
            "policies": ["expert"],
            "episodes": 45,
            "seeds": [0, 1],
            "parameters": {"length": [0.05, 0.5, 1.0]},
            "stop": RULE,
            **changes,
        }
    )


def rows(folder):
    return read_results(folder).drop_columns(OF_THE_RUN).to_pylist()


def needed_by_hand(values, width, every):
    """values: (seeds, episodes); the first look at which Student's interval is narrow."""
    for until in [*range(every, values.shape[1], every), values.shape[1]]:
        seen = values[:, :until].ravel()
        low, high = stats.t.interval(0.95, len(seen) - 1, seen.mean(), stats.sem(seen))
        if high - low <= width:
            return until
    return values.shape[1]


def test_the_first_look_with_narrow_intervals_decides():
    draw = np.random.default_rng(0)
    values = draw.normal(3.0, [[[0.1]], [[1.0]], [[50.0]]], (3, 2, 45)) + 1000.0
    told = StopRule(widths={"far": 0.6}, every=10).episodes_needed(
        np.ones(values.shape, bool), {"far": values}
    )
    assert told.tolist() == [needed_by_hand(one, 0.6, 10) for one in values]
    assert told[0] == 10
    assert told[2] == 45


def test_rows_that_are_not_done_are_asked_for_up_to_the_next_look():
    rule = StopRule(widths={"success": 0.5}, every=10)
    known = np.zeros((2, 1, 45), bool)
    known[0, 0, :10] = known[1, 0, 5:40] = True
    values = np.where(known, 1.0, np.nan)
    assert rule.episodes_needed(known, {"success": values}).tolist() == [10, 10]
    known[1, 0, :5] = True
    values[1, 0, :10] = [0, 1] * 5
    assert rule.episodes_needed(known, {"success": values}).tolist() == [10, 20]


def test_widths_are_those_of_the_intervals():
    pairs = [(0, 0), (0, 5), (3, 7), (9, 9), (400, 1000)]
    widths = wilson_widths(*np.array(pairs).T)
    told = [high - low for low, high in (wilson_interval(*pair) for pair in pairs)]
    np.testing.assert_allclose(widths, told, rtol=1e-12)


def test_a_sweep_runs_no_row_that_is_not_needed(tmp_path):
    told = run_study(study(), tmp_path / "a", machine=machine())
    table = read_results(tmp_path / "a")
    assert told["run"] == table.num_rows == told["rows"] - told["spared"]
    length, far = (table.column(n).to_numpy() for n in ("parameter/length", "far"))
    run_study(study(stop=None), tmp_path / "all", machine=machine())
    whole = read_results(tmp_path / "all")
    every = whole.column("far").to_numpy().reshape(3, 2, 45)
    wanted = [2 * needed_by_hand(one.astype(float), 0.2, 10) for one in every]
    assert [int((length == value).sum()) for value in (0.05, 0.5, 1.0)] == wanted
    assert len(set(wanted)) > 1
    assert np.isfinite(far).all()
    # The same rows when all were there before, or when worlds are few.
    told = run_study(study(), tmp_path / "all", machine=machine())
    assert (told["run"], told["done_before"]) == (0, sum(wanted))
    run_study(study(), tmp_path / "few", machine=machine(3))
    assert rows(tmp_path / "a") == rows(tmp_path / "all") == rows(tmp_path / "few")


def test_rows_that_no_environment_takes_are_all_marked(tmp_path):
    told = run_study(study(parameters={"length": [0.05, -1.0]}), tmp_path, machine=machine())
    assert told["invalid"] == 90
    assert told["spared"] == told["rows"] - told["run"] > 0


@pytest.mark.parametrize(
    ("stop", "error", "told"),
    [
        (3, ConfigError, "stop is a table"),
        ({"every": 5}, ConfigError, "a table of outcomes and widths"),
        ({"widths": {"far": 0}}, ConfigError, "width of far is a positive number"),
        ({"widths": {"far": 1}, "every": 0}, ConfigError, "whole number from 1"),
        ({"width": {"far": 1}}, UnknownNameError, "did you mean 'widths'"),
        ({"widths": {"fare": 1}}, UnknownNameError, "did you mean 'far'"),
    ],
)
def test_what_is_wrong_is_named(stop, error, told):
    with pytest.raises(error, match=told):
        Plan.of(study(stop=stop))


def test_an_outcome_that_is_not_kept_cannot_be_looked_at():
    with pytest.raises(ConfigError, match="stop looks at far, which kpis leaves out"):
        study(kpis=["place"])


def test_the_flag_says_how_many_rows_it_spares(tmp_path, capfd):
    flags = ["--policy", "expert", "--workers", "1", "--num-envs", "8", "--episodes", "100"]
    status = main(
        ["sweep", swept_task.ID, *flags, "--stop", "success=0.4", "--stop-every", "20", "--out",
         str(tmp_path)]
    )  # fmt: skip
    out = capfd.readouterr().out
    assert status == 0
    assert "were not needed: their intervals are narrow enough" in out
    assert main(["sweep", swept_task.ID, *flags, "--stop", "success"]) == 2
    assert "OUTCOME=WIDTH expected" in capfd.readouterr().err
