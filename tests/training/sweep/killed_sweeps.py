"""Kills a sweep just before one of its files gets its name; see test_sweep_kills.py.

Usage: killed_sweeps.py FOLDER. Processes are forked off, each of which goes on with the same sweep
and kills itself before its n-th file; the last one ends it. Prints how each process ended.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import swept_task

from proveout.training.sweep import batch, execute
from proveout.training.sweep.study import Study

STUDY = Study(
    env=swept_task.ID,
    policies=["expert"],
    parameters={"reward_weights.place": [1.0, 2.0, 1e39], "length": [0.5, 1.0]},
    episodes=40,
)
KILLS = (1, 2, 3, 5, 4, 7)


def work(folder: Path, last: int) -> None:
    """Run the study; die before file number `last`, never for 0."""
    batch._PART_SECONDS = 0.0  # a part whenever rows end
    replace, count = os.replace, 0

    def killing(*arguments: object, **options: object) -> None:
        nonlocal count
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*arguments, **options)  # type: ignore[arg-type]

    os.replace = killing  # type: ignore[assignment]
    machine = execute.Machine(num_envs=8, device="cpu", workers=1)
    execute.run_study(STUDY, folder, machine=machine)


def main() -> None:
    """Kill again and again, then let it end."""
    for last in (*KILLS, 0):
        child = os.fork()
        if child == 0:
            work(Path(sys.argv[1]), last)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        print(last, os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
