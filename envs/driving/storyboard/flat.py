"""A `Program` as arrays of a device: what its tests and actions are, and what of it is not run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import warp as wp

from proveout.assets.files.errors import ModelError
from proveout.assets.opendrive.road_map import RoadMap
from proveout.envs.driving.storyboard.arrays import Act, Along, Script, Test
from proveout.envs.driving.storyboard.conditions import matches
from proveout.envs.driving.storyboard.program import Program
from proveout.envs.driving.storyboard.tables import NOTHING, Table

_TIME = 1e-9  # s
_INSTANT = frozenset({"VisibilityAction", "EnvironmentAction", "SetMonitorAction"})
# Places in the standard's lists.
_ENTITY_AXES, _LANE_AXES, _ROAD_AXES = 0, 1, 2
_LATERAL, _LONGITUDINAL = 0, 1
_LINEAR = 1


class Flat:
    """Tests and actions of a program, flat.

    Args:
        program: The storyboard.
        road_map: That places of conditions lie on.
        dt: Physics step [s].

    Attributes:
        unsupported: What is not run: a class of the standard and why, one sentence each.
    """

    def __init__(self, program: Program, road_map: RoadMap, dt: float) -> None:
        self.program = program
        self.tables = program.tables
        self.map = road_map
        self.dt = dt
        self.unsupported: list[str] = []
        self.matches: list[int] = []
        self.rows = self.tables.rows

    def script(self, ego: int, device: Any) -> Script:
        """Return the arrays.

        Args:
            ego: Number of the entity that is tested.
            device: Where they lie.
        """
        program = self.program
        tests = [self._test(int(t), int(k), int(e)) for t, k, e in zip(
            program.test_table, program.test_line, program.test_entity, strict=True)]  # fmt: skip
        actions = [self._action(int(t), int(k)) for t, k in zip(
            program.action_table, program.action_line, strict=True)]  # fmt: skip
        if program.select_triggering.any():
            self._leave("Actors", "that are chosen by who triggers are not run")
        out = Script()
        delay = np.ceil((program.delay - _TIME) / self.dt).clip(0).astype(np.int32)
        longest = delay.max(0) if delay.size else np.zeros(0, np.int32)
        sizes = np.where(longest > 0, longest + 1, 0)
        order, behind = _nested(program)

        def put(name: str, values: Any, dtype: Any = int) -> None:
            array = np.ascontiguousarray(values, np.int32 if dtype is int else np.float64)
            if not array.size:  # no array of a kernel may be empty
                array = np.zeros(tuple(max(1, size) for size in array.shape), array.dtype)
            setattr(out, name, wp.array(array, dtype=dtype, device=device))

        for name in (
            "kind", "parent", "first_child", "children", "maximum", "priority", "start_trigger",
            "stop_trigger", "group_first", "group_count", "condition_first", "condition_count",
            "edge", "test_first", "test_count", "test_entity", "actor_first", "actor_count",
        ):  # fmt: skip
            put(name, getattr(program, name))
        put("rule", program.condition_rule)
        put("order", order)
        put("behind", behind)
        put("delay", delay)
        put("ring", np.concatenate([[0], np.cumsum(sizes)[:-1]]) if len(sizes) else [0])
        put("ring_size", np.maximum(sizes, 1))
        put("actor", program.actors)
        put("test_kind", [kind for kind, _i, _n in tests])
        put("test_integer", [i for _k, i, _n in tests] or [[0] * 4])
        put("test_number", self._stack([n for _k, _i, n in tests]), wp.float64)
        put("match", self.matches or [0])
        put("action_kind", [kind for kind, _i, _n in actions])
        put("action_integer", [i for _k, i, _n in actions] or [[0] * 4])
        put("action_number", self._stack([n for _k, _i, n in actions]), wp.float64)
        put("lane_number", [origin.lane for origin in self.map.origins])
        put("lane_travel", [origin.travel for origin in self.map.origins])
        out.agents, out.ego = len(self.tables.entities), ego
        out.variables = max(1, len(program.variables))
        out.dt = self.dt
        self.ring_total = max(1, int(sizes.sum()))
        return out

    def last_time(self) -> np.ndarray:
        """The last time that a condition waits for, of each row [s]."""
        last = np.zeros(self.rows)
        own = self.tables.tables.get("SimulationTimeCondition")
        if own is not None and len(own.integers):
            for line in range(len(own.integers)):
                last = np.maximum(last, np.nan_to_num(self._column(own, line, "value")))
        return last

    def values(self) -> np.ndarray:
        """Variables at the start, (rows, variables)."""
        out = np.zeros((self.rows, max(1, len(self.program.variables))))
        for line in range(len(self.program.variables)):
            out[:, line] = self._any(self.tables.tables["VariableDeclaration"], line)
        return out

    def _leave(self, what: str, why: str) -> None:
        told = f"{what}: {why}"
        if told not in self.unsupported:
            self.unsupported.append(told)

    def _stack(self, lines: Sequence[Sequence[Any]]) -> np.ndarray:
        """Numbers of lines, each a value or one a row, as (rows or 1, lines, 3)."""
        rows = max((np.size(v) for line in lines for v in line), default=1)
        out = np.zeros((rows, max(1, len(lines)), 3))
        for i, line in enumerate(lines):
            for j, value in enumerate(line):
                out[:, i, j] = value
        return out

    def _column(self, table: Table, line: int, name: str) -> np.ndarray:
        return table.numbers[:, line, table.number_names.index(name)]

    def _any(self, table: Table, line: int) -> np.ndarray:
        """A number, or a truth as one; texts are not run."""
        numbers = self._column(table, line, "value")
        text = table.integer(line, "value.text")
        if text == NOTHING or not np.isnan(numbers).any():
            return numbers
        told = self.tables.texts[text]
        if told not in ("true", "false"):
            self._leave("variables", "texts are not run")
        return np.full(1, float(told == "true"))

    # Tests --------------------------------------------------------------------------------------

    def _test(self, table: int, line: int, entity: int) -> tuple[int, list[int], list[Any]]:
        name = self.tables.names[table]
        own = self.tables.tables[name]
        known: dict[str, Callable[[Table, int], tuple[int, list[int], list[Any]]]] = {
            "SimulationTimeCondition": lambda t, k: self._ruled(Test.TIME, t, k),
            "StoryboardElementStateCondition": self._state,
            "VariableCondition": lambda t, k: self._variable(t, k, "variable"),
            "ParameterCondition": lambda t, k: self._variable(t, k, "parameter"),
            "SpeedCondition": lambda t, k: self._ruled(Test.SPEED, t, k),
            "AccelerationCondition": lambda t, k: self._ruled(Test.ACCELERATION, t, k),
            "RelativeSpeedCondition": lambda t, k: self._ruled(Test.RELATIVE_SPEED, t, k),
            "RelativeDistanceCondition": lambda t, k: self._ruled(Test.DISTANCE_TO, t, k),
            "TimeHeadwayCondition": lambda t, k: self._ruled(Test.TIME_HEADWAY, t, k),
            "TimeToCollisionCondition": self._time_to_collision,
            "DistanceCondition": lambda t, k: self._place(Test.DISTANCE_TO_PLACE, t, k),
            "ReachPositionCondition": lambda t, k: self._place(Test.DISTANCE_TO_PLACE, t, k),
            "TraveledDistanceCondition": lambda t, k: (
                Test.TRAVELED, [0] * 4, [self._column(t, k, "value")]
            ),
            "StandStillCondition": lambda t, k: (
                Test.STANDSTILL, [0] * 4, [self._column(t, k, "duration")]
            ),
            "CollisionCondition": self._collision,
        }  # fmt: skip
        if name not in known:
            self._leave(name, "it is not run")
            return Test.TIME, [1, 0, 0, 0], [math.inf]  # never holds
        kind, integers, numbers = known[name](own, line)
        if "direction" in own.integer_names and own.integer(line, "direction") not in (-1, 0):
            self._leave(name, "only its longitudinal direction is run")
        return int(kind), integers, numbers

    def _ruled(self, kind: Test, own: Table, line: int) -> tuple[int, list[int], list[Any]]:
        entity = own.integer(line, "entity_ref") if "entity_ref" in own.integer_names else NOTHING
        freespace, along = self._measure(own, line)
        integers = [own.integer(line, "rule"), entity, freespace, along]
        return kind, integers, [self._column(own, line, "value")]

    def _measure(self, own: Table, line: int) -> tuple[int, int]:
        """Whether bounding boxes count, and an `Along`."""
        names = own.integer_names
        freespace = int("freespace" in names and own.integer(line, "freespace") == 1)
        if "relative_distance_type" not in names:
            return freespace, int(Along.STRAIGHT)
        kind = own.integer(line, "relative_distance_type")
        axes = own.integer(line, "coordinate_system")
        if kind not in (_LATERAL, _LONGITUDINAL, NOTHING):
            return freespace, int(Along.STRAIGHT)
        if kind == NOTHING:
            # Up to version 1.0 a condition says whether the route counts.
            told = "along_route" in names and own.integer(line, "along_route") == 1
            return freespace, int(Along.ROAD if told else Along.STRAIGHT)
        if axes in (_LANE_AXES, _ROAD_AXES):
            if kind == _LATERAL:
                self._leave("lateral distances", "they are run along the axes of entities only")
            return freespace, int(Along.ROAD)
        if axes not in (_ENTITY_AXES, NOTHING):
            self._leave("coordinate systems", "those of trajectories and the world are not run")
        return freespace, int(Along.LATERAL if kind == _LATERAL else Along.LONGITUDINAL)

    def _state(self, own: Table, line: int) -> tuple[int, list[int], list[Any]]:
        transition, wanted, elements = matches(self.program, line)
        first = len(self.matches)
        self.matches += elements
        return Test.STATE, [first, len(elements), int(transition), wanted], []

    def _variable(self, own: Table, line: int, prefix: str) -> tuple[int, list[int], list[Any]]:
        number = self._variable_number(own, line, prefix)
        return Test.VARIABLE, [own.integer(line, "rule"), number, 0, 0], [self._any(own, line)]

    def _variable_number(self, own: Table, line: int, prefix: str) -> int:
        text = self.tables.texts[own.integer(line, f"{prefix}_ref")].lstrip("$")
        return self.program.variables.index(f"{prefix}:{text}")

    def _time_to_collision(self, own: Table, line: int) -> tuple[int, list[int], list[Any]]:
        inner = self.tables.tables["TimeToCollisionConditionTarget"]
        at = own.integer(line, "target.line")
        entity = NOTHING
        if inner.integer(at, "entity.table") == NOTHING:
            self._leave("TimeToCollisionCondition", "only of an entity is it run")
        else:
            reference = self.tables.tables["EntityRef"]
            entity = reference.integer(inner.integer(at, "entity.line"), "entity_ref")
        freespace, along = self._measure(own, line)
        integers = [own.integer(line, "rule"), max(entity, 0), freespace, along]
        return Test.TIME_TO_COLLISION, integers, [self._column(own, line, "value")]

    def _collision(self, own: Table, line: int) -> tuple[int, list[int], list[Any]]:
        entity = 0
        if self.tables.names[own.integer(line, "target.table")] != "EntityRef":
            self._leave("CollisionCondition", "only with an entity is it run")
        else:
            entity = self.tables.tables["EntityRef"].integer(
                own.integer(line, "target.line"), "entity_ref"
            )
        return Test.COLLISION, [0, entity, 0, 0], []

    def _place(self, kind: Test, own: Table, line: int) -> tuple[int, list[int], list[Any]]:
        name = self.tables.names[own.integer(line, "position.table")]
        at = own.integer(line, "position.line")
        x, y = np.zeros(self.rows), np.zeros(self.rows)
        try:
            place = self.tables.tables[name]
            if name == "WorldPosition":
                x, y = self._column(place, at, "x"), self._column(place, at, "y")
            elif name == "LanePosition":
                x, y = self._lane_place(place, at)
            else:
                self._leave(f"conditions on a {name}", "it is run as a start only")
        except ModelError as error:
            self._leave(f"a condition's {name}", str(error))
        x, y = x - self.map.origin[0], y - self.map.origin[1]
        if "tolerance" in own.number_names:
            return (
                kind,
                [4, 0, 0, int(Along.STRAIGHT)],
                [self._column(own, line, "tolerance"), x, y],
            )
        freespace, along = self._measure(own, line)
        if along == Along.ROAD:
            self._leave("DistanceCondition", "along the road it is not run")
        integers = [own.integer(line, "rule"), 0, freespace, along]
        return kind, integers, [self._column(own, line, "value"), x, y]

    def _lane_place(self, place: Table, at: int) -> tuple[np.ndarray, np.ndarray]:
        def told(name: str) -> Any:
            text = place.integer(at, f"{name}.text")
            values = self._column(place, at, name)
            return [self.tables.texts[text]] if text != NOTHING else [f"{v:g}" for v in values]

        s, offset = self._column(place, at, "s"), self._column(place, at, "offset")
        columns = np.broadcast_arrays(
            told("road_id"), np.array(told("lane_id"), float), s, np.nan_to_num(offset)
        )
        poses = [
            self.map.lane_pose(str(road), int(lane), float(along), float(left))
            for road, lane, along, left in zip(*columns, strict=True)
        ]
        return np.array([p.x for p in poses]), np.array([p.y for p in poses])

    # Actions ------------------------------------------------------------------------------------

    def _action(self, table: int, line: int) -> tuple[int, list[int], list[Any]]:
        if table == NOTHING:
            return Act.INSTANT, [0] * 4, []
        name = self.tables.names[table]
        own = self.tables.tables[name]
        known: dict[str, Callable[[Table, int], tuple[int, list[int], list[Any]]]] = {
            "SpeedAction": self._speed, "LaneChangeAction": self._lane_change,
            "LaneOffsetAction": self._lane_offset, "ControllerAction": self._controller,
            "ActivateControllerAction": self._activate,
            "VariableAction": lambda t, k: self._set(t, k, "variable"),
            "ParameterAction": lambda t, k: self._set(t, k, "parameter"),
        }  # fmt: skip
        if name in known:
            kind, integers, numbers = known[name](own, line)
            return int(kind), integers, numbers
        if name not in _INSTANT:
            self._leave(name, "it is not run")
        return Act.INSTANT, [0] * 4, []

    def _dynamics(self, own: Table, line: int) -> tuple[list[int], Any]:
        inner = self.tables.tables["TransitionDynamics"]
        at = own.integer(line, "dynamics.line")
        shape, dimension = (
            inner.integer(at, "dynamics_shape"), inner.integer(at, "dynamics_dimension")
        )  # fmt: skip
        return [shape, dimension], self._column(inner, at, "value")

    def _target(self, own: Table, line: int) -> tuple[str, Table, int]:
        name = self.tables.names[own.integer(line, "target.table")]
        return name, self.tables.tables[name], own.integer(line, "target.line")

    def _speed(self, own: Table, line: int) -> tuple[int, list[int], list[Any]]:
        integers, dynamics = self._dynamics(own, line)
        name, inner, at = self._target(own, line)
        entity, factor = NOTHING, 0
        if name == "RelativeTargetSpeed":
            entity = inner.integer(at, "entity_ref")
            factor = inner.integer(at, "speed_target_value_type")
            if inner.integer(at, "continuous") == 1:
                self._leave("SpeedAction", "a continuous one is not run")
        elif name != "AbsoluteTargetSpeed":
            self._leave(name, "it is not run")
            return Act.INSTANT, [0] * 4, []
        return Act.SPEED, [*integers, entity, factor], [dynamics, self._column(inner, at, "value")]

    def _lane_change(self, own: Table, line: int) -> tuple[int, list[int], list[Any]]:
        integers, dynamics = self._dynamics(own, line)
        name, inner, at = self._target(own, line)
        if name not in ("RelativeTargetLane", "AbsoluteTargetLane"):
            self._leave(name, "it is not run")
            return Act.INSTANT, [0] * 4, []
        entity = inner.integer(at, "entity_ref") if name == "RelativeTargetLane" else NOTHING
        value = self._column(inner, at, "value")
        if name == "AbsoluteTargetLane" and np.isnan(value).any():
            value = np.full(1, float(self.tables.texts[inner.integer(at, "value.text")]))
        offset = np.nan_to_num(self._column(own, line, "target_lane_offset"))
        return Act.LANE, [*integers, entity, 0], [dynamics, value, offset]

    def _lane_offset(self, own: Table, line: int) -> tuple[int, list[int], list[Any]]:
        inner = self.tables.tables["LaneOffsetActionDynamics"]
        at = own.integer(line, "dynamics.line")
        shape = inner.integer(at, "dynamics_shape")
        strongest = self._column(inner, at, "max_lateral_acc")
        name, target, place = self._target(own, line)
        if name != "AbsoluteTargetLaneOffset":
            self._leave(name, "it is not run")
            return Act.INSTANT, [0] * 4, []
        if own.integer(line, "continuous") == 1:
            self._leave("LaneOffsetAction", "a continuous one is not run")
        if shape == _LINEAR and not np.isnan(strongest).all():
            self._leave("LaneOffsetAction", "a linear one has no highest lateral acceleration")
        numbers = [np.nan_to_num(strongest), self._column(target, place, "value")]
        return Act.OFFSET, [shape, 0, NOTHING, 0], numbers

    def _controller(self, own: Table, line: int) -> tuple[int, list[int], list[Any]]:
        if own.integer(line, "override.table") != NOTHING:
            self._leave("OverrideControllerValueAction", "it is not run")
        if own.integer(line, "activate.table") != NOTHING:
            inner = self.tables.tables["ActivateControllerAction"]
            return self._activate(inner, own.integer(line, "activate.line"))
        inner = self.tables.tables["AssignControllerAction"]
        at = own.integer(line, "assign.line")
        names = ("activate_lateral", "activate_longitudinal")
        return Act.CONTROLLER, [*(inner.integer(at, name) for name in names), 0, 0], []

    def _activate(self, own: Table, line: int) -> tuple[int, list[int], list[Any]]:
        both = [own.integer(line, name) for name in ("lateral", "longitudinal")]
        if NOTHING not in both and both[0] != both[1]:
            self._leave("ActivateControllerAction", "of one domain alone it is not run")
        return Act.CONTROLLER, [*both, 0, 0], []

    def _set(self, own: Table, line: int, prefix: str) -> tuple[int, list[int], list[Any]]:
        number = self._variable_number(own, line, prefix)
        kind = self.tables.names[own.integer(line, "change.table")]
        inner, at = self.tables.tables[kind], own.integer(line, "change.line")
        if kind.endswith("SetAction"):
            return Act.SET, [number, 0, 0, 0], [self._any(inner, at)]
        rule = self.tables.names[inner.integer(at, "rule.table")]
        by = self._column(self.tables.tables[rule], inner.integer(at, "rule.line"), "value")
        return (Act.ADD if "AddValue" in rule else Act.MULTIPLY), [number, 0, 0, 0], [by]


def _nested(program: Program) -> tuple[np.ndarray, np.ndarray]:
    """Of each element its place when each stands before what it holds, and that behind it."""
    order = np.zeros(len(program.kind), np.int32)
    behind = np.zeros(len(program.kind), np.int32)

    def visit(element: int, at: int) -> int:
        order[element] = at
        at += 1
        first = int(program.first_child[element])
        for child in range(first, first + int(program.children[element])):
            at = visit(child, at)
        behind[element] = at
        return at

    visit(0, 0)
    return order, behind
