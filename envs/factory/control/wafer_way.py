"""A wafer, the fork of a wafer robot and two stations: how they stand to each other, in one world.

Angles are about the axis of the robot, extensions are distances from it. A fork comes into a
station below a seat, lifts the wafer off it, and leaves above it; into the other one above the
seat, lowers the wafer onto it, and leaves below.
"""

from __future__ import annotations

import warp as wp

from proveout.assets.objects import foup, load_lock, wafer
from proveout.envs.factory.arm import Arm, tcp_position
from proveout.envs.factory.places import (
    FreeBody,
    Joint,
    free_pose,
    free_spin,
    free_velocity,
    set_free_pose,
)

wp.set_module_options({"enable_backward": False})

# Heights of the pads below, and of a carried wafer above a seat, while the fork moves in or out.
LOW, CARRY = 0.0026, 0.0030  # m
# Extensions of the pocket [m]: where all is clear of both stations, and where the fork turns.
CLEAR, TURNING = 0.25, 0.22
FORK_THICK, TIP, HALF_WIDTH = 0.004, 0.115, 0.085  # with its pads; from the pocket, m
# Free heights around a seat, for the fork and what it carries [m]: the wafers in the slots below
# and above; the slot of the lock.
_FOUP_LANE = wp.constant(wp.vec2(wafer.THICKNESS - foup.PITCH, foup.PITCH))
_LOCK_LANE = wp.constant(wp.vec2(load_lock.SILL, load_lock.LINTEL))
_FRONT, _SIDE, _BACK = wp.constant(foup.FRONT), wp.constant(foup.SIDE), wp.constant(foup.BACK)
_WALL, _SLOT = wp.constant(load_lock.WALL), wp.constant(load_lock.SLOT)
_LOW, _CARRY, _CLEAR = wp.constant(LOW), wp.constant(CARRY), wp.constant(CLEAR)
_FORK_THICK, _TIP, _HALF_WIDTH = (
    wp.constant(FORK_THICK), wp.constant(TIP), wp.constant(HALF_WIDTH),
)  # fmt: skip
_ORIGIN = wp.constant(wp.vec3(TURNING, 0.0, 0.0))
_RADIUS, _THICKNESS = wp.constant(wafer.RADIUS), wp.constant(wafer.THICKNESS)
_TOUCH = wp.constant(wafer.RADIUS + foup.GUIDE_RADIUS + 0.0001)
_REST = wp.constant(0.0006)  # what lies on something is no farther from it [m]
_FOUP_TURN, _LOCK_TURN = wp.constant(0.0), wp.constant(0.5 * wp.pi)

FETCH, LEAVE, DELIVER, WITHDRAW = wp.constant(0), wp.constant(1), wp.constant(2), wp.constant(3)


@wp.struct
class Cell:
    """Where everything is in one world, in its frame [m, rad].

    Attributes:
        fork: The pocket, in the plane of the pads. turn: Of the fork about the axis.
        wafer: Middle of its lower face. up: Its axis.
        seat, lock: The seats.
    """

    fork: wp.vec3
    turn: float
    wafer: wp.vec3
    up: wp.vec3
    seat: wp.vec3
    lock: wp.vec3


@wp.func
def look(arm: Arm, w: int, disc: FreeBody, theta: Joint, seat: wp.vec3, lock: wp.vec3) -> Cell:
    """The cell as it is now; the origin of the disc's body lies at `TURNING` from its middle."""
    cell = Cell()
    pose = free_pose(arm, w, disc)
    cell.up = wp.quat_rotate(wp.transform_get_rotation(pose), wp.vec3(0.0, 0.0, 1.0))
    cell.wafer = wp.transform_point(pose, _ORIGIN) - 0.5 * _THICKNESS * cell.up
    cell.fork = tcp_position(arm, w)
    cell.turn = arm.qpos[w, theta.qpos]
    cell.seat = seat
    cell.lock = lock
    return cell


@wp.func
def wafer_velocity(arm: Arm, w: int, disc: FreeBody) -> wp.vec3:
    """Of the middle of the wafer in the world frame [m/s]."""
    out = wp.quat_rotate(wp.transform_get_rotation(free_pose(arm, w, disc)), _ORIGIN)
    return free_velocity(arm, w, disc) + wp.cross(free_spin(arm, w, disc), out)


@wp.func
def lay(arm: Arm, w: int, disc: FreeBody, middle: wp.vec3):
    """Put the wafer with the middle of its lower face somewhere in the world frame [m]."""
    up = wp.vec3(0.0, 0.0, 0.5 * _THICKNESS)
    set_free_pose(arm, w, disc, wp.transform(middle + up - _ORIGIN, wp.quat_identity()))


@wp.func
def extension(point: wp.vec3) -> float:
    """Distance from the robot's axis [m]."""
    return wp.sqrt(point[0] * point[0] + point[1] * point[1])


