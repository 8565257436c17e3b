"""A storyboard on the device: states, triggers, priorities and counts, a thread a world.

Does what `reference` does, in the same order; see there for what the standard says and leaves open.
Actions are done when no agent carries them any longer.
"""

# A struct made at run time is a variable to the checker.
# mypy: disable-error-code="valid-type"

import warp as wp

from proveout.envs.driving.agents import AgentArrays
from proveout.envs.driving.bodies import Body
from proveout.envs.driving.drivers.table import Driver
from proveout.envs.driving.roads.lanes import LaneArrays
from proveout.envs.driving.storyboard import conditions, program
from proveout.envs.driving.storyboard.arrays import (
    Act,
    Ended,
    Motion,
    Script,
    Story,
    Values,
)
from proveout.envs.driving.storyboard.asking import ask
from proveout.envs.driving.storyboard.motion import start_action

wp.set_module_options({"enable_backward": False})

INITIAL, STANDBY, RUNNING, COMPLETE = (
    wp.constant(k)
    for k in (conditions.INITIAL, conditions.STANDBY, conditions.RUNNING, conditions.COMPLETE)
)
_BEGINS = wp.constant(4)  # a state that lasts no step: the element begins
START, END, STOP, SKIPPED = (
    wp.constant(k) for k in (conditions.START, conditions.END, conditions.STOP, conditions.SKIPPED)
)
_ACT, _GROUP, _EVENT = (wp.constant(k) for k in (program.ACT, program.GROUP, program.EVENT))
_ACTION, _STORYBOARD = wp.constant(program.ACTION), wp.constant(program.STORYBOARD)
_OVERRIDE, _SKIP = wp.constant(program.OVERRIDE), wp.constant(program.SKIP)
_NONE, _RISING, _FALLING = (wp.constant(k) for k in (program.NONE, program.RISING, program.FALLING))
_ALL = wp.constant(program.ALL)
_SET, _ADD, _MULTIPLY = (wp.constant(int(k)) for k in (Act.SET, Act.ADD, Act.MULTIPLY))
_STOPPED, _COLLIDED = wp.constant(int(Ended.STOPPED)), wp.constant(int(Ended.COLLIDED))
_NO_LANE = wp.constant(int(Ended.NO_LANE))


@wp.func
def _forget(script: Script, story: Story, w: int, trigger: int):
    """Begin a trigger anew."""
    if trigger >= 0:
        first = script.group_first[trigger]
        for g in range(first, first + script.group_count[trigger]):
            begin = script.condition_first[g]
            for c in range(begin, begin + script.condition_count[g]):
                story.last[w, c] = 0
                story.asked[w, c] = 0


@wp.func
def _condition(
    script: Script, story: Story, motion: Motion, values: Values, road: LaneArrays,
    agents: AgentArrays, bodies: wp.array2d[Body], w: int, c: int,
) -> bool:  # fmt: skip
    every = script.rule[c] == _ALL
    count = script.test_count[c]
    value = every and count > 0
    for t in range(script.test_first[c], script.test_first[c] + count):
        holds = ask(script, story, motion, values, road, agents, bodies, w, t)
        if every:
            value = value and holds
        else:
            value = value or holds
    before = story.last[w, c]
    story.last[w, c] = wp.where(value, 2, 1)
    edge = script.edge[c]
    result = value
    if edge != _NONE:
        rising = before == 1 and value
        falling = before == 2 and not value
        result = (rising and edge != _FALLING) or (falling and edge != _RISING)
    delay = script.delay[w % script.delay.shape[0], c]
    if delay <= 0:
        return result
    # Each result counts once its delay has passed.
    asked = story.asked[w, c]
    size = script.ring_size[c]
    story.ring[w, script.ring[c] + asked % size] = wp.where(result, 1, 0)
    story.asked[w, c] = asked + 1
    if asked < delay:
        return False
    return story.ring[w, script.ring[c] + (asked - delay) % size] == 1


@wp.func
def _holds(
    script: Script, story: Story, motion: Motion, values: Values, road: LaneArrays,
    agents: AgentArrays, bodies: wp.array2d[Body], w: int, trigger: int,
) -> bool:  # fmt: skip
    """Whether a trigger holds; every condition is asked, as each remembers its last value."""
    found = bool(False)
    if trigger >= 0:
        first = script.group_first[trigger]
        for g in range(first, first + script.group_count[trigger]):
            begin = script.condition_first[g]
            count = script.condition_count[g]
            all_of_them = count > 0
            for c in range(begin, begin + count):
                holds = _condition(script, story, motion, values, road, agents, bodies, w, c)
                all_of_them = all_of_them and holds
            found = found or all_of_them
    return found


