"""Elements as tables: what stands where, what differs by row; and scenarios of others."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from proveout.assets.files.errors import ScenarioError
from proveout.assets.scenario.dynamics import AbsoluteTargetSpeed, SpeedAction, TransitionDynamics
from proveout.assets.scenario.find import case_files
from proveout.assets.scenario.node import Place
from proveout.assets.scenario.positions import LanePosition, Polyline, Vertex
from proveout.assets.scenario.references import walk
from proveout.assets.scenario.rows import load_rows
from proveout.assets.scenario.schema import Element
from proveout.assets.scenario.scope import Declaration, Frame, Scope, Value
from proveout.assets.scenario.structures import Group, Structures
from proveout.envs.driving.storyboard.conditions import COMPLETE
from proveout.envs.driving.storyboard.program import Program, compile_storyboard
from proveout.envs.driving.storyboard.reference import Run
from proveout.envs.driving.storyboard.tables import NOTHING, Builder

PLACE = Place(Path("made.xosc"), 1, "made")
DATA = Path(os.environ.get("PROVEOUT_DATA") or "nowhere") / "openscenario"
FOLDERS = [
    DATA / "alks" / "logical_scenarios", DATA / "ncap-2023" / "OpenSCENARIO" / "NCAP",
    DATA / "esmini" / "xosc",
]  # fmt: skip
with_data = pytest.mark.skipif(not DATA.is_dir(), reason="PROVEOUT_DATA names no scenarios")


def scope() -> Scope:
    return Scope(declarations={"v": Declaration("v", "double", "1", None, PLACE)})


def fixed(number: float | str) -> Value:
    return Value(str(number), "any", None, PLACE, number)


def test_choices_numbers_and_children_have_their_columns() -> None:
    root = scope()
    frame = Frame(root, {"v": np.array([36.0, 72.0])}, 2)
    action = SpeedAction(
        place=PLACE,
        dynamics=TransitionDynamics(
            place=PLACE, dynamics_dimension="rate", dynamics_shape="sinusoidal", value=fixed(2.0)
        ),
        target=AbsoluteTargetSpeed(place=PLACE, value=Value("${$v / 3.6}", "double", root, PLACE)),
    )
    builder = Builder(frame, ["A"])
    assert builder.add(action) == (1, 0)
    tables = builder.build()
    assert tables.names == ("list", "SpeedAction", "TransitionDynamics", "AbsoluteTargetSpeed")
    top = tables.tables["SpeedAction"]
    assert [top.integer(0, f"{name}.table") for name in ("dynamics", "target")] == [2, 3]
    dynamics = tables.tables["TransitionDynamics"]
    # Second of distance, rate, time; third of cubic, linear, sinusoidal, step.
    assert dynamics.integer(0, "dynamics_dimension") == 1
    assert dynamics.integer(0, "dynamics_shape") == 2
    # What no row changes stands once, and every row reads it.
    assert dynamics.numbers.shape == (1, 1, 1)
    assert [dynamics.number(row, 0, "value") for row in range(2)] == [2.0, 2.0]
    target = tables.tables["AbsoluteTargetSpeed"]
    np.testing.assert_allclose(target.numbers[:, 0, 0], [10.0, 20.0])


def test_lists_stand_one_after_the_other_and_texts_have_numbers() -> None:
    def corner(s: float, lane: float | str, time: float | None) -> Vertex:
        position = LanePosition(
            place=PLACE, road_id=fixed("north"), lane_id=fixed(lane), s=fixed(s)
        )
        return Vertex(place=PLACE, position=position, time=None if time is None else fixed(time))

    line = Polyline(place=PLACE, vertices=(corner(1.0, -1.0, 0.0), corner(2.0, "left", None)))
    builder = Builder(Frame(Scope(), {}, 1), [])
    builder.add(line)
    tables = builder.build()
    top, lists = tables.tables["Polyline"], tables.tables["list"]
    first, count = top.integer(0, "vertices.first"), top.integer(0, "vertices.count")
    assert count == 2
    vertex = tables.names.index("Vertex")
    assert lists.integers[first : first + count].tolist() == [[vertex, 0], [vertex, 1]]
    lanes = tables.tables["LanePosition"]
    # A number where it is one, else the number of a text.
    assert lanes.number(0, 0, "lane_id") == -1.0
    assert lanes.integer(0, "lane_id.text") == NOTHING
    assert np.isnan(lanes.number(0, 1, "lane_id"))
    assert tables.texts[lanes.integer(1, "lane_id.text")] == "left"
    assert tables.texts[lanes.integer(0, "road_id.text")] == "north"
    assert lanes.integer(0, "orientation.table") == NOTHING
    assert np.isnan(tables.tables["Vertex"].number(0, 1, "time"))


def test_entities_are_numbers() -> None:
    from proveout.assets.scenario.dynamics import RelativeTargetLane

    builder = Builder(Frame(Scope(), {}, 1), ["A", "B"])
    builder.add(RelativeTargetLane(place=PLACE, entity_ref="B", value=fixed(1.0)))
    assert builder.build().tables["RelativeTargetLane"].integer(0, "entity_ref") == 1


def first_groups(folder: Path) -> Iterator[tuple[str, Group, Program]]:
    for file in case_files([folder]):
        try:
            rows = load_rows(file)
            for group in itertools.islice(Structures(rows).groups(size=500), 2):
                yield file.name, group, compile_storyboard(group.structure, group.frame)
        except ScenarioError:
            assert folder == FOLDERS[2], file


@with_data
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_number_of_a_storyboard_is_in_the_tables(folder: Path) -> None:
    met = 0
    for name, group, program in first_groups(folder):
        met += 1
        tables = program.tables
        told = sum(
            int((~np.isnan(table.numbers[0])).sum())
            for kind, table in tables.tables.items()
            if kind != "VariableDeclaration"
        )
        expected = sum(
            isinstance(value, Value) and not isinstance(value.over(group.frame), str)
            for part in walk(group.structure.storyboard)
            for field, value in vars(part).items()
            # These have arrays of their own.
            if field not in ("delay", "maximum_execution_count") or not is_frame(part)
        )
        assert told == expected, name
        assert tables.rows == len(group.rows)
    assert met > 0


def is_frame(part: Element) -> bool:
    return type(part).__name__ in ("Condition", "Event", "ManeuverGroup")


@with_data
def test_the_cut_in_differs_in_the_numbers_that_its_parameters_say() -> None:
    path = FOLDERS[0] / "alks_scenario_4_4_1_cut_in_no_collision_variation.xosc"
    rows = load_rows(path)
    (group, *_) = Structures(rows).split(rows.columns(0, 10500), np.arange(10500))
    program = compile_storyboard(group.structure, group.frame)
    columns = {n: c[group.rows] for n, c in rows.columns(0, 10500).items()}
    names = [program.tables.names[table] for table in program.init_table]
    assert names == ["TeleportAction", "SpeedAction"] * 2
    assert program.init_entity.tolist() == [0, 0, 1, 1]
    ego = program.tables.tables["SpeedAction"].integer(program.init_line[1], "target.line")
    speeds = program.tables.tables["AbsoluteTargetSpeed"].numbers
    np.testing.assert_allclose(speeds[:, ego, 0], columns["Ego_InitSpeed_Ve0_kph"] / 3.6)
    distance = program.tables.tables["RelativeDistanceCondition"].numbers
    np.testing.assert_allclose(
        distance[:, 0, 0], columns["CutInVehicle_HeadwayDistanceTrigger_dx0_m"]
    )


@with_data
def test_storyboards_of_the_catalogue_run_to_their_stop_trigger() -> None:
    """Every condition on entities holds from 5 s on, every action takes 1 s.

    Driving freely at 5 km/h takes 3,600 s.
    """
    for name, _, program in first_groups(FOLDERS[0]):
        now = 0.0
        run = Run(program, 0, lambda *_: now >= 5.0)  # noqa: B023
        left: dict[int, float] = {}
        while not run.finished and now < 4000.0:
            done = [element for element, end in left.items() if end <= now]
            outcome = run.step(now, done)
            left = {e: end for e, end in left.items() if e not in done}
            left |= {one.element: now + 1.0 for one in outcome.started}
            now += 1.0
        assert run.finished, name
        assert run.state[0] == COMPLETE
