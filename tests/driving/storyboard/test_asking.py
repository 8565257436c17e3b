"""What conditions ask of entities on the device: the step in which each holds first, by hand."""

from pathlib import Path

import pytest
from story_files import (
    act,
    at_time,
    batch_of,
    by_entity,
    event,
    longitudinal,
    on_lane,
    speed_action,
    starts,
    steps,
    trigger,
    write_road,
    write_story,
)

DT = 0.02


def ends_after(folder: Path, condition: str, more: str = "", b: str = "") -> float:
    """Seconds after which a condition ends the storyboard.

    A at s = 50 m of lane -2 with 20 m/s; B at s = 150 m there with 10 m/s. Cars are 4 m by 2 m, the
    centre 1.5 m ahead of the reference point.
    """
    write_road(folder)
    init = starts("A", on_lane("50"), "20") + (b or starts("B", on_lane("150"), "10"))
    stop = trigger(condition, tag="StopTrigger")
    batch = batch_of(write_story(folder, "AB", init, more, stop=stop))
    assert batch.unsupported == []
    for _ in range(steps(30.0)):
        batch.step()
        if batch.ended[0] == 1:
            return float(batch.story.ended_step.numpy()[0]) * DT
        if batch.ended[0] != 0:
            break
    return -1.0


def distance(kind: str, value: str, freespace: str, axes: str = "entity") -> str:
    return (
        f'<RelativeDistanceCondition entityRef="B" relativeDistanceType="{kind}" value="{value}" '
        f'freespace="{freespace}" rule="lessThan" coordinateSystem="{axes}"/>'
    )


BRAKES = act(
    "A", event("e", trigger(at_time("1")), longitudinal(speed_action("0", "linear", "rate", "10")))
)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        # 100 m apart, closing at 10 m/s; the first step in which it is less.
        (distance("longitudinal", "50.1", "false"), 5.0),
        (distance("longitudinal", "50.1", "false", "road"), 5.0),
        (distance("longitudinal", "50.1", "true"), 4.6),
        (distance("longitudinal", "50.1", "true", "lane"), 4.6),
        (distance("cartesianDistance", "50.1", "true"), 4.6),
        (distance("euclidianDistance", "50.1", "false"), 5.0),
        # 96 m / 20 m/s at first, 0.5 s less every second.
        ('<TimeHeadwayCondition entityRef="B" value="2.805" freespace="true" rule="lessThan" '
         'relativeDistanceType="longitudinal"/>', 4.0),
        # 96 m / 10 m/s at first.
        ('<TimeToCollisionCondition value="5.61" freespace="true" rule="lessThan" '
         'relativeDistanceType="longitudinal"><TimeToCollisionConditionTarget><EntityRef '
         'entityRef="B"/></TimeToCollisionConditionTarget></TimeToCollisionCondition>', 4.0),
        ('<TimeToCollisionCondition value="5.61" freespace="true" rule="lessThan" '
         'relativeDistanceType="longitudinal" coordinateSystem="road">'
         '<TimeToCollisionConditionTarget><EntityRef entityRef="B"/>'
         "</TimeToCollisionConditionTarget></TimeToCollisionCondition>", 4.0),
        ('<TraveledDistanceCondition value="60"/>', 3.0),
        (f'<ReachPositionCondition tolerance="1.1"><Position>{on_lane("131")}</Position>'
         "</ReachPositionCondition>", 4.0),
        ('<DistanceCondition value="16.6" freespace="true" rule="lessThan" coordinateSystem='
         f'"entity" relativeDistanceType="longitudinal"><Position>{on_lane("150", "-1")}'
         "</Position></DistanceCondition>", 4.0),
        ('<DistanceCondition value="20.1" freespace="false" rule="lessThan"><Position>'
         '<WorldPosition x="150" y="-5.25"/></Position></DistanceCondition>', 4.0),
    ],
)  # fmt: skip
def test_where_entities_are(tmp_path: Path, condition: str, expected: float) -> None:
    found = ends_after(tmp_path, by_entity(condition, "A"))
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('<SpeedCondition value="10" rule="lessOrEqual"/>', 2.0),
        ('<SpeedCondition value="9.9" rule="lessThan" direction="longitudinal"/>', 2.02),
        # 20 - 10 = 10 more than B at first, none at 2 s, 5 less at 2.5 s.
        ('<RelativeSpeedCondition entityRef="B" value="-5" rule="lessOrEqual"/>', 2.5),
        ('<AccelerationCondition value="-9.9" rule="lessThan"/>', 1.02),
        # It stands from 3 s on; its first whole step of standing ends 0.02 s after.
        ('<StandStillCondition duration="1"/>', 3.98),
    ],
)
def test_how_fast_they_are(tmp_path: Path, condition: str, expected: float) -> None:
    found = ends_after(tmp_path, by_entity(condition, "A"), BRAKES)
    assert found == pytest.approx(expected, abs=0.021)


def test_lateral_distance_and_overlap(tmp_path: Path) -> None:
    beside = starts("B", on_lane("150", "-1"), "10")
    near = by_entity(distance("lateral", "1.6", "true"), "A")
    assert ends_after(tmp_path, near, b=beside) == 0.0
    assert ends_after(tmp_path, by_entity(distance("lateral", "1.4", "true"), "A"), b=beside) < 0
    # Boxes side by side are 1.5 m apart from the time on when they overlap along the road: 96 m.
    both = by_entity(distance("euclidianDistance", "1.51", "true"), "A")
    assert ends_after(tmp_path, both, b=beside) == pytest.approx(9.6, abs=0.021)


def test_a_collision_is_one_with_whom_it_says(tmp_path: Path) -> None:
    hit = '<CollisionCondition><EntityRef entityRef="B"/></CollisionCondition>'
    # A is the ego: that ends the row by itself, 96 m at 10 m/s after the start.
    assert ends_after(tmp_path, by_entity(hit, "A")) < 0
    write_road(tmp_path)
    init = starts("A", on_lane("50"), "20") + starts("B", on_lane("150"), "10")
    path = write_story(tmp_path, ["Ego", "A", "B"], starts("Ego", on_lane("2000"), "0") + init, "",
                       stop=trigger(by_entity(hit, "A"), tag="StopTrigger"))  # fmt: skip
    batch = batch_of(path)
    batch.step(steps(12.0))
    assert batch.ended.tolist() == [1]
    assert float(batch.story.ended_step.numpy()[0]) * DT == pytest.approx(9.6, abs=0.021)


def test_any_and_all_of_the_entities(tmp_path: Path) -> None:
    slow = '<SpeedCondition value="12" rule="lessThan"/>'
    assert ends_after(tmp_path, by_entity(slow, "A", "B"), BRAKES) == 0.0
    every = by_entity(slow, "A", "B", rule="all")
    assert ends_after(tmp_path, every, BRAKES) == pytest.approx(1.82, abs=0.021)
