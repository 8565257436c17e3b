"""Metrics of safety and comfort, by hand."""

import numpy as np
import pytest
import warp as wp

from proveout.envs.driving.bodies import Body, BodyParameters, body_records
from proveout.envs.driving.metrics.comfort import centripetal_acceleration, jerk
from proveout.envs.driving.metrics.deceleration import (
    deceleration_to_avoid_crash,
    required_deceleration,
)
from proveout.envs.driving.metrics.distance import box_distance
from proveout.envs.driving.metrics.encroachment import post_encroachment_time
from proveout.envs.driving.metrics.evaluate import evaluate_metric
from proveout.envs.driving.metrics.fuzzy import critical_fuzzy_metric, proactive_fuzzy_metric
from proveout.envs.driving.metrics.headway import time_headway
from proveout.envs.driving.metrics.r157 import (
    cut_in_threshold,
    minimum_following_distance,
    must_avoid_cut_in,
)
from proveout.envs.driving.metrics.rss import (
    PUBLISHED_LATERAL,
    PUBLISHED_LONGITUDINAL,
    rss_lateral_distance,
    rss_longitudinal_distance,
)
from proveout.envs.driving.metrics.time_to_collision import time_to_collision

wp.set_module_options({"enable_backward": False})
INF = np.inf


@pytest.mark.parametrize(
    ("function", "rows"),
    [
        # arguments, value
        (time_to_collision, [(20.0, -10.0, 2.0), (20.0, 1.0, INF), (-1.0, 5.0, 0.0)]),
        (time_headway, [(30.0, 20.0, 1.5), (30.0, 0.0, INF), (0.0, 20.0, 0.0), (INF, 20.0, INF)]),
        # Out at 4 s, the other in at 5.5 s; both in at once; the other first; never.
        (
            post_encroachment_time,
            [
                (2.0, 4.0, 5.5, 6.0, 1.5),
                (2.0, 4.0, 3.0, 6.0, 0.0),
                (7.0, 9.0, 3.0, 6.5, 0.5),
                (2.0, 4.0, INF, INF, INF),
            ],
        ),
        # 10 m/s over 25 m: 100 / 50.
        (
            deceleration_to_avoid_crash,
            [(25.0, 10.0, 2.0), (25.0, -1.0, 0.0), (0.0, 1.0, INF), (INF, 5.0, 0.0)],
        ),
        (
            required_deceleration,
            [
                (25.0, 20.0, 10.0, 0.0, 2.0),  # as above
                (25.0, 20.0, 10.0, 1.0, 3.0),  # alike after 5 s, when the leader still moves
                (25.0, 20.0, 10.0, 4.0, 400.0 / 75.0),  # it stands after 12.5 m: 20 m/s in 37.5 m
                (50.0, 20.0, 0.0, 0.0, 4.0),  # it stands already
                (20.0, 20.0, 20.0, 5.0, 400.0 / 120.0),  # alike speeds: 20 m/s in 20 + 40 m
                (25.0, 20.0, 10.0, -3.0, 0.0),  # it draws away in time
                (25.0, 10.0, 20.0, 0.0, 0.0),
                (0.0, 20.0, 10.0, 0.0, INF),
                (INF, 20.0, 10.0, 5.0, 0.0),
            ],
        ),
        (jerk, [(-2.0, 1.0, 0.1, -30.0)]),
        (centripetal_acceleration, [(20.0, 0.01, 4.0), (20.0, -0.01, -4.0)]),
        # 15 + 0.84375 + 22.25^2 / 12 - 10^2 / 12; the second is negative: 3.75 + 0.84375 + ...
        (
            rss_longitudinal_distance,
            [
                (20.0, 10.0, *PUBLISHED_LONGITUDINAL, 48.765625),
                (5.0, 30.0, *PUBLISHED_LONGITUDINAL, 4.59375 + 7.25**2 / 12 - 75.0),
            ],
        ),
        (
            rss_lateral_distance,
            [
                (q, *PUBLISHED_LATERAL, d)
                for q, d in ((0.0, 0.8625), (0.5, 1.7375), (1.0, 2.8625), (-1.0, 2.8625))
            ],
        ),
        # The host's models are tested by the same numbers.
        (proactive_fuzzy_metric, [(52.0, 20.0, 10.0, 0.528061), (90.0, 20.0, 10.0, 0.0)]),
        (
            critical_fuzzy_metric,
            [
                (18.0, 20.0, 10.0, 0.0, 0.48),
                (18.0, 9.0, 10.0, 0.0, 0.0),
                (1.0, 20.0, 10.0, 0.0, 1.0),
            ],
        ),
        (cut_in_threshold, [(10.0, 1.183333)]),
    ],
)
def test_by_hand(function, rows):
    *arguments, wanted = np.array(rows).T
    np.testing.assert_allclose(evaluate_metric(function, *arguments), wanted, rtol=1e-5)


