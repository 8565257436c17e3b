"""Kills a sweep again and again, then lets it end; see test_sweep_kills.py.

Usage: killed_sweeps.py FOLDER files: each process kills itself before its n-th file gets its name.
killed_sweeps.py FOLDER NUMBER: so many processes die at random times of their own.

Processes are forked off, each of which goes on with the same sweep. Prints how each ended.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable
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
_CPU_SECONDS = (0.05, 0.8)


def study_for(kills: int) -> Study:
    """One with everything: an environment that refuses, points that end early, time series."""
    return Study(
        env=swept_task.ID,
        policies=["expert"],
        parameters={
            "reward_weights.place": [1.0, 2.0, 1e39],
            "length": [0.1, 0.5, 1.0],
            "kind": ["plain", "broken"],
        },
        episodes=max(20 * kills, 100),
        seeds=[0, 1],
        stop={"widths": {"far": 0.1}, "every": 25},
        series={"signals": ["reward", "engine/place"], "episodes": 5},
    )


def work(folder: Path, study: Study) -> None:
    """Run a study, writing a part whenever rows end."""
    batch._PART_SECONDS = 0.0
    machine = execute.Machine(num_envs=8, device="cpu", workers=1)
    execute.run_study(study, folder, machine=machine)


def die_before_file(last: int) -> None:
    """Have this process die before file number `last`, never for 0."""
    replace, count = os.replace, 0

    def killing(*arguments: object, **options: object) -> None:
        nonlocal count
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*arguments, **options)  # type: ignore[arg-type]

    os.replace = killing  # type: ignore[assignment]


def die_after(seconds: float) -> None:
    """Have this process die after so much time of its own; Python does not get to hear of it."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def run(folder: Path, study: Study, told: str, prepare: Callable[[], None]) -> None:
    """Go on with a sweep in a process of its own."""
    child = os.fork()
    if child == 0:
        prepare()
        work(folder, study)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print(told, os.waitstatus_to_exitcode(status), flush=True)


def main() -> None:
    """Kill again and again, then let it end."""
    folder, how = Path(sys.argv[1]), sys.argv[2]
    if how == "files":
        for last in KILLS:
            run(folder, STUDY, str(last), lambda last=last: die_before_file(last))
        run(folder, STUDY, "0", lambda: None)
        return
    kills = int(how)
    study, draw = study_for(kills), random.Random(kills)
    for _ in range(kills):
        seconds = draw.uniform(*_CPU_SECONDS)
        run(folder, study, f"{seconds:.3f}", lambda seconds=seconds: die_after(seconds))
    run(folder, study, "0", lambda: None)


if __name__ == "__main__":
    main()
