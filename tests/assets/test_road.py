import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.assets.files.errors import ModelError
from proveout.assets.road import RoadNetwork, bend, connect, join, motorway


def test_straight_lanes_are_parallel_and_a_lane_width_apart():
    n = motorway(3, 100.0, 3.5, spacing=1.0)
    assert n.num_lanes == 3
    for lane, y in enumerate((-3.5, 0.0, 3.5)):
        p = n.points(lane)
        np.testing.assert_allclose(n.x[p], np.arange(101.0), atol=1e-9)
        np.testing.assert_allclose(n.y[p], y, atol=1e-12)
    assert n.length.tolist() == [100.0] * 3
    assert n.left.tolist() == [1, 2, -1]
    assert n.right.tolist() == [-1, 0, 1]
    np.testing.assert_allclose(n.left_edge + n.right_edge, 10.5)
    np.testing.assert_allclose(n.right_edge[n.points(0)], 1.75)


def test_circle_has_the_radius_length_and_curvature_of_each_lane():
    radius, turn = 200.0, 1.5 * np.pi
    n = motorway(2, segments=[(radius * turn, 1 / radius, 1 / radius)], spacing=0.5)
    for lane, r in ((0, radius + 1.75), (1, radius - 1.75)):
        p = n.points(lane)
        np.testing.assert_allclose(np.hypot(n.x[p], n.y[p] - radius), r, rtol=1e-12)
        assert n.length[lane] == pytest.approx(r * turn, rel=1e-12)
        np.testing.assert_allclose(n.curvature[p], 1 / r, rtol=1e-9)
        assert n.heading[p][-1] == pytest.approx(turn, rel=1e-12)
        assert n.road_length[lane] == pytest.approx(radius * turn)


def test_clothoid_end_point_is_the_fresnel_integral():
    # Unit clothoid: heading s^2 / 2. C(1), S(1) of int cos(s^2/2), int sin(s^2/2), by their series.
    n = motorway(1, segments=[(100.0, 0.0, 0.01)])
    from math import factorial

    c = sum((-1) ** k / (factorial(2 * k) * 4**k * (4 * k + 1)) for k in range(8))
    s = sum((-1) ** k / (factorial(2 * k + 1) * 2 ** (2 * k + 1) * (4 * k + 3)) for k in range(8))
    assert n.x[-1] == pytest.approx(100.0 * c, abs=1e-9)
    assert n.y[-1] == pytest.approx(100.0 * s, abs=1e-9)


def test_bend_turns_by_its_angle():
    n = motorway(3, segments=[(50, 0, 0), *bend(300.0, -0.8, 60.0), (50, 0, 0)])
    assert n.heading[n.points(1)][-1] == pytest.approx(-0.8)
    assert n.curvature.min() < -1 / 300.0


segments = st.lists(
    st.tuples(st.floats(5.0, 150.0), st.floats(-0.02, 0.02), st.floats(-0.02, 0.02)),
    min_size=1,
    max_size=4,
)


