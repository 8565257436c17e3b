import numpy as np
import pytest
import warp as wp
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.assets.road import motorway
from proveout.envs.driving.bodies import Body, BodyParameters, body_records
from proveout.envs.driving.metrics.collision import boxes_overlap
from proveout.envs.driving.metrics.time_to_collision import time_to_collision

wp.set_module_options({"enable_backward": False})
HALF_LENGTH, HALF_WIDTH = 2.254, 0.805


@wp.kernel
def _overlap(pair: wp.array2d[float], bodies: wp.array[Body], out: wp.array[wp.bool]):
    i = wp.tid()
    out[i] = boxes_overlap(
        pair[i, 0],
        pair[i, 1],
        wp.cos(pair[i, 2]),
        wp.sin(pair[i, 2]),
        wp.cos(pair[i, 3]),
        wp.sin(pair[i, 3]),
        bodies[0],
        bodies[1],
    )


@wp.kernel
def _time(p: wp.array2d[float], out: wp.array[float]):
    i = wp.tid()
    out[i] = time_to_collision(p[i, 0], p[i, 2] - p[i, 1])


def _overlaps(pairs, other=BodyParameters()):  # noqa: B008
    out = wp.zeros(len(pairs), dtype=wp.bool, device="cpu")
    array = wp.array(np.asarray(pairs, np.float32), dtype=float, device="cpu")
    bodies = body_records((BodyParameters(), other), 1, "cpu")[0]
    wp.launch(_overlap, dim=len(pairs), inputs=[array, bodies, out], device="cpu")
    return out.numpy().tolist()


def _clip_area(dx, dy, ha, hb):
    """Area of the intersection, by clipping box b against the four sides of box a (float64)."""
    corners = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * (HALF_LENGTH, HALF_WIDTH)
    turn = hb - ha
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    back = np.array([[np.cos(ha), np.sin(ha)], [-np.sin(ha), np.cos(ha)]])
    polygon = list(corners @ rotation.T + back @ np.array([dx, dy]))
    for axis, limit in ((0, HALF_LENGTH), (1, HALF_WIDTH)):
        for sign in (1.0, -1.0):
            inside = [limit - sign * p[axis] for p in polygon]
            clipped = []
            for k, p in enumerate(polygon):
                q, a, b = polygon[k - 1], inside[k - 1], inside[k]
                if (a < 0) != (b < 0):
                    clipped.append(q + (p - q) * a / (a - b))
                if b >= 0:
                    clipped.append(p)
            polygon = clipped
    x, y = (np.array([p[i] for p in polygon]) for i in (0, 1))
    return 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) if len(polygon) else 0.0


def test_overlap_by_hand():
    right = np.pi / 2
    assert _overlaps(
        [
            (4.4, 0.0, 0.0, 0.0),  # bumper to bumper, 4.508 m long
            (4.6, 0.0, 0.0, 0.0),
            (0.0, 1.5, 0.0, 0.0),  # side by side, 1.61 m wide
            (0.0, 1.7, 0.0, 0.0),
            (3.0, 0.0, 0.0, right),  # crosswise: 2.254 + 0.805 = 3.059
            (3.1, 0.0, 0.0, right),
            (0.0, 0.0, 1.0, 1.0),
            (3.4, 1.9, 0.0, 2.4),  # near a corner, only an oblique axis separates
        ]
    ) == [True, False, True, False, True, False, True, False]


def test_overlap_of_two_sizes_by_hand():
    # Car 4.508 m x 1.61 m, and a pedestrian of 0.4 m x 0.6 m.
    assert _overlaps(
        [
            (2.4, 0.0, 0.0, 0.0),  # 2.254 + 0.2 = 2.454
            (2.5, 0.0, 0.0, 0.0),
            (2.5, 0.0, 0.0, np.pi / 2),  # crosswise: 2.254 + 0.3 = 2.554
            (0.0, 1.1, 0.0, 0.0),  # 0.805 + 0.3 = 1.105
            (0.0, 1.15, 0.0, 0.0),
            (0.0, 1.0, 0.0, np.pi / 2),  # 0.805 + 0.2 = 1.005
            (0.0, 1.05, 0.0, np.pi / 2),
        ],
        BodyParameters(length=0.4, width=0.6),
    ) == [True, False, True, True, False, True, False]


