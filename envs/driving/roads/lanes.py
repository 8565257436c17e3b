"""Lanes on the device: poses along a lane, and projection of a point onto it.

Lanes of several maps lie in one table, one map after the other; no link leads from one to another.

Lanes are extended as straight lines before their start and past their end, so every finite `s` has
a pose. A non-finite `s` reads as 0 and a lane index out of range is clamped: no value of the state
can index outside the arrays.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import warp as wp

from proveout.assets.road import RoadNetwork, join

wp.set_module_options({"enable_backward": False})

# Bound on s / step, so that its conversion to an integer is always defined.
_LARGEST_INDEX = wp.constant(1.0e6)
# Correction of s [m] that ends the projection: d is then exact to 1e-8 m times the curvature.
_CONVERGED = wp.constant(1.0e-4)
_TWO_PI = wp.constant(2.0 * np.pi)


@wp.struct
class Lane:
    """What is known of a lane as a whole. Units as in `RoadNetwork`."""

    first_point: int
    num_points: int
    step: float
    length: float
    speed_limit: float
    left: int  # lane beside, -1 for none
    right: int
    road: int
    road_length: float  # of the reference line of its road
    ring: wp.bool  # whether it leads to its own road


@wp.struct
class LaneArrays:
    """Maps on a device, shared by all worlds. Units and frames as in `RoadNetwork`.

    A lane's successors are `links[first_link[lane] : first_link[lane + 1]]`, its predecessors
    likewise with `lane + num_lanes`. The lanes of a map are `first_lane[map]` to
    `first_lane[map + 1] - 1`.
    """

    # (total_points,): x, y, heading, curvature
    pose: wp.array[wp.vec4]
    # (total_points,): cos(heading), sin(heading), station, offset
    frame: wp.array[wp.vec4]
    # (total_points,): width, left_edge, right_edge
    section: wp.array[wp.vec3]
    # (num_lanes,)
    lane: wp.array[Lane]
    # (2 * num_lanes + 1,) and (all links,):
    first_link: wp.array[int]
    links: wp.array[int]
    # (num_maps + 1,):
    first_lane: wp.array[int]
    num_lanes: int


def lane_arrays(maps: RoadNetwork | Sequence[RoadNetwork], device: str) -> LaneArrays:
    """Copy a network, or several, to `device`."""
    networks = [maps] if isinstance(maps, RoadNetwork) else list(maps)
    road = LaneArrays()
    n = join(*networks)

    def points(dtype: type, *columns: np.ndarray) -> wp.array:
        return wp.array(np.stack(columns, 1).astype(np.float32), dtype=dtype, device=device)

    def lanes(values: np.ndarray, dtype: type) -> wp.array:
        return wp.array(values, dtype=dtype, device=device)

    road.pose = points(wp.vec4, n.x, n.y, n.heading, n.curvature)
    road.frame = points(wp.vec4, np.cos(n.heading), np.sin(n.heading), n.station, n.offset)
    road.section = points(wp.vec3, n.width, n.left_edge, n.right_edge)
    lane_struct: Any = Lane
    rows = np.zeros(n.num_lanes, dtype=lane_struct.numpy_dtype())
    for name in lane_struct.vars:
        if name != "ring":
            rows[name] = getattr(n, name)
    rows["ring"] = [any(n.road[k] == n.road[i] for k in to) for i, to in enumerate(n.successors)]
    road.lane = wp.array(rows, dtype=Lane, device=device)
    links = (*n.successors, *n.predecessors)
    road.first_link = lanes(np.cumsum([0, *map(len, links)]).astype(np.int32), int)
    road.links = lanes(np.array([lane for part in links for lane in part], np.int32), int)
    first_lane = np.cumsum([0, *(network.num_lanes for network in networks)])
    road.first_lane = lanes(first_lane.astype(np.int32), int)
    road.num_lanes = n.num_lanes
    return road


@wp.func
def wrap(angle: float) -> float:
    """Angle in [-pi, pi]."""
    return angle - _TWO_PI * wp.round(angle / _TWO_PI)


@wp.func
def valid_lane(road: LaneArrays, lane: int) -> int:
    """Nearest lane index that exists."""
    return wp.clamp(lane, 0, road.num_lanes - 1)


@wp.func
def on_map(road: LaneArrays, number: int, lane: int) -> bool:
    """Whether there is such a map, and it has the lane (index of the whole table)."""
    if number < 0 or number >= road.first_lane.shape[0] - 1:
        return False
    return lane >= road.first_lane[number] and lane < road.first_lane[number + 1]


@wp.func
def way_to(road: LaneArrays, row: int, target_road: int):
    """The first lane on a road that links lead to, directly or over one lane between; -1 for none.
    Also the length of the road between [m].

    row: `lane` for its successors, `lane + num_lanes` for its predecessors.
    """
    begin = road.first_link[row]
    end = road.first_link[row + 1]
    for k in range(begin, end):
        if road.lane[road.links[k]].road == target_road:
            return road.links[k], 0.0
    backwards = wp.where(row >= road.num_lanes, road.num_lanes, 0)
    for k in range(begin, end):
        via = road.links[k]
        for j in range(road.first_link[via + backwards], road.first_link[via + backwards + 1]):
            if road.lane[road.links[j]].road == target_road:
                return road.links[j], road.lane[via].road_length
    return -1, 0.0


@wp.func
def bracket(road: LaneArrays, lane: int, s: float):
    """Index of the point before `s`, and the fraction of the step past it.

    The fraction lies outside [0, 1] only where `s` is outside the lane.
    """
    position = s / road.lane[lane].step
    # Not `wp.isfinite`, which is a call on the CPU, in the innermost loops.
    if not wp.abs(position) < wp.inf:
        position = wp.float32(0.0)
    position = wp.clamp(position, -_LARGEST_INDEX, _LARGEST_INDEX)
    index = wp.clamp(int(wp.floor(position)), 0, road.lane[lane].num_points - 2)
    return road.lane[lane].first_point + index, position - float(index)


@wp.func
def pose_between(road: LaneArrays, index: int, fraction: float):
    """x [m], y [m], heading [rad] and curvature [1/m] of a centre line where `bracket` says."""
    a = road.pose[index]
    b = road.pose[index + 1]
    inside = wp.clamp(fraction, 0.0, 1.0)
    heading = a[2] + inside * (b[2] - a[2])
    curvature = a[3] + inside * (b[3] - a[3])
    return (
        a[0] + fraction * (b[0] - a[0]),
        a[1] + fraction * (b[1] - a[1]),
        heading,
        curvature,
    )


@wp.func
def lane_pose(road: LaneArrays, lane: int, s: float):
    """x [m], y [m], heading [rad] and curvature [1/m] of a lane's centre line at `s`."""
    index, fraction = bracket(road, valid_lane(road, lane), s)
    x, y, heading, curvature = pose_between(road, index, fraction)
    return x, y, heading, curvature


