"""The storyboard: what happens at the start, and stories, acts, maneuvers, events and actions."""

from __future__ import annotations

from typing import Annotated, Literal

from proveout.assets.scenario.conditions import Trigger
from proveout.assets.scenario.control import (
    ActivateControllerAction,
    ControllerAction,
    LightStateAction,
    VisibilityAction,
)
from proveout.assets.scenario.dynamics import (
    LaneChangeAction,
    LaneOffsetAction,
    LateralDistanceAction,
    LongitudinalDistanceAction,
    SpeedAction,
    SpeedProfileAction,
    SynchronizeAction,
    TeleportAction,
)
from proveout.assets.scenario.entities import EntityRef
from proveout.assets.scenario.routing import (
    AcquirePositionAction,
    AssignRouteAction,
    FollowTrajectoryAction,
)
from proveout.assets.scenario.schema import At, Element, UnsignedInt, Unsupported, element
from proveout.assets.scenario.world_actions import (
    EntityAction,
    EnvironmentAction,
    ParameterAction,
    SetMonitorAction,
    TrafficSignalControllerAction,
    TrafficSignalStateAction,
    VariableAction,
)

PrivateAction = (
    SpeedAction
    | LongitudinalDistanceAction
    | SpeedProfileAction
    | LaneChangeAction
    | LaneOffsetAction
    | LateralDistanceAction
    | VisibilityAction
    | SynchronizeAction
    | ActivateControllerAction
    | ControllerAction
    | TeleportAction
    | AssignRouteAction
    | FollowTrajectoryAction
    | AcquirePositionAction
    | LightStateAction
)
GlobalAction = (
    EnvironmentAction
    | EntityAction
    | TrafficSignalStateAction
    | TrafficSignalControllerAction
    | ParameterAction
    | VariableAction
    | SetMonitorAction
)


@element
class Private(Element):
    """What one entity does at the start."""

    entity_ref: str
    actions: tuple[PrivateAction, ...]


@element
class InitActions(Element):
    """What happens at the start."""

    world: tuple[GlobalAction, ...] = ()
    private: Annotated[tuple[Private, ...], At("Private")] = ()


@element
class Init(Element):
    """The start."""

    actions: Annotated[InitActions, At("Actions")]


@element
class Action(Element):
    """An action with a name."""

    name: str
    action: PrivateAction | GlobalAction | Unsupported


@element
class Event(Element):
    """Actions that start together at a trigger.

    Attributes:
        priority: What happens to running events of the same maneuver, or to this one: "overwrite"
            is the name of "override" up to version 1.1.
        maximum_execution_count: How often it runs; None: once.
    """

    name: str
    priority: Literal["overwrite", "override", "parallel", "skip"]
    maximum_execution_count: UnsignedInt | None = None
    actions: Annotated[tuple[Action, ...], At("Action")]
    start_trigger: Annotated[Trigger | None, At("StartTrigger")] = None


@element
class Maneuver(Element):
    """Events of the same actors."""

    name: str
    events: Annotated[tuple[Event, ...], At("Event")]


@element
class Actors(Element):
    """Who acts: the named, and those that triggered where that is chosen."""

    select_triggering_entities: bool
    entities: Annotated[tuple[EntityRef, ...], At("EntityRef")] = ()


@element
class ManeuverGroup(Element):
    """Maneuvers and who drives them; how often they run."""

    name: str
    maximum_execution_count: UnsignedInt
    actors: Actors
    maneuvers: Annotated[tuple[Maneuver, ...], At("Maneuver")] = ()


@element
class Act(Element):
    """Maneuver groups between two triggers."""

    name: str
    groups: Annotated[tuple[ManeuverGroup, ...], At("ManeuverGroup")]
    start_trigger: Annotated[Trigger | None, At("StartTrigger")] = None
    stop_trigger: Annotated[Trigger | None, At("StopTrigger")] = None


@element
class Story(Element):
    """Acts."""

    name: str
    acts: Annotated[tuple[Act, ...], At("Act")]


@element
class Storyboard(Element):
    """The whole of it, until a trigger stops it."""

    init: Init
    stories: Annotated[tuple[Story, ...], At("Story")] = ()
    stop_trigger: Annotated[Trigger | None, At("StopTrigger")] = None
