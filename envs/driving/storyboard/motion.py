"""Agents that a script moves: ramps of speed and lateral shapes, along lanes and exact.

A shape goes from 0 to 1 over its span: linear x, cubic 3 x^2 - 2 x^3, sinusoidal (1 - cos pi x) / 2
(ASAM OpenSCENARIO XML 1.3, DynamicsShape). Its steepest slope is 1, 3/2 and pi/2, its strongest
curvature 6 and pi^2/2: from these follow the spans of a highest rate and acceleration. Where the
standard is silent, ours: a speed that changes over a distance does so over the time in which the
mean of both speeds covers it; the speed is that of the reference point along its way, so that an
agent that moves across its lane is slower along it, and it heads where it goes.
"""

# A struct made at run time is a variable to the checker.
# mypy: disable-error-code="valid-type"

import numpy as np
import warp as wp

from proveout.envs.driving.agents import AgentArrays
from proveout.envs.driving.drivers.table import Driver, DriverKind
from proveout.envs.driving.roads.lanes import LaneArrays, lane_pose, project_on
from proveout.envs.driving.storyboard.arrays import Act, Motion, Script

wp.set_module_options({"enable_backward": False})

CUBIC, LINEAR, SINUSOIDAL, STEP = (wp.constant(k) for k in range(4))
"""Places in the standard's list of shapes."""
DISTANCE, RATE = wp.constant(0), wp.constant(1)
"""Places in its list of dimensions; the last is a time."""
_SCRIPTED, _IDM = wp.constant(int(DriverKind.SCRIPTED)), wp.constant(int(DriverKind.IDM))
_SPEED, _LANE = wp.constant(int(Act.SPEED)), wp.constant(int(Act.LANE))
_OFFSET, _CONTROLLER = wp.constant(int(Act.OFFSET)), wp.constant(int(Act.CONTROLLER))
_PI = wp.constant(wp.float64(np.pi))
_ZERO, _ONE, _HALF = (wp.constant(wp.float64(v)) for v in (0.0, 1.0, 0.5))
_TWO, _THREE, _SIX = (wp.constant(wp.float64(v)) for v in (2.0, 3.0, 6.0))
_NEAR = wp.constant(wp.float64(1.0e-9))
_NEVER = wp.constant(wp.float64(1.0e12))
_MOST_LANES = wp.constant(32)
_STILL = wp.constant(1.0e-3)  # m/s: below it an agent stands


@wp.func
def shape_value(shape: int, x: wp.float64) -> wp.float64:
    """A shape where `x` of its span has passed."""
    at = wp.clamp(x, _ZERO, _ONE)
    if shape == LINEAR:
        return at
    if shape == CUBIC:
        return at * at * (_THREE - _TWO * at)
    if shape == SINUSOIDAL:
        return _HALF * (_ONE - wp.cos(_PI * at))
    return _ONE


@wp.func
def shape_slope(shape: int, x: wp.float64) -> wp.float64:
    """Its slope there."""
    if x < _ZERO or x > _ONE:
        return _ZERO
    if shape == LINEAR:
        return _ONE
    if shape == CUBIC:
        return _SIX * x * (_ONE - x)
    if shape == SINUSOIDAL:
        return _HALF * _PI * wp.sin(_PI * x)
    return _ZERO


@wp.func
def _steepest(shape: int) -> wp.float64:
    if shape == CUBIC:
        return _THREE * _HALF
    if shape == SINUSOIDAL:
        return _HALF * _PI
    return _ONE


@wp.func
def _span(shape: int, dimension: int, value: wp.float64, change: wp.float64) -> wp.float64:
    """Time [s] or distance [m] that a change takes; 0: at once."""
    if shape == STEP:
        return _ZERO
    if dimension != RATE:
        return wp.max(value, _ZERO)
    rate = wp.abs(value)
    if rate * _NEVER <= wp.abs(change):
        return _NEVER
    return wp.abs(change) * _steepest(shape) / rate


@wp.func
def take_over(
    road: LaneArrays, agents: AgentArrays, kind: wp.array2d[int], motion: Motion, w: int, a: int
):
    """Let the script move an agent from where it is, if it does not already."""
    if kind[w, a] == _SCRIPTED:
        return
    kind[w, a] = _SCRIPTED
    motion.lane[w, a] = agents.lane[w, a]
    motion.s[w, a] = wp.float64(agents.s[w, a])
    motion.d[w, a] = wp.float64(agents.d[w, a])
    motion.turn[w, a] = 0.0
    motion.speed[w, a] = wp.float64(agents.velocity[w, a])


