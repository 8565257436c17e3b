"""What passengers feel: jerk and lateral acceleration."""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def jerk(acceleration: float, before: float, dt: float) -> float:
    """Change of the acceleration [m/s^3].

    Args:
        acceleration: [m/s^2]. before: `dt` earlier [m/s^2].
        dt: [s].
    """
    return (acceleration - before) / dt


@wp.func
def centripetal_acceleration(velocity: float, curvature: float) -> float:
    """Lateral acceleration [m/s^2] on a path, positive to the left.

    Args:
        velocity: [m/s].
        curvature: Of the path [1/m], positive to the left.
    """
    return velocity * velocity * curvature
