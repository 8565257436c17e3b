import dataclasses

import numpy as np
import pytest
import warp as wp

from proveout.envs.driving.bodies import BodyParameters
from proveout.envs.driving.records import records
from proveout.envs.driving.vehicles.single_track import (
    State,
    Vehicle,
    VehicleParameters,
    integrate,
)

wp.set_module_options({"enable_backward": False})
PARAMETERS = VehicleParameters()


@wp.kernel
def _integrate(
    vehicle: wp.array[Vehicle],
    inputs: wp.array2d[float],
    dt: float,
    steps: int,
    x: wp.array[State],
):
    i = wp.tid()
    for _ in range(steps):
        before = x[i]
        state, _rate = integrate(
            vehicle[0],
            before,
            wp.cos(before[4]),
            wp.sin(before[4]),
            inputs[i, 0],
            inputs[i, 1],
            dt,
        )
        x[i] = state


def _run(states, inputs, dt, steps, parameters=PARAMETERS):
    x = wp.array(np.asarray(states, np.float32), dtype=State, device="cpu")
    u = wp.array(np.asarray(inputs, np.float32), dtype=float, device="cpu")
    wp.launch(
        _integrate,
        dim=len(x),
        inputs=[records(Vehicle, parameters, (1,), "cpu"), u, dt, steps, x],
        device="cpu",
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
    body = BodyParameters()
    assert (body.length, body.width) == (published.l, published.w)
    assert p.wheelbase == published.a + published.b
    assert body.rear_axle_to_centre == published.b
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


def test_tyres_hold_within_the_friction_circle():
    slippery = dataclasses.replace(PARAMETERS, friction=0.4)
    grip, v = 0.4 * 9.81, 20.0
    # Straight, full braking and full throttle.
    end = _run([[0, 0, 0, v, 0]] * 2, [[0, -9], [0, 9]], 0.01, 1, slippery)
    np.testing.assert_allclose(end[:, 3] - v, [-grip * 0.01, grip * 0.01], rtol=1e-3)
    # More steering than the tyres follow: a circle of radius v^2 / grip, and nothing left to brake.
    radius = v * v / grip
    end = _run([[0, 0, 0.3, v, 0], [0, 0, -0.3, v, 0]], [[0, -9]] * 2, 0.01, 200, slippery)
    for row, side in zip(end, (1.0, -1.0), strict=True):
        angle = v * 2.0 / radius
        expected = [radius * np.sin(angle), side * radius * (1 - np.cos(angle)), side * angle]
        np.testing.assert_allclose(row[[0, 1, 4]], expected, rtol=1e-4)
        assert row[3] == pytest.approx(v, rel=1e-5)
    # In between, what the turn leaves of the circle.
    across = v * v * np.tan(0.02) / PARAMETERS.wheelbase
    assert across < grip
    end = _run([[0, 0, 0.02, v, 0]], [[0, -9]], 0.001, 1, slippery)[0]
    assert (v - end[3]) / 0.001 == pytest.approx(np.sqrt(grip**2 - across**2), rel=5e-3)


def test_a_grip_that_is_never_reached_changes_no_bit():
    states, inputs = _random(1000)
    states[:, 3] = np.clip(states[:, 3], -8.0, 8.0)
    inputs[:, 1] = np.clip(inputs[:, 1], -4.0, 4.0)
    gripping = dataclasses.replace(PARAMETERS, friction=30.0)
    np.testing.assert_array_equal(
        _run(states, inputs, 0.05, 3, gripping), _run(states, inputs, 0.05, 3)
    )
