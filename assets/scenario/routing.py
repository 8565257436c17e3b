"""Actions that give an entity a route or a trajectory."""

from __future__ import annotations

from typing import Annotated

from proveout.assets.scenario.dynamics import FollowingMode
from proveout.assets.scenario.positions import Position, ReferenceContext, Route, Trajectory
from proveout.assets.scenario.schema import (
    At,
    Double,
    Element,
    Inside,
    Unsupported,
    element,
)


@element
class Timing(Element):
    """Times of a trajectory: absolute or from the start of the action, scaled and shifted [s]."""

    domain_absolute_relative: ReferenceContext
    offset: Double
    scale: Double


class NoTiming(Element):
    """`None` of the standard: the times of a trajectory are not kept."""


@element
class TrajectoryFollowingMode(Element):
    """Whether the path is driven along (follow) or jumped along (position)."""

    following_mode: FollowingMode


@element
class FollowTrajectoryAction(Element):
    """Follows a trajectory, from a distance along it [m]."""

    initial_distance_offset: Double | None = None
    trajectory: Trajectory
    time_reference: Annotated[
        NoTiming | Timing | Unsupported, Inside("TimeReference"), At("None", "Timing")
    ]
    mode: Annotated[TrajectoryFollowingMode, At("TrajectoryFollowingMode")]


@element
class AssignRouteAction(Element):
    """Gives a route."""

    route: Route


@element
class AcquirePositionAction(Element):
    """Makes a route to a position."""

    position: Position
