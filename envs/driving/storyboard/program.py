"""A storyboard as a program: its elements, triggers and conditions in flat arrays.

Elements stand level by level, so that children of one stand one after the other and behind it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from proveout.assets.scenario.conditions import ByEntityCondition, Condition, Trigger
from proveout.assets.scenario.references import walk
from proveout.assets.scenario.scenario import Structure, VariableDeclaration
from proveout.assets.scenario.schema import Element, Unsupported
from proveout.assets.scenario.scope import Frame, Value
from proveout.assets.scenario.storyboard import (
    Act,
    Action,
    Event,
    Maneuver,
    ManeuverGroup,
    Story,
    Storyboard,
)
from proveout.envs.driving.storyboard.tables import NOTHING, Builder, Tables

KINDS = ("storyboard", "story", "act", "maneuverGroup", "maneuver", "event", "action")
STORYBOARD, STORY, ACT, GROUP, MANEUVER, EVENT, ACTION = range(7)
PRIORITIES = ("override", "parallel", "skip")
OVERRIDE, PARALLEL, SKIP = range(3)
EDGES = ("none", "rising", "falling", "risingOrFalling")
NONE, RISING, FALLING, EITHER = range(4)
ANY, ALL = range(2)


@dataclass(frozen=True, eq=False)
class Program:
    """A storyboard of one structure, for some rows.

    Attributes:
        kind: Of each element, a place in `KINDS`, shape (elements,).
        parent: Of each element; `NOTHING` for the storyboard.
        first_child, children: Of each element, where its children stand.
        maximum: How often an element runs, shape (rows or 1, elements).
        priority: Of events, a place in `PRIORITIES`.
        start_trigger, stop_trigger: Of each element; `NOTHING`: none.
        names: Of the elements.
        group_first, group_count: Condition groups of each trigger, shape (triggers,).
        condition_first, condition_count: Conditions of each group, shape (groups,).
        edge: Of each condition, a place in `EDGES`, shape (conditions,).
        delay: Of each condition [s], shape (rows or 1, conditions).
        condition_rule: Whether any or all of a condition's entities count, `ANY` or `ALL`.
        test_first, test_count: Tests of each condition, shape (conditions,): one for each entity.
        test_entity: Of which entity a test asks, shape (tests,); `NOTHING`: of none.
        test_table, test_line: What it asks, in `tables`.
        action_table, action_line: What an element does, in `tables`; `NOTHING` but for actions.
        actor_first, actor_count: Entities that act, of each element, in `actors`.
        actors: Entities.
        select_triggering: Whether the entities that triggered an event act too, of each element.
        init_entity, init_table, init_line: Actions of the start; `NOTHING` as entity: of the world.
        variables: Variables and the parameters that the storyboard names, as "variable:NAME" and
            "parameter:NAME"; their values at the start are the lines of "VariableDeclaration".
        tables: What actions and tests hold.
        unsupported: Elements (by number) and tests that could not be read.
    """

    kind: np.ndarray
    parent: np.ndarray
    first_child: np.ndarray
    children: np.ndarray
    maximum: np.ndarray
    priority: np.ndarray
    start_trigger: np.ndarray
    stop_trigger: np.ndarray
    names: tuple[str, ...]
    group_first: np.ndarray
    group_count: np.ndarray
    condition_first: np.ndarray
    condition_count: np.ndarray
    edge: np.ndarray
    delay: np.ndarray
    condition_rule: np.ndarray
    test_first: np.ndarray
    test_count: np.ndarray
    test_entity: np.ndarray
    test_table: np.ndarray
    test_line: np.ndarray
    action_table: np.ndarray
    action_line: np.ndarray
    actor_first: np.ndarray
    actor_count: np.ndarray
    actors: np.ndarray
    select_triggering: np.ndarray
    init_entity: np.ndarray
    init_table: np.ndarray
    init_line: np.ndarray
    variables: tuple[str, ...]
    tables: Tables
    unsupported: tuple[Element, ...]


def compile_storyboard(structure: Structure, frame: Frame) -> Program:
    """Return a storyboard as arrays, with the numbers of some rows.

    Args:
        structure: Of the scenario.
        frame: Values of the rows, all of this structure.

    Raises:
        ScenarioError: A number cannot be evaluated for some row.
    """
    return _Compiler(structure, frame).compile()


class _Compiler:
    def __init__(self, structure: Structure, frame: Frame) -> None:
        self.frame = frame
        self.structure = structure
        self.storyboard = structure.storyboard
        self.entities = [one.name for one in structure.entities.objects]
        self.groups = {
            one.name: [e for m in one.members if (e := getattr(m, "entity_ref", None))]
            for one in structure.entities.selections
        }
        self.builder = Builder(frame, self.entities)
        self.triggers: list[tuple[int, int]] = []
        self.condition_groups: list[tuple[int, int]] = []
        self.conditions: list[tuple[int, int, int, int]] = []
        self.delays: list[Value | None] = []
        self.tests: list[tuple[int, int, int]] = []
        self.unsupported: list[Element] = []

    def compile(self) -> Program:
        elements, parents, first, count = self._levels()
        start = [self._trigger(getattr(one, "start_trigger", None)) for one in elements]
        stop = [self._trigger(getattr(one, "stop_trigger", None)) for one in elements]
        counts = [getattr(one, "maximum_execution_count", None) for one in elements]
        actions = [self._action(one) for one in elements]
        actors, spans, select = self._actors(elements, parents)
        init = self._init()
        variables = self._variables()
        return Program(
            kind=_ints(_kind(one) for one in elements), parent=_ints(parents),
            first_child=_ints(first), children=_ints(count),
            maximum=self._numbers(counts, 1.0).astype(np.int64),
            priority=_ints(_priority(one) for one in elements),
            start_trigger=_ints(start), stop_trigger=_ints(stop),
            names=tuple(getattr(one, "name", "") for one in elements),
            group_first=_column(self.triggers, 0), group_count=_column(self.triggers, 1),
            condition_first=_column(self.condition_groups, 0),
            condition_count=_column(self.condition_groups, 1),
            edge=_column(self.conditions, 0), delay=self._numbers(self.delays, 0.0),
            condition_rule=_column(self.conditions, 1),
            test_first=_column(self.conditions, 2), test_count=_column(self.conditions, 3),
            test_entity=_column(self.tests, 0), test_table=_column(self.tests, 1),
            test_line=_column(self.tests, 2), action_table=_column(actions, 0),
            action_line=_column(actions, 1), actor_first=_column(spans, 0),
            actor_count=_column(spans, 1), actors=_ints(actors), select_triggering=_ints(select),
            init_entity=_column(init, 0), init_table=_column(init, 1), init_line=_column(init, 2),
            variables=variables, tables=self.builder.build(), unsupported=tuple(self.unsupported),
        )  # fmt: skip

    def _levels(self) -> tuple[list[Element], list[int], list[int], list[int]]:
        """Elements level by level, with their parents and where their children stand."""
        elements: list[Element] = [self.storyboard]
        parents, first, count = [NOTHING], [], []
        at = 0
        while at < len(elements):
            inner = _children(elements[at])
            first.append(len(elements))
            count.append(len(inner))
            parents += [at] * len(inner)
            elements += inner
            at += 1
        return elements, parents, first, count

    def _trigger(self, trigger: Trigger | None) -> int:
        if trigger is None:
            return NOTHING
        first = len(self.condition_groups)
        for group in trigger.groups:
            at = len(self.conditions)
            for condition in group.conditions:
                self._condition(condition)
            self.condition_groups.append((at, len(group.conditions)))
        self.triggers.append((first, len(trigger.groups)))
        return len(self.triggers) - 1

    def _condition(self, condition: Condition) -> None:
        test: Element = condition.test
        rule, asked = ANY, [NOTHING]
        if isinstance(test, ByEntityCondition):
            rule = ALL if test.triggering_entities.triggering_entities_rule == "all" else ANY
            names = [ref.entity_ref for ref in test.triggering_entities.entities]
            asked = self._numbers_of(names)
            test = test.test
        if isinstance(test, Unsupported):
            self.unsupported.append(test)
        table, line = self.builder.add(test)
        first = len(self.tests)
        self.tests += [(entity, table, line) for entity in asked]
        self.conditions.append((EDGES.index(condition.condition_edge), rule, first, len(asked)))
        self.delays.append(condition.delay)

    def _numbers_of(self, names: Sequence[str]) -> list[int]:
        """Numbers of entities; a group stands for its members."""
        found: list[int] = []
        for name in names:
            found += [
                self.entities.index(one)
                for one in self.groups.get(name, [name])
                if one in self.entities
            ]
        return found

    def _action(self, element: Element) -> tuple[int, int]:
        if not isinstance(element, Action):
            return NOTHING, NOTHING
        if isinstance(element.action, Unsupported):
            self.unsupported.append(element.action)
        return self.builder.add(element.action)

    def _actors(
        self, elements: list[Element], parents: list[int]
    ) -> tuple[list[int], list[tuple[int, int]], list[int]]:
        actors: list[int] = []
        spans: list[tuple[int, int]] = []
        select: list[int] = []
        for one, parent in zip(elements, parents, strict=True):
            if isinstance(one, ManeuverGroup):
                mine = self._numbers_of([ref.entity_ref for ref in one.actors.entities])
                spans.append((len(actors), len(mine)))
                actors += mine
                select.append(int(one.actors.select_triggering_entities))
            elif parent != NOTHING:
                spans.append(spans[parent])
                select.append(select[parent])
            else:
                spans.append((0, 0))
                select.append(0)
        return actors, spans, select

    def _init(self) -> list[tuple[int, int, int]]:
        actions = self.storyboard.init.actions
        found = [(NOTHING, *self.builder.add(one)) for one in actions.world]
        for private in actions.private:
            for entity in self._numbers_of([private.entity_ref]):
                found += [(entity, *self.builder.add(one)) for one in private.actions]
        return found

    def _variables(self) -> tuple[str, ...]:
        names = []
        for variable in self.structure.variables:
            self.builder.add(variable)
            names.append(f"variable:{variable.name}")
        scope = self.frame.root
        named = {str(getattr(part, "parameter_ref", "")) for part in walk(self.storyboard)}
        for name in sorted({name.lstrip("$") for name in named} & set(scope.declarations)):
            declared = scope.declarations[name]
            value = Value(f"${name}", "any", scope, declared.place)
            over = self.frame.parameter(name, scope, declared.place)
            if np.asarray(over).dtype.kind == "U":  # one text, as the structure depends on it
                value = dataclasses.replace(value, constant=str(np.ravel(over)[0]))
            self.builder.add(
                VariableDeclaration(
                    place=declared.place, name=name, variable_type=declared.kind, value=value
                )
            )
            names.append(f"parameter:{name}")
        return tuple(names)

    def _numbers(self, values: Sequence[Value | None], default: float) -> np.ndarray:
        varies = any(value is not None and value.constant is None for value in values)
        numbers = np.full((self.frame.rows if varies else 1, len(values)), default)
        for j, value in enumerate(values):
            if value is not None:
                constant = value.constant
                numbers[:, j] = constant if constant is not None else value.over(self.frame)
        return numbers


def _children(element: Element) -> list[Element]:
    """The storyboard's elements inside one of them."""
    fields: dict[type, str] = {
        Storyboard: "stories", Story: "acts", Act: "groups", ManeuverGroup: "maneuvers",
        Maneuver: "events", Event: "actions",
    }  # fmt: skip
    name = fields.get(type(element))
    return list(getattr(element, name)) if name else []


def _kind(element: Element) -> int:
    order = (Storyboard, Story, Act, ManeuverGroup, Maneuver, Event, Action)
    return order.index(type(element))


def _priority(element: Element) -> int:
    if not isinstance(element, Event):
        return NOTHING
    name = "override" if element.priority == "overwrite" else element.priority
    return PRIORITIES.index(name)


def _ints(values: Any) -> np.ndarray:
    return np.array(list(values), np.int32)


def _column(lines: Sequence[tuple[int, ...]], index: int) -> np.ndarray:
    return _ints(line[index] for line in lines)