@wp.func
def lane_point(road: LaneArrays, lane: int, s: float, d: float):
    """x [m], y [m] and heading [rad] of the point `d` to the left of the centre line at `s`."""
    x, y, heading, _curvature = lane_pose(road, lane, s)
    return x - d * wp.sin(heading), y + d * wp.cos(heading), heading


@wp.func
def section_between(road: LaneArrays, index: int, fraction: float):
    """Width, left_edge and right_edge [m] where `bracket` says; see `RoadNetwork`."""
    inside = wp.clamp(fraction, 0.0, 1.0)
    return road.section[index] + inside * (road.section[index + 1] - road.section[index])


@wp.func
def lane_section(road: LaneArrays, lane: int, s: float):
    """Width, left_edge and right_edge [m] at `s`; see `RoadNetwork`."""
    index, fraction = bracket(road, valid_lane(road, lane), s)
    return section_between(road, index, fraction)


@wp.func
def lane_width(road: LaneArrays, lane: int, s: float) -> float:
    """Width of the lane [m] at `s`."""
    section = lane_section(road, lane, s)
    return section[0]


@wp.func
def station_between(road: LaneArrays, lane: int, index: int, fraction: float):
    """Station [m], offset [m] on the reference line, and stretch, where `bracket` says."""
    a = road.frame[index]
    b = road.frame[index + 1]
    inside = wp.clamp(fraction, 0.0, 1.0)
    step_station = b[2] - a[2]
    station = a[2] + fraction * step_station
    offset = a[3] + inside * (b[3] - a[3])
    return station, offset, road.lane[lane].step / wp.max(step_station, 1.0e-3)


