"""Init actions of a scenario over all rows: where entities start, how fast, and who moves them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from proveout.assets.files.errors import ModelError
from proveout.assets.opendrive.road_map import RoadMap
from proveout.assets.scenario.control import (
    ActivateControllerAction,
    ControllerAction,
    VisibilityAction,
)
from proveout.assets.scenario.dynamics import (
    AbsoluteTargetSpeed,
    LongitudinalDistanceAction,
    RelativeTargetSpeed,
    SpeedAction,
    TeleportAction,
)
from proveout.assets.scenario.scenario import Structure
from proveout.assets.scenario.schema import Element
from proveout.assets.scenario.scope import Frame
from proveout.assets.scenario.world_actions import EnvironmentAction
from proveout.envs.driving.bodies import BodyKind, BodyParameters
from proveout.envs.driving.storyboard.places import SUPPORTED, Places, resolve

_KINDS = {
    "bus": BodyKind.BUS, "car": BodyKind.CAR, "van": BodyKind.VAN, "truck": BodyKind.TRUCK,
    "trailer": BodyKind.TRUCK, "semitrailer": BodyKind.TRUCK, "motorbike": BodyKind.MOTORCYCLE,
    "bicycle": BodyKind.BICYCLE, "pedestrian": BodyKind.PEDESTRIAN,
}  # fmt: skip


@dataclass(eq=False)
class Start:
    """How the rows of a structure begin.

    Attributes:
        names: Of the entities, in their order.
        places: By entity; one without a place takes no part.
        speed: Of each entity [m/s], shape (rows,).
        driven: Entities that a driver moves from the start.
        bodies: Of the entities.
        unsupported: What is not run, one sentence each.
    """

    names: tuple[str, ...]
    places: dict[str, Places]
    speed: dict[str, np.ndarray]
    driven: set[str]
    bodies: tuple[BodyParameters, ...]
    unsupported: list[str] = field(default_factory=list)

    def faults(self, rows: int) -> list[str]:
        """Of each row what is wrong with it; empty: nothing."""
        found = [""] * rows
        for place in self.places.values():
            found = [a or str(b) for a, b in zip(found, place.fault, strict=True)]
        return found


def start_of(structure: Structure, frame: Frame, road_map: RoadMap) -> Start:
    """Return how some rows of a structure begin.

    Raises:
        ScenarioError: A number cannot be evaluated for some row.
    """
    objects = structure.entities.objects
    start = Start(
        tuple(one.name for one in objects), {}, {}, set(),
        tuple(_body(one.object, frame) for one in objects),
    )  # fmt: skip
    actions = structure.storyboard.init.actions
    for general in actions.world:
        if not isinstance(general, EnvironmentAction):
            start.unsupported.append(_told(general, "it is not run at the start"))
    todo: list[tuple[str, Any]] = [
        (private.entity_ref, one) for private in actions.private for one in private.actions
    ]
    # What is relative to an entity waits until that is done.
    waiting: list[tuple[str, Any]] = []
    while todo:
        entity, one = todo.pop(0)
        if _ready(one, start):
            _do(start, entity, one, frame, road_map)
            todo, waiting = waiting + todo, []
        else:
            waiting.append((entity, one))
    for entity, one in waiting:
        if isinstance(one, TeleportAction):
            start.places[entity] = resolve(one.position, frame, road_map, start.places)
        else:
            start.unsupported.append(_told(one, "what it is relative to has no start"))
    for name in start.places:
        start.speed.setdefault(name, np.zeros(frame.rows))
    return start


def _ready(one: Any, start: Start) -> bool:
    if isinstance(one, TeleportAction):
        reference = getattr(one.position, "entity_ref", None)
        return reference is None or reference in start.places
    if isinstance(one, SpeedAction):
        reference = getattr(one.target, "entity_ref", None)
        return reference is None or reference in start.speed
    if isinstance(one, LongitudinalDistanceAction):
        return one.entity_ref in start.places and one.entity_ref in start.speed
    return True


def _do(start: Start, entity: str, one: Any, frame: Frame, road_map: RoadMap) -> None:
    if isinstance(one, TeleportAction):
        if isinstance(one.position, SUPPORTED):
            start.places[entity] = resolve(one.position, frame, road_map, start.places)
        else:
            start.unsupported.append(_told(one.position, "no start on it is run"))
    elif isinstance(one, SpeedAction):
        _speed(start, entity, one, frame)
    elif isinstance(one, LongitudinalDistanceAction):
        _distance(start, entity, one, frame, road_map)
    elif isinstance(one, (ControllerAction, ActivateControllerAction)):
        active = one.activate if isinstance(one, ControllerAction) else one
        if active is not None and (active.lateral or active.longitudinal):
            start.driven.add(entity)
    elif not isinstance(one, VisibilityAction):
        start.unsupported.append(_told(one, "it is not run at the start"))


def _speed(start: Start, entity: str, one: SpeedAction, frame: Frame) -> None:
    target = one.target
    if one.dynamics.dynamics_shape != "step":
        start.unsupported.append(_told(one, "at the start only a step is run"))
    if isinstance(target, AbsoluteTargetSpeed):
        start.speed[entity] = np.array(target.value.over(frame), float)
        return
    if not isinstance(target, RelativeTargetSpeed):
        start.unsupported.append(_told(target, "it is not run"))
        return
    other, value = start.speed[target.entity_ref], np.array(target.value.over(frame), float)
    factor = target.speed_target_value_type == "factor"
    start.speed[entity] = other * value if factor else other + value
    if target.continuous:
        start.unsupported.append(_told(one, "a continuous one is not run"))


def _distance(
    start: Start, entity: str, one: LongitudinalDistanceAction, frame: Frame, road_map: RoadMap
) -> None:
    """Put an entity at its distance at once, as one without constraints has it."""
    place, other = start.places.get(entity), start.places.get(one.entity_ref)
    if one.continuous or one.constraints is not None or place is None or other is None:
        start.unsupported.append(
            _told(one, "it is run at the start only, not continuous and without constraints")
        )
        return
    ahead = -1.0 if one.displacement == "trailingReferencedEntity" else 1.0
    if one.displacement in (None, "any"):
        ahead = np.where(place.arc >= other.arc, 1.0, -1.0)  # type: ignore[assignment]
    if one.distance is not None:
        gap = np.array(one.distance.over(frame), float)
    else:
        assert one.time_gap is not None
        # The time that who is behind takes.
        own, theirs = start.speed.get(entity, np.zeros(frame.rows)), start.speed[one.entity_ref]
        gap = np.array(one.time_gap.over(frame), float) * np.where(ahead > 0, theirs, own)
    if one.freespace:
        body, their = (
            start.bodies[start.names.index(name)] for name in (entity, one.entity_ref)
        )  # fmt: skip
        lengths = 0.5 * (body.length + their.length)
        gap = gap + lengths + ahead * (their.rear_axle_to_centre - body.rear_axle_to_centre)
    travel = np.array([road_map.origins[max(k, 0)].travel for k in other.network_lane])
    s = other.s + travel * ahead * gap
    for k in np.flatnonzero(place.fault == ""):
        road, lane = str(other.road[k]), int(place.lane[k])
        try:
            pose = road_map.lane_pose(road, lane, float(s[k]), float(place.offset[k]))
            place.network_lane[k], place.arc[k] = road_map.network_lane(road, lane, float(s[k]))
        except ModelError as error:
            place.fault[k] = str(one.place.error(f"{error} So it is off the road."))
            continue
        place.x[k], place.y[k], place.s[k] = pose.x, pose.y, s[k]
        place.heading[k] = pose.heading + (0.0 if travel[k] > 0 else np.pi)


def _body(thing: Any, frame: Frame) -> BodyParameters:
    box = getattr(thing, "bounding_box", None)
    if box is None:
        return BodyParameters()
    size = [
        float(np.ravel(value.over(frame))[0])
        for value in (
            box.dimensions.length, box.dimensions.width, box.dimensions.height, box.center.x
        )
    ]  # fmt: skip
    category = getattr(thing, "vehicle_category", None)
    if category is None:
        category = "pedestrian" if hasattr(thing, "pedestrian_category") else "truck"
    length, width, height = (max(v, 1e-3) for v in size[:3])
    return dataclasses.replace(
        BodyParameters(), kind=_KINDS.get(category, BodyKind.TRUCK), length=length, width=width,
        height=height, rear_axle_to_centre=size[3],
    )  # fmt: skip


def _told(element: Element, why: str) -> str:
    return str(element.place.error(f"{why}."))
