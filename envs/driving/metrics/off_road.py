"""Leaving the paved road: a corner of the body beyond the outer edge of the outer lanes."""

import warp as wp

from proveout.envs.driving.roads.lanes import LaneArrays

wp.set_module_options({"enable_backward": False})


@wp.func
def corner_distance(
    d: float, sin_error: float, cos_error: float, curvature: float, along: float, left: float
) -> float:
    """Distance from the centre line [m] of a point of the body, left positive.

    Exact to second order: the centre line bends away by curvature * length^2 / 2.

    Args:
        d: lateral offset of the rear axle [m].
        sin_error: sine of vehicle heading minus lane heading. cos_error: its cosine.
        curvature: of the lane [1/m].
        along: ahead of the rear axle [m]. left: of the vehicle's axis [m].
    """
    forward = along * cos_error - left * sin_error
    return d + along * sin_error + left * cos_error - 0.5 * curvature * forward * forward


@wp.func
def body_off_road(
    road: LaneArrays,
    lane: int,
    section: wp.vec3,
    s: float,
    d: float,
    sin_error: float,
    cos_error: float,
    curvature: float,
    front: float,
    rear: float,
    half_width: float,
) -> bool:
    """Whether any corner of the body is off the paved road, or the rear axle is past its end.

    Args:
        road: the lanes.
        lane: lane of the vehicle. section: of it at `s`, see `lane_section`.
        s: arc length [m]. d: lateral offset of the rear axle [m].
        sin_error: sine of vehicle heading minus lane heading. cos_error: its cosine.
        curvature: of the lane at `s` [1/m].
        front: rear axle to front bumper [m]. rear: rear axle to rear bumper [m], positive.
        half_width: of the body [m].
    """
    if s < 0.0 or s > road.lane[lane].length:
        row = wp.where(s < 0.0, lane + road.num_lanes, lane)
        if road.first_link[row] == road.first_link[row + 1]:
            return True
    fl = corner_distance(d, sin_error, cos_error, curvature, front, half_width)
    fr = corner_distance(d, sin_error, cos_error, curvature, front, -half_width)
    rl = corner_distance(d, sin_error, cos_error, curvature, -rear, half_width)
    rr = corner_distance(d, sin_error, cos_error, curvature, -rear, -half_width)
    leftmost = wp.max(wp.max(fl, fr), wp.max(rl, rr))
    rightmost = wp.min(wp.min(fl, fr), wp.min(rl, rr))
    return leftmost > section[1] or rightmost < -section[2]
