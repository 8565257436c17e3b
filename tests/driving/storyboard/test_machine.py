"""The storyboard on the device against the one in plain Python, state by state."""

import random
from pathlib import Path

import numpy as np
import pytest
from story_files import (
    act,
    at_time,
    batch_of,
    by_value,
    event,
    longitudinal,
    on_lane,
    speed_action,
    starts,
    trigger,
    write_road,
    write_story,
)

from proveout.envs.driving.storyboard.batch import Batch
from proveout.envs.driving.storyboard.program import ACTION
from proveout.envs.driving.storyboard.reference import Run

DT = 0.1
NAMES = ("A", "B", "C")


def state(kind: str, name: str, what: str, edge: str, delay: str) -> str:
    return by_value(
        f'<StoryboardElementStateCondition storyboardElementType="{kind}" '
        f'storyboardElementRef="{name}" state="{what}"/>',
        edge, delay,
    )  # fmt: skip


def random_condition(draw: random.Random, events: list[str]) -> str:
    edge = draw.choice(["none", "rising", "falling", "risingOrFalling"])
    delay = draw.choice(["0", "0", "0.3", "0.7"])
    if draw.random() < 0.5:
        value = f"{draw.randint(0, 40) / 10}"
        rule = draw.choice(["greaterOrEqual", "greaterThan", "lessThan", "equalTo", "notEqualTo"])
        return by_value(f'<SimulationTimeCondition value="{value}" rule="{rule}"/>', edge, delay)
    if draw.random() < 0.3:
        value, rule = draw.randint(0, 3), draw.choice(["equalTo", "greaterThan", "lessOrEqual"])
        inner = f'<VariableCondition variableRef="x" value="{value}" rule="{rule}"/>'
        return by_value(inner, edge, delay)
    name = draw.choice(events)
    kind, name = draw.choice([("event", name), ("action", f"{name}0"), ("act", "actA")])
    what = draw.choice(
        ["completeState", "runningState", "standbyState", "startTransition", "endTransition",
         "stopTransition", "skipTransition"]
    )  # fmt: skip
    return state(kind, name, what, edge, delay)


def random_trigger(draw: random.Random, events: list[str], tag: str = "StartTrigger") -> str:
    groups = [
        "".join(random_condition(draw, events) for _ in range(draw.randint(1, 2)))
        for _ in range(draw.randint(1, 2))
    ]
    return trigger(*groups, tag=tag)


def random_story(folder: Path, seed: int) -> Path:
    """Acts of one agent each, so that only one maneuver moves it."""
    draw = random.Random(seed)
    events = [f"{name}{k}" for name in NAMES for k in range(3)]
    acts = ""
    for name in NAMES:
        inner = ""
        for k in range(3):
            if k == 2:
                change = draw.choice(
                    ['<SetAction value="0"/>', "<ModifyAction><Rule><AddValue value='1'/></Rule>"
                     "</ModifyAction>"]
                )  # fmt: skip
                action = (
                    f'<GlobalAction><VariableAction variableRef="x">{change}</VariableAction>'
                    "</GlobalAction>"
                )
            else:
                seconds = f"{draw.randint(0, 12) / 10}"
                action = longitudinal(speed_action(str(k + 1), "linear", "time", seconds))
            inner += event(
                f"{name}{k}", random_trigger(draw, events), action,
                priority=draw.choice(["override", "skip"]), times=draw.randint(1, 3),
            )  # fmt: skip
        start = random_trigger(draw, events) if draw.random() < 0.3 else ""
        stop = random_trigger(draw, events, "StopTrigger") if draw.random() < 0.3 else ""
        acts += act(name, inner, times=draw.randint(1, 2), start=start, stop=stop)
    init = "".join(
        starts(name, on_lane(str(100 * k + 50)), "5") for k, name in enumerate(NAMES)
    )  # fmt: skip
    variable = '<VariableDeclaration name="x" variableType="double" value="0"/>'
    end = trigger(at_time("4.5"), random_condition(draw, events), tag="StopTrigger")
    if draw.random() < 0.5:
        end = trigger(at_time("4.5"), tag="StopTrigger")
    return write_story(folder, NAMES, init, acts, stop=end, variables=variable)


def durations(batch: Batch) -> dict[int, int]:
    """Steps that each action of speed takes."""
    program = batch.program
    table = program.tables.tables["SpeedAction"]
    dynamics = program.tables.tables["TransitionDynamics"]
    found = {}
    for element in np.flatnonzero(program.kind == ACTION):
        if program.tables.names[program.action_table[element]] == "SpeedAction":
            line = table.integer(int(program.action_line[element]), "dynamics.line")
            value = dynamics.number(0, line, "value")
            found[int(element)] = max(1, int(np.ceil(value / DT - 1e-9)))
    return found


def never(*_: int) -> bool:
    return False


@pytest.mark.parametrize("seed", range(40))
def test_states_are_those_of_plain_python(tmp_path: Path, seed: int) -> None:
    write_road(tmp_path)
    batch = batch_of(random_story(tmp_path, seed), DT)
    assert batch.unsupported == []
    run = Run(batch.program, 0, never)
    left: dict[int, int] = {}
    takes = durations(batch)
    for k in range(48):
        left = {element: steps - 1 for element, steps in left.items()}
        done = [element for element, steps in left.items() if steps <= 0]
        outcome = run.step(k / 10, done)
        for element in [*done, *outcome.stopped]:
            left.pop(element, None)
        # One that begins again, or in whose place another comes.
        for one in outcome.started:
            left[one.element] = takes[one.element]
        batch.step()
        assert batch.story.state.numpy()[0].tolist() == run.state, f"step {k}"
        assert batch.story.executions.numpy()[0].tolist() == run.executions
        assert bool(batch.ended[0]) == run.finished
        if run.finished:
            break
        assert batch._values.value.numpy()[0, 0] == run.variables.values["variable:x"]
    assert run.finished
    assert int(batch.story.ended_step.numpy()[0]) == k


def test_rows_differ_in_delays_and_times(tmp_path: Path) -> None:
    from story_files import write_rows

    write_road(tmp_path)
    parameter = '<ParameterDeclaration name="t" parameterType="double" value="0.1"/>'
    stop = by_value('<SimulationTimeCondition value="$t" rule="greaterOrEqual"/>', delay="${2*$t}")
    write_story(
        tmp_path, "A", starts("A", on_lane("50"), "5"), "", parameters=parameter,
        stop=trigger(stop, tag="StopTrigger"),
    )  # fmt: skip
    batch = batch_of(write_rows(tmp_path, "t", 0.2, 0.2, 0.8), DT)
    batch.step(40)
    assert batch.story.ended_step.numpy().tolist() == [6, 12, 18, 24]