@wp.func
def _change(story: Story, w: int, e: int, state: int, transition: int):
    story.state[w, e] = state
    story.fresh[w, e] = story.fresh[w, e] | (1 << transition)


@wp.func
def _standby(script: Script, story: Story, w: int, e: int):
    story.state[w, e] = STANDBY
    _forget(script, story, w, script.start_trigger[e])


@wp.func
def _drop(script: Script, motion: Motion, w: int, e: int):
    """No agent carries an action any longer."""
    for a in range(script.agents):
        if motion.longitudinal[w, a] == e:
            motion.longitudinal[w, a] = 0
        if motion.lateral[w, a] == e:
            motion.lateral[w, a] = 0


@wp.func
def _stop(script: Script, story: Story, motion: Motion, w: int, top: int):
    """Stop an element and what it holds."""
    for e in range(top, script.kind.shape[0]):
        inside = script.order[e] >= script.order[top] and script.order[e] < script.behind[top]
        if inside and (story.state[w, e] == STANDBY or story.state[w, e] == RUNNING):
            _change(story, w, e, COMPLETE, STOP)
            if script.kind[e] == _ACTION:
                _drop(script, motion, w, e)


@wp.func
def _act(
    script: Script, story: Story, motion: Motion, values: Values, road: LaneArrays,
    agents: AgentArrays, kind: wp.array2d[int], driver: wp.array2d[Driver], w: int, e: int,
):  # fmt: skip
    what = script.action_kind[e]
    if what >= _SET:
        by = script.action_number[w % script.action_number.shape[0], e, 0]
        v = script.action_integer[e, 0]
        if what == _SET:
            values.value[w, v] = by
        elif what == _ADD:
            values.value[w, v] += by
        elif what == _MULTIPLY:
            values.value[w, v] = by * values.value[w, v]
    elif what > 0:
        first = script.actor_first[e]
        for k in range(first, first + script.actor_count[e]):
            ended, possible = start_action(
                script, road, agents, kind, driver, motion, w, e, script.actor[k]
            )
            # Another action of the same domain takes its place.
            if ended > 0 and ended != e and story.state[w, ended] == RUNNING:
                _change(story, w, ended, COMPLETE, STOP)
                _drop(script, motion, w, ended)
            if not possible and story.ended[w] == 0:
                story.ended[w] = _NO_LANE
                story.ended_step[w] = story.step[w]


@wp.func
def _begin(
    script: Script, story: Story, motion: Motion, values: Values, road: LaneArrays,
    agents: AgentArrays, kind: wp.array2d[int], driver: wp.array2d[Driver], w: int, top: int,
):  # fmt: skip
    """Start an element and what it holds, as far as that waits for no trigger."""
    story.state[w, top] = _BEGINS
    for e in range(top, script.kind.shape[0]):
        if story.state[w, e] == _BEGINS:
            story.executions[w, e] += 1
            _change(story, w, e, RUNNING, START)
            _forget(script, story, w, script.stop_trigger[e])
            if script.kind[e] == _ACTION:
                _act(script, story, motion, values, road, agents, kind, driver, w, e)
            first = script.first_child[e]
            # What an element holds stands behind it.
            for child in range(first, first + script.children[e]):
                if script.kind[child] == _EVENT:
                    story.executions[w, child] = 0
                    _standby(script, story, w, child)
                elif script.kind[child] == _ACT and script.start_trigger[child] >= 0:
                    _standby(script, story, w, child)
                else:
                    if script.kind[child] == _GROUP:
                        story.executions[w, child] = 0
                    story.state[w, child] = _BEGINS


@wp.func
def _maximum(script: Script, w: int, e: int) -> int:
    return script.maximum[w % script.maximum.shape[0], e]


@wp.func
def _end(
    script: Script, story: Story, motion: Motion, values: Values, road: LaneArrays,
    agents: AgentArrays, kind: wp.array2d[int], driver: wp.array2d[Driver], w: int,
):  # fmt: skip
    elements = script.kind.shape[0]
    for e in range(elements):
        if script.kind[e] == _ACTION and story.state[w, e] == RUNNING:
            carried = bool(False)
            for a in range(script.agents):
                if motion.longitudinal[w, a] == e or motion.lateral[w, a] == e:
                    carried = True
            if not carried:
                _change(story, w, e, COMPLETE, END)
    for k in range(elements - 1):
        e = elements - 1 - k
        if script.kind[e] != _ACTION and story.state[w, e] == RUNNING:
            over = bool(True)
            first = script.first_child[e]
            for child in range(first, first + script.children[e]):
                over = over and story.state[w, child] == COMPLETE
            if over:
                again = story.executions[w, e] < _maximum(script, w, e)
                _change(story, w, e, COMPLETE, END)
                if again and script.kind[e] == _EVENT:
                    _standby(script, story, w, e)
                if again and script.kind[e] == _GROUP:
                    _begin(script, story, motion, values, road, agents, kind, driver, w, e)


