"""A storyboard on the device: what is the same in all worlds, numbers by row, what worlds remember.

World w runs row w. Times, distances along a path and numbers of the file are float64: single
precision would drift by centimetres over a scenario of a minute.
"""

# A struct made at run time is a variable to the checker.
# mypy: disable-error-code="valid-type"

from enum import IntEnum

import warp as wp

wp.set_module_options({"enable_backward": False})


class Test(IntEnum):
    """What a test asks; in brackets the columns of its integers, then of its numbers."""

    TIME = 0  # [rule] [value]
    STATE = 1  # [first match, matches, transition or state, which] []
    VARIABLE = 2  # [rule, variable] [value]
    SPEED = 3  # [rule] [value]
    RELATIVE_SPEED = 4  # [rule, entity] [value]
    DISTANCE_TO = 5  # [rule, entity, freespace, Along] [value]
    TIME_HEADWAY = 6  # the same
    TIME_TO_COLLISION = 7  # the same
    DISTANCE_TO_PLACE = 8  # [rule, -, freespace, Along] [value, x, y]
    TRAVELED = 9  # [] [value]
    STANDSTILL = 10  # [] [duration]
    COLLISION = 11  # [-, entity] []
    ACCELERATION = 12  # [rule] [value]


class Along(IntEnum):
    """How a distance is measured."""

    STRAIGHT = 0  # between points, or boxes
    LONGITUDINAL = 1  # along the axis of the entity
    LATERAL = 2  # across it
    ROAD = 3  # along the road


class Act(IntEnum):
    """What an action does; columns as in `Test`."""

    INSTANT = 0  # nothing that is simulated
    SPEED = 1  # [shape, dimension, entity or -1, factor] [dynamics, target]
    LANE = 2  # [shape, dimension, entity or -1] [dynamics, target lane, offset]
    OFFSET = 3  # [shape] [highest lateral acceleration, target]
    CONTROLLER = 4  # [lateral, longitudinal] []: 1 on, 0 off, -1 as it is
    SET = 5  # [variable] [value]
    ADD = 6  # the same
    MULTIPLY = 7  # the same


class Ended(IntEnum):
    """Why a world has ended."""

    NOT = 0
    STOPPED = 1  # the stop trigger of the storyboard
    COLLIDED = 2  # the ego has
    NO_LANE = 3  # an action needs a lane that is not there


@wp.struct
class Script:
    """A `Program` in arrays; those with numbers of rows have all rows, or one, as first dimension.

    Attributes:
        order: Of each element, its place when each stands before what it holds.
        behind: The place behind the last that it holds.
        agents: Entities. ego: Which of them is tested.
    """

    kind: wp.array[int]
    parent: wp.array[int]
    first_child: wp.array[int]
    children: wp.array[int]
    order: wp.array[int]
    behind: wp.array[int]
    maximum: wp.array2d[int]
    priority: wp.array[int]
    start_trigger: wp.array[int]
    stop_trigger: wp.array[int]
    group_first: wp.array[int]
    group_count: wp.array[int]
    condition_first: wp.array[int]
    condition_count: wp.array[int]
    edge: wp.array[int]
    rule: wp.array[int]
    delay: wp.array2d[int]  # in physics steps
    ring: wp.array[int]  # where the results of a condition are kept
    ring_size: wp.array[int]
    test_first: wp.array[int]
    test_count: wp.array[int]
    test_entity: wp.array[int]
    test_kind: wp.array[int]
    test_integer: wp.array2d[int]
    test_number: wp.array3d[wp.float64]
    match: wp.array[int]
    action_kind: wp.array[int]
    action_integer: wp.array2d[int]
    action_number: wp.array3d[wp.float64]
    actor_first: wp.array[int]
    actor_count: wp.array[int]
    actor: wp.array[int]
    lane_number: wp.array[int]  # of each lane of the network, its id in its road
    lane_travel: wp.array[int]  # 1 where its traffic goes along the road, -1 against it
    agents: int
    ego: int
    variables: int
    dt: wp.float64


@wp.struct
class Story:
    """What each world remembers of its storyboard; all zero at the start."""

    step: wp.array[int]  # physics steps since the start
    state: wp.array2d[int]
    seen: wp.array2d[int]  # the states that conditions see
    executions: wp.array2d[int]
    recent: wp.array2d[int]  # transitions as bits, that conditions see
    fresh: wp.array2d[int]  # that they will see
    triggered: wp.array2d[int]  # events that start in this step
    last: wp.array2d[int]  # of conditions: 0 never asked, 1 false, 2 true
    asked: wp.array2d[int]  # of conditions: how often
    ring: wp.array2d[int]  # results whose delay has not passed
    ended: wp.array[int]  # an `Ended`
    ended_step: wp.array[int]
    partner: wp.array[int]  # whom the ego hits, plus one
    impact_speed: wp.array[float]  # of the ego, less that of the partner along its axis [m/s]


@wp.struct
class Motion:
    """What each agent remembers of its path; actions by their element, 0 for none."""

    lane: wp.array2d[int]  # of the path
    s: wp.array2d[wp.float64]  # [m]
    d: wp.array2d[wp.float64]  # left of its middle [m]
    turn: wp.array2d[float]  # heading from the lane's when it goes along it [rad]
    speed: wp.array2d[wp.float64]  # [m/s]
    traveled: wp.array2d[wp.float64]  # [m]
    still: wp.array2d[wp.float64]  # stands for so long [s]
    longitudinal: wp.array2d[int]
    speed_shape: wp.array2d[int]
    speed_from: wp.array2d[wp.float64]
    speed_to: wp.array2d[wp.float64]
    speed_duration: wp.array2d[wp.float64]
    speed_time: wp.array2d[wp.float64]
    lateral: wp.array2d[int]
    d_shape: wp.array2d[int]
    d_distance: wp.array2d[int]  # 1: over a distance, 0: over a time
    d_from: wp.array2d[wp.float64]
    d_to: wp.array2d[wp.float64]
    d_span: wp.array2d[wp.float64]  # [s or m]
    d_done: wp.array2d[wp.float64]  # of it


@wp.struct
class Values:
    """Variables and parameters of each world."""

    value: wp.array2d[wp.float64]
