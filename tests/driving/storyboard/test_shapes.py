"""Agents that a script moves: ramps of speed and lateral shapes, by hand, to 1 cm and one step."""

import math
from pathlib import Path

import numpy as np
import pytest
from story_files import (
    act,
    at_time,
    batch_of,
    event,
    lane_change,
    lane_offset,
    longitudinal,
    on_lane,
    speed_action,
    starts,
    steps,
    trigger,
    write_road,
    write_rows,
    write_story,
)

from proveout.envs.driving.storyboard.batch import Batch

DT = 0.02
RADIUS = 500.0
COMPLETE = 3


def one(folder: Path, action: str, speed: str = "10", **more: object) -> Batch:
    """Car A begins an action at 1 s, on lane -2 from s = 50 m."""
    write_road(folder, more.pop("radius", None))  # type: ignore[arg-type]
    acts = act("A", event("e", trigger(at_time("1")), action))
    position = str(more.pop("position", on_lane("50")))
    path = write_story(folder, "A", starts("A", position, speed), acts)
    return batch_of(path)


def place(batch: Batch) -> tuple[float, float, float, float]:
    agents = batch.engine.agents
    return tuple(  # type: ignore[return-value]
        float(getattr(agents, name).numpy()[0, 0]) for name in ("x", "y", "heading", "velocity")
    )


def finished(batch: Batch) -> bool:
    program = batch.program
    return int(batch.story.state.numpy()[0, program.names.index("e0")]) == COMPLETE


@pytest.mark.parametrize(
    ("shape", "dimension", "value", "takes"),
    [
        ("linear", "time", "4", 4.0), ("cubic", "time", "4", 4.0), ("sinusoidal", "time", "4", 4.0),
        ("linear", "rate", "2.5", 4.0), ("linear", "rate", "-2.5", 4.0),
        # Steepest in the middle: 3/2 and pi/2 times the mean.
        ("cubic", "rate", "3.75", 4.0), ("sinusoidal", "rate", "3.926990817", 4.0),
        # At 15 m/s in the mean.
        ("linear", "distance", "60", 4.0), ("sinusoidal", "distance", "60", 4.0),
    ],
)  # fmt: skip
def test_a_ramp_from_10_to_20(
    tmp_path: Path, shape: str, dimension: str, value: str, takes: float
) -> None:
    batch = one(tmp_path, longitudinal(speed_action("20", shape, dimension, value)))
    batch.step(steps(1.0))
    assert place(batch)[0] == pytest.approx(60.0, abs=0.01)
    batch.step(steps(takes / 4))
    quarter = {"linear": 0.25, "cubic": 0.15625, "sinusoidal": 0.5 - math.sqrt(0.125)}[shape]
    assert place(batch)[3] == pytest.approx(10.0 + 10.0 * quarter, abs=1e-4)
    batch.step(steps(takes / 4))
    assert place(batch)[3] == pytest.approx(15.0, abs=1e-4)
    # Half of the way at 10 m/s, plus the integral of the shape over half its span.
    integral = {"linear": 0.125, "cubic": 0.09375, "sinusoidal": 0.25 - 0.5 / math.pi}[shape]
    expected = 60.0 + 10.0 * takes / 2 + 10.0 * takes * integral
    assert place(batch)[0] == pytest.approx(expected, abs=0.01)
    batch.step(steps(takes / 2))
    assert not finished(batch)
    assert place(batch)[3] == 20.0
    assert place(batch)[0] == pytest.approx(60.0 + 15.0 * takes, abs=0.01)
    batch.step()
    assert finished(batch)
    batch.step(steps(2.0) - 1)
    assert place(batch)[0] == pytest.approx(60.0 + 15.0 * takes + 40.0, abs=0.01)


def test_a_ramp_that_ends_within_a_step(tmp_path: Path) -> None:
    batch = one(tmp_path, longitudinal(speed_action("0", "linear", "rate", "3.7")))
    batch.step(steps(10.0))
    # v^2 / 2a, whatever the step.
    assert place(batch)[0] == pytest.approx(60.0 + 100.0 / 7.4, abs=1e-3)
    assert place(batch)[3] == 0.0


