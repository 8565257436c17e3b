"""Positions of all kinds, and what they lie on: routes and trajectories.

Lengths in m, angles in rad, times in s, curvatures in 1/m. They stand in one file as they hold each
other: a trajectory is made of positions, and a position can lie on a trajectory.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from proveout.assets.scenario.schema import (
    Any_,
    At,
    Double,
    Element,
    Inside,
    Int,
    UnsignedInt,
    Unsupported,
    element,
)

ReferenceContext = Literal["absolute", "relative"]


@element
class Orientation(Element):
    """Heading, pitch and roll [rad], absolute or relative to the reference."""

    h: Double | None = None
    p: Double | None = None
    r: Double | None = None
    type: ReferenceContext = "absolute"


@element
class WorldPosition(Element):
    """A point of the world's inertial frame [m], with its orientation [rad]."""

    x: Double
    y: Double
    z: Double | None = None
    h: Double | None = None
    p: Double | None = None
    r: Double | None = None


@element
class RelativeWorldPosition(Element):
    """Offsets from an entity along the axes of the world [m]."""

    entity_ref: str
    dx: Double
    dy: Double
    dz: Double | None = None
    orientation: Orientation | None = None


@element
class RelativeObjectPosition(Element):
    """Offsets from an entity along its own axes [m]."""

    entity_ref: str
    dx: Double
    dy: Double
    dz: Double | None = None
    orientation: Orientation | None = None


@element
class RoadPosition(Element):
    """Along and across the reference line of a road [m]."""

    road_id: Any_
    s: Double
    t: Double
    orientation: Orientation | None = None


@element
class RelativeRoadPosition(Element):
    """Offsets from an entity along and across the reference line of its road [m]."""

    entity_ref: str
    ds: Double
    dt: Double
    orientation: Orientation | None = None


@element
class LanePosition(Element):
    """Along a road [m], in a lane of it, beside that lane's centre [m]."""

    road_id: Any_
    lane_id: Any_
    s: Double
    offset: Double | None = None
    orientation: Orientation | None = None


@element
class RelativeLanePosition(Element):
    """Offsets from an entity: lanes, and metres along the road (ds) or along the lane (dsLane)."""

    ONE_OF: ClassVar = ("ds", "ds_lane")
    entity_ref: str
    d_lane: Int
    ds: Double | None = None
    ds_lane: Double | None = None
    offset: Double | None = None
    orientation: Orientation | None = None


@element
class GeoPosition(Element):
    """Latitude and longitude: in rad up to version 1.1, in degrees as latitudeDeg, longitudeDeg."""

    ONE_OF: ClassVar = ("latitude", "latitude_deg")
    latitude: Double | None = None
    longitude: Double | None = None
    height: Double | None = None
    latitude_deg: Double | None = None
    longitude_deg: Double | None = None
    altitude: Double | None = None
    vertical_road_selection: Int | None = None
    orientation: Orientation | None = None


@element
class PositionOfCurrentEntity(Element):
    """Where an entity is on the route."""

    entity_ref: str


@element
class PositionInRoadCoordinates(Element):
    """Along the route and across the road [m]."""

    path_s: Double
    t: Double


@element
class PositionInLaneCoordinates(Element):
    """Along the route [m], in a lane, beside its centre [m]."""

    path_s: Double
    lane_id: Any_
    lane_offset: Double | None = None


@element
class RoutePosition(Element):
    """A place on a route."""

    route: Route
    in_route: Annotated[
        PositionOfCurrentEntity
        | PositionInRoadCoordinates
        | PositionInLaneCoordinates
        | Unsupported,
        Inside("InRoutePosition"),
        At("FromCurrentEntity", "FromRoadCoordinates", "FromLaneCoordinates"),
    ]
    orientation: Orientation | None = None


@element
class TrajectoryPosition(Element):
    """Along a trajectory and beside it [m]."""

    s: Double
    t: Double | None = None
    trajectory: Trajectory
    orientation: Orientation | None = None


AnyPosition = (
    WorldPosition
    | RelativeWorldPosition
    | RelativeObjectPosition
    | RoadPosition
    | RelativeRoadPosition
    | LanePosition
    | RelativeLanePosition
    | RoutePosition
    | GeoPosition
    | TrajectoryPosition
    | Unsupported
)
Position = Annotated[AnyPosition, Inside("Position")]


@element
class Waypoint(Element):
    """A place that a route passes, and how to get there from the one before."""

    position: Position
    route_strategy: Literal["fastest", "leastIntersections", "random", "shortest"]


@element
class Route(Element):
    """Waypoints in their order; a closed one returns to the first."""

    name: str
    closed: bool
    waypoints: Annotated[tuple[Waypoint, ...], At("Waypoint")]


@element
class Vertex(Element):
    """A corner of a polyline, and when to be there [s]."""

    position: Position
    time: Double | None = None


@element
class Polyline(Element):
    """Straight lines from corner to corner."""

    vertices: Annotated[tuple[Vertex, ...], At("Vertex")]


@element
class Clothoid(Element):
    """A spiral: curvature at its start [1/m], its change along the way [1/m²], length [m]."""

    curvature: Double
    curvature_prime: Double | None = None
    curvature_dot: Double | None = None  # its name up to version 1.0
    length: Double
    start_time: Double | None = None
    stop_time: Double | None = None
    position: Position


@element
class ClothoidSplineSegment(Element):
    """A spiral of a spline; without a start of its own it goes on from the one before."""

    curvature_start: Double
    curvature_end: Double
    length: Double
    h_offset: Double | None = None
    time_start: Double | None = None
    position_start: Annotated[AnyPosition | None, Inside("PositionStart")] = None


@element
class ClothoidSpline(Element):
    """Spirals one after the other."""

    time_end: Double | None = None
    segments: Annotated[tuple[ClothoidSplineSegment, ...], At("ClothoidSplineSegment")]


@element
class ControlPoint(Element):
    """A control point of a NURBS, with its weight and when to be there [s]."""

    position: Position
    time: Double | None = None
    weight: Double | None = None


@element
class Knot(Element):
    """A knot of a NURBS."""

    value: Double


@element
class Nurbs(Element):
    """A rational B-spline; a cubic has order 4."""

    order: UnsignedInt
    control_points: Annotated[tuple[ControlPoint, ...], At("ControlPoint")]
    knots: Annotated[tuple[Knot, ...], At("Knot")]


@element
class Trajectory(Element):
    """A path, with or without times."""

    name: str
    closed: bool
    shape: Annotated[Polyline | Clothoid | ClothoidSpline | Nurbs | Unsupported, Inside("Shape")]
