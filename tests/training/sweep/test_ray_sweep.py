"""Two nodes of a Ray cluster, of which one is lost midway: the rows are those of one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import swept_task

from proveout.training.sweep import execute, read_results, read_series

SCRIPT = Path(__file__).with_name("ray_sweep.py")
OF_THE_RUN = ["attempts", "wall_seconds"]


@pytest.mark.slow
def test_a_lost_node_changes_no_row(tmp_path):
    pytest.importorskip("ray")
    import ray_sweep

    told = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "ray")],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
        env={**os.environ, "PROVEOUT_TASKS": swept_task.__file__},
    )
    end = json.loads(told.stdout.splitlines()[-1])
    assert end["lost"] == 1, told.stderr
    assert len(end["nodes"]) == 2
    machine = execute.Machine(num_envs=32, device="cpu", workers=1)
    execute.run_study(ray_sweep.STUDY, tmp_path / "here", machine=machine)
    ray, here = (read_results(tmp_path / n).drop_columns(OF_THE_RUN) for n in ("ray", "here"))
    assert ray.to_pylist() == here.to_pylist()
    assert read_series(tmp_path / "ray").equals(read_series(tmp_path / "here"))
