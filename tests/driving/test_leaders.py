from dataclasses import replace

import numpy as np
import pytest

from proveout.assets.road import connect, join, motorway

LENGTH = 4.508


def _tables(worlds):
    return [
        getattr(worlds, name).numpy()[0]
        for name in ("leader", "leader_gap", "follower", "follower_gap")
    ]


def test_neighbours_by_hand(placed):
    #           0    1    2    3    4    5
    lane = [[1, 1, 1, 2, 0, 0]]
    s = [[100.0, 130.0, 80.0, 110.0, 95.0, 160.0]]
    worlds = placed(motorway(3, 500.0), lane, s, 10.0)
    leader, leader_gap, follower, follower_gap = _tables(worlds)
    assert leader[0].tolist() == [1, 3, 5]  # own, left, right
    assert follower[0].tolist() == [2, -1, 4]
    np.testing.assert_allclose(
        leader_gap[0], [30.0 - LENGTH, 10.0 - LENGTH, 60.0 - LENGTH], atol=1e-3
    )
    np.testing.assert_allclose(follower_gap[0], [20.0 - LENGTH, np.inf, 5.0 - LENGTH], atol=1e-3)
    assert leader[3].tolist() == [-1, -1, 1]  # no lane to the left of the leftmost
    assert leader[4].tolist() == [5, 0, -1]


def test_a_car_that_cuts_in_is_a_leader_from_its_side_on(placed):
    # Agent 1 in the left lane; its right side is over the marking from d = -(1.75 - 0.805) on.
    for d, seen in ((-0.9, False), (-1.0, False), (-1.1, True), (-1.7, True)):
        worlds = placed(motorway(2, 500.0), [[0, 1]], [[100.0, 130.0]], d=[[0.0, d]])
        leader, *_ = _tables(worlds)
        assert bool(leader[0, 0] == 1) is seen, d
        assert leader[0, 1] == 1


def test_heading_widens_a_body(placed):
    d, turn = -0.7, -0.3
    worlds = placed(motorway(2, 500.0), [[0, 1]], [[100.0, 130.0]], d=[[0, d]], turn=[[0, turn]])
    assert worlds.agents.reach.numpy()[0, 1] == pytest.approx(
        0.805 * np.cos(turn) + 2.254 * abs(np.sin(turn)), rel=1e-5
    )
    assert worlds.agents.lateral.numpy()[0, 1] == pytest.approx(
        1.75 + d + 1.4227170936 * np.sin(turn), abs=1e-4
    )
    assert worlds.leader.numpy()[0, 0, 0] == 1


def test_inactive_agents_are_not_seen(placed):
    worlds = placed(motorway(1, 500.0), [[0, 0, 0]], [[100.0, 120.0, 140.0]])
    active = worlds.agents.active.numpy()
    active[0, 1] = False
    worlds.agents.active.assign(active)
    worlds.refresh(worlds._all)
    assert worlds.leader.numpy()[0, 0, 0] == 2
    assert worlds.leader.numpy()[0, 1, 0] == -1


def test_side_by_side_gives_a_negative_gap_and_one_order(placed):
    worlds = placed(motorway(2, 500.0), [[0, 1]], [[100.0, 100.0]])
    leader, leader_gap, follower, _ = _tables(worlds)
    assert leader[0].tolist() == [-1, 1, -1]
    assert follower[1].tolist() == [-1, -1, 0]
    assert leader_gap[0, 1] == pytest.approx(-LENGTH, abs=1e-3)


def test_gap_is_measured_along_the_own_lane_in_a_bend(placed):
    radius = 200.0
    network = motorway(3, segments=[(1000.0, 1 / radius, 1 / radius)])
    inner, outer = radius - 3.5, radius + 3.5
    angle = 0.3
    worlds = placed(network, [[0, 1]], [[outer * 1.0, radius * (1.0 + angle)]])
    assert worlds.leader_gap.numpy()[0, 0, 1] == pytest.approx(outer * angle - LENGTH, abs=0.02)
    worlds = placed(network, [[2, 1]], [[inner * 1.0, radius * (1.0 + angle)]])
    assert worlds.leader_gap.numpy()[0, 0, 2] == pytest.approx(inner * angle - LENGTH, abs=0.02)


