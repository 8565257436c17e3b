"""Scenarios: catalogues in their place, parameters in their scope, structure and numbers apart."""

from pathlib import Path

import numpy as np
import pytest
from scenario_text import (
    car,
    catalog,
    distribution,
    group,
    parameter,
    scenario,
    sets,
    span,
    values,
    write,
)

from proveout.assets.files.errors import ScenarioError
from proveout.assets.scenario.dynamics import AbsoluteTargetSpeed, SpeedAction
from proveout.assets.scenario.entities import Vehicle
from proveout.assets.scenario.rows import load_rows
from proveout.assets.scenario.scenario import Structure, load_scenario
from proveout.assets.scenario.schema import Unsupported
from proveout.assets.scenario.structures import Structures

REFERENCE = '<CatalogReference catalogName="cars" entryName="{}">{}</CatalogReference>'


def ego(structure: Structure) -> Vehicle:
    vehicle = structure.entities.objects[0].object
    assert isinstance(vehicle, Vehicle)
    return vehicle


def target_speed(structure: Structure) -> AbsoluteTargetSpeed:
    action = structure.storyboard.stories[0].acts[0].groups[0].maneuvers[0].events[0].actions[0]
    assert isinstance(action.action, SpeedAction)
    assert isinstance(action.action.target, AbsoluteTargetSpeed)
    return action.action.target


def reference(name: str, **assigned: str) -> str:
    inner = "".join(
        f'<ParameterAssignment parameterRef="{n}" value="{v}"/>' for n, v in assigned.items()
    )
    inner = f"<ParameterAssignments>{inner}</ParameterAssignments>" if inner else ""
    return REFERENCE.format(name, inner)


def test_an_entry_stands_where_it_is_referred_to(tmp_path: Path) -> None:
    write(tmp_path, catalog(car("small", "1.5"), car("big", "2.5")), "cars/cars.xosc")
    path = write(tmp_path, scenario(ego=reference("big"), catalog="cars"))
    structure = load_scenario(path).structure()
    assert ego(structure).name == "big"
    assert ego(structure).bounding_box.dimensions.width.constant == 2.5
    assert structure.findings == ()


def test_an_entry_sees_its_own_parameters_and_what_is_assigned_to_them(tmp_path: Path) -> None:
    entry = car("wide", "${$width + $more}", parameter("width", "2") + parameter("more", "0.5"))
    write(tmp_path, catalog(entry), "cars/cars.xosc")
    # An assignment is read where it stands: its $width is the scenario's.
    path = write(
        tmp_path,
        scenario(
            parameter("width", "3"), ego=reference("wide", more="${$width / 10}"), catalog="cars"
        ),
    )
    loaded = load_scenario(path)
    width = ego(loaded.structure()).bounding_box.dimensions.width
    np.testing.assert_allclose(width.over(loaded.frame({}, 1)), [2.3])
    frame = loaded.frame({"width": np.array([1.0, 2.0])}, 2)
    np.testing.assert_allclose(width.over(frame), [2.1, 2.2])


def test_numbers_are_evaluated_over_all_rows_and_names_are_structure(tmp_path: Path) -> None:
    write(tmp_path, catalog(car("a", "1.5"), car("b", "2.5")), "cars/cars.xosc")
    declared = parameter("v", "10") + parameter("model", "a", "string")
    write(
        tmp_path, scenario(declared, ego=reference("$model"), catalog="cars", speed="${$v / 3.6}")
    )
    inner = span("v", "36", "72", "36") + values("model", "a", "b", "a")
    rows = load_rows(
        write(tmp_path, distribution(f"<Deterministic>{inner}</Deterministic>"), "rows.xosc")
    )
    structures = Structures(rows)
    groups = list(structures.groups())
    assert [one.rows.tolist() for one in groups] == [[0, 2, 3, 5], [1, 4]]
    assert [one.structure.depends for one in groups] == [{"model": "a"}, {"model": "b"}]
    assert [ego(one.structure).name for one in groups] == ["a", "b"]
    speeds = [target_speed(one.structure).value.over(one.frame).tolist() for one in groups]
    assert speeds == [[10.0, 10.0, 20.0, 20.0], [10.0, 20.0]]
    # In other blocks the same structures serve.
    again = list(structures.groups(size=2))
    assert len(structures.known) == 2
    assert sorted(r for one in again for r in one.rows.tolist()) == list(range(6))


