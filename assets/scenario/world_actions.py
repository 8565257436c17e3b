"""Actions on the world: environment, entities, traffic signals, parameters, variables, monitors."""

from __future__ import annotations

from typing import Annotated

from proveout.assets.scenario.environment import Environment
from proveout.assets.scenario.positions import Position
from proveout.assets.scenario.schema import (
    Any_,
    At,
    Double,
    Element,
    Inside,
    Unsupported,
    element,
)


@element
class EnvironmentAction(Element):
    """Changes weather, time of day and road condition."""

    environment: Environment


@element
class AddEntityAction(Element):
    """Brings an entity in."""

    position: Position


class DeleteEntityAction(Element):
    """Takes an entity out."""


@element
class EntityAction(Element):
    """Brings an entity in, or takes it out."""

    entity_ref: str
    action: Annotated[
        AddEntityAction | DeleteEntityAction | Unsupported,
        At("AddEntityAction", "DeleteEntityAction"),
    ]


@element
class TrafficSignalStateAction(Element):
    """Sets a signal."""

    name: str
    state: str


@element
class TrafficSignalControllerAction(Element):
    """Sets the phase of a signal controller."""

    traffic_signal_controller_ref: str
    phase: str


@element
class ParameterSetAction(Element):
    """Sets a parameter while the scenario runs; up to version 1.1."""

    value: Any_


@element
class ParameterAddValueRule(Element):
    """Adds a number."""

    value: Double


@element
class ParameterMultiplyByValueRule(Element):
    """Multiplies by a number."""

    value: Double


@element
class ParameterModifyAction(Element):
    """Adds to a parameter or multiplies it."""

    rule: Annotated[
        ParameterAddValueRule | ParameterMultiplyByValueRule | Unsupported,
        Inside("Rule"),
        At("AddValue", "MultiplyByValue"),
    ]


@element
class ParameterAction(Element):
    """Changes a parameter."""

    parameter_ref: str
    change: Annotated[
        ParameterSetAction | ParameterModifyAction | Unsupported, At("SetAction", "ModifyAction")
    ]


@element
class VariableSetAction(Element):
    """Sets a variable."""

    value: Any_


@element
class VariableAddValueRule(Element):
    """Adds a number."""

    value: Double


@element
class VariableMultiplyByValueRule(Element):
    """Multiplies by a number."""

    value: Double


@element
class VariableModifyAction(Element):
    """Adds to a variable or multiplies it."""

    rule: Annotated[
        VariableAddValueRule | VariableMultiplyByValueRule | Unsupported,
        Inside("Rule"),
        At("AddValue", "MultiplyByValue"),
    ]


@element
class VariableAction(Element):
    """Changes a variable."""

    variable_ref: str
    change: Annotated[
        VariableSetAction | VariableModifyAction | Unsupported, At("SetAction", "ModifyAction")
    ]


@element
class SetMonitorAction(Element):
    """Sets a monitor."""

    monitor_ref: str
    value: bool
