"""Kinematic single-track vehicle, model KS of CommonRoad.

Source: M. Althoff, G. Wuersching, "CommonRoad: Vehicle Models" (2020), section 5 (kinematic
single-track model) and section 4 (input constraints); the reference point is the rear axle. The
model has no mass, no moment of inertia and no tyre stiffness.

Tyres hold within a friction circle of our own: the lateral acceleration is at most friction times
gravity, a tighter turn is not followed, and what is left of the circle bounds the longitudinal one.
"""

# Types made at run time are variables to the checker.
# mypy: disable-error-code="valid-type,index,attr-defined"

import math
from dataclasses import dataclass

import warp as wp

from proveout.envs.driving.records import record

wp.set_module_options({"enable_backward": False})

State = wp.types.vector(length=5, dtype=float)
"""x [m], y [m], steering angle [rad], velocity [m/s], heading [rad]."""


@dataclass(frozen=True, kw_only=True)
class VehicleParameters:
    """How a passenger car moves; the defaults are CommonRoad's vehicle 2 (BMW 320i).

    Numbers: `vehiclemodels/parameters/parameters_vehicle2.yaml` of commonroad-vehicle-models 3.0.2;
    `wheelbase` is `a + b` there.
    """

    wheelbase: float = 1.1561957064 + 1.4227170936  # [m]
    steering_min: float = -1.066  # [rad]
    steering_max: float = 1.066  # [rad]
    steering_velocity_min: float = -0.4  # [rad/s]
    steering_velocity_max: float = 0.4  # [rad/s]
    velocity_min: float = -13.9  # [m/s]
    velocity_max: float = 50.8  # [m/s]
    velocity_switch: float = 7.319  # [m/s] above it the engine's power limits the acceleration
    acceleration_max: float = 11.5  # [m/s^2]
    friction: float = math.inf  # [1] of tyres and road; the KS model has no limit


Vehicle = record(VehicleParameters)
"""`VehicleParameters` for kernels."""

_GRAVITY = wp.constant(9.81)  # [m/s^2]


@wp.func
def constrain_steering_velocity(
    vehicle: Vehicle, steering: float, steering_velocity: float
) -> float:
    """Steering velocity [rad/s] that the actuator gives; 0 against the stop."""
    if (steering <= vehicle.steering_min and steering_velocity <= 0.0) or (
        steering >= vehicle.steering_max and steering_velocity >= 0.0
    ):
        return 0.0
    return wp.clamp(steering_velocity, vehicle.steering_velocity_min, vehicle.steering_velocity_max)


@wp.func
def constrain_acceleration(vehicle: Vehicle, velocity: float, acceleration: float) -> float:
    """Acceleration [m/s^2] that engine and brakes give; power-limited above `velocity_switch`."""
    if (velocity <= vehicle.velocity_min and acceleration <= 0.0) or (
        velocity >= vehicle.velocity_max and acceleration >= 0.0
    ):
        return 0.0
    limit = vehicle.acceleration_max
    if velocity > vehicle.velocity_switch:
        limit = vehicle.acceleration_max * vehicle.velocity_switch / velocity
    return wp.clamp(acceleration, -vehicle.acceleration_max, limit)


@wp.func
def may_slip(
    vehicle: Vehicle, state: State, steering_velocity: float, acceleration: float, dt: float
) -> bool:
    """Whether the tyres could reach their limit within `dt` [s]; false only where they cannot."""
    speed = wp.abs(state[3]) + wp.abs(acceleration) * dt
    angle = wp.abs(state[2]) + wp.abs(steering_velocity) * dt
    # The tangent is below angle + 0.7 angle^3 up to an angle of 1.1.
    across = speed * speed * angle * (1.0 + 0.7 * angle * angle)
    room = vehicle.friction * _GRAVITY - wp.abs(acceleration)
    return angle > 1.1 or across >= room * vehicle.wheelbase


@wp.func
def derivative(
    vehicle: Vehicle,
    state: State,
    cos_heading: float,
    sin_heading: float,
    tan_steering: float,
    steering_velocity: float,
    acceleration: float,
    slips: bool,
):
    """Right-hand side of the KS equations, units per second.

    Args:
        vehicle: Parameters.
        state: Where it is taken.
        cos_heading: Of the state's heading. sin_heading: Likewise.
        tan_steering: Of its steering angle.
        steering_velocity: Input [rad/s]. acceleration: Input [m/s^2].
        slips: Keep it within the friction circle.
    """
    velocity = state[3]
    rate = State(
        velocity * cos_heading,
        velocity * sin_heading,
        constrain_steering_velocity(vehicle, state[2], steering_velocity),
        constrain_acceleration(vehicle, velocity, acceleration),
        velocity / vehicle.wheelbase * tan_steering,
    )
    if slips:
        grip = vehicle.friction * _GRAVITY
        if grip < wp.inf:
            across = wp.clamp(velocity * rate[4], -grip, grip)
            if wp.abs(across) == grip:
                rate[4] = across / velocity
            left = wp.sqrt(wp.max(grip * grip - across * across, 0.0))
            rate[3] = wp.clamp(rate[3], -left, left)
    return rate


@wp.func
def integrate(
    vehicle: Vehicle,
    state: State,
    cos_heading: float,
    sin_heading: float,
    steering_velocity: float,
    acceleration: float,
    dt: float,
):
    """State after `dt` [s] under constant inputs: one step of the classic Runge-Kutta method.

    Also its derivative at the beginning. cos_heading, sin_heading: of the heading there.
    """
    slips = may_slip(vehicle, state, steering_velocity, acceleration, dt)
    k1 = derivative(
        vehicle, state, cos_heading, sin_heading, wp.tan(state[2]), steering_velocity,
        acceleration, slips,
    )  # fmt: skip
    x2 = state + 0.5 * dt * k1
    tan2 = wp.tan(x2[2])
    k2 = derivative(
        vehicle, x2, wp.cos(x2[4]), wp.sin(x2[4]), tan2, steering_velocity, acceleration, slips
    )
    x3 = state + 0.5 * dt * k2
    # The steering moves evenly unless it meets its stop.
    tan3 = tan2
    if x3[2] != x2[2]:
        tan3 = wp.tan(x3[2])
    k3 = derivative(
        vehicle, x3, wp.cos(x3[4]), wp.sin(x3[4]), tan3, steering_velocity, acceleration, slips
    )
    x4 = state + dt * k3
    k4 = derivative(
        vehicle, x4, wp.cos(x4[4]), wp.sin(x4[4]), wp.tan(x4[2]), steering_velocity, acceleration,
        slips,
    )  # fmt: skip
    return state + (dt / 6.0) * (k1 + 2.0 * k2 + 2.0 * k3 + k4), k1