@wp.func
def _event(
    script: Script, story: Story, motion: Motion, values: Values, road: LaneArrays,
    agents: AgentArrays, kind: wp.array2d[int], driver: wp.array2d[Driver], w: int, e: int,
):  # fmt: skip
    """Start an event whose trigger holds, by its priority."""
    maneuver = script.parent[e]
    first = script.first_child[maneuver]
    others = bool(False)
    for other in range(first, first + script.children[maneuver]):
        others = others or (other != e and story.state[w, other] == RUNNING)
    if script.priority[e] == _SKIP and others:
        story.executions[w, e] += 1
        over = story.executions[w, e] >= _maximum(script, w, e)
        _change(story, w, e, wp.where(over, COMPLETE, STANDBY), SKIPPED)
        return
    if script.priority[e] == _OVERRIDE:
        for other in range(first, first + script.children[maneuver]):
            if other != e and story.state[w, other] == RUNNING:
                _stop(script, story, motion, w, other)
    _begin(script, story, motion, values, road, agents, kind, driver, w, e)


@wp.kernel
def run_storyboard(
    # In:
    script: Script,
    road: LaneArrays,
    bodies: wp.array2d[Body],
    agents: AgentArrays,
    # Out:
    story: Story,
    motion: Motion,
    values: Values,
    kind: wp.array2d[int],
    driver: wp.array2d[Driver],
):
    w = wp.tid()
    if story.ended[w] != 0:
        return
    elements = script.kind.shape[0]
    if story.state[w, 0] == INITIAL:
        _begin(script, story, motion, values, road, agents, kind, driver, w, 0)
    for e in range(elements):
        story.recent[w, e] = story.fresh[w, e]
        story.fresh[w, e] = 0
    _end(script, story, motion, values, road, agents, kind, driver, w)
    for e in range(elements):
        story.recent[w, e] = story.recent[w, e] | story.fresh[w, e]
        story.fresh[w, e] = 0
        story.seen[w, e] = story.state[w, e]
    if _holds(script, story, motion, values, road, agents, bodies, w, script.stop_trigger[0]):
        _stop(script, story, motion, w, 0)
        story.ended[w] = _STOPPED
        story.ended_step[w] = story.step[w]
        return
    for e in range(elements):
        if script.kind[e] == _ACT and story.state[w, e] == RUNNING:
            trigger = script.stop_trigger[e]
            if _holds(script, story, motion, values, road, agents, bodies, w, trigger):
                _stop(script, story, motion, w, e)
    for e in range(elements):
        if script.kind[e] == _ACT and story.state[w, e] == STANDBY:
            trigger = script.start_trigger[e]
            if _holds(script, story, motion, values, road, agents, bodies, w, trigger):
                _begin(script, story, motion, values, road, agents, kind, driver, w, e)
    # First all are asked, then they start: the order of events changes no answer.
    for e in range(elements):
        story.triggered[w, e] = 0
        if script.kind[e] == _EVENT and story.state[w, e] == STANDBY:
            trigger = script.start_trigger[e]
            if story.executions[w, e] >= _maximum(script, w, e):
                _change(story, w, e, COMPLETE, SKIPPED)
            elif trigger < 0 or _holds(
                script, story, motion, values, road, agents, bodies, w, trigger
            ):
                story.triggered[w, e] = 1
    for e in range(elements):
        if story.triggered[w, e] == 1 and story.state[w, e] == STANDBY:
            _event(script, story, motion, values, road, agents, kind, driver, w, e)
    story.step[w] += 1


@wp.kernel
def watch(
    # In:
    script: Script,
    agents: AgentArrays,
    # Out:
    story: Story,
):
    """End worlds whose ego has hit somebody."""
    w = wp.tid()
    ego = script.ego
    if story.ended[w] != 0 or not agents.collided[w, ego]:
        return
    other = agents.collided_with[w, ego]
    story.ended[w] = _COLLIDED
    story.ended_step[w] = story.step[w]
    story.partner[w] = other + 1
    along = agents.cos_heading[w, other] * agents.cos_heading[w, ego]
    along += agents.sin_heading[w, other] * agents.sin_heading[w, ego]
    story.impact_speed[w] = agents.velocity[w, ego] - along * agents.velocity[w, other]
