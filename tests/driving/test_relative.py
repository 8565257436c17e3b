"""Positions relative to another agent, against distances computed by hand."""

from dataclasses import replace

import numpy as np
import pytest
import warp as wp

from proveout.assets.road import join, motorway
from proveout.envs.driving.bodies import BodyParameters
from proveout.envs.driving.road import Road, relative_to
from proveout.envs.driving.traffic.relative import Relative

wp.set_module_options({"enable_backward": False})
CAR = BodyParameters(length=4.0, rear_axle_to_centre=1.0)  # front 3 m, rear 1 m
TRUCK = BodyParameters(length=12.0, width=2.5, rear_axle_to_centre=4.0)  # front 10 m, rear 2 m


@wp.kernel
def _relative(road: Road, reach: float, out: wp.array2d[Relative]):
    agent, other = wp.tid()
    out[agent, other] = relative_to(road, 0, agent, other, reach)


def seen(worlds, reach=500.0):
    """(agents, agents) of `Relative`: row sees column."""
    n = worlds.num_agents
    out = wp.zeros((n, n), dtype=Relative, device="cpu")
    wp.launch(_relative, dim=(n, n), inputs=[worlds.struct(1), reach, out], device="cpu")
    return out.numpy()


def test_ahead_behind_and_beside_with_lengths_of_their_own(placed):
    worlds = placed(
        motorway(2, 500.0), [[0, 0, 1]], [[100.0, 150.0, 108.0]], [[20.0, 15.0, 30.0]],
        d=[[0.5, 0.0, -0.25]], bodies=(CAR, TRUCK, CAR),
    )  # fmt: skip
    table = seen(worlds)
    assert table["related"].all()
    np.testing.assert_allclose(table["distance"][0], [0.0, 50.0, 8.0], atol=1e-4)
    # Fronts at 103, 160, 111 m; rears at 99, 148, 107 m.
    np.testing.assert_allclose(table["gap"][0, 1:], [45.0, 4.0], atol=1e-4)
    np.testing.assert_allclose(table["gap"][1, [0, 2]], [45.0, 37.0], atol=1e-4)
    np.testing.assert_allclose(table["distance"][1, [0, 2]], [-50.0, -42.0], atol=1e-4)
    np.testing.assert_allclose(table["lateral"][0], [0.0, -0.5, 2.75], atol=1e-4)
    np.testing.assert_allclose(table["lateral"], -table["lateral"].T, atol=1e-5)
    np.testing.assert_allclose(table["speed"][0], [0.0, -5.0, 10.0])


def test_along_the_own_lane_in_a_bend(placed):
    radius, angle = 200.0, 0.3
    network = motorway(3, segments=[(1000.0, 1 / radius, 1 / radius)])
    outer = radius + 3.5  # of lane 0, in a bend to the left
    worlds = placed(network, [[0, 1]], [[outer, radius * (1.0 + angle)]], bodies=(CAR, CAR))
    table = seen(worlds)
    assert table["distance"][0, 1] == pytest.approx(outer * angle, abs=0.02)
    assert table["gap"][0, 1] == pytest.approx(outer * angle - 4.0, abs=0.02)
    assert table["distance"][1, 0] == pytest.approx(-outer * angle, abs=0.02)
    assert table["lateral"][0, 1] == pytest.approx(3.5, abs=1e-3)


def fork():
    """A trunk of 100 m, then 150 m to the left or right; behind the left one, 80 m more."""
    trunk = motorway(1, 100.0)
    left, right = (
        motorway(1, segments=[(150.0, k, k)], start=(100.0, 0.0, 0.0)) for k in (0.01, -0.01)
    )
    end = left.points(0).stop - 1
    more = motorway(1, 80.0, start=(float(left.x[end]), float(left.y[end]), 1.5))
    return replace(
        join(trunk, left, right, more),
        successors=((1, 2), (3,), (), ()),
        predecessors=((), (0,), (0,), (1,)),
    )


def test_look_ahead_over_a_fork_and_the_road_behind_it(placed):
    lane, s = [[0, 1, 2, 3]], [[90.0, 30.0, 20.0, 5.0]]
    worlds = placed(fork(), lane, s, 10.0, d=[[0.2, 0.0, 0.0, -0.3]], bodies=(CAR,) * 4)
    table = seen(worlds)
    # 10 m to the end of the trunk; the left branch has 150 m.
    np.testing.assert_allclose(table["distance"][0, 1:], [40.0, 30.0, 165.0], atol=1e-3)
    np.testing.assert_allclose(table["gap"][0, 1:], [36.0, 26.0, 161.0], atol=1e-3)
    np.testing.assert_allclose(table["lateral"][0, 1:], [-0.2, -0.2, -0.5], atol=1e-3)
    np.testing.assert_allclose(table["distance"][3, :2], [-165.0, -125.0], atol=1e-3)
    np.testing.assert_allclose(table["gap"][3, 0], 161.0, atol=1e-3)
    # No way leads from one branch to the other.
    for agent, other in ((1, 2), (2, 3)):
        assert not table["related"][agent, other]
        assert np.isinf(table["gap"][agent, other])
        assert table["lateral"][agent, other] == 0.0
    # Not further than is asked for.
    near = seen(worlds, reach=100.0)
    assert near["related"][0].tolist() == [True, True, True, False]


def test_the_shorter_way_round_a_ring(placed):
    radius = 100.0
    circle = motorway(1, segments=[(2 * np.pi * radius, 1 / radius, 1 / radius)])
    ring = replace(circle, successors=((0,),), predecessors=((0,),))
    length = float(ring.length[0])
    worlds = placed(ring, [[0, 0]], [[length - 10.0, 15.0]], bodies=(CAR, CAR))
    table = seen(worlds, reach=2000.0)
    assert table["distance"][0, 1] == pytest.approx(25.0, abs=1e-2)
    assert table["distance"][1, 0] == pytest.approx(-25.0, abs=1e-2)
    assert table["gap"][1, 0] == pytest.approx(21.0, abs=1e-2)


def test_it_agrees_with_the_tables_of_leaders(placed):
    rng = np.random.default_rng(3)
    lane = np.tile(np.arange(9) % 3, (1, 1))
    s = 30.0 + 12.0 * np.arange(9)[None] + rng.uniform(-4, 4, (1, 9))
    worlds = placed(motorway(3, 500.0), lane, s, 20.0)
    table, leader = seen(worlds), worlds.leader.numpy()[0]
    for agent, side in zip(*np.nonzero(leader >= 0), strict=True):
        gap = worlds.leader_gap.numpy()[0, agent, side]
        assert table["gap"][agent, leader[agent, side]] == pytest.approx(gap, abs=1e-3)
