"""Which types of the standard are read, element by element, each with the test that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from proveout.assets.scenario.entities import Entities
from proveout.assets.scenario.environment import RoadNetwork
from proveout.assets.scenario.scenario import MonitorDeclaration, VariableDeclaration
from proveout.assets.scenario.schema import TRANSPARENT, shape_of
from proveout.assets.scenario.standard import SINCE
from proveout.assets.scenario.storyboard import Storyboard

_ROOTS: tuple[type, ...] = (
    Entities, RoadNetwork, Storyboard, VariableDeclaration, MonitorDeclaration,
)  # fmt: skip
# Types whose element only wraps a choice, under other names or none of their own.
_WRAPPERS: Mapping[str, str] = {
    "FinalSpeed": "SynchronizeAction", "InRoutePosition": "RoutePosition",
    "LaneChangeTarget": "LaneChangeAction", "LaneOffsetTarget": "LaneOffsetAction",
    "ModifyRule": "ParameterModifyAction", "Position": "TeleportAction",
    "SelectedEntities": "EntitySelection", "Shape": "Trajectory",
    "SpeedActionTarget": "SpeedAction", "TimeReference": "FollowTrajectoryAction",
    "VariableModifyRule": "VariableModifyAction",
}  # fmt: skip
_CATALOGS = "test_scenario.py::test_an_entry_stands_where_it_is_referred_to"
_ASSIGNED = "test_scenario.py::test_an_entry_sees_its_own_parameters_and_what_is_assigned_to_them"
_PARAMETERS = "test_scenario.py::test_types_of_parameters_are_kept"
_GROUPS = "test_rows.py::test_groups_are_alternatives_and_constraints_in_a_group_hold_together"
_RANGES = "test_rows.py::test_a_range_has_both_ends_and_decimal_steps"
_SETS = "test_rows.py::test_axes_are_multiplied_and_the_last_varies_fastest"
_DRAWN = "test_rows.py::test_continuous_distributions"
_WEIGHTED = "test_rows.py::test_a_weighted_set_of_texts"
# What is read by other means than a class of its own, with its test.
_OTHERWISE: Mapping[str, str] = {
    "Catalog": _CATALOGS, "CatalogLocations": _CATALOGS, "CatalogReference": _CATALOGS,
    "ControllerCatalogLocation": _CATALOGS, "Directory": _CATALOGS,
    "EnvironmentCatalogLocation": _CATALOGS, "ManeuverCatalogLocation": _CATALOGS,
    "MiscObjectCatalogLocation": _CATALOGS, "PedestrianCatalogLocation": _CATALOGS,
    "RouteCatalogLocation": _CATALOGS, "TrajectoryCatalogLocation": _CATALOGS,
    "VehicleCatalogLocation": _CATALOGS, "ParameterAssignment": _ASSIGNED,
    "ParameterAssignments": _ASSIGNED, "ParameterDeclaration": _PARAMETERS,
    "ParameterDeclarations": _PARAMETERS, "ValueConstraint": _GROUPS,
    "ValueConstraintGroup": _GROUPS, "FileHeader": "test_scenario.py::test_the_version_is_read",
    "OpenScenario": "test_scenario.py::test_the_version_is_read",
    "VariableDeclarations": "test_elements.py::test_variables_and_monitors_are_read",
    "MonitorDeclarations": "test_elements.py::test_variables_and_monitors_are_read",
    "Deterministic": _SETS, "DeterministicMultiParameterDistribution": _SETS,
    "DeterministicSingleParameterDistribution": _RANGES, "DistributionRange": _RANGES,
    "DistributionSet": "test_scenario.py::test_numbers_are_evaluated_over_all_rows_and_names_are_"
    "structure",
    "DistributionSetElement": "test_scenario.py::test_numbers_are_evaluated_over_all_rows_and_"
    "names_are_structure",
    "Histogram": _DRAWN, "HistogramBin": _DRAWN, "LogNormalDistribution": _DRAWN,
    "NormalDistribution": _DRAWN, "ParameterValueDistribution": _SETS,
    "ParameterValueSet": _SETS, "PoissonDistribution": "test_rows.py::test_poisson",
    "ProbabilityDistributionSet": _WEIGHTED, "ProbabilityDistributionSetElement": _WEIGHTED,
    "Range": _RANGES, "Stochastic": _DRAWN, "StochasticDistribution": _DRAWN,
    "UniformDistribution": _DRAWN,
    "UserDefinedDistribution": "test_rows.py::test_user_defined_distributions",
    "ValueSetDistribution": _SETS,
}  # fmt: skip
# No player needs them to know what happens.
_WITHOUT_EFFECT: Mapping[str, str] = {
    "License": "says who may use the file; not read",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A type of the standard.

    Attributes:
        name: Of the type.
        since: Version that brought it.
        read: Whether it is.
        how: What it becomes, or why it is not read.
        test: That shows it, below tests/assets/scenario; empty where it is not read.
    """

    name: str
    since: str
    read: bool
    how: str
    test: str


def element_classes() -> dict[str, type]:
    """Return the classes of the standard that are read, by the name of their type."""
    found: dict[str, type] = {}
    todo = list(_ROOTS)
    while todo:
        cls = todo.pop()
        name = "None" if cls.__name__ == "NoTiming" else cls.__name__
        if name not in found:
            found[name] = cls
            todo += [inner for shape in shape_of(cls) for inner in shape.classes.values()]
    return found


def coverage() -> list[Line]:
    """Return every type of the standard in the order of their names."""
    classes = element_classes()
    lines = []
    for name in sorted(SINCE, key=str.lower):
        how, test = "not supported", ""
        if name in classes:
            how = f"`{classes[name].__module__.rpartition('.')[2]}.{classes[name].__name__}`"
            test = f"test_elements.py::test_a_class_is_read[{name}]"
        elif name in _WRAPPERS:
            how = f"in `{_WRAPPERS[name]}`"
            test = f"test_elements.py::test_a_class_is_read[{_WRAPPERS[name]}]"
        elif name in TRANSPARENT:
            how, test = "a wrapper, left out", "test_elements.py::test_wrappers_are_left_out"
        elif name in _OTHERWISE:
            how, test = "read", _OTHERWISE[name]
        elif name in _WITHOUT_EFFECT:
            how = _WITHOUT_EFFECT[name]
        lines.append(Line(name, SINCE[name], bool(test), how, test))
    return lines


def markdown() -> str:
    """Return the coverage as a table in Markdown."""
    lines = coverage()
    read = sum(line.read for line in lines)
    rows = [
        f"| {line.name} | {line.since} | {line.how} | {f'`{line.test}`' if line.test else ''} |"
        for line in lines
    ]
    return "\n".join(
        [
            f"{read} of {len(lines)} types of OpenSCENARIO XML 1.0 to 1.3 are read. Tests are "
            "below `tests/assets/scenario/`.",
            "",
            "| type | since | read as | test |",
            "|---|---|---|---|",
            *rows,
        ]
    )
