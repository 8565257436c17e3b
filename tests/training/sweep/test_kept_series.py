"""Time series that a sweep keeps: those of the rows alone, in their rate, and once."""

import numpy as np
import pytest
import swept_task

from proveout.envs import make_vector
from proveout.envs.core.errors import ConfigError, ProveoutError, RunError, UnknownNameError
from proveout.training.sweep import Study, execute, read_results, read_series, run_study
from proveout.training.sweep.kept_series import SeriesRule
from proveout.training.sweep.query import query
from proveout.training.sweep.store import SERIES, Store

MACHINE = execute.Machine(num_envs=6, device="cpu", workers=1)
SIGNALS = ["observation", "reward", "action", "engine/place"]


def study(series, **changes):
    return Study(
        **{
            "env": swept_task.ID,
            "policies": ["expert"],
            "episodes": 8,
            "parameters": {"reward_weights.place": [1.0, 2.0]},
            "series": series,
            **changes,
        }
    )


def run(folder, series=None, **changes):
    given = {"signals": SIGNALS, "episodes": 3} if series is None else series
    return run_study(study(given, **changes), folder, machine=MACHINE)


def test_they_are_those_of_the_row_run_alone(tmp_path):
    run(tmp_path)
    rows, series = read_results(tmp_path), read_series(tmp_path)
    kept = [row for row in rows.to_pylist() if row["episode"] < 3]
    assert list(dict.fromkeys(series.column("row").to_pylist())) == [row["row"] for row in kept]
    names = series.column_names
    assert names[:3] == ["row", "step", "time"]
    assert series.schema.field("time").metadata[b"unit"] == b"s"
    frame = series.to_pandas()
    env = make_vector(swept_task.ID, 1, workers=1, device="cpu")
    expert = swept_task.LineExpert()
    try:
        for row in kept:
            own = frame[frame["row"] == row["row"]]
            assert own["step"].tolist() == list(range(row["length"]))
            assert own["reward"].sum() == pytest.approx(row["return"], rel=1e-5, abs=1e-6)
            observation, _ = env.reset(
                seed=row["seed"],
                options={
                    "world_ids": [row["world"]], "episodes": [row["episode"]],
                    "config": {"reward_weights.place": row["parameter/reward_weights.place"]},
                },
            )  # fmt: skip
            for told in own.itertuples(index=False):
                values = np.array(told[3:], np.float32)
                action = expert.predict(observation)
                place = env.state_dict()["engine/place"][0].ravel()
                observation_now = observation[0]
                observation, reward, *_ = env.step(action)
                wanted = np.concatenate([observation_now, [reward[0]], action[0], place])
                np.testing.assert_array_equal(values, wanted.astype(np.float32))
    finally:
        env.close()


def test_rate_and_outcome_choose(tmp_path):
    dt = make_dt()
    run(tmp_path / "a", {"signals": ["reward"], "rate": 0.5 / dt, "episodes": 0})
    steps = read_series(tmp_path / "a").column("step").to_numpy()
    assert set(steps % 2) == {0}
    run(tmp_path / "b", {"signals": ["reward"], "episodes": 0, "only": "failed"})
    rows = read_results(tmp_path / "b").to_pylist()
    failed = {row["row"] for row in rows if not row["success"]}
    assert set(read_series(tmp_path / "b").column("row").to_pylist()) == failed
    assert 0 < len(failed) < len(rows)
    assert run(tmp_path / "b", {"signals": ["reward"], "episodes": 0, "only": "failed"})["run"] == 0


def make_dt():
    env = make_vector(swept_task.ID, 1, workers=1, device="cpu")
    dt = env.config.control_dt
    env.close()
    return dt


def test_rows_without_theirs_are_run_again(tmp_path):
    run(tmp_path / "a")
    whole = read_series(tmp_path / "a").to_pylist()
    run_study(study(None), tmp_path / "b", machine=MACHINE)
    with pytest.raises(RunError, match="holds no time series"):
        read_series(tmp_path / "b")
    assert run(tmp_path / "b")["run"] == 6  # a study that asks for them later
    assert read_series(tmp_path / "b").to_pylist() == whole
    assert read_results(tmp_path / "b").num_rows == 16
    part = Store.open(tmp_path / "b").parts(SERIES)[0].path
    part.write_bytes(b"PAR1" + part.read_bytes()[4:-8] + b"12345678")
    assert run(tmp_path / "b")["run"] == 6
    assert read_series(tmp_path / "b").to_pylist() == whole


def test_they_are_asked_by_sql(tmp_path):
    pytest.importorskip("duckdb")
    run(tmp_path)
    told = query(
        tmp_path,
        "select rows.episode, count(*) as n, any_value(length) as length from series join rows on "
        "series.row = rows.row group by series.row, rows.episode",
    )
    assert told.num_rows == 6
    assert told.column("n").to_pylist() == told.column("length").to_pylist()


@pytest.mark.parametrize(
    ("series", "error", "told"),
    [
        ("reward", ConfigError, "series is a table"),
        ({}, ConfigError, "signals is a list"),
        ({"signals": ["reward", "reward"]}, ConfigError, "given twice"),
        ({"signals": ["reward"], "rate": -1}, ConfigError, "frequency in Hz"),
        ({"signals": ["reward"], "only": "fail"}, UnknownNameError, "did you mean 'failed'"),
        ({"signal": ["reward"]}, UnknownNameError, "did you mean 'signals'"),
    ],
)
def test_what_is_wrong_is_named(series, error, told):
    with pytest.raises(error, match=told):
        SeriesRule.from_data(series)


@pytest.mark.parametrize(
    ("series", "told"),
    [
        ({"signals": ["engine/places"]}, "did you mean 'engine/place'"),
        ({"signals": ["reward"], "rate": 1e5}, "above that of the control"),
    ],
)
def test_what_the_environment_has_not_is_named(tmp_path, series, told):
    with pytest.raises(ProveoutError, match=told):
        run(tmp_path, series)
