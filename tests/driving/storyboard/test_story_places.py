"""Where entities start: every kind of position by hand, and what is off the road."""

import math
from pathlib import Path

import numpy as np
import pytest
from story_files import batch_of, on_lane, starts, write_road, write_rows, write_story

from proveout.envs.driving.storyboard.batch import Batch

LEFT = '<Orientation type="relative" h="0.5"/>'


def begun(folder: Path, position: str, radius: float | None = None, b: str = "") -> Batch:
    """B stands at a position; A at s = 100 m of lane -2, y = -5.25 m."""
    write_road(folder, radius)
    init = starts("B", position, "0") + starts("A", on_lane("100"), "0") + b
    return batch_of(write_story(folder, "AB", init, ""))


def pose(batch: Batch) -> tuple[float, ...]:
    agents = batch.engine.agents
    return tuple(float(getattr(agents, name).numpy()[0, 1]) for name in ("x", "y", "heading"))


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (on_lane("200", "-1", "0.5"), (200.0, -1.25, 0.0)),
        (on_lane("200", "1", "0.5"), (200.0, 2.25, math.pi)),
        ('<RoadPosition roadId="1" s="30" t="-2"/>', (30.0, -2.0, 0.0)),
        ('<RoadPosition roadId="1" s="30" t="2"/>', (30.0, 2.0, math.pi)),
        ('<RelativeLanePosition entityRef="A" dLane="1" ds="40" offset="0.3"/>',
         (140.0, -1.45, 0.0)),
        ('<RelativeLanePosition entityRef="A" dLane="-1" dsLane="-40"/>', (60.0, -8.75, 0.0)),
        ('<RelativeLanePosition entityRef="A" dLane="2" ds="0"/>', (100.0, 1.75, math.pi)),
        ('<RelativeRoadPosition entityRef="A" ds="7" dt="3"/>', (107.0, -2.25, 0.0)),
        ('<RelativeObjectPosition entityRef="A" dx="7" dy="3"/>', (107.0, -2.25, 0.0)),
        ('<RelativeWorldPosition entityRef="A" dx="-7" dy="-3"/>', (93.0, -8.25, 0.0)),
        ('<WorldPosition x="20" y="-1" h="0.3"/>', (20.0, -1.0, 0.3)),
        (f'<RelativeObjectPosition entityRef="A" dx="7" dy="3">{LEFT}</RelativeObjectPosition>',
         (107.0, -2.25, 0.5)),
        (f'<LanePosition roadId="1" laneId="1" s="9">{LEFT}</LanePosition>',
         (9.0, 1.75, math.pi + 0.5)),
    ],
)  # fmt: skip
def test_positions(tmp_path: Path, position: str, expected: tuple[float, ...]) -> None:
    batch = begun(tmp_path, position)
    assert batch.unsupported == []
    assert batch.faults == [""]
    x, y, heading = pose(batch)
    assert (x, y) == (pytest.approx(expected[0], abs=0.01), pytest.approx(expected[1], abs=0.01))
    assert math.remainder(heading - expected[2], 2.0 * math.pi) == pytest.approx(0.0, abs=1e-5)
    # It stands, so that a step leaves it where it is: path and pose agree.
    batch.step()
    assert pose(batch)[:2] == pytest.approx((x, y), abs=0.002)
    assert math.remainder(pose(batch)[2] - heading, 2 * math.pi) == pytest.approx(0.0, abs=1e-4)


def test_a_bend_turns_what_is_relative(tmp_path: Path) -> None:
    batch = begun(tmp_path, '<RelativeLanePosition entityRef="A" dLane="0" ds="100"/>', 400.0)
    x, y, heading = pose(batch)
    assert heading == pytest.approx(0.5, abs=1e-4)
    assert math.hypot(x, y - 400.0) == pytest.approx(405.25, abs=0.01)


@pytest.mark.parametrize(
    ("position", "said"),
    [
        (on_lane("4000"), "s = 4000 is past the ends of road '1': it is off the road"),
        (on_lane("40", "-9"), "has no lane -9"),
        ('<LanePosition roadId="7" laneId="-1" s="40"/>', "there is no road '7' on the map"),
        ('<WorldPosition x="50" y="30"/>', "it is off the road"),
        ('<RoadPosition roadId="1" s="40" t="99"/>', "it is off the road"),
        ('<RelativeLanePosition entityRef="A" dLane="0" ds="-101"/>', "is past the ends of road"),
    ],
)
def test_what_starts_off_the_road_is_named(tmp_path: Path, position: str, said: str) -> None:
    (fault,) = begun(tmp_path, position).faults
    assert said in fault
    assert "story.xosc, line " in fault


def test_a_lead_is_put_at_its_time_gap(tmp_path: Path) -> None:
    """2 s at 20 m/s between bumpers: 40 m and two halves of a car."""
    gap = (
        '<PrivateAction><LongitudinalAction><LongitudinalDistanceAction continuous="false" '
        'freespace="true" displacement="leadingReferencedEntity" timeGap="2" entityRef="A"/>'
        "</LongitudinalAction></PrivateAction>"
    )
    write_road(tmp_path)
    init = starts("A", on_lane("100"), "20") + starts("B", on_lane("110"), "20", gap)
    batch = batch_of(write_story(tmp_path, "AB", init, ""))
    assert pose(batch)[0] == pytest.approx(144.0, abs=0.01)


def test_a_row_is_faulty_by_itself(tmp_path: Path) -> None:
    write_road(tmp_path)
    parameter = '<ParameterDeclaration name="s" parameterType="double" value="1"/>'
    write_story(tmp_path, "A", starts("A", on_lane("$s"), "0"), "", parameters=parameter)
    batch = batch_of(write_rows(tmp_path, "s", 1000, 1000, 5000))
    assert [bool(fault) for fault in batch.faults] == [False, False, False, True, True]
    x = batch.engine.agents.x.numpy()[:3, 0]
    np.testing.assert_allclose(x, [1000, 2000, 3000], atol=0.01)


def test_a_lane_may_be_a_parameter_of_text(tmp_path: Path) -> None:
    write_road(tmp_path)
    parameter = '<ParameterDeclaration name="lane" parameterType="string" value="-3"/>'
    init = starts("A", on_lane("100", "$lane"), "0")
    batch = batch_of(write_story(tmp_path, "A", init, "", parameters=parameter))
    assert float(batch.engine.agents.y.numpy()[0, 0]) == pytest.approx(-8.75, abs=0.01)
