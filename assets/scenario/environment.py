"""Road network, traffic signals, weather, light and time of day."""

from __future__ import annotations

from typing import Annotated, Literal

from proveout.assets.scenario.entities import BoundingBox, File, Properties
from proveout.assets.scenario.positions import AnyPosition
from proveout.assets.scenario.schema import At, Double, Element, Inside, element


@element
class TrafficSignalState(Element):
    """The state of one signal."""

    traffic_signal_id: str
    state: str


@element
class TrafficSignalGroupState(Element):
    """The state of all signals of a controller."""

    state: str


@element
class Phase(Element):
    """A phase of a signal controller and how long it lasts [s]."""

    name: str
    duration: Double
    states: Annotated[tuple[TrafficSignalState, ...], At("TrafficSignalState")]
    group_state: TrafficSignalGroupState | None = None


@element
class TrafficSignalController(Element):
    """Phases of signals, one after the other; delay [s] to the controller that it refers to."""

    name: str
    delay: Double | None = None
    reference: str | None = None
    phases: Annotated[tuple[Phase, ...], At("Phase")]


@element
class TrafficSignals(Element):
    """Signal controllers."""

    controllers: Annotated[tuple[TrafficSignalController, ...], At("TrafficSignalController")]


@element
class UsedArea(Element):
    """The part of the map that is used."""

    positions: Annotated[tuple[AnyPosition, ...], Inside("Position")]


@element
class RoadNetwork(Element):
    """The map: OpenDRIVE, 3D scene, signals."""

    logic_file: Annotated[File | None, At("LogicFile")] = None
    scene_graph_file: Annotated[File | None, At("SceneGraphFile")] = None
    traffic_signals: TrafficSignals | None = None
    used_area: UsedArea | None = None


@element
class TimeOfDay(Element):
    """Date and time, and whether it goes on with the simulation."""

    animation: bool
    date_time: str


@element
class Sun(Element):
    """Azimuth and elevation [rad], intensity [W/m²] or illuminance [lx]."""

    azimuth: Double
    elevation: Double
    intensity: Double | None = None
    illuminance: Double | None = None


@element
class Fog(Element):
    """How far one sees [m], everywhere or in a box."""

    visual_range: Double
    bounding_box: BoundingBox | None = None


@element
class Precipitation(Element):
    """Rain or snow [mm/h], or as a share."""

    precipitation_type: Literal["dry", "rain", "snow"]
    intensity: Double | None = None
    precipitation_intensity: Double | None = None


@element
class Wind(Element):
    """Direction [rad] and speed [m/s]."""

    direction: Double
    speed: Double


@element
class DomeImage(Element):
    """A picture of the sky, turned by an angle [rad]."""

    azimuth_offset: Double | None = None
    dome_file: Annotated[File, At("DomeFile")]


@element
class Weather(Element):
    """Clouds, pressure [Pa], temperature [K], sun, fog, precipitation, wind."""

    cloud_state: Literal["cloudy", "free", "overcast", "rainy", "skyOff"] | None = None
    fractional_cloud_cover: (
        Literal[
            "zeroOktas", "oneOktas", "twoOktas", "threeOktas", "fourOktas", "fiveOktas",
            "sixOktas", "sevenOktas", "eightOktas", "nineOktas",
        ]
        | None
    ) = None  # fmt: skip
    atmospheric_pressure: Double | None = None
    temperature: Double | None = None
    sun: Sun | None = None
    fog: Fog | None = None
    precipitation: Precipitation | None = None
    wind: Wind | None = None
    dome_image: DomeImage | None = None


@element
class RoadCondition(Element):
    """Friction, as a factor on that of the road."""

    friction_scale_factor: Double
    wetness: Literal["dry", "moist", "wetWithPuddles", "lowFlooded", "highFlooded"] | None = None
    properties: Properties | None = None


@element
class Environment(Element):
    """What is around: time, weather, road surface."""

    name: str
    time_of_day: TimeOfDay | None = None
    weather: Weather | None = None
    road_condition: RoadCondition | None = None
