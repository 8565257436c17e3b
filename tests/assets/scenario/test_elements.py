"""Every class of the standard: what it says of itself is what the schema says, and it is read.

Where PROVEOUT_DATA names a folder with the standard's schemas, each example is validated by them.
"""

import ast
import copy
import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree
from scenario_text import scenario, write

from proveout.assets.scenario.coverage import coverage, element_classes, markdown
from proveout.assets.scenario.node import Node, Place
from proveout.assets.scenario.scenario import load_scenario
from proveout.assets.scenario.schema import (
    TRANSPARENT,
    Element,
    FieldShape,
    Reader,
    claimed_tags,
    shape_of,
)
from proveout.assets.scenario.scope import Frame, Scope, Value
from proveout.assets.scenario.standard import SINCE

CLASSES = element_classes()
SCHEMAS = Path(os.environ.get("PROVEOUT_DATA") or "nowhere") / "openscenario" / "schema"
VERSIONS = ("1.3", "1.1.1", "1.0")
XSD = "{http://www.w3.org/2001/XMLSchema}"
with_schemas = pytest.mark.skipif(not SCHEMAS.is_dir(), reason="PROVEOUT_DATA names no schemas")

# What an attribute may hold, by its kind; of texts the schema enumerates some.
TEXTS = {"text": "a", "bool": "true", "double": "1.5", "int": "-2", "unsignedInt": "3", "any": "1"}
ENUMERATED = {"dateTime": "2026-01-31T12:00:00", "colorType": "red", "variableType": "double"}
# The standard asks for two at least.
TWICE = {"ControlPoint", "Knot", "Position", "Vertex", "Waypoint"}
PRIVATE = {
    "AcquirePositionAction": "RoutingAction", "AssignRouteAction": "RoutingAction",
    "FollowTrajectoryAction": "RoutingAction", "LaneChangeAction": "LateralAction",
    "LaneOffsetAction": "LateralAction", "LateralDistanceAction": "LateralAction",
    "LightStateAction": "AppearanceAction", "LongitudinalDistanceAction": "LongitudinalAction",
    "SpeedAction": "LongitudinalAction", "SpeedProfileAction": "LongitudinalAction",
    "ActivateControllerAction": "", "ControllerAction": "", "SynchronizeAction": "",
    "TeleportAction": "", "VisibilityAction": "",
}  # fmt: skip


def wrapped(parent: str, tag: str, inner: str) -> str:
    """An element inside those that only wrap it."""
    path: list[str] = []
    if parent in ("Action", "Private") and tag in PRIVATE:
        path = ["PrivateAction", PRIVATE[tag]]
    elif tag.startswith("TrafficSignal") and tag.endswith("Action"):
        path = ["GlobalAction", "InfrastructureAction", "TrafficSignalAction"]
    elif parent in ("Action", "InitActions") and tag != "Private":
        path = ["GlobalAction"]
    elif parent == "ByEntityCondition" and tag != "TriggeringEntities":
        path = ["EntityCondition"]
    elif parent == "Condition" and tag != "ByEntityCondition":
        path = ["ByValueCondition"]
    elif parent in ("RoutePosition", "TrajectoryPosition") and tag in ("Route", "Trajectory"):
        path = [f"{tag}Ref"]
    for name in reversed([name for name in path if name]):
        inner = f"<{name}>{inner}</{name}>"
    return inner


def attribute(shape: FieldShape) -> str:
    if shape.kind == "choice":
        return str(shape.choices[0])
    return ENUMERATED.get(str(shape.attribute), TEXTS.get(shape.kind, ""))


def example(cls: type, tag: str, extra: str = "", option: str = "", top: bool = True) -> str:
    """An element with what it needs and one field or one option of a choice besides."""
    attributes, children = "", ""
    alternatives: tuple[str, ...] = getattr(cls, "ONE_OF", ())
    for shape in shape_of(cls):
        chosen = shape.name == extra
        one_of = alternatives[:1] == (shape.name,) and extra not in alternatives
        needed = shape.required or one_of or (shape.many and (top or shape.name in NEEDED))
        if not (needed or chosen):
            continue
        if shape.attribute is not None:
            attributes += f' {shape.attribute}="{attribute(shape)}"'
            continue
        name = option if chosen and option else next(iter(shape.classes))
        count = 2 if shape.many and {name, shape.inside} & TWICE else 1
        for _ in range(count):
            inner = example(shape.classes[name], name, top=False)
            if shape.inside:
                inner = f"<{shape.inside}>{inner}</{shape.inside}>"
            children += wrapped(cls.__name__, name, inner)
    return f"<{tag}{attributes}>{children}</{tag}>"


# Lists that hold something wherever they stand.
NEEDED = {
    "actions", "acts", "conditions", "control_points", "entities", "entries", "events", "groups",
    "knots", "members", "positions", "segments", "sensors", "vertices", "waypoints",
}  # fmt: skip


def variants(cls: type) -> Iterator[tuple[str, str]]:
    """A class by itself, then with each optional field and each option of a choice."""
    yield "", ""
    for shape in shape_of(cls):
        options = list(shape.classes)
        if not shape.required or len(options) > 1:
            yield from ((shape.name, option) for option in options or [""])


def node_of(element: etree._Element) -> Node:
    place = Place(Path("example.xosc"), 1, str(element.tag))
    children = tuple(node_of(child) for child in element)
    return Node(place.element, dict(element.attrib), children, "", place, Scope())


