"""Intelligent Driver Model, and steering that keeps the lane.

Source: M. Treiber, A. Hennecke, D. Helbing, "Congested traffic states in empirical observations and
microscopic simulations", Physical Review E 62, 1805 (2000), equations 3 and 4.
"""

# A struct made at run time is a variable to the checker.
# mypy: disable-error-code="valid-type"

import warp as wp

from proveout.envs.driving.drivers.table import Driver
from proveout.envs.driving.vehicles.single_track import Vehicle

wp.set_module_options({"enable_backward": False})

# Below this gap [m] the model asks for full braking anyway; it keeps the quotient finite.
_SMALLEST_GAP = wp.constant(0.1)
# Largest angle to the lane that a correction aims at, as a sine.
_LARGEST_APPROACH = wp.constant(0.2)
# Shortest length of the lateral law [m]: below it, it asks for tighter turns than a car can do.
_SHORTEST_PREVIEW = wp.constant(6.0)
# Lag of the steering behind the wanted angle [s]; the feed-forward looks this far ahead.
STEERING_LAG = wp.constant(0.1)


@wp.func
def idm_acceleration(
    velocity: float,
    gap: float,
    relative_speed: float,
    driver: Driver,
) -> float:
    """Acceleration [m/s^2]; a gap of infinity means no leader.

    a (1 - (v / v0)^n - (s* / gap)^2),  s* = s0 + max(0, v T - v r / (2 sqrt(a b))), where r is the
    relative speed: the leader's minus the own.
    The maximum keeps the interaction repulsive behind a much faster leader.
    """
    ratio = velocity / wp.max(driver.desired_speed, 0.1)
    free = ratio * ratio * ratio * ratio
    if driver.exponent != 4.0:
        free = wp.pow(wp.max(ratio, 0.0), driver.exponent)
    interaction = wp.float32(0.0)
    if gap < 1.0e6:
        braking = velocity * -relative_speed
        braking = braking / (
            2.0 * wp.sqrt(driver.max_acceleration * driver.comfortable_deceleration)
        )
        wanted = driver.minimum_gap + wp.max(velocity * driver.time_headway + braking, 0.0)
        interaction = wanted / wp.max(gap, _SMALLEST_GAP)
    return driver.max_acceleration * (1.0 - free - interaction * interaction)


@wp.func
def limit_braking(
    acceleration: float, velocity: float, max_deceleration: float, dt: float
) -> float:
    """Acceleration [m/s^2] bounded by `max_deceleration`, that stops at rest within `dt` [s]."""
    bounded = wp.max(acceleration, -max_deceleration)
    return wp.max(bounded, -wp.max(velocity, 0.0) / dt)


@wp.func
def lane_keeping_steering_velocity(
    vehicle: Vehicle,
    steering: float,
    velocity: float,
    d: float,
    sin_error: float,
    cos_error: float,
    curvature: float,
    preview_time: float,
    dt: float,
) -> float:
    """Steering velocity [rad/s] that brings the rear axle back to the centre line.

    With path length as the independent variable the lateral error obeys d'' = -d / l^2 - 2 d' / l
    (critically damped, l = velocity * preview_time), fed forward with the curvature of the lane.

    Args:
        vehicle: parameters.
        steering: angle [rad]. velocity: [m/s]. d: lateral offset [m], left positive.
        sin_error: sine of heading minus lane heading. cos_error: its cosine.
        curvature: of the lane where the vehicle is after `STEERING_LAG` [1/m].
        preview_time: [s].
        dt: time over which the input stays constant [s].
    """
    preview = wp.max(velocity * preview_time, _SHORTEST_PREVIEW)
    approach = wp.clamp(0.5 * d / preview, -_LARGEST_APPROACH, _LARGEST_APPROACH)
    forward = curvature * cos_error / wp.max(1.0 - curvature * d, 0.1)
    wanted_curvature = forward - 2.0 / preview * (approach + sin_error)
    wanted = wp.atan(vehicle.wheelbase * wanted_curvature)
    return (wanted - steering) / wp.max(STEERING_LAG, dt)
