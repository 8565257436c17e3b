"""Conditions: what is asked of entities, of values and of the storyboard, with edges and delays.

Lengths in m, speeds in m/s, accelerations in m/s², angles in rad, times in s.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from proveout.assets.scenario.dynamics import CoordinateSystem
from proveout.assets.scenario.entities import EntityRef, ObjectType
from proveout.assets.scenario.positions import AnyPosition, Position
from proveout.assets.scenario.schema import (
    Any_,
    At,
    Double,
    Element,
    Inside,
    Int,
    Unsupported,
    element,
)

Rule = Literal[
    "equalTo", "greaterThan", "lessThan", "greaterOrEqual", "lessOrEqual", "notEqualTo"
]  # fmt: skip
Direction = Literal["longitudinal", "lateral", "vertical"]
RelativeDistanceType = Literal["lateral", "longitudinal", "cartesianDistance", "euclidianDistance"]
RoutingAlgorithm = Literal[
    "assignedRoute", "fastest", "leastIntersections", "shortest", "undefined"
]  # fmt: skip
AngleType = Literal["heading", "pitch", "roll"]


@element
class EndOfRoadCondition(Element):
    """At the end of a road for a time."""

    duration: Double


@element
class ByObjectType(Element):
    """Any entity of a kind."""

    type: ObjectType


@element
class CollisionCondition(Element):
    """Touches an entity, or one of a kind."""

    target: Annotated[EntityRef | ByObjectType | Unsupported, At("EntityRef", "ByType")]


@element
class OffroadCondition(Element):
    """Beside the road for a time."""

    duration: Double


@element
class TimeHeadwayCondition(Element):
    """Time to the place where an entity is now."""

    entity_ref: str
    value: Double
    freespace: bool
    rule: Rule
    along_route: bool | None = None
    coordinate_system: CoordinateSystem = "entity"
    relative_distance_type: RelativeDistanceType | None = None
    routing_algorithm: RoutingAlgorithm | None = None


@element
class TimeToCollisionCondition(Element):
    """Time until an entity or a place is reached at the present speeds."""

    value: Double
    freespace: bool
    rule: Rule
    along_route: bool | None = None
    coordinate_system: CoordinateSystem = "entity"
    relative_distance_type: RelativeDistanceType | None = None
    routing_algorithm: RoutingAlgorithm | None = None
    target: TimeToCollisionConditionTarget


@element
class TimeToCollisionConditionTarget(Element):
    """An entity or a place."""

    ONE_OF: ClassVar = ("entity", "position")
    entity: EntityRef | None = None
    position: Annotated[AnyPosition | None, Inside("Position")] = None


@element
class AccelerationCondition(Element):
    """Acceleration, or a component of it."""

    value: Double
    rule: Rule
    direction: Direction | None = None


@element
class StandStillCondition(Element):
    """Stands for a time."""

    duration: Double


@element
class SpeedCondition(Element):
    """Speed, or a component of it."""

    value: Double
    rule: Rule
    direction: Direction | None = None


@element
class RelativeSpeedCondition(Element):
    """Own speed less that of an entity, or a component of it."""

    entity_ref: str
    value: Double
    rule: Rule
    direction: Direction | None = None


@element
class TraveledDistanceCondition(Element):
    """Has come this far since the start."""

    value: Double


@element
class ReachPositionCondition(Element):
    """Is at a place, within a tolerance."""

    tolerance: Double
    position: Position


@element
class DistanceCondition(Element):
    """Distance to a place."""

    value: Double
    freespace: bool
    rule: Rule
    along_route: bool | None = None
    coordinate_system: CoordinateSystem | None = None
    relative_distance_type: RelativeDistanceType | None = None
    routing_algorithm: RoutingAlgorithm | None = None
    position: Position


@element
class RelativeDistanceCondition(Element):
    """Distance to an entity."""

    entity_ref: str
    relative_distance_type: RelativeDistanceType
    value: Double
    freespace: bool
    rule: Rule
    coordinate_system: CoordinateSystem = "entity"
    routing_algorithm: RoutingAlgorithm | None = None


@element
class RelativeLaneRange(Element):
    """Lanes counted from the own one."""

    from_: Int | None = None
    to: Int | None = None


@element
class RelativeClearanceCondition(Element):
    """Nobody is within distances ahead and behind, in some lanes."""

    opposite_lanes: bool
    free_space: bool
    distance_forward: Double | None = None
    distance_backward: Double | None = None
    lanes: Annotated[tuple[RelativeLaneRange, ...], At("RelativeLaneRange")] = ()
    entities: Annotated[tuple[EntityRef, ...], At("EntityRef")] = ()


@element
class AngleCondition(Element):
    """An angle of the entity, within a tolerance."""

    angle_type: AngleType
    angle: Double
    angle_tolerance: Double
    coordinate_system: CoordinateSystem | None = None


@element
class RelativeAngleCondition(Element):
    """An angle from that of an entity, within a tolerance."""

    entity_ref: str
    angle_type: AngleType
    angle: Double
    angle_tolerance: Double
    coordinate_system: CoordinateSystem | None = None


EntityTest = (
    EndOfRoadCondition
    | CollisionCondition
    | OffroadCondition
    | TimeHeadwayCondition
    | TimeToCollisionCondition
    | AccelerationCondition
    | StandStillCondition
    | SpeedCondition
    | RelativeSpeedCondition
    | TraveledDistanceCondition
    | ReachPositionCondition
    | DistanceCondition
    | RelativeDistanceCondition
    | RelativeClearanceCondition
    | AngleCondition
    | RelativeAngleCondition
    | Unsupported
)


@element
class TriggeringEntities(Element):
    """Of whom it is asked: of any of them, or of all."""

    triggering_entities_rule: Literal["all", "any"]
    entities: Annotated[tuple[EntityRef, ...], At("EntityRef")]


@element
class ByEntityCondition(Element):
    """Asks something of entities."""

    triggering_entities: TriggeringEntities
    test: EntityTest


@element
class ParameterCondition(Element):
    """Compares a parameter."""

    parameter_ref: str
    value: Any_
    rule: Rule


@element
class VariableCondition(Element):
    """Compares a variable."""

    variable_ref: str
    value: Any_
    rule: Rule


@element
class TimeOfDayCondition(Element):
    """Compares date and time."""

    date_time: str
    rule: Rule


@element
class SimulationTimeCondition(Element):
    """Compares the time since the start."""

    value: Double
    rule: Rule


@element
class StoryboardElementStateCondition(Element):
    """An element of the storyboard is in a state, or goes through a transition."""

    storyboard_element_type: Literal[
        "act", "action", "event", "maneuver", "maneuverGroup", "story"
    ]  # fmt: skip
    storyboard_element_ref: str
    state: Literal[
        "completeState", "endTransition", "runningState", "skipTransition", "standbyState",
        "startTransition", "stopTransition",
    ]  # fmt: skip


@element
class TrafficSignalCondition(Element):
    """A signal shows a state."""

    name: str
    state: str


@element
class TrafficSignalControllerCondition(Element):
    """A signal controller is in a phase."""

    traffic_signal_controller_ref: str
    phase: str


Test = (
    ByEntityCondition
    | ParameterCondition
    | VariableCondition
    | TimeOfDayCondition
    | SimulationTimeCondition
    | StoryboardElementStateCondition
    | TrafficSignalCondition
    | TrafficSignalControllerCondition
    | Unsupported
)


@element
class Condition(Element):
    """A test, the edge of its result that counts, and how much later it does [s]."""

    name: str
    delay: Double
    condition_edge: Literal["falling", "none", "rising", "risingOrFalling"]
    test: Test


@element
class ConditionGroup(Element):
    """Conditions that must all hold."""

    conditions: Annotated[tuple[Condition, ...], At("Condition")]


@element
class Trigger(Element):
    """Groups of which one must hold; without any it never does."""

    groups: Annotated[tuple[ConditionGroup, ...], At("ConditionGroup")]