@wp.func
def between(start: wp.vec3, end: wp.vec3) -> wp.vec3:
    """Turn [rad] within half a turn, extension [m] and height [m] from one point to another."""
    turn = wp.atan2(start[0] * end[1] - start[1] * end[0], start[0] * end[0] + start[1] * end[1])
    return wp.vec3(turn, extension(end) - extension(start), end[2] - start[2])


@wp.func
def in_fork(cell: Cell, vector: wp.vec3) -> wp.vec3:
    """A vector of the world along the fork, across it, and up."""
    along = wp.vec3(wp.cos(cell.turn), wp.sin(cell.turn), 0.0)
    across = wp.vec3(-along[1], along[0], 0.0)
    return wp.vec3(wp.dot(vector, along), wp.dot(vector, across), vector[2])


@wp.func
def sliding(arm: Arm, w: int, cell: Cell, disc: FreeBody, speed: wp.vec3) -> wp.vec3:
    """Velocity of the wafer relative to the fork, along it, across it, and up [m/s].

    Args:
        arm: The arm. w: The world. cell: The cell. disc: The wafer.
        speed: Of theta, R and Z [rad/s, m/s, m/s].
    """
    middle = in_fork(cell, cell.wafer)
    carries = wp.vec3(speed[1] - speed[0] * middle[1], speed[0] * middle[0], speed[2])
    return in_fork(cell, wafer_velocity(arm, w, disc)) - carries


@wp.func
def apart(a: wp.vec3, b: wp.vec3) -> float:
    """Level distance of two points [m]."""
    return wp.length(wp.vec2(a[0] - b[0], a[1] - b[1]))


@wp.func
def lies_on(cell: Cell, seat: wp.vec3) -> bool:
    """Whether the wafer rests on a seat."""
    return apart(cell.wafer, seat) < 0.03 and wp.abs(cell.wafer[2] - seat[2]) < _REST


@wp.func
def carried(cell: Cell) -> bool:
    """Whether the wafer rests on the fork, and on nothing else."""
    on_fork = wp.abs(cell.wafer[2] - cell.fork[2]) < _REST
    return on_fork and not (lies_on(cell, cell.seat) or lies_on(cell, cell.lock))


@wp.func
def placed(cell: Cell, tolerance: float) -> bool:
    """Whether the wafer lies on the pins of the lock, within a tolerance [m]."""
    return lies_on(cell, cell.lock) and apart(cell.wafer, cell.lock) < tolerance


@wp.func
def stage_of(cell: Cell, tolerance: float) -> int:
    """What is to be done now: `FETCH`, `LEAVE` the FOUP, `DELIVER`, or `WITHDRAW` from the lock."""
    stage = FETCH
    if placed(cell, tolerance):
        stage = WITHDRAW
    elif carried(cell):
        at_foup = wp.abs(between(cell.seat, cell.wafer)[0]) < 0.3
        stage = wp.where(at_foup and extension(cell.fork) > _CLEAR, LEAVE, DELIVER)
    return stage


@wp.func
def _beyond(x: float, low: float, high: float) -> float:
    return wp.max(low - x, 0.0) + wp.max(x - high, 0.0)


@wp.func
def _approach(way: wp.vec3, height: float, last: float) -> float:
    """How far the fork has come to a place in a station, 0 to 1.

    Args:
        way: Turn and extension that are left; the height is not used.
        height: Between what must not touch [m]: some millimetres while the fork goes in.
        last: How much of the last vertical move is done, 0 to 1.
    """
    turn, left = wp.abs(way[0]), wp.abs(way[1])
    there = wp.exp(-(left + 0.6 * turn) / 0.004)
    # The last move uses up the height.
    outside = _beyond(height, 0.0015 * (1.0 - there), 0.0045)
    near = wp.exp(-turn - 10.0 * outside)
    ready = wp.exp(-turn / 0.015 - outside / 0.002)
    return (
        0.25 * near + 0.15 * ready + 0.35 * ready * wp.max(1.0 - left / 0.45, 0.0)
        + 0.1 * ready * there + 0.15 * there * last
    )  # fmt: skip


@wp.func
def _drawn_back(cell: Cell) -> float:
    return wp.clamp(1.0 - (extension(cell.fork) - _CLEAR) / 0.36, 0.0, 1.0)


@wp.func
def progress(cell: Cell, tolerance: float) -> float:
    """How much of the transfer is done, 0 to 1."""
    stage = stage_of(cell, tolerance)
    done = float(0.0)
    if stage == FETCH:
        way = between(cell.fork, cell.wafer)
        done = _approach(way, way[2], 1.0 - wp.clamp(way[2] / _LOW, 0.0, 1.0))
    elif stage == LEAVE:
        height = cell.wafer[2] - cell.seat[2]
        done = wp.exp(-_beyond(height, 0.0015, 0.0045) / 0.002) * (0.2 + 0.8 * _drawn_back(cell))
    elif stage == DELIVER:
        way = between(cell.wafer, cell.lock)
        done = _approach(way, -way[2], 1.0 - wp.clamp(-way[2] / _CARRY, 0.0, 1.0))
    else:
        height = cell.wafer[2] - cell.fork[2]
        done = wp.exp(-_beyond(height, 0.0015, 0.0080) / 0.002) * (0.2 + 0.8 * _drawn_back(cell))
    return 0.25 * (float(stage) + done)


