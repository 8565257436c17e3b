"""What conditions ask of entities, on the device.

Distances are those of ASAM OpenSCENARIO XML 1.3: of reference points, or with freespace of the
bounding boxes, along the axes of the entity that is asked, or along the road; never negative. Times
are infinite where the distance does not shrink.
"""

# A struct made at run time is a variable to the checker.
# mypy: disable-error-code="valid-type"

import warp as wp

from proveout.envs.driving.agents import AgentArrays
from proveout.envs.driving.bodies import Body
from proveout.envs.driving.metrics.collision import boxes_overlap
from proveout.envs.driving.roads.lanes import LaneArrays
from proveout.envs.driving.storyboard.arrays import Along, Motion, Script, Story, Test, Values
from proveout.envs.driving.traffic.relative import relative_between

wp.set_module_options({"enable_backward": False})

_LONGITUDINAL = wp.constant(int(Along.LONGITUDINAL))
_LATERAL = wp.constant(int(Along.LATERAL))
_ROAD = wp.constant(int(Along.ROAD))
_TIME, _STATE, _VARIABLE = (wp.constant(int(k)) for k in (Test.TIME, Test.STATE, Test.VARIABLE))
_SPEED, _RELATIVE_SPEED = wp.constant(int(Test.SPEED)), wp.constant(int(Test.RELATIVE_SPEED))
_DISTANCE_TO = wp.constant(int(Test.DISTANCE_TO))
_TIME_HEADWAY = wp.constant(int(Test.TIME_HEADWAY))
_TIME_TO_COLLISION = wp.constant(int(Test.TIME_TO_COLLISION))
_DISTANCE_TO_PLACE = wp.constant(int(Test.DISTANCE_TO_PLACE))
_TRAVELED, _STANDSTILL = wp.constant(int(Test.TRAVELED)), wp.constant(int(Test.STANDSTILL))
_COLLISION, _ACCELERATION = wp.constant(int(Test.COLLISION)), wp.constant(int(Test.ACCELERATION))
_EQUAL = wp.constant(wp.float64(1.0e-9))  # numbers that are equal but for rounding
_ZERO = wp.constant(wp.float64(0.0))
_FAR = wp.constant(2000.0)  # m along the road; beyond it there is no distance


@wp.func
def compare(value: wp.float64, rule: int, limit: wp.float64) -> bool:
    """Whether a value is in a relation of the standard (its place in `Rule`) to a limit."""
    equal = wp.abs(value - limit) <= _EQUAL or value == limit
    if rule == 0:
        return equal
    if rule == 1:
        return value > limit and not equal
    if rule == 2:
        return value < limit and not equal
    if rule == 3:
        return value > limit or equal
    if rule == 4:
        return value < limit or equal
    return not equal


@wp.func
def _to_box(dx: float, dy: float, c: float, n: float, body: Body) -> float:
    """Distance [m] of a point at dx, dy from the centre of a box with cosine and sine c, n."""
    along = wp.max(wp.abs(dx * c + dy * n) - 0.5 * body.length, 0.0)
    across = wp.max(wp.abs(dy * c - dx * n) - 0.5 * body.width, 0.0)
    return wp.sqrt(along * along + across * across)


@wp.func
def _corners_to_box(
    dx: float, dy: float, ca: float, na: float, a: Body, cb: float, nb: float, b: Body
) -> float:
    """Smallest distance [m] of a corner of a, whose centre is at dx, dy from that of b, to b."""
    least = float(wp.inf)
    for k in range(4):
        along = wp.where(k < 2, 0.5, -0.5) * a.length
        across = wp.where(k % 2 == 0, 0.5, -0.5) * a.width
        x = dx + along * ca - across * na
        y = dy + along * na + across * ca
        least = wp.min(least, _to_box(x, y, cb, nb, b))
    return least


@wp.func
def _overlap(agents: AgentArrays, bodies: wp.array2d[Body], w: int, a: int, b: int) -> bool:
    row = w % bodies.shape[0]
    return boxes_overlap(
        agents.centre_x[w, b] - agents.centre_x[w, a],
        agents.centre_y[w, b] - agents.centre_y[w, a],
        agents.cos_heading[w, a], agents.sin_heading[w, a],
        agents.cos_heading[w, b], agents.sin_heading[w, b],
        bodies[row, a], bodies[row, b],
    )  # fmt: skip


@wp.func
def distance_between(
    road: LaneArrays, agents: AgentArrays, bodies: wp.array2d[Body], w: int, a: int, b: int,
    freespace: bool, along: int,
) -> float:  # fmt: skip
    """Distance [m] from an agent to another as an `Along` measures it."""
    row = w % bodies.shape[0]
    c = agents.cos_heading[w, a]
    n = agents.sin_heading[w, a]
    if along == _ROAD:
        seen = relative_between(road, agents, bodies, w, a, b, _FAR)
        if freespace:
            return wp.max(seen.gap, 0.0)
        return wp.abs(seen.distance)
    dx = agents.x[w, b] - agents.x[w, a]
    dy = agents.y[w, b] - agents.y[w, a]
    if freespace:
        dx = agents.centre_x[w, b] - agents.centre_x[w, a]
        dy = agents.centre_y[w, b] - agents.centre_y[w, a]
    if along == _LONGITUDINAL or along == _LATERAL:
        size_a = bodies[row, a].length
        value = wp.abs(dx * c + dy * n)
        cb = wp.abs(agents.cos_heading[w, b] * c + agents.sin_heading[w, b] * n)
        nb = wp.abs(agents.sin_heading[w, b] * c - agents.cos_heading[w, b] * n)
        size_b = cb * bodies[row, b].length + nb * bodies[row, b].width
        if along == _LATERAL:
            value = wp.abs(dy * c - dx * n)
            size_a = bodies[row, a].width
            size_b = nb * bodies[row, b].length + cb * bodies[row, b].width
        if freespace:
            value = wp.max(value - 0.5 * (size_a + size_b), 0.0)
        return value
    if not freespace:
        return wp.sqrt(dx * dx + dy * dy)
    if _overlap(agents, bodies, w, a, b):
        return 0.0
    cb = agents.cos_heading[w, b]
    nb = agents.sin_heading[w, b]
    one = _corners_to_box(dx, dy, cb, nb, bodies[row, b], c, n, bodies[row, a])
    two = _corners_to_box(-dx, -dy, c, n, bodies[row, a], cb, nb, bodies[row, b])
    return wp.min(one, two)