@given(segments=segments, spacing=st.floats(0.4, 2.0), lanes=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_points_are_equidistant_and_headings_are_tangents(segments, spacing, lanes):
    n = motorway(lanes, segments=segments, spacing=spacing)
    for lane in range(lanes):
        p = n.points(lane)
        step = n.step[lane]
        assert abs(n.length[lane] / step - n.length[lane] / spacing) <= 0.5 + 1e-6
        dx, dy = np.diff(n.x[p]), np.diff(n.y[p])
        # A chord is shorter than its arc by at most kappa^2 step^3 / 24.
        tightest = np.abs(n.curvature[p]).max() + 0.02
        np.testing.assert_allclose(np.hypot(dx, dy), step, atol=tightest**2 * step**3 / 20 + 1e-9)
        middle = 0.5 * (n.heading[p][1:] + n.heading[p][:-1])
        # The chord of a clothoid leaves the mean heading of its ends by rate * step^2 / 12 (times
        # 1.7 on parallel curves); where the curvature jumps, by less than the turn over the step.
        turn = np.angle((dx + 1j * dy) * np.exp(-1j * middle))
        assert np.abs(turn).max() < tightest * step
        rate = max(abs(k1 - k0) / length for length, k0, k1 in segments)
        assert np.median(np.abs(turn)) < 1.7 * rate * step**2 / 12 + 1e-9
    for lane in range(lanes - 1):
        for a, b in ((lane, lane + 1),):
            pa, pb = n.points(a), n.points(b)
            x = np.interp(n.station[pa], n.station[pb], n.x[pb])
            y = np.interp(n.station[pa], n.station[pb], n.y[pb])
            np.testing.assert_allclose(np.hypot(x - n.x[pa], y - n.y[pa]), 3.5, atol=0.02)


def test_join_shifts_every_index():
    a, b = motorway(2, 50.0), motorway(3, 80.0, start=(0.0, 100.0, 0.0))
    n = join(a, b)
    assert n.road.tolist() == [0, 0, 1, 1, 1]
    assert n.left.tolist() == [1, -1, 3, 4, -1]
    np.testing.assert_array_equal(n.x[n.points(3)], b.x[b.points(1)])
    assert n.road_length.tolist() == [50.0, 50.0, 80.0, 80.0, 80.0]


def test_connect_links_lanes_that_meet():
    a, b = motorway(2, 50.0), motorway(2, 80.0, start=(50.0, 0.0, 0.0))
    n = connect(join(a, b), {0: [2], 1: [3]})
    assert n.successors == ((2,), (3,), (), ())
    assert n.predecessors == ((), (), (0,), (1,))
    for links, message in (
        ({0: [9]}, "connect.. names lane 9; there are 0 ... 3"),
        ({2: [0]}, "Lane 2 ends 130.00 m from the start of its successor 0"),
        ({0: [2, 2]}, "names a lane twice"),
    ):
        with pytest.raises(ModelError, match=message):
            connect(join(a, b), links)


def test_a_lane_may_end_on_the_one_it_merges_into_and_no_further_away():
    a = motorway(1, 50.0)
    beside = motorway(1, 50.0, start=(50.0, 1.8, 0.0))
    assert connect(join(a, beside), {0: [1]}).successors[0] == (1,)
    for start in ((50.0, 2.0, 0.0), (50.2, 0.0, 0.0)):
        with pytest.raises(ModelError, match="from the start of its successor 1"):
            connect(join(a, motorway(1, 50.0, start=start)), {0: [1]})


def _parts(n: RoadNetwork) -> dict:
    return {name: getattr(n, name) for name in RoadNetwork.__dataclass_fields__}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.array([1.0])}, "RoadNetwork.x|shape"),
        ({"left": np.array([7])}, "RoadNetwork.left names a lane"),
        ({"successors": ((0,),)}, "ends 50.00 m from the start of its successor"),
        ({"successors": ((1,),)}, "successors names a lane outside 0 ... 0"),
        ({"predecessors": ((), ())}, "predecessors has 2 lists, expected one for each of 1 lanes"),
        ({"predecessors": ((0, 0),)}, "names a lane twice"),
        ({"num_points": np.array([1])}, "two points"),
        ({"speed_limit": np.array([np.nan])}, "speed_limit holds a value that is not finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ModelError, match=message):
        RoadNetwork(**(_parts(motorway(1, 50.0)) | change))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lanes": 0}, "at least one lane"),
        ({"length": -1.0}, "length=-1.0"),
        ({"segments": [(100.0, 0.3, 0.3)]}, "too tight"),
        ({"segments": [(-1.0, 0.0, 0.0)]}, "positive length"),
    ],
)
def test_impossible_motorways_are_refused(arguments, message):
    with pytest.raises(ModelError, match=message):
        motorway(**arguments)


def test_arrays_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        motorway(1, 50.0).x[0] = 1.0