def test_a_step_is_at_once_and_a_rate_of_zero_never(tmp_path: Path) -> None:
    batch = one(tmp_path, longitudinal(speed_action("20", "step", "time", "0")))
    batch.step(steps(2.0))
    assert place(batch)[0] == pytest.approx(80.0, abs=0.01)
    never = one(tmp_path, longitudinal(speed_action("20", "linear", "rate", "0")))
    never.step(steps(5.0))
    assert place(never)[0] == pytest.approx(100.0, abs=0.01)
    assert not finished(never)


@pytest.mark.parametrize(("kind", "value", "expected"), [("delta", "-3", 9.0), ("factor", "2", 24)])
def test_a_speed_relative_to_another(
    tmp_path: Path, kind: str, value: str, expected: float
) -> None:
    write_road(tmp_path)
    target = (
        f'<RelativeTargetSpeed entityRef="B" value="{value}" speedTargetValueType="{kind}" '
        'continuous="false"/>'
    )
    action = longitudinal(speed_action(target, "linear", "time", "1"))
    init = starts("A", on_lane("50"), "10") + starts("B", on_lane("300", "-1"), "12")
    acts = act("A", event("e", trigger(at_time("1")), action))
    batch = batch_of(write_story(tmp_path, "AB", init, acts))
    batch.step(steps(2.0))
    assert place(batch)[3] == pytest.approx(expected, abs=1e-4)


TO_LEFT = '<AbsoluteTargetLane value="-1"/>'