@wp.func
def _to_place(
    agents: AgentArrays, bodies: wp.array2d[Body], w: int, a: int, x: float, y: float,
    freespace: bool, along: int,
) -> float:  # fmt: skip
    c = agents.cos_heading[w, a]
    n = agents.sin_heading[w, a]
    body = bodies[w % bodies.shape[0], a]
    dx = x - agents.x[w, a]
    dy = y - agents.y[w, a]
    half = 0.5 * body.length
    if freespace:
        dx = x - agents.centre_x[w, a]
        dy = y - agents.centre_y[w, a]
        if along != _LONGITUDINAL and along != _LATERAL:
            return _to_box(dx, dy, c, n, body)
    value = wp.sqrt(dx * dx + dy * dy)
    if along == _LONGITUDINAL:
        value = wp.abs(dx * c + dy * n)
    if along == _LATERAL:
        value = wp.abs(dy * c - dx * n)
        half = 0.5 * body.width
    if freespace:
        value = wp.max(value - half, 0.0)
    return value


@wp.func
def _closing(agents: AgentArrays, w: int, a: int, b: int, along: int) -> float:
    """Speed [m/s] at which an agent comes nearer to another, along what a distance is measured."""
    dx = agents.centre_x[w, b] - agents.centre_x[w, a]
    dy = agents.centre_y[w, b] - agents.centre_y[w, a]
    c = agents.cos_heading[w, a]
    n = agents.sin_heading[w, a]
    vx = agents.velocity[w, a] * c - agents.velocity[w, b] * agents.cos_heading[w, b]
    vy = agents.velocity[w, a] * n - agents.velocity[w, b] * agents.sin_heading[w, b]
    if along == _LATERAL:
        return (vy * c - vx * n) * wp.sign(dy * c - dx * n)
    if along == _LONGITUDINAL or along == _ROAD:
        return (vx * c + vy * n) * wp.sign(dx * c + dy * n)
    return (vx * dx + vy * dy) / wp.max(wp.sqrt(dx * dx + dy * dy), 1.0e-6)


@wp.func
def _state(script: Script, story: Story, w: int, t: int) -> bool:
    first = script.test_integer[t, 0]
    wanted = script.test_integer[t, 3]
    found = bool(False)
    for k in range(first, first + script.test_integer[t, 1]):
        e = script.match[k]
        if script.test_integer[t, 2] == 1:
            found = found or ((story.recent[w, e] >> wanted) & 1) == 1
        else:
            found = found or story.seen[w, e] == wanted
    return found


@wp.func
def ask(
    script: Script, story: Story, motion: Motion, values: Values, road: LaneArrays,
    agents: AgentArrays, bodies: wp.array2d[Body], w: int, t: int,
) -> bool:  # fmt: skip
    """Whether a test holds."""
    kind = script.test_kind[t]
    a = script.test_entity[t]
    rule = script.test_integer[t, 0]
    other = script.test_integer[t, 1]
    freespace = script.test_integer[t, 2] == 1
    along = script.test_integer[t, 3]
    row = w % script.test_number.shape[0]
    limit = script.test_number[row, t, 0]
    if kind == _TIME:
        return compare(wp.float64(story.step[w]) * script.dt, rule, limit)
    if kind == _STATE:
        return _state(script, story, w, t)
    if kind == _VARIABLE:
        return compare(values.value[w, other], rule, limit)
    if not agents.active[w, wp.max(a, 0)]:
        return False
    if kind == _TRAVELED:
        return motion.traveled[w, a] >= limit - _EQUAL
    if kind == _STANDSTILL:
        return motion.still[w, a] > _ZERO and motion.still[w, a] >= limit - _EQUAL
    if kind == _COLLISION:
        return _overlap(agents, bodies, w, a, other)
    value = float(0.0)
    if kind == _SPEED:
        value = agents.velocity[w, a]
    elif kind == _ACCELERATION:
        value = agents.acceleration[w, a]
    elif kind == _RELATIVE_SPEED:
        value = agents.velocity[w, a] - agents.velocity[w, other]
    elif kind == _DISTANCE_TO_PLACE:
        x = wp.float32(script.test_number[row, t, 1])
        y = wp.float32(script.test_number[row, t, 2])
        value = _to_place(agents, bodies, w, a, x, y, freespace, along)
    else:
        value = distance_between(road, agents, bodies, w, a, other, freespace, along)
        if kind == _TIME_HEADWAY:
            value = wp.where(
                agents.velocity[w, a] > 0.0, value / agents.velocity[w, a], float(wp.inf)
            )
        if kind == _TIME_TO_COLLISION:
            closing = _closing(agents, w, a, other, along)
            value = wp.where(closing > 0.0, value / closing, float(wp.inf))
    return compare(wp.float64(value), rule, limit)
