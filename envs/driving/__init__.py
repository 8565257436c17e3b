"""Road worlds: our own kernels, and their tasks."""

from proveout.envs.driving.bodies import BodyKind, BodyParameters
from proveout.envs.driving.drivers.table import DriverKind
from proveout.envs.driving.observe import lane_gaps, nearest
from proveout.envs.driving.road import (
    Road,
    body_of,
    heading_error,
    lateral_acceleration,
    place_agent,
    relative_to,
    set_driver,
    vehicle_of,
)
from proveout.envs.driving.task import RoadRandomization, RoadTask

__all__ = [
    "BodyKind",
    "BodyParameters",
    "DriverKind",
    "Road",
    "RoadRandomization",
    "RoadTask",
    "body_of",
    "heading_error",
    "lane_gaps",
    "lateral_acceleration",
    "nearest",
    "place_agent",
    "relative_to",
    "set_driver",
    "vehicle_of",
]
