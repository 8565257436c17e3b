import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import warp as wp
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.assets.opendrive.road_map import load_road
from proveout.assets.road import bend, join, motorway
from proveout.envs.driving.roads.grid import LaneGrid, find_lane, find_lane_along, lane_grid
from proveout.envs.driving.roads.lanes import LaneArrays, lane_arrays, lane_point

wp.set_module_options({"enable_backward": False})

LONG = motorway(3, segments=[(300, 0, 0), *bend(60.0, 1.2, 30.0), *bend(12.0, -2.0, 8.0)])
OTHER = motorway(2, 200.0, start=(2000.0, -3000.0, 0.7))
MAPS = [LONG, OTHER]


@wp.kernel
def _there_and_back(
    road: LaneArrays,
    grid: LaneGrid,
    number: wp.array[int],
    lane: wp.array[int],
    s: wp.array[float],
    d: wp.array[float],
    out: wp.array2d[float],
):
    i = wp.tid()
    x, y, _heading = lane_point(road, lane[i], s[i], d[i])
    on, s_out, d_out = find_lane(road, grid, number[i], x, y)
    x_out, y_out, _heading = lane_point(road, on, s_out, d_out)
    out[i, 0] = float(on)
    out[i, 1] = s_out
    out[i, 2] = d_out
    out[i, 3] = wp.sqrt((x_out - x) * (x_out - x) + (y_out - y) * (y_out - y))


@wp.kernel
def _find(
    road: LaneArrays,
    grid: LaneGrid,
    number: wp.array[int],
    x: wp.array[float],
    y: wp.array[float],
    heading: wp.array[float],
    out: wp.array2d[float],
):
    i = wp.tid()
    on, s, d = find_lane_along(road, grid, number[i], x[i], y[i], heading[i])
    out[i, 0] = float(on)
    out[i, 1] = s
    out[i, 2] = d


@cache
def _both():
    return lane_arrays(MAPS, "cpu"), lane_grid(MAPS, "cpu")


def _run(kernel, maps, columns, width):
    out = wp.zeros((len(columns[0]), width), dtype=float, device="cpu")
    arrays = [wp.array(np.asarray(c), dtype=kind, device="cpu") for c, kind in columns_of(columns)]
    built = _both() if maps is MAPS else (lane_arrays(maps, "cpu"), lane_grid(maps, "cpu"))
    wp.launch(kernel, dim=len(columns[0]), inputs=[*built, *arrays, out], device="cpu")
    return out.numpy().astype(np.float64)


def columns_of(columns):
    for column in columns:
        array = np.asarray(column)
        kind = int if array.dtype.kind == "i" else float
        yield array.astype(np.int32 if kind is int else np.float32), kind


places = st.tuples(
    st.sampled_from([(0, k) for k in range(3)] + [(1, k) for k in (3, 4)]),
    st.floats(0.01, 0.99),
    st.floats(-0.48, 0.48),
)


@given(st.lists(places, min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_point_on_a_lane_is_found_within_a_centimetre(drawn):
    n = join(*MAPS)
    number = np.array([row[0][0] for row in drawn])
    lane = np.array([row[0][1] for row in drawn])
    s = np.array([row[1] for row in drawn]) * n.length[lane]
    d = np.array([row[2] for row in drawn]) * 3.5
    out = _run(_there_and_back, MAPS, (number, lane, s, d), 4)
    np.testing.assert_array_equal(out[:, 0], lane)
    np.testing.assert_allclose(out[:, 1], s, atol=0.01)
    np.testing.assert_allclose(out[:, 2], d, atol=0.01)
    assert out[:, 3].max() < 0.01


def test_the_nearest_border_counts_up_to_the_reach_and_none_beyond():
    n = motorway(2, 100.0)  # lanes from y = -3.5 to 3.5
    x = np.array([50.0, 50.0, 50.0, 50.0, 103.0, 50.0, np.nan, 50.0])
    y = np.array([1.0, 4.5, 8.4, 9.0, 1.0, -1.0, 1.0, 1.0])
    number = np.array([0, 0, 0, 0, 0, 0, 0, 7])
    out = _run(_find, n, (number, x, y, np.zeros(8)), 3)
    np.testing.assert_array_equal(out[:, 0], [1, 1, 1, -1, 1, 0, -1, -1])
    np.testing.assert_allclose(out[[0, 1, 4, 5], 2], [-0.75, 2.75, -0.75, 0.75], atol=1e-4)
    assert out[4, 1] == pytest.approx(103.0)


def test_where_lanes_cross_the_heading_decides():
    along = motorway(1, 100.0)
    across = motorway(1, 100.0, start=(50.0, -50.0, np.pi / 2))
    n = join(along, across)
    x, y = np.full(3, 50.5), np.full(3, 0.4)
    heading = np.array([0.1, 1.4, -3.0])
    out = _run(_find, n, (np.zeros(3, int), x, y, heading), 3)
    np.testing.assert_array_equal(out[:2, 0], [0, 1])
    np.testing.assert_allclose(out[:2, 1], [50.5, 50.4], atol=1e-3)


def test_a_large_map_has_larger_cells():
    n = join(motorway(1, 100.0), motorway(1, 100.0, start=(30_000.0, 40_000.0, 0.0)))
    grid = lane_grid(n, "cpu")
    assert grid.first.shape[0] < 600_000
    out = _run(_find, n, (np.zeros(2, int), np.array([20.0, 30_020.0]), np.array([0.0, 40_000.5]),
                          np.zeros(2)), 3)  # fmt: skip
    np.testing.assert_allclose(out, [[0, 20.0, 0.0], [1, 20.0, 0.5]], atol=0.01)


PUBLIC = Path(os.environ.get("PROVEOUT_DATA") or "nowhere") / "openscenario"


@pytest.mark.skipif(not PUBLIC.is_dir(), reason="PROVEOUT_DATA names no maps")
def test_points_of_public_maps_are_found_within_a_centimetre():
    networks = [load_road(path, surface=False).network for path in sorted(PUBLIC.rglob("*.xodr"))]
    rng = np.random.default_rng(0)
    base, columns = 0, []
    for number, network in enumerate(networks):
        lane = rng.integers(0, network.num_lanes, 300)
        at = rng.uniform(0.0, 1.0, 300)
        point = network.first_point[lane] + (at * (network.num_points[lane] - 1)).astype(int)
        d = rng.uniform(-0.45, 0.45, 300) * network.width[point]
        columns.append((np.full(300, number), lane + base, at * network.length[lane], d))
        base += network.num_lanes
    out = _run(
        _there_and_back, networks, [np.concatenate(c) for c in zip(*columns, strict=True)], 4
    )
    assert out[:, 0].min() >= 0
    assert out[:, 3].max() < 0.01
