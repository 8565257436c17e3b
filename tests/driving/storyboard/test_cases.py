"""Rows of a file from start to end: what becomes of each, in Python and on the command line."""

import math
import os
from collections import Counter
from pathlib import Path

import pytest
from story_files import (
    act,
    at_time,
    by_entity,
    event,
    longitudinal,
    on_lane,
    speed_action,
    starts,
    trigger,
    write_road,
    write_rows,
    write_story,
)

from proveout.assets.files.errors import ScenarioError
from proveout.assets.scenario.rows import load_rows
from proveout.envs.driving.storyboard.cases import run_rows
from proveout.training.cli.program import main

DATA = Path(os.environ.get("PROVEOUT_DATA") or "nowhere") / "openscenario"
STOP = trigger(at_time("8"), tag="StopTrigger")
PARAMETER = '<ParameterDeclaration name="s" parameterType="double" value="150"/>'


def write(folder: Path, acts: str = "", *, stop: str = STOP, ego: str = "Ego") -> Path:
    """B stands at $s, 50 m to 3,350 m, on the lane on which the ego comes from 10 m at 20 m/s."""
    write_road(folder)
    init = starts(ego, on_lane("10"), "20") + starts("B", on_lane("$s"), "0")
    write_story(folder, [ego, "B"], init, acts, stop=stop, parameters=PARAMETER)
    return write_rows(folder, "s", 50, 1100, 3350)


ACTIVATE = act(
    "Ego",
    event(
        "e", trigger(at_time("0")),
        "<PrivateAction><ControllerAction><ActivateControllerAction lateral='true' "
        "longitudinal='true'/></ControllerAction></PrivateAction>",
    ),
)  # fmt: skip


def test_outcomes(tmp_path: Path) -> None:
    near, far, off = run_rows(load_rows(write(tmp_path)), [0, 1, 3])
    # 36 m between bumpers at 20 m/s.
    assert (near.outcome, near.partner) == ("collision", "B")
    assert near.time == pytest.approx(1.8, abs=0.021)
    assert near.impact_speed == pytest.approx(20.0, abs=1e-3)
    assert (far.outcome, far.partner, far.reason) == ("stopped", "", "")
    assert far.time == pytest.approx(8.0)
    assert math.isnan(far.impact_speed)
    assert (off.outcome, off.time) == ("invalid", 0.0)
    assert "s = 3350 is past the ends" in off.reason


def test_the_ego_brakes_once_its_controller_is_active(tmp_path: Path) -> None:
    case = run_rows(load_rows(write(tmp_path, ACTIVATE)), [0])[0]
    assert case.outcome == "stopped"
    # A later action takes the ego back from its driver, and it drives on.
    again = act("Ego", event("f", trigger(at_time("6")), longitudinal(
        speed_action("20", "step", "time", "0"))))  # fmt: skip
    case = run_rows(load_rows(write(tmp_path, ACTIVATE + again)), [0])[0]
    assert case.outcome == "collision"
    assert 6.0 < case.time < 7.0


def test_what_is_not_run_is_not_judged(tmp_path: Path) -> None:
    asks = by_entity('<OffroadCondition duration="1"/>', "B")
    path = write(tmp_path, stop=trigger(at_time("8"), asks, tag="StopTrigger"))
    case = run_rows(load_rows(path), [1])[0]
    assert (case.outcome, case.reason) == ("not judged", "OffroadCondition: it is not run")
    path = write(tmp_path, stop="")
    case = run_rows(load_rows(path), [1], most_seconds=2.0)[0]
    assert (case.outcome, case.time) == ("not judged", 2.0)
    assert case.reason == "it has not come to its end in 2 s"


def test_bad_input_is_named(tmp_path: Path) -> None:
    rows = load_rows(write(tmp_path))
    with pytest.raises(ScenarioError, match=r"has no entity 'C'; it has Ego, B\."):
        run_rows(rows, [0], ego="C")
    with pytest.raises(ScenarioError, match=r"line \d+.*past the ends.*No row of .* can run"):
        run_rows(rows, [3])


def test_the_command_writes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow.parquet

    path, out = write(tmp_path), tmp_path / "out"
    assert main(["scenario", "run", str(path), "--out", str(out)]) == 1
    table = pyarrow.parquet.read_table(out / "cases.parquet").to_pydict()
    assert table["param.s"] == [50.0, 1150.0, 2250.0, 3350.0]
    assert table["outcome"] == ["collision", "stopped", "stopped", "invalid"]
    printed = capsys.readouterr()
    assert "4  of 4 rows" in printed.out
    assert "cases/s" in printed.err
    command = ["scenario", "run", str(tmp_path / "story.xosc"), "--distribution", str(path)]
    assert main([*command, "--only", "1", "--out", str(out)]) == 0
    assert pyarrow.parquet.read_table(out / "cases.parquet").num_rows == 1
    for bad in ([], ["--only", "9"], ["--worlds", "0"], ["--limit", "3"]):
        assert main([*command, *(["--out", str(out)] if bad else []), *bad]) == 2


@pytest.mark.skipif(not DATA.is_dir(), reason="PROVEOUT_DATA names no scenarios")
def test_cut_ins_of_alks_come_to_their_end() -> None:
    file = "alks_scenario_4_4_1_cut_in_no_collision_variation.xosc"
    rows = load_rows(DATA / "alks" / "logical_scenarios" / file)
    # A car that is 10 km/h slower cuts in 60 m ahead, whatever its lateral speed and acceleration.
    numbers = list(range(1020, 1050))
    cases = run_rows(rows, numbers)
    assert Counter(case.outcome for case in cases) == {"stopped": 30}
    # The lane change begins at about 10 s, takes pi / 2 * 3.5 m / v, and 10 s after that it ends.
    slow, fast = cases[0].time, cases[-1].time
    assert slow - fast == pytest.approx(math.pi / 2 * 3.5 * (1 / 0.5 - 1 / 3.0), abs=1.5)
