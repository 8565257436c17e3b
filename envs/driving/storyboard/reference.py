"""A storyboard run in plain Python, one row: what kernels are compared with.

States, transitions, priorities and counts are those of ASAM OpenSCENARIO XML 1.3, sections 7.6, 8.3
and 8.4. Where the standard leaves the order inside a step open, ours:

1. Actions that are done end, and what is complete through them, from the inside outwards.
2. Conditions see the states after this, and every transition since they were last asked.
3. Stop triggers are asked, then start triggers, from the outside inwards. What an element holds is
   asked in the step in which the element starts.

A start trigger begins anew whenever its element comes into standby.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from proveout.envs.driving.storyboard.conditions import (
    COMPLETE,
    END,
    INITIAL,
    RUNNING,
    SKIPPED,
    STANDBY,
    START,
    STOP,
    Ask,
    Conditions,
    Moment,
)
from proveout.envs.driving.storyboard.program import (
    ACT,
    ACTION,
    EVENT,
    GROUP,
    OVERRIDE,
    SKIP,
    STORYBOARD,
    Program,
)
from proveout.envs.driving.storyboard.tables import NOTHING
from proveout.envs.driving.storyboard.variables import NAMED, Variables


@dataclass(frozen=True)
class Started:
    """An action that starts.

    Attributes:
        element: Its number.
        actors: Entities that act.
    """

    element: int
    actors: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """What happened in a step.

    Attributes:
        started: Actions that start, in their order, without those that set a variable.
        stopped: Actions that are stopped before they were done.
        finished: The storyboard has come to its end.
    """

    started: tuple[Started, ...]
    stopped: tuple[int, ...]
    finished: bool


class Run:
    """One row of a program, from its start.

    Args:
        program: The storyboard.
        row: Which of its rows.
        ask: Answers tests other than of time, of variables and of the storyboard.

    Attributes:
        variables: Their values, and those of parameters.
        conditions: With what they remember.
        state: Of each element.
        executions: Of each element: how often it started or was skipped.
        finished: The storyboard has come to its end.
    """

    def __init__(self, program: Program, row: int, ask: Ask) -> None:
        self.program = program
        self.row = row
        self.variables = Variables(program, row)
        self.conditions = Conditions(program, row, ask, self.variables)
        elements = len(program.kind)
        self.state = [INITIAL] * elements
        self.executions = [0] * elements
        self.finished = False
        self._recent: set[tuple[int, int]] = set()
        self._new: set[tuple[int, int]] = set()
        self._now = Moment(0.0, [], ())
        self._started: list[Started] = []
        self._stopped: list[int] = []
        self._instant: list[int] = []
        self._begin(STORYBOARD, ())

    def step(self, time: float, done: Iterable[int] = ()) -> Outcome:
        """Go on to a time.

        Args:
            time: Since the start [s].
            done: Actions that reached their goal since the last step.
        """
        if self.finished:
            return Outcome((), (), True)
        self._started, self._stopped = [], []
        self._recent, self._new = self._new, self._recent
        self._new.clear()
        instant, self._instant = self._instant, []
        self._end([*done, *instant])
        self._recent |= self._new
        self._new.clear()
        self._now = Moment(time, list(self.state), self._recent)
        self._stop_triggers()
        if not self.finished:
            self._start_triggers()
        return Outcome(tuple(self._started), tuple(self._stopped), self.finished)

    def _inner(self, element: int) -> range:
        first = int(self.program.first_child[element])
        return range(first, first + int(self.program.children[element]))

    def _maximum(self, element: int) -> int:
        maximum = self.program.maximum
        return int(maximum[self.row % len(maximum), element])

    def _change(self, element: int, state: int, transition: int | None) -> None:
        self.state[element] = state
        if transition is not None:
            self._new.add((element, transition))
            if transition == STOP and self.program.kind[element] == ACTION:
                self._stopped.append(element)

    def _standby(self, element: int) -> None:
        self._change(element, STANDBY, None)
        self.conditions.forget(int(self.program.start_trigger[element]))

    def _begin(self, element: int, actors: tuple[int, ...]) -> None:
        """Start an element and what it holds, as far as that waits for no trigger."""
        kind = self.program.kind[element]
        self.executions[element] += 1
        self._change(element, RUNNING, START)
        self.conditions.forget(int(self.program.stop_trigger[element]))
        if kind == ACTION:
            self._act(element, actors)
        for child in self._inner(element):
            if self.program.kind[child] == EVENT:
                self.executions[child] = 0
                self._standby(child)
            elif self.program.kind[child] == ACT and self.program.start_trigger[child] != NOTHING:
                self._standby(child)
            else:
                if self.program.kind[child] == GROUP:
                    self.executions[child] = 0
                self._begin(child, actors)

    def _act(self, element: int, actors: tuple[int, ...]) -> None:
        """Start an action; what only sets a variable is done at once, and ends in the next step."""
        name = self.program.tables.names[int(self.program.action_table[element])]
        if name in NAMED:
            self.variables.apply(name, int(self.program.action_line[element]))
            self._instant.append(element)
        else:
            self._started.append(Started(element, actors))

    def _end(self, done: Iterable[int]) -> None:
        for element in done:
            if self.program.kind[element] == ACTION and self.state[element] == RUNNING:
                self._change(element, COMPLETE, END)
        for element in range(len(self.state) - 1, STORYBOARD, -1):
            kind = self.program.kind[element]
            inside = [self.state[child] for child in self._inner(element)]
            if kind == ACTION or self.state[element] != RUNNING:
                continue
            if any(state != COMPLETE for state in inside):
                continue
            again = self.executions[element] < self._maximum(element)
            if kind == EVENT and again:
                self._change(element, COMPLETE, END)
                self._standby(element)
            elif kind == GROUP and again:
                self._change(element, COMPLETE, END)
                self._begin(element, ())
            else:
                self._change(element, COMPLETE, END)

    def _stop(self, element: int) -> None:
        """Stop an element and what it holds."""
        for child in self._inner(element):
            self._stop(child)
        if self.state[element] in (STANDBY, RUNNING):
            self._change(element, COMPLETE, STOP)

    def _stop_triggers(self) -> None:
        if self._holds(int(self.program.stop_trigger[STORYBOARD]), set()):
            self._stop(STORYBOARD)
            self.finished = True
            return
        for element, kind in enumerate(self.program.kind):
            if kind == ACT and self.state[element] == RUNNING:
                if self._holds(int(self.program.stop_trigger[element]), set()):
                    self._stop(element)

    def _start_triggers(self) -> None:
        for element, kind in enumerate(self.program.kind):
            if kind == ACT and self.state[element] == STANDBY:
                if self._holds(int(self.program.start_trigger[element]), set()):
                    self._begin(element, ())
        # First all are asked, then they start: the order of events changes no answer.
        triggered: list[tuple[int, tuple[int, ...]]] = []
        for element, kind in enumerate(self.program.kind):
            if kind == EVENT and self.state[element] == STANDBY:
                if self.executions[element] >= self._maximum(element):
                    self._change(element, COMPLETE, SKIPPED)
                    continue
                who: set[int] = set()
                trigger = int(self.program.start_trigger[element])
                # Without a trigger of its own it starts with its act.
                if trigger == NOTHING or self._holds(trigger, who):
                    triggered.append((element, self._actors(element, who)))
        for element, actors in triggered:
            if self.state[element] == STANDBY:
                self._event(element, actors)

    def _actors(self, element: int, who: set[int]) -> tuple[int, ...]:
        first = int(self.program.actor_first[element])
        count = int(self.program.actor_count[element])
        actors = [int(actor) for actor in self.program.actors[first : first + count]]
        if self.program.select_triggering[element]:
            actors += sorted(who - set(actors))
        return tuple(actors)

    def _event(self, element: int, actors: tuple[int, ...]) -> None:
        others = [
            other
            for other in self._inner(int(self.program.parent[element]))
            if other != element and self.state[other] == RUNNING
        ]
        priority = int(self.program.priority[element])
        if priority == SKIP and others:
            self.executions[element] += 1
            over = self.executions[element] >= self._maximum(element)
            self._change(element, COMPLETE if over else STANDBY, SKIPPED)
            return
        if priority == OVERRIDE:
            for other in others:
                self._stop(other)
        self._begin(element, actors)

    def _holds(self, trigger: int, who: set[int]) -> bool:
        return self.conditions.holds(trigger, self._now, who)
