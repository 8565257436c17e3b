import numpy as np
import pytest
import warp as wp

from proveout.envs.driving.vehicles.single_track import (
    State,
    Vehicle,
    VehicleParameters,
    integrate,
    vehicle_struct,
)

wp.set_module_options({"enable_backward": False})
PARAMETERS = VehicleParameters()


@wp.kernel
def _integrate(
    vehicle: Vehicle,
    inputs: wp.array2d[float],
    dt: float,
    steps: int,
    x: wp.array[State],
):
    i = wp.tid()
    for _ in range(steps):
        x[i] = integrate(vehicle, x[i], inputs[i, 0], inputs[i, 1], dt)


def _run(states, inputs, dt, steps, parameters=PARAMETERS):
    x = wp.array(np.asarray(states, np.float32), dtype=State, device="cpu")
    u = wp.array(np.asarray(inputs, np.float32), dtype=float, device="cpu")
    wp.launch(
        _integrate, dim=len(x), inputs=[vehicle_struct(parameters), u, dt, steps, x], device="cpu"
    )
    return x.numpy().astype(np.float64)


def _random(count):
    rng = np.random.default_rng(11)
    p = PARAMETERS
    states = np.stack(
        [
            rng.uniform(-100, 100, count),
            rng.uniform(-100, 100, count),
            rng.uniform(1.05 * p.steering_min, 1.05 * p.steering_max, count),
            rng.uniform(1.05 * p.velocity_min, 1.05 * p.velocity_max, count),
            rng.uniform(-np.pi, np.pi, count),
        ],
        1,
    ).astype(np.float32)
    inputs = np.stack([rng.uniform(-0.6, 0.6, count), rng.uniform(-15, 15, count)], 1)
    return states.astype(np.float64), inputs.astype(np.float32).astype(np.float64)


def test_equals_the_commonroad_model():
    dynamics = pytest.importorskip("vehiclemodels.vehicle_dynamics_ks").vehicle_dynamics_ks
    parameters = pytest.importorskip("vehiclemodels.parameters_vehicle2").parameters_vehicle2()

    def rk4(x, u, dt):
        f = lambda z: np.array(dynamics(z, list(u), parameters))  # noqa: E731
        k1 = f(x)
        k2 = f(x + 0.5 * dt * k1)
        k3 = f(x + 0.5 * dt * k2)
        k4 = f(x + dt * k3)
        return x + dt / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)

    states, inputs = _random(1000)
    expected = np.array([rk4(x, u, 0.05) for x, u in zip(states, inputs, strict=True)])
    # Single precision at positions of 100 m and yaw rates of 40 rad/s.
    np.testing.assert_allclose(_run(states, inputs, 0.05, 1), expected, atol=2e-4, rtol=1e-6)


def test_defaults_are_the_published_parameters():
    published = pytest.importorskip("vehiclemodels.parameters_vehicle2").parameters_vehicle2()
    p = PARAMETERS
    assert (p.length, p.width) == (published.l, published.w)
    assert p.wheelbase == published.a + published.b
    assert p.rear_axle_to_centre == published.b
    steering, longitudinal = published.steering, published.longitudinal
    assert (p.steering_min, p.steering_max) == (steering.min, steering.max)
    assert (p.steering_velocity_min, p.steering_velocity_max) == (steering.v_min, steering.v_max)
    assert (p.velocity_min, p.velocity_max) == (longitudinal.v_min, longitudinal.v_max)
    assert (p.velocity_switch, p.acceleration_max) == (longitudinal.v_switch, longitudinal.a_max)


def test_straight_at_constant_speed():
    end = _run([[0, 0, 0, 20, 0.5]], [[0, 0]], 0.05, 40)[0]
    np.testing.assert_allclose(end[:2], [40 * np.cos(0.5), 40 * np.sin(0.5)], rtol=1e-5)


def test_constant_steering_drives_a_circle_of_radius_wheelbase_over_tangent():
    delta, velocity = 0.2, 5.0
    radius = PARAMETERS.wheelbase / np.tan(delta)
    for steps in (10, 77, 200):
        angle = velocity * 0.05 * steps / radius
        end = _run([[0, 0, delta, velocity, 0]], [[0, 0]], 0.05, steps)[0]
        np.testing.assert_allclose(
            end[[0, 1, 4]],
            [radius * np.sin(angle), radius * (1 - np.cos(angle)), angle],
            atol=1e-3,
        )


def test_power_limits_the_acceleration_above_the_switching_velocity():
    v = 30.0
    limit = PARAMETERS.acceleration_max * PARAMETERS.velocity_switch / v
    end = _run([[0, 0, 0, v, 0]], [[0, 100.0]], 0.001, 1)[0]
    assert (end[3] - v) / 0.001 == pytest.approx(limit, rel=2e-3)


def test_steering_stops_at_its_limits():
    end = _run([[0, 0, 1.0, 1.0, 0], [0, 0, -1.0, 1.0, 0]], [[9, 0], [-9, 0]], 0.05, 100)
    # The input goes off once the stop is passed: within one step at the full rate.
    np.testing.assert_allclose(np.abs(end[:, 2]), 1.066, atol=0.4 * 0.05)
