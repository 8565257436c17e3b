"""Actions on controllers, on what is seen of an entity, and on its lights."""

from __future__ import annotations

from typing import Annotated, Literal

from proveout.assets.scenario.entities import Controller, ObjectController
from proveout.assets.scenario.schema import (
    At,
    Double,
    Element,
    Int,
    Unsupported,
    element,
)


@element
class AssignControllerAction(Element):
    """Gives an entity a controller."""

    activate_lateral: bool | None = None
    activate_longitudinal: bool | None = None
    activate_animation: bool | None = None
    activate_lighting: bool | None = None
    # Version 1.3 takes it in an <ObjectController> as well.
    controller: Controller | None = None
    object_controller: ObjectController | None = None


@element
class ActivateControllerAction(Element):
    """Switches the domains of a controller on or off; None leaves one as it is."""

    controller_ref: str | None = None
    object_controller_ref: str | None = None
    lateral: bool | None = None
    longitudinal: bool | None = None
    animation: bool | None = None
    lighting: bool | None = None


@element
class Brake(Element):
    """A brake's force as a share, and its rate [1/s]."""

    value: Double
    max_rate: Double | None = None


@element
class ManualGear(Element):
    """A gear by number; 0 is neutral, negative reverse."""

    number: Int


@element
class AutomaticGear(Element):
    """A gear by letter."""

    gear: Literal["n", "p", "r", "d"]


@element
class OverrideThrottleAction(Element):
    """Pedal as a share."""

    active: bool
    value: Double
    max_rate: Double | None = None


@element
class OverrideBrakeAction(Element):
    """Pedal as a share."""

    active: bool
    value: Double | None = None
    input: Annotated[Brake | None, At("BrakePercent")] = None
    force: Annotated[Brake | None, At("BrakeForce")] = None


@element
class OverrideClutchAction(Element):
    """Pedal as a share."""

    active: bool
    value: Double
    max_rate: Double | None = None


@element
class OverrideParkingBrakeAction(Element):
    """Lever as a share."""

    active: bool
    value: Double | None = None
    input: Annotated[Brake | None, At("BrakePercent")] = None
    force: Annotated[Brake | None, At("BrakeForce")] = None


@element
class OverrideSteeringWheelAction(Element):
    """Angle [rad], its rate [rad/s], torque [N m]."""

    active: bool
    value: Double
    max_rate: Double | None = None
    max_torque: Double | None = None


@element
class OverrideGearAction(Element):
    """The gear."""

    active: bool
    number: Double | None = None
    gear: Annotated[ManualGear | AutomaticGear | None, At("ManualGear", "AutomaticGear")] = None


@element
class OverrideControllerValueAction(Element):
    """Takes pedals, wheel and gear from the controller."""

    throttle: Annotated[OverrideThrottleAction | None, At("Throttle")] = None
    brake: Annotated[OverrideBrakeAction | None, At("Brake")] = None
    clutch: Annotated[OverrideClutchAction | None, At("Clutch")] = None
    parking_brake: Annotated[OverrideParkingBrakeAction | None, At("ParkingBrake")] = None
    steering_wheel: Annotated[OverrideSteeringWheelAction | None, At("SteeringWheel")] = None
    gear: Annotated[OverrideGearAction | None, At("Gear")] = None


@element
class ControllerAction(Element):
    """Actions on a controller, up to one of each."""

    assign: Annotated[AssignControllerAction | None, At("AssignControllerAction")] = None
    override: Annotated[
        OverrideControllerValueAction | None, At("OverrideControllerValueAction")
    ] = None
    activate: Annotated[ActivateControllerAction | None, At("ActivateControllerAction")] = None


@element
class SensorReference(Element):
    """A sensor by name."""

    name: str


@element
class SensorReferenceSet(Element):
    """Sensors by name."""

    sensors: Annotated[tuple[SensorReference, ...], At("SensorReference")]


@element
class VisibilityAction(Element):
    """Whether the picture, sensors and other traffic see the entity."""

    graphics: bool
    sensors: bool
    traffic: bool
    sensor_set: Annotated[SensorReferenceSet | None, At("SensorReferenceSet")] = None


@element
class VehicleLight(Element):
    """A light of a vehicle."""

    vehicle_light_type: Literal[
        "daytimeRunningLights", "lowBeam", "highBeam", "fogLights", "fogLightsFront",
        "fogLightsRear", "brakeLights", "warningLights", "indicatorLeft", "indicatorRight",
        "reversingLights", "licensePlateIllumination", "specialPurposeLights",
    ]  # fmt: skip


@element
class UserDefinedLight(Element):
    """A light whose meaning is agreed elsewhere."""

    user_defined_light_type: str


@element
class LightType(Element):
    """Which light."""

    light: Annotated[
        VehicleLight | UserDefinedLight | Unsupported, At("VehicleLight", "UserDefinedLight")
    ]


@element
class ColorRgb(Element):
    """Shares of red, green and blue."""

    red: Double
    green: Double
    blue: Double


@element
class ColorCmyk(Element):
    """Shares of cyan, magenta, yellow and black."""

    cyan: Double
    magenta: Double
    yellow: Double
    key: Double


@element
class Color(Element):
    """A colour."""

    color_type: str
    value: Annotated[ColorRgb | ColorCmyk | Unsupported, At("ColorRgb", "ColorCmyk")]


@element
class LightState(Element):
    """On, off or flashing; luminous intensity [cd], times on and off [s]."""

    mode: Literal["on", "off", "flashing"]
    luminous_intensity: Double | None = None
    flashing_on_duration: Double | None = None
    flashing_off_duration: Double | None = None
    color: Color | None = None


@element
class LightStateAction(Element):
    """Switches a light within a time [s]."""

    transition_time: Double | None = None
    light_type: LightType
    light_state: LightState