def test_rows_outside_the_constraints_are_left_out(tmp_path: Path) -> None:
    # Of these rows the first could not be evaluated at all.
    declared = parameter("v", "1", groups=group(("greaterThan", "0")))
    write(tmp_path, scenario(declared, speed="${1 / $v}"))
    inner = f"<Deterministic>{span('v', '0', '2', '1')}</Deterministic>"
    rows = load_rows(write(tmp_path, distribution(inner), "rows.xosc"))
    (only,) = Structures(rows).groups()
    assert only.rows.tolist() == [1, 2]
    assert target_speed(only.structure).value.over(only.frame).tolist() == [1.0, 0.5]


def test_structure_depends_on_a_parameter_through_others(tmp_path: Path) -> None:
    write(tmp_path, catalog(car("a"), car("b")), "cars/cars.xosc")
    declared = parameter("choice", "a", "string") + parameter("model", "$choice", "string")
    write(tmp_path, scenario(declared, ego=reference("$model"), catalog="cars"))
    inner = f"<Deterministic>{values('choice', 'a', 'b')}</Deterministic>"
    rows = load_rows(write(tmp_path, distribution(inner), "rows.xosc"))
    assert [one.rows.tolist() for one in Structures(rows).groups()] == [[0], [1]]


def test_types_of_parameters_are_kept(tmp_path: Path) -> None:
    declared = (
        parameter("n", "${7 / 2 * 2}", "integer") + parameter("on", "true", "boolean")
        + parameter("text", "4", "string")
    )  # fmt: skip
    loaded = load_scenario(write(tmp_path, scenario(declared, speed="$text")))
    frame = loaded.frame({}, 2)
    place = loaded.root.place
    assert frame.parameter("n", loaded.scope, place) == 7.0
    assert frame.parameter("on", loaded.scope, place) == True  # noqa: E712
    # A reference stands for its text, which is a number here.
    assert target_speed(loaded.structure()).value.over(frame).tolist() == [4.0, 4.0]
    loaded = load_scenario(write(tmp_path, scenario(declared, speed="${$text - 1}")))
    assert target_speed(loaded.structure()).value.over(loaded.frame({}, 1)).tolist() == [3.0]


def test_inner_parameters_hide_outer_ones(tmp_path: Path) -> None:
    text = scenario(parameter("v", "1"), speed="$v").replace(
        '<Story name="story">',
        f'<Story name="story"><ParameterDeclarations>{parameter("v", "${5 * 2}")}'
        "</ParameterDeclarations>",
    )
    loaded = load_scenario(write(tmp_path, text))
    assert target_speed(loaded.structure()).value.over(loaded.frame({}, 1)).tolist() == [10.0]