def agrees(item: Element, element: etree._Element) -> None:
    """Compare what was read with the XML it was read from."""
    inside = list(element.iterdescendants())
    for shape in shape_of(type(item)):
        value = getattr(item, shape.name)
        if shape.attribute is not None:
            text = element.get(shape.attribute)
            if text is None:
                continue
            told = value.text if isinstance(value, Value) else value
            assert told == (text == "true" if shape.kind == "bool" else text)
        elif value is not None:
            for part in value if shape.many else (value,):
                assert any(
                    part.place.element == child.tag and part.place.element in shape.classes
                    for child in inside
                )


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_class_is_read(name: str) -> None:
    cls = CLASSES[name]
    for extra, option in variants(cls):
        element = etree.fromstring(example(cls, name, extra, option))
        reader = Reader(Frame(Scope(), {}, 1), frozenset())
        item = reader.read(cls, node_of(element))
        assert reader.findings == []
        agrees(item, element)
        if extra:
            read = getattr(item, extra)
            assert read is not None
            assert read != ()


@functools.cache
def schema(version: str) -> tuple[etree.XMLSchema, frozenset[str]]:
    """The standard's schema with each of its types as an element of its own."""
    root = copy.deepcopy(etree.parse(SCHEMAS / f"OpenSCENARIOv{version}.xsd").getroot())
    types = [str(one.get("name")) for one in root.findall(f"{XSD}complexType")]
    for name in types:
        etree.SubElement(root, f"{XSD}element", name=f"example_{name}", type=name)
    return etree.XMLSchema(root), frozenset(types)


@with_schemas
@pytest.mark.parametrize("name", sorted(CLASSES))
def test_an_example_is_valid_by_the_schema(name: str) -> None:
    for extra, option in variants(CLASSES[name]):
        element = etree.fromstring(example(CLASSES[name], f"example_{name}", extra, option))
        faults = []
        for version in VERSIONS:
            told, types = schema(version)
            if name in types:
                if told.validate(element):
                    break
                faults.append(f"{version}: {told.error_log[0].message}")
        else:
            pytest.fail(f"{etree.tostring(element).decode()}\n" + "\n".join(faults))


def schema_of(root: etree._Element, part: etree._Element) -> Iterator[tuple[str, str]]:
    """Attributes and elements of a type, groups included."""
    for child in part:
        if child.tag == f"{XSD}attribute":
            yield "attribute", str(child.get("name"))
        elif child.tag == f"{XSD}element":
            yield "element", str(child.get("name"))
        elif child.tag == f"{XSD}group" and child.get("ref"):
            (group,) = [
                one for one in root.findall(f"{XSD}group") if one.get("name") == child.get("ref")
            ]
            yield from schema_of(root, group)
        elif child.tag != f"{XSD}annotation":
            yield from schema_of(root, child)


# Types that are not read: what they stand in tells of them.
NOT_READ = {line.name for line in coverage() if not line.read}


@with_schemas
@pytest.mark.parametrize("name", sorted(CLASSES))
def test_nothing_of_the_schema_is_missed(name: str) -> None:
    seen = False
    for version in VERSIONS:
        root = etree.parse(SCHEMAS / f"OpenSCENARIOv{version}.xsd").getroot()
        types = [one for one in root.findall(f"{XSD}complexType") if one.get("name") == name]
        for part in types:
            seen = True
            known = {shape.attribute for shape in shape_of(CLASSES[name])}
            tags = claimed_tags(CLASSES[name]) | TRANSPARENT | NOT_READ
            for kind, what in schema_of(root, part):
                if kind == "attribute":
                    assert what in known, what
                elif what not in ("CatalogReference", "UserDefinedAction"):
                    assert what in tags, what
    assert seen


@with_schemas
def test_the_list_of_types_is_that_of_the_schemas() -> None:
    told: dict[str, str] = {}
    for version, name in (("1.0", "1.0"), ("1.1.1", "1.1"), ("1.3", "1.2+")):
        root = etree.parse(SCHEMAS / f"OpenSCENARIOv{version}.xsd").getroot()
        for part in root.findall(f"{XSD}complexType"):
            told.setdefault(str(part.get("name")), name)
    assert dict(SINCE) == told


def test_wrappers_are_left_out(tmp_path: Path) -> None:
    structure = load_scenario(write(tmp_path, scenario())).structure()
    (action,) = structure.storyboard.stories[0].acts[0].groups[0].maneuvers[0].events[0].actions
    assert type(action.action).__name__ == "SpeedAction"


def test_variables_and_monitors_are_read(tmp_path: Path) -> None:
    variables = (
        '<VariableDeclarations><VariableDeclaration name="v" variableType="double" value="2"/>'
        '</VariableDeclarations><MonitorDeclarations><MonitorDeclaration name="m" value="true"/>'
        "</MonitorDeclarations>"
    )
    structure = load_scenario(write(tmp_path, scenario(variables=variables))).structure()
    (variable,), (monitor,) = structure.variables, structure.monitors
    assert (variable.name, variable.value.constant) == ("v", 2.0)
    assert (monitor.name, monitor.value) == ("m", True)


def test_each_line_of_the_coverage_names_a_test_that_is_there() -> None:
    folder = Path(__file__).parent
    known: dict[str, set[str]] = {}
    for line in coverage():
        if not line.test:
            continue
        file, _, test = line.test.partition("::")
        if file not in known:
            tree = ast.parse((folder / file).read_text())
            known[file] = {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}
        function, _, case = test.partition("[")
        assert function in known[file], line
        assert not case or case.rstrip("]") in CLASSES


def test_the_table_of_the_documentation_is_that_of_the_code() -> None:
    document = Path(__file__).parents[3] / "docs" / "openscenario.md"
    # `proveout scenario survey` writes it anew.
    assert document.read_text().endswith(markdown() + "\n")
