import numpy as np
import pytest
import warp as wp
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.assets.road import bend, motorway
from proveout.envs.driving.drivers.idm import idm_acceleration
from proveout.envs.driving.drivers.table import Driver, DriverKind
from proveout.envs.driving.vehicles.single_track import VehicleParameters

wp.set_module_options({"enable_backward": False})


def _equilibrium_gap(v, v0, headway, s0, exponent=4.0):
    return (s0 + v * headway) / np.sqrt(1.0 - (v / v0) ** exponent)


def _set(worlds, **columns):
    for name, value in columns.items():
        worlds.drivers.set(name, value)


def test_follower_settles_at_the_equilibrium_gap(placed):
    # Agent 0 leads at constant speed (external, zero command); agent 1 follows.
    v = np.array([5.0, 10.0, 15.0, 20.0, 25.0, 28.0])
    worlds = placed(
        motorway(1, 8000.0),
        np.zeros((6, 2)),
        np.tile([130.0, 20.0], (6, 1)),
        np.stack([v, v], 1),
    )
    _set(worlds, desired_speed=33.3, time_headway=1.5, minimum_gap=2.0, max_acceleration=1.4)
    with wp.ScopedCapture(device="cpu") as capture:
        worlds.physics()
    for _ in range(int(240.0 / 0.05)):
        wp.capture_launch(capture.graph)
    worlds.refresh(worlds._all)
    gap = worlds.leader_gap.numpy()[:, 1, 0]
    np.testing.assert_allclose(gap, _equilibrium_gap(v, 33.3, 1.5, 2.0), rtol=0.01)
    np.testing.assert_allclose(worlds.agents.velocity.numpy()[:, 1], v, rtol=2e-3)


@wp.kernel
def _idm(p: wp.array2d[float], out: wp.array[float]):
    i = wp.tid()
    driver = Driver()
    driver.desired_speed = p[i, 3]
    driver.time_headway = p[i, 4]
    driver.minimum_gap = p[i, 5]
    driver.max_acceleration = p[i, 6]
    driver.comfortable_deceleration = p[i, 7]
    driver.exponent = p[i, 8]
    out[i] = idm_acceleration(p[i, 0], p[i, 1], p[i, 2] - p[i, 0], driver)


@given(
    share=st.floats(0.05, 0.95),
    desired=st.floats(5.0, 50.0),
    headway=st.floats(0.5, 3.0),
    s0=st.floats(0.5, 5.0),
    a=st.floats(0.3, 4.0),
    b=st.floats(0.5, 5.0),
    exponent=st.just(4.0) | st.floats(1.0, 8.0),
)
@settings(max_examples=100, deadline=None)
def test_acceleration_vanishes_at_equilibrium_and_falls_with_the_gap(
    share, desired, headway, s0, a, b, exponent
):
    v = share * desired
    gap = _equilibrium_gap(v, desired, headway, s0, exponent)
    rows = [
        [v, gap * factor, v + dv, desired, headway, s0, a, b, exponent]
        for factor, dv in ((1.0, 0.0), (1.5, 0.0), (0.5, 0.0), (1.0, -1.0), (np.inf, 0.0))
    ]
    out = wp.zeros(5, dtype=float, device="cpu")
    wp.launch(
        _idm, dim=5, inputs=[wp.array(np.array(rows, np.float32), device="cpu"), out], device="cpu"
    )
    same, wider, closer, approaching, free = out.numpy()
    assert same == pytest.approx(0.0, abs=2e-5 * a)
    assert wider > same > closer
    assert approaching < same
    assert free == pytest.approx(a * (1.0 - share**exponent), rel=2e-4)


def test_free_driver_reaches_its_desired_speed_with_its_acceleration(placed):
    worlds = placed(motorway(1, 8000.0), [[0, 0]], [[7000.0, 10.0]], [[40.0, 0.0]])
    _set(worlds, desired_speed=30.0, max_acceleration=1.5)
    worlds.physics()
    assert worlds.agents.acceleration.numpy()[0, 1] == pytest.approx(1.5, rel=1e-3)
    for _ in range(2400):
        worlds.physics()
    assert worlds.agents.velocity.numpy()[0, 1] == pytest.approx(30.0, rel=1e-3)