@wp.func
def _hits(
    point: wp.vec3, bottom: float, top: float, seat: wp.vec3, turn: float, box: wp.vec3,
    lane: wp.vec2,
) -> bool:  # fmt: skip
    """Whether a part of fork or wafer is where a station is solid.

    Args:
        point: Of the part. bottom, top: Heights of the part there [m].
        seat: The station's. turn: Of the station about the robot's axis [rad].
        box: From the seat to the opening, to either side wall and to the back wall [m].
        lane: Free heights around the seat [m].
    """
    along = wp.vec3(wp.cos(turn), wp.sin(turn), 0.0)
    x = wp.dot(point - seat, along)
    y = wp.dot(point - seat, wp.vec3(-along[1], along[0], 0.0))
    if x < -box[0] or wp.abs(y) > box[1] + 0.06:
        return False
    wall = wp.abs(y) > box[1] or x > box[2]
    return wall or bottom - seat[2] < lane[0] or top - seat[2] > lane[1]


@wp.func
def strikes(cell: Cell) -> bool:
    """Whether the fork or a wafer on it strikes a station, another wafer, or the wafer itself."""
    foup_box, lock_box = wp.vec3(_FRONT, _SIDE, _BACK), wp.vec3(_WALL, _SLOT, 0.25)
    on_fork = carried(cell)
    along = wp.vec3(wp.cos(cell.turn), wp.sin(cell.turn), 0.0)
    across = wp.vec3(-along[1], along[0], 0.0)
    hit = bool(False)
    for i in range(2):  # the tips of the fork
        side = (2.0 * float(i) - 1.0) * _HALF_WIDTH
        tip = cell.fork + _TIP * along + side * across
        bottom = tip[2] - _FORK_THICK
        hit = hit or _hits(tip, bottom, tip[2], cell.seat, _FOUP_TURN, foup_box, _FOUP_LANE)
        hit = hit or _hits(tip, bottom, tip[2], cell.lock, _LOCK_TURN, lock_box, _LOCK_LANE)
        through = tip[2] > cell.wafer[2] + 2.0 * _REST and bottom < cell.wafer[2] + _THICKNESS
        hit = hit or (apart(tip, cell.wafer) < _RADIUS and through)
    # The back wall stops a rim by contact: see `touches_edge`.
    foup_box[2] = foup_box[2] + 0.004
    for i in range(3):  # the front of the rim
        angle = 0.7 * (float(i) - 1.0)
        out = wp.cos(angle) * along + wp.sin(angle) * across
        rim = cell.wafer + _RADIUS * out
        top = rim[2] + _THICKNESS
        at_foup = _hits(rim, rim[2], top, cell.seat, _FOUP_TURN, foup_box, _FOUP_LANE)
        at_lock = _hits(rim, rim[2], top, cell.lock, _LOCK_TURN, lock_box, _LOCK_LANE)
        hit = hit or (on_fork and (at_foup or at_lock))
    return hit


@wp.func
def _near(cell: Cell, guide: wp.vec3) -> bool:
    return apart(cell.wafer, guide) < _TOUCH and wp.abs(cell.wafer[2] - guide[2]) < 0.006


@wp.func
def touches_edge(cell: Cell) -> bool:
    """Whether the wafer's edge touches a guide of the FOUP or a jamb of the lock's slot."""
    beside, radius = wp.static(foup.SIDE + foup.GUIDE_RADIUS), wp.static(foup.GUIDE_RADIUS)
    touched = _near(cell, cell.seat + wp.vec3(_BACK + radius, 0.0, 0.002))
    jamb = wp.static(load_lock.SLOT + load_lock.GUIDE_RADIUS)
    for i in range(2):
        side = 2.0 * float(i) - 1.0
        touched = touched or _near(cell, cell.seat + wp.vec3(-0.1, side * beside, 0.002))
        touched = touched or _near(cell, cell.seat + wp.vec3(0.0, side * beside, 0.002))
        touched = touched or _near(cell, cell.lock + wp.vec3(side * jamb, -_WALL, 0.003))
    return touched


@wp.func
def fell(cell: Cell) -> bool:
    """Whether the wafer lies tilted by over 3 degrees, or below everything that could hold it."""
    lowest = wp.min(cell.fork[2], wp.min(cell.seat[2], cell.lock[2]))
    return cell.up[2] < 0.9986 or cell.wafer[2] < lowest - 0.02