def test_leader_on_the_next_road(placed):
    a, b = motorway(2, 100.0), motorway(2, 100.0, start=(100.0, 0.0, 0.0))
    network = replace(
        join(a, b), successors=((2,), (3,), (), ()), predecessors=((), (), (0,), (1,))
    )
    worlds = placed(network, [[0, 2, 3]], [[90.0, 20.0, 10.0]])
    leader, leader_gap, follower, _ = _tables(worlds)
    assert leader[0].tolist() == [1, 2, -1]
    np.testing.assert_allclose(leader_gap[0, :2], [30.0 - LENGTH, 20.0 - LENGTH], atol=1e-3)
    assert follower[2].tolist() == [-1, -1, 0]


def test_leader_past_a_short_road_between(placed):
    parts = [motorway(2, length, start=(x, 0.0, 0.0)) for length, x in
             ((100.0, 0.0), (12.0, 100.0), (100.0, 112.0), (50.0, 212.0))]  # fmt: skip
    links = {k: [k + 2] for k in range(6)}
    worlds = placed(connect(join(*parts), links), [[0, 4, 5, 6]], [[90.0, 20.0, 10.0, 30.0]])
    leader, leader_gap, follower, follower_gap = _tables(worlds)
    assert leader[0].tolist() == [1, 2, -1]
    np.testing.assert_allclose(leader_gap[0, :2], [42.0 - LENGTH, 32.0 - LENGTH], atol=1e-3)
    assert follower[2].tolist() == [-1, -1, 0]
    assert follower_gap[1, 0] == pytest.approx(42.0 - LENGTH, abs=1e-3)
    # Three roads further is too far.
    assert leader[1].tolist()[0] == 3
    worlds = placed(connect(join(*parts), links), [[0, 6]], [[90.0, 30.0]])
    assert worlds.leader.numpy()[0, 0, 0] == -1


def test_on_a_ring_of_two_roads_those_behind_are_followers(placed):
    half = np.pi * 100.0
    segments = [(half, 0.01, 0.01)]
    ring = join(
        motorway(1, segments=segments), motorway(1, segments=segments, start=(0.0, 200.0, np.pi))
    )
    ring = connect(ring, {0: [1], 1: [0]})
    worlds = placed(ring, [[0, 1]], [[10.0, half - 20.0]])
    leader, _gap, follower, follower_gap = _tables(worlds)
    assert (leader[0, 0], follower[0, 0], leader[1, 0]) == (-1, 1, 0)
    assert follower_gap[0, 0] == pytest.approx(30.0 - LENGTH, abs=0.01)


def test_leader_across_the_seam_of_a_ring(placed):
    radius = 100.0
    circle = motorway(1, segments=[(2 * np.pi * radius, 1 / radius, 1 / radius)])
    ring = replace(circle, successors=((0,),), predecessors=((0,),))
    length = float(ring.length[0])
    worlds = placed(ring, [[0, 0]], [[length - 10.0, 15.0]], 10.0)
    assert worlds.leader.numpy()[0, :, 0].tolist() == [1, -1]
    assert worlds.leader_gap.numpy()[0, 0, 0] == pytest.approx(25.0 - LENGTH, abs=0.01)
    for _ in range(30):  # 15 m: agent 0 passes the seam
        worlds.physics()
    worlds.refresh(worlds._all)
    assert worlds.agents.s.numpy()[0, 0] == pytest.approx(5.0, abs=0.3)
    assert worlds.leader.numpy()[0, 0, 0] == 1


def test_leaders_on_both_branches_of_a_fork(placed):
    trunk = motorway(1, 100.0)
    left, right = (
        motorway(1, segments=[(150.0, k, k)], start=(100.0, 0.0, 0.0)) for k in (0.01, -0.01)
    )
    network = replace(
        join(trunk, left, right), successors=((1, 2), (), ()), predecessors=((), (0,), (0,))
    )
    for branch, nearer in ((1, 30.0), (2, 20.0)):
        worlds = placed(network, [[0, 1, 2]], [[90.0, 30.0, 20.0 if branch == 2 else 40.0]])
        assert worlds.leader.numpy()[0, 0, 0] == branch
        gap = worlds.leader_gap.numpy()[0, 0, 0]
        assert gap == pytest.approx(10.0 + nearer - LENGTH, abs=1e-3)
        assert worlds.follower.numpy()[0, branch, 0] == 0
