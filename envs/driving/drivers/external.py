"""Commands from outside (a learner, a script) as inputs of the vehicle model."""

import warp as wp

from proveout.envs.driving.vehicles.single_track import Vehicle

wp.set_module_options({"enable_backward": False})


@wp.func
def steering_velocity_towards(vehicle: Vehicle, steering: float, wanted: float, dt: float) -> float:
    """Steering velocity [rad/s] that reaches `wanted` [rad] in `dt` [s], if the rate allows."""
    target = wp.clamp(wanted, vehicle.steering_min, vehicle.steering_max)
    return wp.clamp(
        (target - steering) / dt, vehicle.steering_velocity_min, vehicle.steering_velocity_max
    )
