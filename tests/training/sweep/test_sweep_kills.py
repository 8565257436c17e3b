"""A sweep that was killed again and again ends as one that never was."""

import signal
import subprocess
import sys
from pathlib import Path

import killed_sweeps
import pytest

from proveout.training.sweep import execute, read_results, read_series

SCRIPT = Path(__file__).with_name("killed_sweeps.py")
OF_THE_RUN = ["attempts", "wall_seconds"]

pytestmark = pytest.mark.skipif(
    not hasattr(killed_sweeps.os, "fork"), reason="no processes to fork off"
)


def killed(folder, how):
    told = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), how],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    return [line.split() for line in told.stdout.splitlines()], told.stderr


def run(study, folder):
    machine = execute.Machine(num_envs=32, device="cpu", workers=1)
    execute.run_study(study, folder, machine=machine)
    return read_results(folder).drop_columns(OF_THE_RUN)


def test_killed_at_each_file_its_rows_are_those_of_a_whole_sweep(tmp_path):
    ends, errors = killed(tmp_path / "killed", "files")
    assert ends == [*([str(n), "-9"] for n in killed_sweeps.KILLS), ["0", "0"]], errors
    whole = run(killed_sweeps.STUDY, tmp_path / "whole")
    assert whole.num_rows == 240
    assert read_results(tmp_path / "killed").drop_columns(OF_THE_RUN).equals(whole)
    assert len(list((tmp_path / "killed" / "parts").iterdir())) > len(killed_sweeps.KILLS)


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_times_rows_and_series_are_those_of_a_whole_sweep(tmp_path, kills):
    ends, errors = killed(tmp_path / "killed", str(kills))
    assert [end for _, end in ends] == [*[str(-signal.SIGPROF)] * kills, "0"], errors
    study = killed_sweeps.study_for(kills)
    whole = run(study, tmp_path / "whole")
    assert whole.num_rows < study.count()  # points end early
    assert read_results(tmp_path / "killed").drop_columns(OF_THE_RUN).equals(whole)
    assert read_series(tmp_path / "killed").equals(read_series(tmp_path / "whole"))