BAD = [
    (scenario(speed="$w"), "parameter w is not declared; none is declared here"),
    (scenario(parameter("speed", "1"), speed="$sped"), "did you mean speed?"),
    (scenario(speed="NaN"), "'NaN' is not a number"),
    (scenario(speed="fast"), "'fast' is not a number"),
    (scenario(parameter("z", "0"), speed="${1 / $z}"), "${1 / $z}: division by zero"),
    (scenario(parameter("a", "$b") + parameter("b", "$a"), speed="$a"), "circle (a -> b -> a)"),
    (scenario(parameter("n", "1.5", "integer"), speed="$n"), "1.5 is not a whole number"),
    (scenario(parameter("n", "-1", "unsignedInt"), speed="$n"), "-1 is not between 0 and"),
    (scenario(parameter("n", "maybe", "boolean"), speed="$n"), "'maybe' is not true or false"),
    (scenario(parameter("n", "noon", "dateTime"), speed="$n"), "'noon' is not a time"),
    (scenario(parameter("n", "1", "float")), "parameterType is 'float'; it is one of"),
    (scenario(parameter("n", "1", groups=group(("above", "1")))), "rule is 'above'"),
    (scenario(speed="${1 +}"), "missing at the end"),
    (scenario(speed="a$b"), "'a$b' is not a number"),
    (scenario(ego=reference("x"), catalog="cars"), "catalogue cars is missing, and so is its fold"),
    (scenario(ego=reference("x")), "unknown catalogue 'cars'; none is known"),
    (scenario(road='<LogicFile filepath="gone.xodr"/>'), "gone.xodr is missing"),
    (scenario().replace("overwrite", "first"), "priority cannot be 'first'; it is one of"),
    (scenario().replace('selectTriggeringEntities="false"', ""), "TriggeringEntities; add it"),
    (scenario().replace('entityRef="Ego"', 'entityRef="Egon"'), "unknown entity 'Egon'; did you"),
    (
        scenario(action='<GlobalAction><VariableAction variableRef="v"><SetAction value="1"/>'
                        "</VariableAction></GlobalAction>"),
        "unknown variable 'v'; known are none",
    ),
    (scenario().replace("<Actors", "<Others").replace("/Actors", "/Others"), "it needs <Actors>"),
    (
        scenario(action='<PrivateAction><LongitudinalAction><LongitudinalDistanceAction '
                        'entityRef="Ego" freespace="true" continuous="true"/></LongitudinalAction>'
                        "</PrivateAction>"),
        "it needs one of distance, timeGap",
    ),
    (scenario().replace('revMajor="1"', 'revMajor="2"'), "version 2.2 is not read"),
    (scenario().replace('revMajor="1"', 'revMajor="x"'), "version x.2 is no number"),
    (catalog(car()), "it is a catalogue, not a scenario"),
    (distribution(""), "it is a distribution, not a scenario"),
    ("<Other/>", "begins with <OpenSCENARIO>"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), BAD)
def test_bad_files_are_named_with_their_line(tmp_path: Path, text: str, told: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path).structure()
    assert told in str(caught.value)
    assert "scenario.xosc, line " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not well-formed"), ("<OpenSCENARIO>", "not well-formed"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><OpenSCENARIO>&b;</OpenSCENARIO>', "declares entities"),
        ("<OpenSCENARIO>" + "<a>" * 150 + "</a>" * 150 + "</OpenSCENARIO>", "deep"),
    ],
)  # fmt: skip
def test_xml_that_is_none_or_a_trap(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        load_scenario(write(tmp_path, text))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"gone.xosc cannot be read"):
        load_scenario(tmp_path / "gone.xosc")


def test_an_unknown_entry_and_an_unknown_parameter_of_one(tmp_path: Path) -> None:
    write(tmp_path, catalog(car("small", parameters=parameter("width", "2"))), "cars/cars.xosc")
    path = write(tmp_path, scenario(ego=reference("smal"), catalog="cars"))
    with pytest.raises(ScenarioError, match="unknown entry of catalogue cars 'smal'; did you mean"):
        load_scenario(path).structure()
    path = write(tmp_path, scenario(ego=reference("small", height="2"), catalog="cars"))
    with pytest.raises(ScenarioError, match="unknown parameter of entry small 'height'"):
        load_scenario(path).structure()


def trailer(name: str, *hung: str) -> str:
    inner = "".join(
        f'<Trailer><Trailer name="t">{REFERENCE.format(one, "")}</Trailer></Trailer>'
        for one in hung
    )
    return car(name).replace("<Properties/>", inner)


def test_entries_that_refer_to_each_other_in_a_circle_are_refused(tmp_path: Path) -> None:
    write(tmp_path, catalog(trailer("a", "b"), trailer("b", "a")), "cars/cars.xosc")
    path = write(tmp_path, scenario(ego=reference("a"), catalog="cars"))
    with pytest.raises(ScenarioError, match=r"cars.xosc, line \d+.*circle \(a -> b -> a\)"):
        load_scenario(path).structure()


def test_entries_that_multiply_are_refused(tmp_path: Path) -> None:
    """A bomb of catalogue entries: ten of the next in each."""
    entries = [trailer(f"e{i}", *[f"e{i + 1}"] * 10) for i in range(9)]
    write(tmp_path, catalog(*entries, car("e9")), "cars/cars.xosc")
    path = write(tmp_path, scenario(ego=reference("e0"), catalog="cars"))
    with pytest.raises(ScenarioError, match="more than 200000 elements"):
        load_scenario(path).structure()


