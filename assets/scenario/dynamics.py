"""Actions that move an entity along and across its path. In m, s and m/s."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

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

DynamicsShape = Literal["cubic", "linear", "sinusoidal", "step"]
FollowingMode = Literal["follow", "position"]
CoordinateSystem = Literal["entity", "lane", "road", "trajectory", "world"]


@element
class TransitionDynamics(Element):
    """How a value changes: its shape, and over which distance [m], time [s] or at which rate."""

    dynamics_dimension: Literal["distance", "rate", "time"]
    dynamics_shape: DynamicsShape
    value: Double
    following_mode: FollowingMode = "position"


@element
class DynamicConstraints(Element):
    """Highest acceleration and braking [m/s²], their rates [m/s³], and speed [m/s]."""

    max_acceleration: Double | None = None
    max_acceleration_rate: Double | None = None
    max_deceleration: Double | None = None
    max_deceleration_rate: Double | None = None
    max_speed: Double | None = None


@element
class AbsoluteTargetSpeed(Element):
    """A speed [m/s]."""

    value: Double


@element
class RelativeTargetSpeed(Element):
    """A speed from that of an entity, as a difference [m/s] or a factor."""

    entity_ref: str
    value: Double
    speed_target_value_type: Literal["delta", "factor"]
    continuous: bool


@element
class SpeedAction(Element):
    """Changes the speed."""

    dynamics: Annotated[TransitionDynamics, At("SpeedActionDynamics")]
    target: Annotated[
        AbsoluteTargetSpeed | RelativeTargetSpeed | Unsupported, Inside("SpeedActionTarget")
    ]


@element
class SpeedProfileEntry(Element):
    """A speed [m/s], and the time to reach it from the entry before [s]."""

    speed: Double
    time: Double | None = None


@element
class SpeedProfileAction(Element):
    """Speeds one after the other, those of an entity added where one is named."""

    entity_ref: str | None = None
    following_mode: FollowingMode
    constraints: Annotated[DynamicConstraints | None, At("DynamicConstraints")] = None
    entries: Annotated[tuple[SpeedProfileEntry, ...], At("SpeedProfileEntry")]


@element
class LongitudinalDistanceAction(Element):
    """Reaches and keeps a distance [m] or a time gap [s] to an entity."""

    ONE_OF: ClassVar = ("distance", "time_gap")
    entity_ref: str
    continuous: bool
    freespace: bool
    distance: Double | None = None
    time_gap: Double | None = None
    displacement: Literal["any", "trailingReferencedEntity", "leadingReferencedEntity"] | None = (
        None
    )
    coordinate_system: CoordinateSystem = "entity"
    constraints: Annotated[DynamicConstraints | None, At("DynamicConstraints")] = None


@element
class LateralDistanceAction(Element):
    """Reaches and keeps a distance [m] beside an entity."""

    entity_ref: str
    continuous: bool
    freespace: bool
    distance: Double | None = None
    displacement: Literal["any", "leftToReferencedEntity", "rightToReferencedEntity"] | None = None
    coordinate_system: CoordinateSystem = "entity"
    constraints: Annotated[DynamicConstraints | None, At("DynamicConstraints")] = None


@element
class AbsoluteTargetLane(Element):
    """A lane by its number."""

    value: Any_


@element
class RelativeTargetLane(Element):
    """A lane counted from that of an entity."""

    entity_ref: str
    value: Int


@element
class LaneChangeAction(Element):
    """Moves into another lane."""

    target_lane_offset: Double | None = None
    dynamics: Annotated[TransitionDynamics, At("LaneChangeActionDynamics")]
    target: Annotated[
        AbsoluteTargetLane | RelativeTargetLane | Unsupported, Inside("LaneChangeTarget")
    ]


@element
class LaneOffsetActionDynamics(Element):
    """How the offset changes, and the highest lateral acceleration [m/s²]."""

    dynamics_shape: DynamicsShape
    max_lateral_acc: Double | None = None


@element
class AbsoluteTargetLaneOffset(Element):
    """Beside the lane's centre [m]."""

    value: Double


@element
class RelativeTargetLaneOffset(Element):
    """Beside an entity [m]."""

    entity_ref: str
    value: Double


@element
class LaneOffsetAction(Element):
    """Moves beside the lane's centre."""

    continuous: bool
    dynamics: Annotated[LaneOffsetActionDynamics, At("LaneOffsetActionDynamics")]
    target: Annotated[
        AbsoluteTargetLaneOffset | RelativeTargetLaneOffset | Unsupported,
        Inside("LaneOffsetTarget"),
    ]


@element
class TargetDistanceSteadyState(Element):
    """A distance before the target from which the speed is kept [m]."""

    distance: Double


@element
class TargetTimeSteadyState(Element):
    """A time before the target from which the speed is kept [s]."""

    time: Double


@element
class AbsoluteSpeed(Element):
    """A speed at the target [m/s]."""

    value: Double
    steady_state: Annotated[
        TargetDistanceSteadyState | TargetTimeSteadyState | None,
        At("TargetDistanceSteadyState", "TargetTimeSteadyState"),
    ] = None


@element
class RelativeSpeedToMaster(Element):
    """A speed at the target from that of the master."""

    value: Double
    speed_target_value_type: Literal["delta", "factor"]
    steady_state: Annotated[
        TargetDistanceSteadyState | TargetTimeSteadyState | None,
        At("TargetDistanceSteadyState", "TargetTimeSteadyState"),
    ] = None


@element
class SynchronizeAction(Element):
    """Arrives at a place when the master arrives at its own; tolerances [m]."""

    master_entity_ref: str
    target_tolerance_master: Double | None = None
    target_tolerance: Double | None = None
    target_position_master: Annotated[AnyPosition, Inside("TargetPositionMaster")]
    target_position: Annotated[AnyPosition, Inside("TargetPosition")]
    final_speed: Annotated[AbsoluteSpeed | RelativeSpeedToMaster | None, Inside("FinalSpeed")] = (
        None
    )


@element
class TeleportAction(Element):
    """Puts the entity somewhere."""

    position: Position