angles = st.floats(-7.0, 7.0)


@given(pairs=st.lists(st.tuples(st.floats(-6, 6), st.floats(-6, 6), angles, angles), min_size=8))
@settings(max_examples=100, deadline=None)
def test_overlap_equals_clipped_polygons(pairs):
    pairs = [tuple(float(np.float32(v)) for v in p) for p in pairs]
    for found, pair in zip(_overlaps(pairs), pairs, strict=True):
        area = _clip_area(*pair)
        # A sliver thinner than single precision may count either way.
        if area > 1e-4:
            assert found
        elif area == 0.0 and found:
            shrunk = _clip_area(pair[0] * 0.9999, pair[1] * 0.9999, *pair[2:])
            assert shrunk > 0.0


def test_time_to_collision_by_hand():
    rows = [
        (30.0, 25.0, 20.0),  # 30 m at 5 m/s
        (30.0, 20.0, 25.0),
        (30.0, 20.0, 20.0),
        (0.0, 10.0, 20.0),
        (-1.0, 10.0, 20.0),
        (np.inf, 10.0, 0.0),
    ]
    out = wp.zeros(len(rows), dtype=float, device="cpu")
    array = wp.array(np.array(rows, np.float32), dtype=float, device="cpu")
    wp.launch(_time, dim=len(rows), inputs=[array, out], device="cpu")
    assert out.numpy().tolist() == [6.0, np.inf, np.inf, 0.0, 0.0, np.inf]


@pytest.mark.parametrize(
    ("lane", "d", "turn", "off"),
    [
        # Half width 0.805 m: the body crosses the edge at d = 1.75 - 0.805 = 0.945 m.
        (0, -0.93, 0.0, False),
        (0, -0.96, 0.0, True),
        (0, 0.96, 0.0, False),
        (2, 0.93, 0.0, False),
        (2, 0.96, 0.0, True),
        (1, 1.7, 0.0, False),
        # Front corner: 0.5 + 3.6767 sin(0.1) + 0.805 cos(0.1) = 1.668; 1.748 at d = 0.58; then off.
        (2, 0.57, 0.1, False),
        (2, 0.60, 0.1, True),
        # Rear corner, 0.8313 m behind the axle, when turned the other way.
        (2, 0.85, -0.1, False),
        (2, 0.90, -0.1, True),
    ],
)
def test_off_road_by_hand(placed, lane, d, turn, off):
    worlds = placed(motorway(3, 500.0), [[lane]], [[100.0]], d=d, turn=turn)
    assert bool(worlds.agents.off_road.numpy()[0, 0]) is off


def test_past_the_end_of_the_road_is_off_road(placed):
    worlds = placed(motorway(1, 100.0), [[0, 0]], [[99.0, 50.0]], 30.0)
    worlds.physics()
    assert worlds.agents.off_road.numpy().tolist() == [[True, False]]


def test_off_road_follows_the_curve(placed):
    radius = 100.0
    network = motorway(1, segments=[(300.0, 1 / radius, 1 / radius)])
    # On an inner edge at rest, a straight body leaves outside first: exact corners by geometry.
    for d in np.linspace(-1.2, 1.2, 49):
        worlds = placed(network, [[0]], [[100.0]], d=d)
        x, y, h = (float(getattr(worlds.agents, n).numpy()[0, 0]) for n in ("x", "y", "heading"))
        corners = np.array([(a, b) for a in (3.67672, -0.83128) for b in (0.805, -0.805)])
        rotation = np.array([[np.cos(h), -np.sin(h)], [np.sin(h), np.cos(h)]])
        r = np.linalg.norm(corners @ rotation.T + (x, y) - (0.0, radius), axis=1)
        margin = np.abs(np.abs(r - radius) - 1.75).min()
        if margin > 5e-3:
            expected = bool((np.abs(r - radius) > 1.75).any())
            assert bool(worlds.agents.off_road.numpy()[0, 0]) is expected, d