@pytest.mark.parametrize("seed", range(12))
def test_no_rear_end_collision_when_the_leader_brakes_to_a_stop(placed, seed):
    worlds_count, rng = 16, np.random.default_rng(seed)
    v = rng.uniform(3.0, 35.0, worlds_count)
    headway = rng.uniform(1.0, 2.5, worlds_count)
    s0 = rng.uniform(1.0, 4.0, worlds_count)
    v0 = v * rng.uniform(1.05, 1.5, worlds_count)
    start = 50.0 + 4.508 + _equilibrium_gap(v, v0, headway, s0)
    s = np.stack([start, np.full(worlds_count, 50.0)], 1)
    worlds = placed(motorway(1, 3000.0), np.zeros((worlds_count, 2)), s, np.stack([v, v], 1))
    _set(
        worlds,
        desired_speed=v0[:, None],
        time_headway=headway[:, None],
        minimum_gap=s0[:, None],
        max_acceleration=rng.uniform(0.7, 3.0, (worlds_count, 1)),
        comfortable_deceleration=rng.uniform(1.0, 4.0, (worlds_count, 1)),
    )
    braking = rng.uniform(2.0, 8.0, worlds_count)
    for _ in range(500):
        velocity = worlds.agents.velocity.numpy()[:, 0]
        a = np.maximum(-braking, -np.maximum(velocity, 0.0) / 0.05)
        worlds.apply(wp.array(np.stack([a, 0 * a], 1).astype(np.float32), device="cpu"))
        worlds.physics()
    assert not worlds.agents.collided.numpy().any()
    velocity = worlds.agents.velocity.numpy()
    assert np.all(velocity > -1e-3)
    assert np.all(velocity[:, 1] < 0.5)


def test_lane_keeping_holds_the_centre_through_bends_and_recovers(placed):
    network = motorway(
        3, segments=[(200, 0, 0), *bend(300, 0.8, 80), *bend(250, -1.0, 80), (900, 0, 0)]
    )
    lane = np.tile([0, 1, 2], (4, 1))
    speed = np.tile([[8.0], [15.0], [22.0], [30.0]], (1, 3))
    worlds = placed(network, lane, np.full((4, 3), 20.0), speed, d=0.8, num_learners=0)
    assert (worlds.drivers.kind.numpy() == DriverKind.IDM).all()
    _set(worlds, desired_speed=speed, max_acceleration=0.001)
    worst = 0.0
    for k in range(500):
        worlds.physics()
        if k > 200:
            worst = max(worst, float(np.abs(worlds.agents.d.numpy()).max()))
    np.testing.assert_array_equal(worlds.agents.lane.numpy(), lane)
    assert worst < 0.04, worst
    assert not worlds.agents.off_road.numpy().any()


def test_learner_command_reaches_its_angle_at_the_steering_rate(placed):
    worlds = placed(motorway(3, 500.0), [[1]], [[50.0]], [[10.0]])
    worlds.apply(wp.array(np.array([[1.5, 0.05]], np.float32), device="cpu"))
    for expected in (0.02, 0.04, 0.05, 0.05):
        worlds.physics()
        assert worlds.agents.steering.numpy()[0, 0] == pytest.approx(expected, abs=1e-6)
    assert worlds.agents.velocity.numpy()[0, 0] == pytest.approx(10.0 + 4 * 0.05 * 1.5, rel=1e-5)
    assert worlds.agents.acceleration.numpy()[0, 0] == pytest.approx(1.5)


def test_a_car_that_cannot_reverse_stops_at_zero(placed):
    worlds = placed(
        motorway(1, 500.0), [[0]], [[50.0]], [[3.0]], vehicle=VehicleParameters(velocity_min=0.0)
    )
    worlds.apply(wp.array(np.array([[-8.0, 0.0]], np.float32), device="cpu"))
    for _ in range(20):
        worlds.physics()
    assert worlds.agents.velocity.numpy()[0, 0] == pytest.approx(0.0, abs=1e-5)
