"""A storyboard in plain Python: when things start, end, stop and start again, by hand."""

from pathlib import Path

import numpy as np
import pytest

from proveout.assets.scenario.rows import load_rows
from proveout.assets.scenario.scenario import load_scenario
from proveout.envs.driving.storyboard.conditions import (
    COMPLETE,
    INITIAL,
    RUNNING,
    STANDBY,
    Conditions,
    Moment,
)
from proveout.envs.driving.storyboard.program import Program, compile_storyboard
from proveout.envs.driving.storyboard.reference import Run
from proveout.envs.driving.storyboard.variables import compare

BOX = (
    '<MiscObject name="box" miscObjectCategory="obstacle" mass="1"><BoundingBox>'
    '<Center x="0" y="0" z="1"/><Dimensions width="2" length="4" height="1"/></BoundingBox>'
    "<Properties/></MiscObject>"
)


def time(value: str, edge: str = "none", delay: str = "0", rule: str = "greaterOrEqual") -> str:
    return condition(f'<SimulationTimeCondition value="{value}" rule="{rule}"/>', edge, delay)


def state(kind: str, name: str, what: str, edge: str = "none", delay: str = "0") -> str:
    return condition(
        f'<StoryboardElementStateCondition storyboardElementType="{kind}" '
        f'storyboardElementRef="{name}" state="{what}"/>',
        edge, delay,
    )  # fmt: skip


def condition(inner: str, edge: str = "none", delay: str = "0") -> str:
    return (
        f'<Condition name="c" delay="{delay}" conditionEdge="{edge}"><ByValueCondition>{inner}'
        "</ByValueCondition></Condition>"
    )


def speed(value: str, *who: str, edge: str = "none", delay: str = "0", rule: str = "any") -> str:
    """A condition on entities; the test answers it by the name of the entity and a script."""
    entities = "".join(f'<EntityRef entityRef="{one}"/>' for one in who)
    return (
        f'<Condition name="c" delay="{delay}" conditionEdge="{edge}"><ByEntityCondition>'
        f'<TriggeringEntities triggeringEntitiesRule="{rule}">{entities}</TriggeringEntities>'
        f'<EntityCondition><SpeedCondition value="{value}" rule="greaterThan"/></EntityCondition>'
        "</ByEntityCondition></Condition>"
    )


def trigger(*groups: str, tag: str = "StartTrigger") -> str:
    inner = "".join(f"<ConditionGroup>{one}</ConditionGroup>" for one in groups)
    return f"<{tag}>{inner}</{tag}>"


def event(
    name: str, start: str = "", priority: str = "parallel", times: str = "1", actions: int = 1
) -> str:
    action = (
        '<Action name="{}"><PrivateAction><LongitudinalAction><SpeedAction><SpeedActionDynamics '
        'dynamicsShape="linear" dynamicsDimension="time" value="2"/><SpeedActionTarget>'
        '<AbsoluteTargetSpeed value="5"/></SpeedActionTarget></SpeedAction></LongitudinalAction>'
        "</PrivateAction></Action>"
    )
    inner = "".join(action.format(f"{name}{i}") for i in range(actions))
    return (
        f'<Event name="{name}" priority="{priority}" maximumExecutionCount="{times}">{inner}'
        f"{start}</Event>"
    )


def act(
    *events: str, start: str = "", stop: str = "", times: str = "1", select: str = "false"
) -> str:
    return (
        f'<Act name="act"><ManeuverGroup name="group" maximumExecutionCount="{times}"><Actors '
        f'selectTriggeringEntities="{select}"><EntityRef entityRef="A"/></Actors>'
        f'<Maneuver name="maneuver">{"".join(events)}</Maneuver></ManeuverGroup>{start}{stop}</Act>'
    )


