"""Entities: vehicles, pedestrians, objects, their controllers, and groups of them.

Lengths in m, masses in kg, speeds in m/s.
"""

from __future__ import annotations

from typing import Annotated, Literal

from proveout.assets.scenario.schema import (
    Any_,
    At,
    Double,
    Element,
    Inside,
    Unsupported,
    element,
)

VehicleCategory = Literal[
    "bicycle", "bus", "car", "motorbike", "semitrailer", "trailer", "train", "tram", "truck", "van"
]
Role = Literal[
    "none", "ambulance", "civil", "fire", "military", "police", "publicTransport", "roadAssistance"
]  # fmt: skip
ObjectType = Literal["miscellaneous", "pedestrian", "vehicle", "external"]


@element
class Property(Element):
    """A name and a value whose meaning is agreed elsewhere."""

    name: str
    value: Any_


@element
class File(Element):
    """A path, relative to the file that names it."""

    filepath: str


@element
class CustomContent(Element):
    """Text whose meaning is agreed elsewhere."""


@element
class Properties(Element):
    """Names and values, files and texts whose meaning is agreed elsewhere."""

    properties: Annotated[tuple[Property, ...], At("Property")]
    files: Annotated[tuple[File, ...], At("File")]
    contents: Annotated[tuple[CustomContent, ...], At("CustomContent")]


@element
class Center(Element):
    """Centre of a box from the reference point of its entity [m]."""

    x: Double
    y: Double
    z: Double


@element
class Dimensions(Element):
    """Size of a box [m]."""

    height: Double
    length: Double
    width: Double


@element
class BoundingBox(Element):
    """A box along the axes of its entity."""

    center: Center
    dimensions: Dimensions


@element
class Performance(Element):
    """Highest speed [m/s], acceleration and braking [m/s²], and their rates [m/s³]."""

    max_speed: Double
    max_acceleration: Double
    max_deceleration: Double
    max_acceleration_rate: Double | None = None
    max_deceleration_rate: Double | None = None


@element
class Axle(Element):
    """An axle: steering angle [rad], place, track and wheel [m]."""

    max_steering: Double
    position_x: Double
    position_z: Double
    track_width: Double
    wheel_diameter: Double


@element
class Axles(Element):
    """Axles of a vehicle."""

    front_axle: Annotated[Axle | None, At("FrontAxle")] = None
    rear_axle: Annotated[Axle, At("RearAxle")]
    additional_axles: Annotated[tuple[Axle, ...], At("AdditionalAxle")] = ()


@element
class TrailerHitch(Element):
    """Where a trailer is hung on [m]."""

    dx: Double
    dz: Double | None = None


@element
class TrailerCoupler(Element):
    """Where a trailer hangs on [m]."""

    dx: Double
    dz: Double | None = None


@element
class EntityRef(Element):
    """An entity by its name."""

    entity_ref: str


@element
class Trailer(Element):
    """A trailer, or the name of one."""

    trailer: Annotated[ScenarioObject | EntityRef | Unsupported, At("Trailer", "TrailerRef")]


@element
class Vehicle(Element):
    """A vehicle."""

    name: str
    vehicle_category: VehicleCategory
    role: Role = "none"
    mass: Double | None = None
    model3d: str | None = None
    bounding_box: BoundingBox
    performance: Performance
    axles: Axles
    properties: Properties | None = None
    trailer_hitch: TrailerHitch | None = None
    trailer_coupler: TrailerCoupler | None = None
    trailer: Trailer | None = None


@element
class Pedestrian(Element):
    """A pedestrian or an animal."""

    name: str
    pedestrian_category: Literal["animal", "pedestrian", "wheelchair"]
    mass: Double
    model: str | None = None
    model3d: str | None = None
    role: Role = "none"
    bounding_box: BoundingBox
    properties: Properties | None = None


@element
class MiscObject(Element):
    """Anything else that stands about."""

    name: str
    misc_object_category: Literal[
        "barrier", "building", "crosswalk", "gantry", "none", "obstacle", "parkingSpace", "patch",
        "pole", "railing", "roadMark", "soundBarrier", "streetLamp", "trafficIsland", "tree",
        "vegetation", "wind",
    ]  # fmt: skip
    mass: Double
    model3d: str | None = None
    bounding_box: BoundingBox
    properties: Properties | None = None


@element
class ExternalObjectReference(Element):
    """An entity that another program knows."""

    name: str


@element
class Controller(Element):
    """What drives an entity."""

    name: str
    controller_type: (
        Literal["lateral", "longitudinal", "lighting", "animation", "movement", "appearance", "all"]
        | None
    ) = None
    properties: Properties | None = None


@element
class ObjectController(Element):
    """A controller that an entity has from the start."""

    name: str | None = None
    controller: Controller


@element
class ScenarioObject(Element):
    """An entity."""

    name: str
    object: Annotated[
        Vehicle | Pedestrian | MiscObject | ExternalObjectReference | Unsupported,
        At("Vehicle", "Pedestrian", "MiscObject", "ExternalObjectReference"),
    ]
    controllers: Annotated[tuple[ObjectController, ...], At("ObjectController")] = ()


@element
class ByType(Element):
    """All entities of a kind."""

    object_type: ObjectType


@element
class EntitySelection(Element):
    """A group of entities by name or by kind."""

    name: str
    members: Annotated[tuple[EntityRef | ByType, ...], Inside("Members")]


@element
class Entities(Element):
    """Who takes part."""

    objects: Annotated[tuple[ScenarioObject, ...], At("ScenarioObject")]
    selections: Annotated[tuple[EntitySelection, ...], At("EntitySelection")] = ()