@wp.func
def lane_station(road: LaneArrays, lane: int, s: float):
    """Station [m], offset [m] on the road's reference line, and stretch = ds / dstation at `s`."""
    clamped = valid_lane(road, lane)
    index, fraction = bracket(road, clamped, s)
    station, offset, stretch = station_between(road, clamped, index, fraction)
    return station, offset, stretch


@wp.func
def project_on(road: LaneArrays, lane: int, s_guess: float, x: float, y: float, iterations: int):
    """Arc length `s` and lateral offset `d` (left positive) [m] of a point, on one lane only.

    Newton on (point - centre line) . tangent = 0, whose slope is 1 - curvature * d.
    """
    s = float(s_guess)
    d = wp.float32(0.0)
    for _ in range(iterations):
        index, fraction = bracket(road, lane, s)
        a = road.pose[index]
        b = road.pose[index + 1]
        ta = road.frame[index]
        tb = road.frame[index + 1]
        inside = wp.clamp(fraction, 0.0, 1.0)
        # Interpolated tangents are not renormalised: their length is 1 - O((step * curvature)^2).
        c = ta[0] + inside * (tb[0] - ta[0])
        n = ta[1] + inside * (tb[1] - ta[1])
        dx = x - (a[0] + fraction * (b[0] - a[0]))
        dy = y - (a[1] + fraction * (b[1] - a[1]))
        curvature = wp.float32(0.0)
        if fraction == inside:
            curvature = a[3] + inside * (b[3] - a[3])
        d = dy * c - dx * n
        correction = (dx * c + dy * n) / wp.max(1.0 - curvature * d, 0.1)
        s += correction
        if wp.abs(correction) < _CONVERGED:
            break
    return s, d


@wp.func
def project(road: LaneArrays, lane: int, s_guess: float, x: float, y: float, iterations: int):
    """Lane, arc length `s` [m] and lateral offset `d` [m] (left positive) of a point.

    Past the end (before the start) of the lane a successor (predecessor) takes over, if any: the
    one whose centre line is nearest.

    Args:
        road: the lanes.
        lane: lane to start from.
        s_guess: arc length near the answer [m]; 2 iterations do from 3 m, 6 from tens of metres.
        x: [m]. y: [m].
        iterations: Newton steps.
    """
    on = valid_lane(road, lane)
    s, d = project_on(road, on, s_guess, x, y, iterations)
    if s < 0.0 or s > road.lane[on].length:
        on, s, d = _nearest_link(road, on, s, d, x, y, iterations)
    return on, s, d


@wp.func
def _nearest_link(
    road: LaneArrays,
    lane: int,
    s: float,
    d: float,
    x: float,
    y: float,
    iterations: int,
):
    """Lane, `s` and `d` on the linked lane whose centre line is nearest, past the end or before the
    start of a lane; as given without one."""
    row = lane + road.num_lanes
    beyond = s
    if s > 0.0:
        row = lane
        beyond = s - road.lane[lane].length
    best = int(lane)
    best_s = float(s)
    best_d = float(d)
    begin = road.first_link[row]
    for k in range(begin, road.first_link[row + 1]):
        link = road.links[k]
        guess = beyond
        if s < 0.0:
            guess = beyond + road.lane[link].length
        link_s, link_d = project_on(road, link, guess, x, y, iterations)
        if k == begin or wp.abs(link_d) < wp.abs(best_d):
            best = link
            best_s = link_s
            best_d = link_d
    return best, best_s, best_d


@wp.func
def lane_beside(road: LaneArrays, lane: int, d: float, width: float) -> int:
    """The neighbour lane that a point at `d` is on where that is beyond the lane's border, or -1.

    width: of the lane there [m].
    """
    if d > 0.5 * width:
        return road.lane[lane].left
    if d < -0.5 * width:
        return road.lane[lane].right
    return -1


@wp.func
def project_beside(
    road: LaneArrays, lane: int, beside: int, s: float, x: float, y: float, iterations: int
):
    """`s` and `d` [m] on a neighbour lane of a point that is at `s` of a lane."""
    # Lanes of one road begin and end together, so lengths give a guess; Newton does the rest.
    guess = s * road.lane[beside].length / road.lane[lane].length
    s_new, d_new = project_on(road, beside, guess, x, y, iterations)
    return s_new, d_new