def program(
    folder: Path, *acts: str, stop: str = "", parameters: str = "", variables: str = ""
) -> Program:
    objects = "".join(f'<ScenarioObject name="{name}">{BOX}</ScenarioObject>' for name in "AB")
    path = folder / "scenario.xosc"
    path.write_text(
        '<OpenSCENARIO><FileHeader revMajor="1" revMinor="3" date="2026-01-01T00:00:00" '
        f'description="" author=""/><ParameterDeclarations>{parameters}</ParameterDeclarations>'
        f"<VariableDeclarations>{variables}</VariableDeclarations>"
        f"<CatalogLocations/><RoadNetwork/><Entities>{objects}</Entities><Storyboard><Init>"
        f'<Actions/></Init><Story name="story">{"".join(acts)}</Story>{stop}</Storyboard>'
        "</OpenSCENARIO>"
    )
    scenario = load_scenario(path)
    return compile_storyboard(scenario.structure(), scenario.frame({}, 1))


class Play:
    """Steps of a tenth of a second; actions are done after as many steps as they are given."""

    def __init__(self, made: Program, duration: int = 3) -> None:
        self.program, self.duration = made, duration
        self.fast: set[str] = set()
        self.now = -1
        self.run = Run(made, 0, self.ask)
        self.left: dict[int, int] = {}
        self.log: list[tuple[int, str, str]] = []
        self.actors: dict[str, tuple[int, ...]] = {}

    def ask(self, table: int, line: int, entity: int) -> bool:
        assert self.program.tables.names[table] == "SpeedCondition"
        return self.program.tables.entities[entity] in self.fast

    def step(self) -> None:
        self.now += 1
        self.left = {element: steps - 1 for element, steps in self.left.items()}
        done = [element for element, steps in self.left.items() if steps <= 0]
        outcome = self.run.step(self.now / 10, done)
        for element in done:
            del self.left[element]
            self.log.append((self.now, "done", self.program.names[element]))
        for element in outcome.stopped:
            self.left.pop(element, None)
            self.log.append((self.now, "stopped", self.program.names[element]))
        for one in outcome.started:
            self.left[one.element] = self.duration
            self.actors[self.program.names[one.element]] = one.actors
            self.log.append((self.now, "started", self.program.names[one.element]))

    def until(self, step: int, fast: dict[int, set[str]] | None = None) -> "Play":
        while self.now < step and not self.run.finished:
            self.fast = (fast or {}).get(self.now + 1, self.fast)
            self.step()
        return self

    def state(self, name: str) -> int:
        return self.run.state[self.program.names.index(name)]


def test_an_event_starts_at_its_time_and_ends_with_its_actions(tmp_path: Path) -> None:
    play = Play(program(tmp_path, act(event("e", trigger(time("0.2")), actions=2))))
    play.until(1)
    assert [play.state(n) for n in ("act", "maneuver", "e", "e0")] == [
        RUNNING, RUNNING, STANDBY, INITIAL,
    ]  # fmt: skip
    play.until(2)
    assert (play.state("e"), play.state("e0")) == (RUNNING, RUNNING)
    assert play.log == [(2, "started", "e0"), (2, "started", "e1")]
    play.until(5)
    assert play.log[2:] == [(5, "done", "e0"), (5, "done", "e1")]
    # All that it was in is complete too; a storyboard ends by its stop trigger alone.
    assert {play.state(n) for n in ("e", "maneuver", "group", "act", "story")} == {COMPLETE}
    assert not play.run.finished


def test_an_act_waits_and_what_it_holds_is_asked_in_the_step_in_which_it_starts(
    tmp_path: Path,
) -> None:
    made = program(tmp_path, act(event("e", trigger(time("0.1"))), start=trigger(time("0.3"))))
    play = Play(made).until(2)
    assert (play.state("act"), play.state("e")) == (STANDBY, INITIAL)
    assert play.until(3).log == [(3, "started", "e0")]


def test_an_event_without_a_trigger_starts_with_its_act(tmp_path: Path) -> None:
    play = Play(program(tmp_path, act(event("e"), start=trigger(time("0.2")))))
    assert play.until(4).log == [(2, "started", "e0")]