@pytest.mark.parametrize(
    ("shape", "dimension", "value", "takes"),
    [
        ("linear", "time", "4", 4.0), ("cubic", "time", "4", 4.0), ("sinusoidal", "time", "4", 4.0),
        ("linear", "rate", "0.875", 4.0), ("cubic", "rate", "1.3125", 4.0),
        ("sinusoidal", "rate", f"{3.5 * math.pi / 8}", 4.0),
        ("sinusoidal", "distance", "40", 4.0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("radius", [None, RADIUS])
def test_a_lane_change(
    tmp_path: Path, shape: str, dimension: str, value: str, takes: float, radius: float | None
) -> None:
    """From the middle of lane -2, y = -5.25 m, to that of lane -1, y = -1.75 m."""
    batch = one(tmp_path, lane_change(TO_LEFT, shape, dimension, value), radius=radius)
    now, begin = 0.0, steps(1.0)
    batch.step(begin)
    for share in (0.25, 0.5, 0.75):
        batch.step(steps(1.0 + share * takes) - steps(1.0 + now))
        now = share * takes
        x, y, _heading, _speed = place(batch)
        moved = {
            "linear": share, "cubic": share**2 * (3 - 2 * share),
            "sinusoidal": 0.5 - 0.5 * math.cos(math.pi * share),
        }[shape]  # fmt: skip
        across = y if radius is None else radius - math.hypot(x, y - radius)
        assert across == pytest.approx(-5.25 + 3.5 * moved, abs=0.01)
    batch.step(steps(1.0 + takes) - steps(1.0 + now))
    x, y, heading, _speed = place(batch)
    across = y if radius is None else radius - math.hypot(x, y - radius)
    assert across == pytest.approx(-1.75, abs=0.01)
    assert not finished(batch)
    batch.step(2)
    assert finished(batch)
    _x, _y, heading, _speed = place(batch)
    along = 0.0 if radius is None else math.atan2(_x, radius - _y)
    assert heading == pytest.approx(along, abs=1e-3)
    agents = batch.engine.agents
    assert abs(float(agents.d.numpy()[0, 0])) < 0.01


def test_a_lane_change_goes_where_it_heads_and_at_its_speed(tmp_path: Path) -> None:
    batch = one(tmp_path, lane_change(TO_LEFT, "linear", "rate", "2"))
    batch.step(steps(1.5))
    before = np.array(place(batch)[:2])
    batch.step()
    _x, _y, heading, speed = place(batch)
    way = np.array(place(batch)[:2]) - before
    assert math.hypot(*way) == pytest.approx(10.0 * DT, abs=1e-4)
    assert (heading, speed) == (pytest.approx(math.asin(0.2), abs=1e-5), 10.0)


@pytest.mark.parametrize(
    ("target", "lane", "expected"),
    [
        ('<RelativeTargetLane entityRef="A" value="1"/>', "-2", -1.75),
        ('<RelativeTargetLane entityRef="A" value="-1"/>', "-2", -8.75),
        ('<AbsoluteTargetLane value="-1"/>', "-3", -1.75),
        ('<AbsoluteTargetLane value="-3"/>', "-1", -8.75),
    ],
)
def test_lanes_by_number(tmp_path: Path, target: str, lane: str, expected: float) -> None:
    position = on_lane("50", lane, "0.2")
    batch = one(tmp_path, lane_change(target, "cubic", "time", "2"), position=position)
    batch.step(steps(1.0))
    assert place(batch)[1] == pytest.approx(-3.5 * -int(lane) + 1.75 + 0.2, abs=0.01)
    batch.step(steps(3.0))
    assert place(batch)[1] == pytest.approx(expected, abs=0.01)
    assert finished(batch)


@pytest.mark.parametrize(
    ("shape", "takes"),
    # The strongest lateral acceleration of 1 m over T: pi^2 / 2 / T^2, and 6 / T^2.
    [("sinusoidal", math.pi), ("cubic", math.sqrt(12.0))],
)
def test_an_offset_within_a_lateral_acceleration(tmp_path: Path, shape: str, takes: float) -> None:
    batch = one(tmp_path, lane_offset("1", shape, "0.5"))
    batch.step(steps(1.0 + takes / 2))
    share = (steps(1.0 + takes / 2) - steps(1.0)) * DT / takes
    moved = {
        "cubic": share**2 * (3 - 2 * share), "sinusoidal": 0.5 - 0.5 * math.cos(math.pi * share)
    }[shape]  # fmt: skip
    assert place(batch)[1] == pytest.approx(-5.25 + moved, abs=0.01)
    batch.step(steps(1.0 + takes) - steps(1.0 + takes / 2) - 1)
    assert not finished(batch)
    batch.step(2)
    assert finished(batch)
    assert place(batch)[1] == pytest.approx(-4.25, abs=1e-3)


def test_a_lane_that_is_not_there_ends_the_row(tmp_path: Path) -> None:
    batch = one(tmp_path, lane_change('<AbsoluteTargetLane value="-7"/>', "cubic", "time", "2"))
    batch.step(steps(2.0))
    assert batch.ended.tolist() == [3]


def test_against_the_reference_line(tmp_path: Path) -> None:
    batch = one(tmp_path, lane_offset("-0.5", "step", "1"), position=on_lane("900", "1"))
    batch.step(steps(2.0))
    x, y, heading, _speed = place(batch)
    assert x == pytest.approx(880.0, abs=0.01)
    # To the right of its way, which is to the left of the road.
    assert y == pytest.approx(2.25, abs=0.01)
    assert abs(heading) == pytest.approx(math.pi, abs=1e-5)


def test_a_row_has_its_own_numbers(tmp_path: Path) -> None:
    write_road(tmp_path)
    action = longitudinal(speed_action("$v", "linear", "time", "2"))
    parameter = '<ParameterDeclaration name="v" parameterType="double" value="1"/>'
    acts = act("A", event("e", trigger(at_time("1")), action))
    write_story(
        tmp_path, "A", starts("A", on_lane("50"), "${$v / 2}"), acts, parameters=parameter
    )  # fmt: skip
    batch = batch_of(write_rows(tmp_path, "v", 10, 10, 30))
    batch.step(steps(2.0))
    speeds = batch.engine.agents.velocity.numpy()[:, 0]
    np.testing.assert_allclose(speeds, [7.5, 15.0, 22.5], atol=1e-4)