def test_a_long_chain_of_entries_or_parameters_is_refused(tmp_path: Path) -> None:
    entries = [trailer(f"e{i}", f"e{i + 1}") for i in range(30)]
    write(tmp_path, catalog(*entries, car("e30")), "cars/cars.xosc")
    path = write(tmp_path, scenario(ego=reference("e0"), catalog="cars"))
    with pytest.raises(ScenarioError, match="more than 16 catalogue entries stand inside"):
        load_scenario(path).structure()
    chain = "".join(parameter(f"p{i}", f"$p{i + 1}") for i in range(5000))
    path = write(tmp_path, scenario(chain + parameter("p5000", "1"), speed="$p0"))
    with pytest.raises(ScenarioError, match="more than 64 parameters refer to each other"):
        load_scenario(path).structure()


def test_what_is_not_supported_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    swarm = "<GlobalAction><TrafficAction><TrafficSwarmAction/></TrafficAction></GlobalAction>"
    text = scenario(action=swarm).replace('<Act name="act">', '<Act name="act" colour="red">')
    structure = load_scenario(write(tmp_path, text)).structure()
    event = structure.storyboard.stories[0].acts[0].groups[0].maneuvers[0].events[0]
    assert isinstance(event.actions[0].action, Unsupported)
    assert event.start_trigger is not None
    told = [(f.place.element, f.reason) for f in structure.findings]
    assert ("TrafficAction", "it is not supported") in told
    assert ("Act", "its attribute colour is not supported") in told
    assert all(
        f.place.line > 0 and f.place.file.name == "scenario.xosc" for f in structure.findings
    )


def test_a_condition_that_waits_for_nothing_is_told(tmp_path: Path) -> None:
    text = scenario().replace(
        '<SimulationTimeCondition value="1" rule="greaterThan"/>',
        '<StoryboardElementStateCondition storyboardElementType="action" '
        'storyboardElementRef="other" state="completeState"/>',
    )
    structure = load_scenario(write(tmp_path, text)).structure()
    assert [f.reason for f in structure.findings] == [
        "there is no action 'other', so that the condition never holds"
    ]


def test_a_text_with_a_dollar_is_kept_and_told(tmp_path: Path) -> None:
    properties = '<Properties><Property name="price" value="5 $ each"/></Properties>'
    text = scenario(ego=car().replace("<Properties/>", properties))
    structure = load_scenario(write(tmp_path, text)).structure()
    held = ego(structure).properties
    assert held is not None
    assert held.properties[0].value.constant == "5 $ each"
    # What does not begin with a dollar is no parameter; what does is meant as one.
    assert structure.findings == ()
    text = text.replace("5 $ each", "$5 each")
    structure = load_scenario(write(tmp_path, text)).structure()
    assert [f.place.element for f in structure.findings] == ["Property"]


def test_a_parameter_that_is_declared_twice_has_its_first_value(tmp_path: Path) -> None:
    text = scenario(parameter("v", "3") + parameter("v", "4"), speed="$v")
    loaded = load_scenario(write(tmp_path, text))
    structure = loaded.structure()
    assert target_speed(structure).value.over(loaded.frame({}, 1)).tolist() == [3.0]
    assert [f.reason for f in structure.findings] == [
        "parameter v is declared twice; the first counts"
    ]


def test_a_set_varies_the_road(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path, "<OpenDRIVE/>", f"{name}.xodr")
    road = '<LogicFile filepath="$road"/>'
    write(tmp_path, scenario(parameter("road", "a.xodr", "string"), road=road))
    inner = sets({"road": "a.xodr"}, {"road": "b.xodr"}, {"road": "gone.xodr"})
    rows = load_rows(
        write(tmp_path, distribution(f"<Deterministic>{inner}</Deterministic>"), "rows.xosc")
    )
    files = [rows.scenario.structure(rows.row(i)).road_file for i in range(2)]
    assert [file.name for file in files if file] == ["a.xodr", "b.xodr"]
    with pytest.raises(ScenarioError, match=r"line \d+, <LogicFile>: road file .*gone.xodr"):
        rows.scenario.structure(rows.row(2))


@pytest.mark.parametrize("minor", [0, 1, 2, 3])
def test_the_version_is_read(tmp_path: Path, minor: int) -> None:
    assert load_scenario(write(tmp_path, scenario(minor=minor))).structure().version == (1, minor)