@pytest.mark.parametrize(
    ("edge", "expected"),
    [
        ("none", [3, 4, 5, 8, 9]), ("rising", [3, 8]), ("falling", [6]),
        ("risingOrFalling", [3, 6, 8]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("delay", [0, 2])
def test_edges_and_delays(tmp_path: Path, edge: str, expected: list[int], delay: int) -> None:
    """What is asked is true from step 3 to 5 and from 8 on."""
    asked = speed("1", "A", edge=edge, delay=f"{delay / 10}")
    made = program(tmp_path, act(event("e", trigger(asked))))
    true = {3, 4, 5, *range(8, 99)}
    now = 0
    conditions = Conditions(made, 0, lambda *_: now in true)
    held = []
    for now in range(10 + delay):
        if conditions.holds(0, Moment(now / 10, [], ()), set()):
            held.append(now)  # noqa: PERF401
    assert held == [step + delay for step in expected]


def test_edges_that_come_within_a_delay_are_not_lost(tmp_path: Path) -> None:
    asked = speed("1", "A", edge="risingOrFalling", delay="1")
    made = program(tmp_path, act(event("e", trigger(asked))))
    answers = [False, True, False, True, *[True] * 30]
    conditions = Conditions(made, 0, lambda *_: answers[now])
    held = []
    for now in range(20):
        if conditions.holds(0, Moment(now / 10, [], ()), set()):
            held.append(now)  # noqa: PERF401
    assert held == [11, 12, 13]
    # Anew, it has no value before.
    conditions.forget(0)
    now = 0
    assert not conditions.holds(0, Moment(5.0, [], ()), set())


def test_an_edge_needs_a_value_before(tmp_path: Path) -> None:
    asked = trigger(speed("1", "A", edge="rising"))
    play = Play(program(tmp_path, act(event("e", asked)))).until(4, {0: {"A"}})
    assert play.log == []
    assert play.until(8, {5: set(), 7: {"A"}}).log == [(7, "started", "e0")]


def test_groups_are_alternatives_and_conditions_in_one_hold_together(tmp_path: Path) -> None:
    start = trigger(time("0.5"), time("0.1") + speed("1", "A"))
    assert Play(program(tmp_path, act(event("e", start)))).until(6).log == [(5, "started", "e0")]
    play = Play(program(tmp_path, act(event("e", start)))).until(4, {3: {"A"}})
    assert play.log == [(3, "started", "e0")]
    empty = program(tmp_path, act(event("e", trigger())))
    assert Play(empty).until(9).log == []


@pytest.mark.parametrize(("rule", "fast", "starts"), [
    ("any", {"A"}, True), ("all", {"A"}, False), ("all", {"A", "B"}, True), ("any", set(), False),
])  # fmt: skip
def test_any_and_all_entities(tmp_path: Path, rule: str, fast: set[str], starts: bool) -> None:
    start = trigger(speed("1", "A", "B", rule=rule))
    play = Play(program(tmp_path, act(event("e", start)))).until(0, {0: fast})
    assert bool(play.log) == starts


def test_the_entities_that_trigger_can_act(tmp_path: Path) -> None:
    start = trigger(speed("1", "A", "B"))
    chosen = Play(program(tmp_path, act(event("e", start), select="true"))).until(0, {0: {"B"}})
    assert chosen.actors == {"e0": (0, 1)}
    named = Play(program(tmp_path, act(event("e", start)))).until(0, {0: {"B"}})
    assert named.actors == {"e0": (0,)}


def test_override_stops_what_runs_in_the_same_maneuver(tmp_path: Path) -> None:
    made = program(
        tmp_path,
        act(
            event("first", trigger(time("0")), times="5"),
            event("second", trigger(time("0.2")), priority="override"),
        ),
    )
    play = Play(made, duration=9).until(4)
    assert play.log == [
        (0, "started", "first0"), (2, "stopped", "first0"), (2, "started", "second0"),
    ]  # fmt: skip
    # It is over whatever executions it had left.
    assert play.state("first") == COMPLETE


def test_parallel_runs_beside_and_skip_gives_way(tmp_path: Path) -> None:
    made = program(
        tmp_path,
        act(
            event("first", trigger(time("0"))),
            event("beside", trigger(time("0.1"))),
            event("skipped", trigger(time("0.2")), priority="skip"),
            event("later", trigger(time("0.2")), priority="skip", times="3"),
        ),
    )
    play = Play(made, duration=3).until(4)
    assert [entry for entry in play.log if entry[1] == "started"] == [
        (0, "started", "first0"), (1, "started", "beside0"), (4, "started", "later0"),
    ]  # fmt: skip
    assert play.state("skipped") == COMPLETE
    # A skip counts as an execution: of three, two were skipped.
    assert play.run.executions[made.names.index("later")] == 3


def test_an_event_runs_as_often_as_it_may(tmp_path: Path) -> None:
    made = program(tmp_path, act(event("e", trigger(time("0")), times="3")))
    play = Play(made, duration=2).until(20)
    assert [entry[0] for entry in play.log if entry[1] == "started"] == [0, 2, 4]
    assert play.state("act") == COMPLETE


def test_a_maneuver_group_runs_as_often_as_it_may(tmp_path: Path) -> None:
    made = program(tmp_path, act(event("e", trigger(time("0"))), times="2"))
    play = Play(made, duration=2).until(20)
    assert [entry[0] for entry in play.log if entry[1] == "started"] == [0, 2]
    assert play.state("act") == COMPLETE


def test_a_stop_trigger_of_an_act_stops_what_runs_in_it(tmp_path: Path) -> None:
    made = program(
        tmp_path, act(event("e", trigger(time("0"))), stop=trigger(time("0.2"), tag="StopTrigger"))
    )
    play = Play(made, duration=9).until(4)
    assert play.log == [(0, "started", "e0"), (2, "stopped", "e0")]
    assert {play.state(n) for n in ("act", "group", "maneuver", "e", "e0", "story")} == {COMPLETE}


def test_the_storyboard_ends_by_its_stop_trigger(tmp_path: Path) -> None:
    ended = trigger(state("action", "e0", "completeState", "rising", "0.5"), tag="StopTrigger")
    made = program(
        tmp_path, act(event("e", trigger(time("0.1"))), event("f", trigger(time("9")))), stop=ended
    )
    play = Play(made, duration=3).until(99)
    # Done in step 4, and half a second later.
    assert play.now == 9
    assert play.run.finished
    assert play.state("f") == COMPLETE
    assert play.run.step(2.0).finished


def test_states_and_transitions_of_elements_trigger_others(tmp_path: Path) -> None:
    made = program(
        tmp_path,
        act(
            event("a", trigger(time("0.2"))),
            event("started", trigger(state("action", "a0", "startTransition"))),
            event("running", trigger(state("event", "a", "runningState"))),
            event("ended", trigger(state("action", "a0", "endTransition"))),
            event("complete", trigger(state("event", "story::act::a", "completeState"))),
            event("standby", trigger(state("event", "a", "standbyState"))),
            event("never", trigger(state("event", "a", "skipTransition"))),
        ),
    )
    play = Play(made, duration=3).until(9)
    starts = {name[:-1]: step for step, what, name in play.log if what == "started"}
    # What starts in step 2 is seen in step 3; what is done in step 5 is seen in step 5.
    assert starts == {"standby": 0, "a": 2, "started": 3, "running": 3, "ended": 5, "complete": 5}


def test_transitions_are_seen_once(tmp_path: Path) -> None:
    made = program(
        tmp_path,
        act(
            event("a", trigger(time("0"))),
            event("b", trigger(state("event", "a", "startTransition")), times="9"),
        ),
    )
    play = Play(made, duration=1).until(9)
    assert [entry[0] for entry in play.log if entry[1:] == ("started", "b0")] == [1]


def test_rows_differ_in_numbers(tmp_path: Path) -> None:
    parameter = '<ParameterDeclaration name="t" parameterType="double" value="0.1"/>'
    program(tmp_path, act(event("e", trigger(time("$t", delay="${$t / 2}")))), parameters=parameter)
    (tmp_path / "rows.xosc").write_text(
        '<OpenSCENARIO><FileHeader revMajor="1" revMinor="3" date="2026-01-01T00:00:00" '
        'description="" author=""/><ParameterValueDistribution><ScenarioFile '
        'filepath="scenario.xosc"/><Deterministic><DeterministicSingleParameterDistribution '
        'parameterName="t"><DistributionRange stepWidth="0.2"><Range lowerLimit="0.2" '
        'upperLimit="0.6"/></DistributionRange></DeterministicSingleParameterDistribution>'
        "</Deterministic></ParameterValueDistribution></OpenSCENARIO>"
    )
    rows = load_rows(tmp_path / "rows.xosc")
    made = compile_storyboard(rows.scenario.structure(rows.row(0)), rows.frame(0, 3))
    own = made.tables.tables["SimulationTimeCondition"]
    assert own.number_names == ("value",)
    np.testing.assert_allclose(own.numbers[:, 0, 0], [0.2, 0.4, 0.6])
    np.testing.assert_allclose(made.delay[:, 0], [0.1, 0.2, 0.3])
    # What no row changes is there once.
    assert made.tables.tables["TransitionDynamics"].numbers.shape == (1, 1, 1)
    starts = []
    for row in range(3):
        run = Run(made, row, lambda *_: False)
        starts.append(next(k for k in range(20) if run.step(k / 10).started))
    assert starts == [3, 6, 9]


def changes(name: str, change: str, start: str, times: str = "1", kind: str = "Variable") -> str:
    """An event that changes a variable or a parameter."""
    return (
        f'<Event name="{name}" priority="parallel" maximumExecutionCount="{times}"><Action '
        f'name="{name}0"><GlobalAction><{kind}Action {kind.lower()}Ref="x">{change}'
        f"</{kind}Action></GlobalAction></Action>{start}</Event>"
    )


def asks(value: str, rule: str = "equalTo", kind: str = "Variable") -> str:
    return trigger(
        condition(f'<{kind}Condition {kind.lower()}Ref="x" value="{value}" rule="{rule}"/>')
    )


@pytest.mark.parametrize(
    ("kind", "value", "change", "asked", "step"),
    [
        ("double", "2", '<SetAction value="5"/>', asks("5"), 3),
        ("double", "2", "<ModifyAction><Rule><AddValue value='0.5'/></Rule></ModifyAction>",
         asks("3", "greaterOrEqual"), 4),
        ("int", "2", "<ModifyAction><Rule><MultiplyByValue value='3'/></Rule></ModifyAction>",
         asks("17", "greaterThan"), 4),
        ("boolean", "false", '<SetAction value="true"/>', asks("true"), 3),
        ("boolean", "false", '<SetAction value="1"/>', asks("true"), 3),
        ("string", "red", '<SetAction value="green"/>', asks("green"), 3),
        ("string", "red", '<SetAction value="green"/>', asks("red", "notEqualTo"), 3),
        ("string", "red", '<SetAction value="green"/>', asks("red"), 0),
    ],
)  # fmt: skip
def test_variables_are_set_and_asked_for(
    tmp_path: Path, kind: str, value: str, change: str, asked: str, step: int
) -> None:
    """Changed in step 2, seen in step 3, in which its event ends and, as it may, runs once more."""
    made = program(
        tmp_path,
        act(changes("c", change, trigger(time("0.2")), times="2"), event("e", asked)),
        variables=f'<VariableDeclaration name="x" variableType="{kind}" value="{value}"/>',
    )
    play = Play(made).until(8)
    assert [entry for entry in play.log if entry[1] == "started"] == [(step, "started", "e0")]


def test_parameters_may_be_set_as_version_1_0_has_it(tmp_path: Path) -> None:
    made = program(
        tmp_path,
        act(
            changes("c", '<SetAction value="5"/>', trigger(time("0.2")), kind="Parameter"),
            event("e", asks("5", kind="Parameter")),
        ),
        parameters='<ParameterDeclaration name="x" parameterType="double" value="2"/>',
    )
    play = Play(made)
    assert play.run.variables.values == {"parameter:x": 2.0}
    assert play.until(8).log[0] == (3, "started", "e0")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [(0, [False, True, False]), (1, [False, False, True]), (2, [True, False, False]),
     (3, [False, True, True]), (4, [True, True, False]), (5, [True, False, True])],
)  # fmt: skip
def test_rules(rule: int, expected: list[bool]) -> None:
    assert [compare(value, rule, 2.0) for value in (1.0, 2.0, 3.0)] == expected
