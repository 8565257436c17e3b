"""Jobs on a Ray cluster of this machine: workers may die, versions may not differ."""

from pathlib import Path

import numpy as np
import pytest
import ray_jobs
import swept_task

from proveout.envs.core.errors import ConfigError, ModelError, WorkerError
from proveout.training.rows import ray_cluster
from proveout.training.rows.ray_cluster import RayCluster
from proveout.training.sweep import Study, execute, read_results, read_series, run_study
from proveout.training.sweep.plan import Plan
from proveout.training.sweep.ray_batches import _batches
from proveout.training.sweep.store import Store

OF_THE_RUN = ["attempts", "wall_seconds"]


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(Path(__file__).parent))
        patched.setenv("PROVEOUT_TASKS", swept_task.__file__)
        with RayCluster() as made:
            yield made


def test_every_job_is_done_once(cluster):
    done = list(cluster.run(ray_jobs.square, range(20)))
    assert sorted(one.value for one in done) == [n * n for n in range(20)]
    assert all("/" in one.node for one in done)


def test_a_job_whose_worker_dies_is_begun_again(cluster, tmp_path, monkeypatch):
    assert [one.value for one in cluster.run(ray_jobs.dying, [str(tmp_path)])] == ["done"]
    monkeypatch.setattr(ray_cluster, "_RETRIES", 0)
    with pytest.raises(WorkerError, match="lost a job for good"):
        list(cluster.run(ray_jobs.hopeless, [0]))


def test_errors_are_those_of_the_job(cluster):
    with pytest.raises(ModelError, match="no such robot"):
        list(cluster.run(ray_jobs.refusing, [0]))


def test_other_versions_are_refused_with_the_difference(cluster, monkeypatch):
    others = {**ray_cluster.versions(), "numpy": "1.0"}
    monkeypatch.setattr(ray_cluster, "versions", lambda: others)
    with pytest.raises(ConfigError, match=f"numpy {np.__version__} instead of 1.0; install"):
        list(cluster.run(ray_jobs.square, [1]))


def test_differences_are_told_in_words():
    here, there = {"a": "1", "b": "2", "c": None}, {"a": "1", "b": "3", "c": "4"}
    assert ray_cluster.difference(here, there) == "b 3 instead of 2, c 4 instead of none"
    assert ray_cluster.difference(here, here) == ""


def study(**changes):
    return Study(
        **{
            "env": swept_task.ID,
            "policies": ["expert"],
            "parameters": {"reward_weights.place": [1.0, 1e39], "length": [0.1, 1.0, -1.0]},
            "episodes": 60,
            "stop": {"widths": {"far": 0.2}, "every": 20},
            "series": {"signals": ["reward"], "episodes": 2},
            **changes,
        }
    )


def test_a_sweep_has_the_bits_of_one_in_process(cluster, tmp_path):
    machine = execute.Machine(num_envs=8, engine="ray")
    told = run_study(study(), tmp_path / "ray", machine=machine)
    here = execute.Machine(num_envs=16, device="cpu", workers=1)
    other = run_study(study(), tmp_path / "here", machine=here)
    for key in ("run", "invalid", "spared", "invalid_reasons"):
        assert told[key] == other[key]
    assert told["spared"] > 0
    same = [read_results(tmp_path / name).drop_columns(OF_THE_RUN) for name in ("ray", "here")]
    assert same[0].to_pylist() == same[1].to_pylist()
    assert read_series(tmp_path / "ray").equals(read_series(tmp_path / "here"))
    session = Store.open(tmp_path / "ray").manifest["sessions"][-1]
    assert session["engine"] == "ray"
    assert sum(session["nodes"].values()) == told["run"] - 120  # no node for what none could run


def test_batches_hold_every_row_once():
    plan = Plan.of(study(stop=None, policies=["expert", "pretrained.onnx"]))
    missing = [*range(0, len(plan), 2)]
    jobs, without = _batches(plan, np.array(missing), execute.Machine(engine="ray"), "cpu", 2)
    rows = [job.rows for job in jobs] + [rows for rows, _ in without]
    assert sorted(np.concatenate(rows).tolist()) == missing
    for job in jobs:
        cells, policies = plan.parts_of(job.rows)[:2]
        assert len(set(policies)) == 1
        assert len({plan.columns["length"][cell] for cell in cells}) == 1


def test_what_does_not_go_together_is_named():
    with pytest.raises(ConfigError, match="belongs to the engine ray"):
        execute.Machine(address="auto")
    with pytest.raises(ConfigError, match="Ray has its own"):
        execute.Machine(engine="ray", workers=2)
    with pytest.raises(Exception, match="did you mean 'ray'"):
        execute.Machine(engine="rays")