def test_minimum_following_distance_by_the_table():
    # Paragraph 5.2.3.3; the table is rounded to 0.1 m. At 20 km/h 5.56 m/s times 1.2 s.
    kmh = np.array([7.2, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0])
    table = [2.0, 3.1, 6.7, 10.8, 15.6, 20.8, 26.7]
    got = evaluate_metric(minimum_following_distance, kmh / 3.6)
    np.testing.assert_allclose(got, table, atol=0.05)
    exact = kmh / 3.6 * np.array([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6])
    np.testing.assert_allclose(got, exact, rtol=1e-5)
    # Values that esmini asserts, to 1e-3.
    v = [0.0, 1.9, 2.0, 2.5, *(np.array([13.0, 58.0, 90.0]) / 3.6)]
    told = [2.0, 2.0, 2.0, 2.660, 4.081, 25.456, 47.5]
    np.testing.assert_allclose(evaluate_metric(minimum_following_distance, v), told, atol=1e-3)


def test_a_cut_in_must_be_avoided_where_it_was_seen_and_leaves_time():
    # time to collision, closing, visible
    rows = np.array(
        [(1.19, 10.0, 0.8), (1.18, 10.0, 0.8), (1.19, 10.0, 0.7), (5.0, -1.0, 2.0)], np.float32
    )
    got = evaluate_metric(must_avoid_cut_in, *rows.T)
    assert got.tolist() == [True, False, False, False]


def test_a_metric_broadcasts():
    got = evaluate_metric(time_headway, np.array([[10.0], [20.0]]), np.array([5.0, 10.0, 20.0]))
    np.testing.assert_allclose(got, [[2.0, 1.0, 0.5], [4.0, 2.0, 1.0]])


@wp.kernel
def _distance(pair: wp.array2d[float], bodies: wp.array[Body], out: wp.array[float]):
    i = wp.tid()
    out[i] = box_distance(
        pair[i, 0],
        pair[i, 1],
        wp.cos(pair[i, 2]),
        wp.sin(pair[i, 2]),
        wp.cos(pair[i, 3]),
        wp.sin(pair[i, 3]),
        bodies[0],
        bodies[1],
    )


def distances(pairs):
    bodies = body_records(
        (BodyParameters(length=4.0, width=2.0), BodyParameters(length=2.0, width=1.0)), 1, "cpu"
    )[0]
    out = wp.zeros(len(pairs), dtype=float, device="cpu")
    array = wp.array(np.asarray(pairs, np.float32), dtype=float, device="cpu")
    wp.launch(_distance, dim=len(pairs), inputs=[array, bodies, out], device="cpu")
    return out.numpy()


def test_distance_of_boxes_by_hand():
    # 4 m x 2 m at the origin, 2 m x 1 m elsewhere; centre and headings.
    quarter = np.pi / 2
    rows = [
        (10.0, 0.0, 0.0, 0.0, 7.0),  # in line: 10 - 2 - 1
        (0.0, 4.0, 0.0, 0.0, 2.5),  # beside: 4 - 1 - 0.5
        (6.0, 5.5, 0.0, 0.0, 5.0),  # corner to corner: 3 along, 4 across
        (0.0, 4.0, 0.0, quarter, 2.0),  # beside and across: 4 - 1 - 1
        (6.0, 0.0, quarter, 0.0, 4.0),  # the first one across: 6 - 1 - 1
        (5.0, 0.0, 0.0, np.pi / 4, 3.0 - 1.5 * np.sqrt(0.5)),  # a corner ahead of a side
        (1.0, 0.5, 0.3, 1.0, 0.0),  # one in the other
    ]
    np.testing.assert_allclose(distances(rows), [row[4] for row in rows], atol=2e-6)


def test_distance_of_boxes_against_points_on_their_edges():
    rng = np.random.default_rng(0)
    pairs = np.concatenate(
        [rng.uniform(-6, 6, (60, 2)), rng.uniform(-np.pi, np.pi, (60, 2))], axis=1
    )
    t = np.linspace(-1.0, 1.0, 101)
    edges = np.concatenate([np.stack([t, t * 0 + s], 1) for s in (-1, 1)])
    edges = np.concatenate([edges, edges[:, ::-1]])
    got = distances(pairs)
    for (x, y, a, b), distance in zip(pairs, got, strict=True):
        first, second = (
            edges * half @ np.array([[np.cos(h), np.sin(h)], [-np.sin(h), np.cos(h)]])
            for half, h in (((2.0, 1.0), a), ((1.0, 0.5), b))
        )
        apart = first[:, None] - second[None] - (x, y)
        least = np.sqrt((apart**2).sum(-1).min())
        # Points 4 cm apart on an edge; 0 may be deep inside.
        assert distance <= least + 1e-5
        assert distance == 0.0 or least - distance < 0.04