@wp.func
def _lane_with(script: Script, road: LaneArrays, lane: int, wanted: int) -> int:
    """The lane with a number beside another, on the same carriageway; -1: none."""
    here = int(lane)
    for _ in range(_MOST_LANES):
        if here >= 0 and script.lane_number[here] != wanted:
            # Numbers grow to the left along the road.
            if (wanted > script.lane_number[here]) == (script.lane_travel[here] > 0):
                here = road.lane[here].left
            else:
                here = road.lane[here].right
    return here


@wp.func
def start_action(
    script: Script, road: LaneArrays, agents: AgentArrays, kind: wp.array2d[int],
    driver: wp.array2d[Driver], motion: Motion, w: int, e: int, a: int,
):  # fmt: skip
    """Start an action of one entity.

    Returns:
        The element of an action that it ends, 0 for none; whether it can be done.
    """
    what = script.action_kind[e]
    row = w % script.action_number.shape[0]
    dynamics = script.action_number[row, e, 0]
    target = script.action_number[row, e, 1]
    shape = script.action_integer[e, 0]
    other = script.action_integer[e, 2]
    ended = int(0)
    done = bool(True)
    if what == _CONTROLLER:
        on = script.action_integer[e, 0] == 1 or script.action_integer[e, 1] == 1
        off = script.action_integer[e, 0] == 0 and script.action_integer[e, 1] == 0
        if on and kind[w, a] == _SCRIPTED:
            kind[w, a] = _IDM
            driver[w, a].desired_speed = wp.float32(motion.speed[w, a])
            motion.longitudinal[w, a] = 0
            motion.lateral[w, a] = 0
        if off:
            take_over(road, agents, kind, motion, w, a)
    elif what == _SPEED:
        take_over(road, agents, kind, motion, w, a)
        ended = motion.longitudinal[w, a]
        if other >= 0:
            reference = wp.float64(agents.velocity[w, other])
            if script.action_integer[e, 3] == 1:
                target = reference * target
            else:
                target = reference + target
        before = motion.speed[w, a]
        span = _span(shape, script.action_integer[e, 1], dynamics, target - before)
        if script.action_integer[e, 1] == DISTANCE and span > _ZERO:
            span = wp.min(_TWO * span / wp.max(before + target, _NEAR), _NEVER)
        motion.longitudinal[w, a] = 0
        if span <= _ZERO:
            motion.speed[w, a] = target
            agents.velocity[w, a] = wp.float32(target)
        else:
            motion.longitudinal[w, a] = e
            motion.speed_shape[w, a] = shape
            motion.speed_from[w, a] = before
            motion.speed_to[w, a] = target
            motion.speed_duration[w, a] = span
            motion.speed_time[w, a] = _ZERO
    elif what == _LANE or what == _OFFSET:
        take_over(road, agents, kind, motion, w, a)
        ended = motion.lateral[w, a]
        before = motion.d[w, a]
        span = wp.float64(_ZERO)
        if what == _LANE:
            lane = motion.lane[w, a]
            number = int(target)
            if other >= 0:
                number += script.lane_number[agents.lane[w, other]]
            onto = _lane_with(script, road, lane, number)
            if onto < 0:
                done = False
                onto = lane
            if onto != lane:
                x, y, heading, _k = lane_pose(road, lane, wp.float32(motion.s[w, a]))
                left = wp.float32(motion.d[w, a])
                guess = wp.float32(motion.s[w, a])
                guess *= road.lane[onto].length / road.lane[lane].length
                s, d = project_on(
                    road, onto, guess, x - left * wp.sin(heading), y + left * wp.cos(heading), 12
                )
                motion.lane[w, a] = onto
                motion.s[w, a] = wp.float64(s)
                before = wp.float64(d)
                motion.d[w, a] = before
            target = script.action_number[row, e, 2]
            span = _span(shape, script.action_integer[e, 1], dynamics, target - before)
            motion.d_distance[w, a] = wp.where(script.action_integer[e, 1] == DISTANCE, 1, 0)
        else:
            motion.d_distance[w, a] = 0
            strongest = _SIX
            if shape == SINUSOIDAL:
                strongest = _HALF * _PI * _PI
            if shape != STEP and dynamics > _ZERO:
                span = wp.sqrt(strongest * wp.abs(target - before) / dynamics)
        motion.lateral[w, a] = 0
        if span <= _ZERO:
            motion.d[w, a] = target
        else:
            motion.lateral[w, a] = e
            motion.d_shape[w, a] = shape
            motion.d_from[w, a] = before
            motion.d_to[w, a] = target
            motion.d_span[w, a] = span
            motion.d_done[w, a] = _ZERO
    return ended, done


@wp.func
def _speed_after(motion: Motion, w: int, a: int, elapsed: wp.float64) -> wp.float64:
    x = elapsed / motion.speed_duration[w, a]
    value = shape_value(motion.speed_shape[w, a], x)
    return motion.speed_from[w, a] + value * (motion.speed_to[w, a] - motion.speed_from[w, a])


