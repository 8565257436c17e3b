"""A sweep that was killed again and again ends as one that never was."""

import subprocess
import sys
from pathlib import Path

import killed_sweeps
import pytest

from proveout.training.sweep import execute, read_results

SCRIPT = Path(__file__).with_name("killed_sweeps.py")
OF_THE_RUN = ["attempts", "wall_seconds"]


@pytest.mark.skipif(not hasattr(killed_sweeps.os, "fork"), reason="no processes to fork off")
def test_rows_are_those_of_a_sweep_that_was_never_killed(tmp_path):
    told = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "killed")],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    ends = [line.split() for line in told.stdout.splitlines()]
    assert ends == [*([str(n), "-9"] for n in killed_sweeps.KILLS), ["0", "0"]], told.stderr
    machine = execute.Machine(num_envs=32, device="cpu", workers=1)
    execute.run_study(killed_sweeps.STUDY, tmp_path / "whole", machine=machine)
    whole = read_results(tmp_path / "whole").drop_columns(OF_THE_RUN)
    killed = read_results(tmp_path / "killed").drop_columns(OF_THE_RUN)
    assert whole.num_rows == 240
    assert killed.to_pylist() == whole.to_pylist()
    assert len(list((tmp_path / "killed" / "parts").iterdir())) > len(killed_sweeps.KILLS)
