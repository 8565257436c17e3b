from dataclasses import replace

import numpy as np
import pytest
import warp as wp

from proveout.assets.road import bend, join, motorway
from proveout.envs.driving.roads.lanes import (
    LaneArrays,
    lane_arrays,
    lane_point,
    lane_pose,
    lane_station,
    lane_width,
    project,
)

wp.set_module_options({"enable_backward": False})


@wp.kernel
def _pose(
    road: LaneArrays,
    lane: wp.array[int],
    s: wp.array[float],
    out: wp.array2d[float],
):
    i = wp.tid()
    x, y, heading, curvature = lane_pose(road, lane[i], s[i])
    station, offset, stretch = lane_station(road, lane[i], s[i])
    out[i, 0] = x
    out[i, 1] = y
    out[i, 2] = heading
    out[i, 3] = curvature
    out[i, 4] = lane_width(road, lane[i], s[i])
    out[i, 5] = station
    out[i, 6] = offset
    out[i, 7] = stretch


@wp.kernel
def _project(
    road: LaneArrays,
    lane: wp.array[int],
    guess: wp.array[float],
    s: wp.array[float],
    d: wp.array[float],
    out: wp.array2d[float],
):
    i = wp.tid()
    x, y, _heading = lane_point(road, lane[i], s[i], d[i])
    on, s_out, d_out = project(road, lane[i], guess[i], x, y, 6)
    out[i, 0] = float(on)
    out[i, 1] = s_out
    out[i, 2] = d_out


def _launch(kernel, network, *columns, width):
    out = wp.zeros((len(columns[0]), width), dtype=float, device="cpu")
    arrays = [
        wp.array(np.asarray(c, np.int32 if k == 0 else np.float32), device="cpu")
        for k, c in enumerate(columns)
    ]
    wp.launch(
        kernel,
        dim=len(columns[0]),
        inputs=[lane_arrays(network, "cpu"), *arrays, out],
        device="cpu",
    )
    return out.numpy().astype(np.float64)


def test_pose_on_a_circle():
    radius = 150.0
    network = motorway(2, segments=[(600.0, 1 / radius, 1 / radius)])
    s = np.linspace(0.0, 590.0, 200)
    for lane, r in ((0, radius + 1.75), (1, radius - 1.75)):
        out = _launch(_pose, network, np.full(200, lane), s, width=8)
        # Chords of one metre cut the corner by 1 / (8 r) m.
        np.testing.assert_allclose(out[:, 0], r * np.sin(s / r), atol=1.2e-3)
        np.testing.assert_allclose(out[:, 1], radius - r * np.cos(s / r), atol=1.2e-3)
        np.testing.assert_allclose(out[:, 2], s / r, atol=1e-5)
        np.testing.assert_allclose(out[:, 3], 1 / r, rtol=1e-5)
        np.testing.assert_allclose(out[:, 4], 3.5)
        np.testing.assert_allclose(out[:, 5], s * radius / r, atol=1e-3)
        np.testing.assert_allclose(out[:, 6], radius - r, atol=1e-6)
        np.testing.assert_allclose(out[:, 7], r / radius, rtol=1e-4)


def test_a_lane_goes_on_straight_outside_its_ends():
    network = motorway(1, segments=[(100.0, 0.005, 0.005)], start=(10.0, 5.0, 0.3))
    out = _launch(_pose, network, [0, 0, 0, 0], [-20.0, 0.0, 100.0, 130.0], width=8)
    for inside, outside, distance in ((1, 0, -20.0), (2, 3, 30.0)):
        heading = out[inside, 2]
        assert out[outside, 0] == pytest.approx(
            out[inside, 0] + distance * np.cos(heading), abs=0.1
        )
        assert out[outside, 1] == pytest.approx(
            out[inside, 1] + distance * np.sin(heading), abs=0.1
        )
        assert out[outside, 2] == heading


def test_projection_inverts_lane_point():
    rng = np.random.default_rng(3)
    network = motorway(
        3, segments=[(100, 0, 0), *bend(200, 1.2, 50), *bend(250, -1.5, 50), (200, 0, 0)]
    )
    lane = rng.integers(0, 3, 500)
    s = rng.uniform(5.0, network.length.min() - 5.0, 500)
    d = rng.uniform(-5.0, 5.0, 500)
    out = _launch(_project, network, lane, s + rng.uniform(-8, 8, 500), s, d, width=3)
    np.testing.assert_array_equal(out[:, 0], lane)
    np.testing.assert_allclose(out[:, 1], s, atol=0.03)
    np.testing.assert_allclose(out[:, 2], d, atol=2e-3)


def test_projection_goes_on_to_successor_and_predecessor():
    a, b = motorway(2, 100.0), motorway(2, 100.0, start=(100.0, 0.0, 0.0))
    network = replace(
        join(a, b), successors=((2,), (3,), (), ()), predecessors=((), (), (0,), (1,))
    )
    out = _launch(
        _project, network, [0, 3, 3], [99.0, 1.0, 95.0], [104.0, -6.0, 130.0], [0.5] * 3, width=3
    )
    np.testing.assert_allclose(out, [[2, 4.0, 0.5], [1, 94.0, 0.5], [3, 130.0, 0.5]], atol=1e-4)


def test_no_value_indexes_outside_the_arrays():
    network = motorway(2, 100.0)
    bad = [np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0, 0.0]
    lane = [0, 0, 0, 0, 0, -5, 99]
    out = _launch(_pose, network, lane, bad, width=8)
    assert np.all(np.isfinite(out[[0, 1, 2, 5, 6]]))
    _launch(_project, network, lane, bad, bad, bad, width=3)


def test_past_a_fork_the_nearest_branch_goes_on():
    trunk = motorway(1, 100.0)
    left, right = (
        motorway(1, segments=[(150.0, k, k)], start=(100.0, 0.0, 0.0)) for k in (0.01, -0.01)
    )
    network = replace(
        join(trunk, left, right),
        successors=((1, 2), (), ()),
        predecessors=((), (0,), (0,)),
    )
    s, d = np.array([60.0, 60.0]), np.array([0.4, -0.4])
    places = _launch(_point, network, [1, 2], s, d, width=2)
    arrays = [wp.array(c.astype(np.float32), device="cpu") for c in (places[:, 0], places[:, 1])]
    out = wp.zeros((2, 3), dtype=float, device="cpu")
    wp.launch(_find, dim=2, inputs=[lane_arrays(network, "cpu"), *arrays, out], device="cpu")
    np.testing.assert_allclose(out.numpy(), [[1, 60.0, 0.4], [2, 60.0, -0.4]], atol=5e-3)


@wp.kernel
def _point(
    road: LaneArrays,
    lane: wp.array[int],
    s: wp.array[float],
    d: wp.array[float],
    out: wp.array2d[float],
):
    i = wp.tid()
    x, y, _heading = lane_point(road, lane[i], s[i], d[i])
    out[i, 0] = x
    out[i, 1] = y


@wp.kernel
def _find(road: LaneArrays, x: wp.array[float], y: wp.array[float], out: wp.array2d[float]):
    i = wp.tid()
    on, s, d = project(road, 0, 150.0, x[i], y[i], 12)
    out[i, 0] = float(on)
    out[i, 1] = s
    out[i, 2] = d