@wp.func
def _advance(motion: Motion, w: int, a: int, dt: wp.float64) -> wp.float64:
    """Way of a step [m], after which the speed is that of its end."""
    if motion.longitudinal[w, a] == 0:
        return motion.speed[w, a] * dt
    begin = motion.speed_time[w, a]
    end = begin + dt
    inside = wp.min(end, motion.speed_duration[w, a]) - begin
    # Simpson's rule is exact for what is linear and cubic, and to a nanometre for a sine.
    first = _speed_after(motion, w, a, begin)
    middle = _speed_after(motion, w, a, begin + _HALF * inside)
    last = _speed_after(motion, w, a, begin + inside)
    way = inside * (first + wp.float64(4.0) * middle + last) / _SIX
    way += (dt - inside) * last
    motion.speed_time[w, a] = end
    motion.speed[w, a] = last
    if end >= motion.speed_duration[w, a] - _NEAR:
        motion.speed[w, a] = motion.speed_to[w, a]
        motion.longitudinal[w, a] = 0
    return way


@wp.kernel
def move_scripted(
    # In:
    script: Script,
    road: LaneArrays,
    kind_in: wp.array2d[int],
    ended_in: wp.array[int],
    # Out:
    motion: Motion,
    agents: AgentArrays,
):
    w = wp.tid()
    dt = script.dt
    for a in range(script.agents):
        if ended_in[w] != 0 or not agents.active[w, a]:
            continue
        if kind_in[w, a] != _SCRIPTED:
            driven = wp.float64(agents.velocity[w, a])
            motion.speed[w, a] = driven
            motion.traveled[w, a] += wp.abs(driven) * dt
            motion.still[w, a] = wp.where(
                wp.abs(agents.velocity[w, a]) < _STILL, motion.still[w, a] + dt, _ZERO
            )
            continue
        before = motion.speed[w, a]
        way = _advance(motion, w, a, dt)
        across = wp.float64(_ZERO)
        slope = wp.float64(_ZERO)
        if motion.lateral[w, a] != 0:
            if motion.d_distance[w, a] == 1:
                motion.d_done[w, a] += wp.abs(way)
            else:
                motion.d_done[w, a] += dt
            share = motion.d_done[w, a] / motion.d_span[w, a]
            change = motion.d_to[w, a] - motion.d_from[w, a]
            left = motion.d_from[w, a] + change * shape_value(motion.d_shape[w, a], share)
            across = left - motion.d[w, a]
            slope = change * shape_slope(motion.d_shape[w, a], share) / motion.d_span[w, a]
            if motion.d_distance[w, a] == 0:
                slope = slope / wp.max(wp.abs(motion.speed[w, a]), wp.float64(1.0e-3))
            motion.d[w, a] = left
            if share >= _ONE - _NEAR:
                motion.d[w, a] = motion.d_to[w, a]
                motion.lateral[w, a] = 0
        along = wp.sqrt(wp.max(way * way - across * across, _ZERO))
        if way < _ZERO:
            along = -along
        if wp.cos(motion.turn[w, a]) < 0.0:
            along = -along
        lane = motion.lane[w, a]
        s = motion.s[w, a]
        _x, _y, _h, curvature = lane_pose(road, lane, wp.float32(s))
        s += along / wp.max(_ONE - wp.float64(curvature) * motion.d[w, a], wp.float64(0.1))
        length = wp.float64(road.lane[lane].length)
        first = road.first_link[lane]
        if s > length and first < road.first_link[lane + 1]:
            lane = road.links[first]
            s -= length
        back = road.first_link[lane + road.num_lanes]
        if s < _ZERO and back < road.first_link[lane + road.num_lanes + 1]:
            lane = road.links[back]
            s += wp.float64(road.lane[lane].length)
        motion.lane[w, a] = lane
        motion.s[w, a] = s
        motion.traveled[w, a] += wp.abs(way)
        speed = wp.float32(motion.speed[w, a])
        motion.still[w, a] = wp.where(wp.abs(speed) < _STILL, motion.still[w, a] + dt, _ZERO)
        x, y, heading, _k = lane_pose(road, lane, wp.float32(s))
        d = wp.float32(motion.d[w, a])
        agents.x[w, a] = x - d * wp.sin(heading)
        agents.y[w, a] = y + d * wp.cos(heading)
        side = wp.asin(wp.clamp(wp.float32(slope), -1.0, 1.0))
        agents.heading[w, a] = heading + motion.turn[w, a] + side
        agents.velocity[w, a] = speed
        agents.acceleration[w, a] = wp.float32((motion.speed[w, a] - before) / dt)
        agents.steering[w, a] = 0.0
