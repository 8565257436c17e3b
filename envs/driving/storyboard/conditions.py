"""Conditions and triggers in plain Python, one row: rules, edges, delays, any and all.

ASAM OpenSCENARIO XML 1.3, section 7.6. Where it is silent, ours: a condition has no edge when it is
asked for the first time, and a delayed one is false until its delay has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from proveout.assets.scenario.conditions import StoryboardElementStateCondition
from proveout.assets.scenario.schema import shape_of
from proveout.envs.driving.storyboard.program import (
    ALL,
    EITHER,
    FALLING,
    KINDS,
    NONE,
    RISING,
    Program,
)
from proveout.envs.driving.storyboard.tables import NOTHING, Table
from proveout.envs.driving.storyboard.variables import NAMED, Variables, compare

INITIAL, STANDBY, RUNNING, COMPLETE = range(4)
"""States of an element; those of the standard, and before any of them."""
START, END, STOP, SKIPPED = range(4)
"""Transitions of an element."""
_STATES = {"standbyState": STANDBY, "runningState": RUNNING, "completeState": COMPLETE}
_TRANSITIONS = {
    "startTransition": START, "endTransition": END, "stopTransition": STOP,
    "skipTransition": SKIPPED,
}  # fmt: skip
# The lists of the standard, in whose order the choices of a table are numbered.
_CHOICES = {shape.name: shape.choices for shape in shape_of(StoryboardElementStateCondition)}
_TIME = 1e-9  # s: times that are equal but for rounding
# Whether a test of an entity (NOTHING: of none) holds: number of its table, its line, the entity.
Ask = Callable[[int, int, int], bool]


@dataclass
class _Memory:
    """What a condition remembers.

    Attributes:
        last: Its last value.
        pending: When results count, and the results.
        held: The last that counted.
    """

    last: bool | None = None
    pending: list[tuple[float, bool]] = field(default_factory=list)
    held: bool = False


@dataclass(frozen=True)
class Moment:
    """What conditions are asked about.

    Attributes:
        time: Since the start [s].
        states: Of the elements.
        transitions: Pairs of an element and a transition since conditions were last asked.
    """

    time: float
    states: Sequence[int]
    transitions: Collection[tuple[int, int]]


class Conditions:
    """The conditions of a program, with what they remember.

    Args:
        program: The storyboard.
        row: Which of its rows.
        ask: Answers tests other than of time, of variables and of the storyboard.
        variables: Of the row; None: as they are at the start.
    """

    def __init__(
        self, program: Program, row: int, ask: Ask, variables: Variables | None = None
    ) -> None:
        self.program = program
        self.row = row
        self.ask = ask
        self.variables = variables or Variables(program, row)
        self._memory: dict[int, _Memory] = {}

    def forget(self, trigger: int) -> None:
        """Begin a trigger anew."""
        if trigger != NOTHING:
            for condition in self._conditions(trigger):
                self._memory.pop(condition, None)

    def _groups(self, trigger: int) -> Iterable[range]:
        first = int(self.program.group_first[trigger])
        for group in range(first, first + int(self.program.group_count[trigger])):
            start = int(self.program.condition_first[group])
            yield range(start, start + int(self.program.condition_count[group]))

    def _conditions(self, trigger: int) -> Iterable[int]:
        return (condition for group in self._groups(trigger) for condition in group)

    def holds(self, trigger: int, now: Moment, who: set[int]) -> bool:
        """Whether a trigger holds; one that is not there does not.

        Every condition is asked, also where the answer is known: each remembers its last value.

        Args:
            trigger: Its number.
            now: What is asked about.
            who: Takes the entities that made it so.
        """
        if trigger == NOTHING:
            return False
        found = False
        for group in self._groups(trigger):
            entities: set[int] = set()
            answers = [self._condition(condition, now, entities) for condition in group]
            if answers and all(answers):
                who |= entities
                found = True
        return found

    def _condition(self, condition: int, now: Moment, who: set[int]) -> bool:
        program = self.program
        first, count = int(program.test_first[condition]), int(program.test_count[condition])
        answers = [self._test(test, now) for test in range(first, first + count)]
        every = program.condition_rule[condition] == ALL
        value = bool(answers) and (all(answers) if every else any(answers))
        who |= {
            int(program.test_entity[first + index])
            for index, answer in enumerate(answers)
            if answer and program.test_entity[first + index] != NOTHING
        }
        memory = self._memory.setdefault(condition, _Memory())
        before, memory.last = memory.last, value
        edge = int(program.edge[condition])
        rising = before is not None and value and not before
        falling = before is not None and before and not value
        result = {
            NONE: value, RISING: rising, FALLING: falling, EITHER: rising or falling,
        }[edge]  # fmt: skip
        delay = float(program.delay[self.row % len(program.delay), condition])
        if delay <= 0.0:
            return result
        # Each result counts once its delay has passed; an edge counts once.
        memory.pending.append((now.time + delay, result))
        due = [one for one in memory.pending if one[0] <= now.time + _TIME]
        memory.pending = memory.pending[len(due) :]
        if edge != NONE:
            return any(result for _, result in due)
        if due:
            memory.held = due[-1][1]
        return memory.held

    def _test(self, test: int, now: Moment) -> bool:
        program = self.program
        table, line = int(program.test_table[test]), int(program.test_line[test])
        name = program.tables.names[table]
        if name == "SimulationTimeCondition":
            own = program.tables.tables[name]
            limit = own.number(self.row, line, "value")
            return compare(now.time, own.integer(line, "rule"), limit)
        if name == "StoryboardElementStateCondition":
            return self._state_test(line, now)
        if name in NAMED:
            return self.variables.holds(name, line)
        return self.ask(table, line, int(program.test_entity[test]))

    def _state_test(self, line: int, now: Moment) -> bool:
        transition, wanted, elements = matches(self.program, line)
        if transition:
            return any((element, wanted) in now.transitions for element in elements)
        return any(now.states[element] == wanted for element in elements)


def matches(program: Program, line: int) -> tuple[bool, int, list[int]]:
    """What a StoryboardElementStateCondition asks: whether a transition or a state, which, and the
    elements that it may be of."""
    own = program.tables.tables["StoryboardElementStateCondition"]
    kind = KINDS.index(_choice(own, line, "storyboard_element_type"))
    wanted = program.tables.texts[own.integer(line, "storyboard_element_ref")].rsplit("::", 1)[-1]
    state = _choice(own, line, "state")
    elements = [
        element
        for element, name in enumerate(program.names)
        if program.kind[element] == kind and name == wanted
    ]
    if state in _STATES:
        return False, _STATES[state], elements
    return True, _TRANSITIONS[state], elements


def _choice(table: Table, line: int, name: str) -> str:
    return str(_CHOICES[name][table.integer(line, name)])
