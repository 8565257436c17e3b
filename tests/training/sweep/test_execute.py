"""Studies run: only what is missing, and every row can be trusted and replayed."""

import signal

import numpy as np
import pytest
import swept_task

from proveout.envs.core.errors import ConfigError, RunError
from proveout.training.evaluation.evaluate import evaluate
from proveout.training.evaluation.policy_source import PolicySource
from proveout.training.sweep import (
    Study,
    batch,
    execute,
    read_results,
    replay,
    run_study,
    store,
    summary,
)
from proveout.training.sweep.plan import Plan
from proveout.training.tasks import VectorEnvSpec

MACHINE = execute.Machine(num_envs=16, device="cpu", workers=1)
OF_THE_RUN = ["attempts", "wall_seconds"]


def study(**changes):
    return Study(
        **{
            "env": swept_task.ID,
            "policies": ["expert"],
            "episodes": 10,
            "parameters": {"reward_weights.place": [1.0, 2.0], "length": [0.5, 1.0]},
            **changes,
        }
    )


def run(folder, machine=MACHINE, **changes):
    return run_study(study(**changes), folder, machine=machine)


def rows(folder):
    return read_results(folder).drop_columns(OF_THE_RUN).to_pylist()


def test_a_study_gives_every_row_in_order(tmp_path):
    told = run(tmp_path)
    assert (told["rows"], told["run"], told["invalid"]) == (40, 40, 0)
    cost = store.Store.open(tmp_path).manifest["sessions"][0]["cost"]
    assert cost["steps"] > 0
    assert cost["processor_seconds"] > 0
    table = read_results(tmp_path)
    assert table.column("parameter/length").to_pylist() == ([0.5] * 10 + [1.0] * 10) * 2
    assert table.column("episode").to_pylist() == list(range(10)) * 4
    assert table.schema.field("far").metadata[b"unit"] == b"m"
    # The weight is of the reward alone: twice the weight is twice the return, on other starts.
    place, returned = table.column("reward/place").to_numpy(), table.column("return").to_numpy()
    length, weight = (table.column(n).to_numpy() for n in
                      ("length", "parameter/reward_weights.place"))  # fmt: skip
    np.testing.assert_allclose(returned, weight * place * length, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("machine", [
    execute.Machine(num_envs=1, device="cpu", workers=1),
    execute.Machine(num_envs=40, device="cpu", workers=2),
])  # fmt: skip
def test_the_number_of_worlds_and_workers_changes_no_bit(tmp_path, machine):
    run(tmp_path / "a")
    run(tmp_path / "b", machine)
    assert rows(tmp_path / "a") == rows(tmp_path / "b")


def test_only_what_is_missing_is_run(tmp_path):
    run(tmp_path / "a", episodes=4)
    told = run(tmp_path / "a")
    assert (told["done_before"], told["run"], told["stale"]) == (16, 24, 0)
    assert run(tmp_path / "a")["run"] == 0
    run(tmp_path / "b")
    assert rows(tmp_path / "a") == rows(tmp_path / "b")


def test_a_changed_study_says_which_rows_are_stale(tmp_path, capsys):
    run(tmp_path)
    changed = study(parameters={"reward_weights.place": [1.0], "length": [0.5, 0.75]})
    told = run_study(changed, tmp_path, machine=MACHINE, shown=True)
    assert (told["done_before"], told["run"], told["stale"]) == (10, 10, 30)
    assert "30 rows are stale: the study has changed (parameters)" in capsys.readouterr().err
    assert len(rows(tmp_path)) == 20
    assert read_results(tmp_path, stale=True).num_rows == 30


def test_a_damaged_part_is_found_and_only_its_rows_are_redone(tmp_path):
    run(tmp_path, episodes=4)
    run(tmp_path)
    whole = rows(tmp_path)
    part = sorted((tmp_path / "parts").iterdir())[0]
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.warns(UserWarning, match="is damaged and left out"):
        assert len(rows(tmp_path)) < 40
    told = run(tmp_path)
    assert told["damaged_parts"] == 1
    assert 0 < told["run"] < 40
    assert rows(tmp_path) == whole


def test_cells_that_are_refused_say_why_and_the_rest_runs(tmp_path):
    told = run(tmp_path, parameters={"reward_weights.place": [1.0, 1e39], "length": [0.5, -1.0],
                                     "kind": ["plain", "broken"]})  # fmt: skip
    assert (told["rows"], told["run"], told["invalid"]) == (80, 80, 70)
    reasons = told["invalid_reasons"]
    assert reasons["length must be greater than 0 m, got -1.0"] == 40
    assert reasons["there is no engine of this kind"] == 20
    assert sum(n for why, n in reasons.items() if "at most 3.403e+38" in why) == 10
    valid = read_results(tmp_path).column("valid").to_numpy()
    assert valid.sum() == 10


def test_a_full_disk_stops_it_cleanly_and_it_goes_on(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(store, "write_atomic", full)
        with pytest.raises(RunError, match=r"No space left on device.*make room"):
            run(tmp_path)
    assert run(tmp_path)["run"] == 40
    run(tmp_path / "other")
    assert rows(tmp_path) == rows(tmp_path / "other")


def test_ctrl_c_keeps_what_is_done(tmp_path, monkeypatch):
    expert = swept_task.LineExpert.predict
    asked = 0

    def stopping(self, observations):
        nonlocal asked
        asked += 1
        if asked == 30:
            raise KeyboardInterrupt
        return expert(self, observations)

    with monkeypatch.context() as patched:
        patched.setattr(swept_task.LineExpert, "predict", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    kept = read_results(tmp_path).num_rows
    assert 0 < kept < 40
    assert store.Store.open(tmp_path).manifest["state"] == "interrupted"
    told = run(tmp_path)
    assert (told["done_before"], told["run"]) == (kept, 40 - kept)
    assert store.Store.open(tmp_path).manifest["state"] == "complete"


def test_a_signal_ends_it_as_ctrl_c_does(tmp_path, monkeypatch):
    expert = swept_task.LineExpert.predict
    asked = 0

    def ending(self, observations):
        nonlocal asked
        asked += 1
        if asked == 30:
            signal.raise_signal(signal.SIGTERM)
        return expert(self, observations)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patched:
        patched.setattr(swept_task.LineExpert, "predict", ending)
        with pytest.raises(SystemExit) as stopped:
            run(tmp_path)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    assert 0 < read_results(tmp_path).num_rows < 40


def test_rows_of_a_worker_that_dies_are_begun_again(tmp_path, monkeypatch):
    made = []
    make, expert = execute.make_vector_env, swept_task.LineExpert.predict
    asked = 0

    def remembering(spec):
        made.append(make(spec))
        return made[-1]

    def killing(self, observations):
        nonlocal asked
        asked += 1
        if asked == 30:
            made[0].unwrapped._pool._links[0]._process.kill()
        return expert(self, observations)

    machine = execute.Machine(num_envs=8, device="cpu", workers=2)
    with monkeypatch.context() as patched:
        for module in (execute, batch):
            patched.setattr(module, "make_vector_env", remembering)
        patched.setattr(swept_task.LineExpert, "predict", killing)
        run(tmp_path / "killed", machine, parameters={"reward_weights.place": [1.0, 2.0]})
    assert len(made) == 2
    attempts = read_results(tmp_path / "killed").column("attempts").to_pylist()
    assert sorted(set(attempts)) == [1, 2]
    assert attempts.count(2) <= 8
    run(tmp_path / "whole", parameters={"reward_weights.place": [1.0, 2.0]})
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")


def test_one_point_agrees_with_an_evaluation(tmp_path):
    run(tmp_path, parameters={}, episodes=1000)
    (point,) = summary.cells(read_results(tmp_path))
    told = evaluate(
        PolicySource("expert"), VectorEnvSpec(swept_task.ID, device="cpu", workers=1), seed=1
    )
    assert point["valid"] == told["episodes"] == 1000
    (low, high), (other_low, other_high) = point["success_interval"], told["success_interval"]
    assert max(low, other_low) < min(high, other_high)
    far = told["kpis"]["far"]
    error = np.hypot(far["std"], point["deviations"]["far"]) / np.sqrt(1000)
    assert abs(point["means"]["far"] - far["mean"]) < 4 * error


def test_policies_begin_in_the_same_states(tmp_path):
    plan = Plan.of(study(policies=["expert", "pretrained.onnx"]))
    numbers = np.arange(len(plan))
    starts, policy = plan.starts(numbers), plan.parts_of(numbers)[1]
    np.testing.assert_array_equal(starts.world_id[policy == 0], starts.world_id[policy == 1])
    assert len(set(plan.ids(numbers).tolist())) == len(plan)
    assert len(set(starts.world_id.tolist())) == plan.cells
    same = Plan.of(study(same_starts=True)).starts(np.arange(40))
    assert len(set(same.world_id.tolist())) == 1


@pytest.mark.parametrize("num_envs", [1, 64, 4096])
def test_a_row_replays_to_the_bit(tmp_path, num_envs):
    run(tmp_path)
    for row in read_results(tmp_path).column("row").to_pylist()[::13]:
        told = replay(tmp_path, row, num_envs=num_envs)
        assert told["stored"] is not None
        assert told["different"] == []
        assert told["row"]["return"] == told["stored"]["return"]


def test_a_row_that_is_not_there_is_named(tmp_path):
    run(tmp_path)
    with pytest.raises(ConfigError, match="none of this study's 40"):
        replay(tmp_path, "0" * 16)
    with pytest.raises(ConfigError, match="sixteen hexadecimal digits"):
        replay(tmp_path, "12")
    with pytest.raises(RunError, match="no such folder"):
        replay(tmp_path / "none", "0" * 16)


def test_cells_are_summed_up(tmp_path):
    run(tmp_path, kpis=["far"])
    table = read_results(tmp_path)
    assert "place" not in table.column_names
    found = summary.cells(table)
    assert len(found) == 4
    far, success = table.column("far").to_numpy(), table.column("success").to_numpy()
    for i, cell in enumerate(found):
        own = slice(10 * i, 10 * i + 10)
        assert cell["means"]["far"] == pytest.approx(far[own].mean(), rel=1e-6)
        assert cell["deviations"]["far"] == pytest.approx(far[own].std(ddof=1), rel=1e-5)
        assert cell["success_rate"] == success[own].mean()
    assert len(summary.lines(table)) == 4


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match=r"holds thesis\.txt and no sweep"):
        run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
