import itertools

import numpy as np
import pytest
import warp as wp

from proveout.assets.road import bend, join, motorway
from proveout.envs.driving.observe import observe_nearest
from proveout.envs.driving.road import Road, place_agent

CURVED = motorway(3, segments=[(150, 0, 0), *bend(400, 0.7, 80), *bend(400, -0.7, 80), (400, 0, 0)])


def _mask(*values):
    return wp.array(np.array(values, bool), dtype=wp.bool, device="cpu")


def _command(rows):
    return wp.array(np.asarray(rows, np.float32), dtype=float, device="cpu")


def _traffic(placed, num_worlds=4, seed=0):
    rng = np.random.default_rng(seed)
    lane = np.tile(np.arange(9) % 3, (num_worlds, 1))
    s = 30.0 + 12.0 * np.arange(9) + rng.uniform(-4, 4, (num_worlds, 9))
    return placed(CURVED, lane, s, rng.uniform(15, 25, (num_worlds, 9)))


def _snapshot(worlds):
    return {name: array.numpy().copy() for name, array in worlds.state().items()}


def test_crossing_a_marking_changes_lane_and_keeps_the_position(placed):
    worlds = placed(CURVED, [[2]], [[200.0]], [[20.0]])
    # Straight on in a bend to the left: from the leftmost lane over both markings to the right.
    seen = [2]
    for _ in range(100):
        worlds.physics()
        seen.append(int(worlds.agents.lane.numpy()[0, 0]))
        lane, s, d = (getattr(worlds.agents, n).numpy()[0, 0] for n in ("lane", "s", "d"))
        p = CURVED.points(int(lane))
        at = np.linspace(0, CURVED.length[lane], CURVED.num_points[lane])
        cx, cy = np.interp(s, at, CURVED.x[p]), np.interp(s, at, CURVED.y[p])
        x, y = worlds.agents.x.numpy()[0, 0], worlds.agents.y.numpy()[0, 0]
        assert np.hypot(x - cx, y - cy) == pytest.approx(abs(d), abs=2e-3)
        assert abs(d) < 1.76 or lane in (0, 2)
    assert [b - a for a, b in itertools.pairwise(seen) if a != b] == [-1, -1]


def test_collision_is_latched_until_clear(placed):
    worlds = placed(motorway(2, 500.0), [[0, 0, 1]], [[100.0, 110.0, 105.0]], [[40.0, 0.0, 5.0]])
    assert not worlds.agents.collided.numpy().any()
    for _ in range(12):  # 24 m: through the standing car and out again
        worlds.commands.acceleration.zero_()
        worlds.drivers.kind.zero_()
        worlds.physics()
    worlds.refresh(_mask(True))
    assert worlds.agents.collided.numpy().tolist() == [[True, True, False]]
    assert worlds.agents.collided_with.numpy().tolist() == [[1, 0, -1]]
    worlds.clear()
    worlds.physics()
    assert not worlds.agents.collided.numpy().any()


def test_refresh_changes_nothing_where_nothing_moved(placed):
    worlds = _traffic(placed)
    for _ in range(40):
        worlds.physics()
    before = _snapshot(worlds)
    worlds.refresh(worlds._all)
    for name, value in _snapshot(worlds).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_refresh_and_reset_leave_other_worlds_alone(placed):
    worlds = _traffic(placed)
    before = _snapshot(worlds)
    leader = worlds.leader.numpy()
    worlds.reset(_mask(False, True, False, False))
    worlds.refresh(_mask(False, True, False, False))
    after = _snapshot(worlds)
    for name in before:
        for world in (0, 2, 3):
            np.testing.assert_array_equal(after[name][world], before[name][world])
    assert not after["active"][1].any()
    assert (worlds.leader.numpy()[1] == -1).all()
    np.testing.assert_array_equal(worlds.leader.numpy()[0], leader[0])


def test_a_restored_state_goes_on_bit_for_bit(placed):
    worlds = _traffic(placed)
    worlds.apply(_command([[0.5, 0.001]] * 4))
    for _ in range(30):
        worlds.physics()
    saved = _snapshot(worlds)
    for _ in range(30):
        worlds.physics()
    expected = _snapshot(worlds)
    other = _traffic(placed, seed=5)
    for name, array in other.state().items():
        array.assign(saved[name])
    other.refresh(other._all)
    for _ in range(30):
        other.physics()
    for name, value in _snapshot(other).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_a_world_does_not_depend_on_how_many_there_are(placed):
    many = _traffic(placed, num_worlds=4)
    one = placed(
        CURVED,
        many.agents.lane.numpy()[2:3],
        many.agents.s.numpy()[2:3].astype(float),
        many.agents.velocity.numpy()[2:3].astype(float),
    )
    for name, array in one.state().items():
        array.assign(many.state()[name].numpy()[2:3])
    one.refresh(_mask(True))
    for _ in range(60):
        many.physics()
        one.physics()
    for name, value in _snapshot(one).items():
        np.testing.assert_array_equal(value[0], _snapshot(many)[name][2], err_msg=name)


def test_a_captured_graph_does_what_launches_do(placed):
    eager, graph = _traffic(placed), _traffic(placed)
    with wp.ScopedCapture(device="cpu") as capture:
        graph.clear()
        graph.physics()
        graph.physics()
        graph.refresh(graph._all)
    for _ in range(20):
        eager.clear()
        eager.physics()
        eager.physics()
        eager.refresh(eager._all)
        wp.capture_launch(capture.graph)
    for name, value in _snapshot(graph).items():
        np.testing.assert_array_equal(value, _snapshot(eager)[name], err_msg=name)


@pytest.mark.parametrize("name", ["x", "y", "heading", "velocity", "steering", "s"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_non_finite_state_is_told_and_stays_in_its_world(placed, name, value):
    worlds, clean = _traffic(placed), _traffic(placed)
    array = worlds.state()[name].numpy()
    array[1, 4] = value
    worlds.state()[name].assign(array)
    rows = wp.zeros((4, 56), dtype=float, device="cpu")
    invalid = wp.array(np.array([0, 4, 0, 0], np.int32), device="cpu")
    worlds.guard(invalid)
    assert invalid.numpy().tolist() == [0, 5, 0, 0]
    for w in (worlds, clean):
        for _ in range(5):
            w.physics()
        w.refresh(w._all)
        observe_nearest(w.agents, 0, 8, 100.0, rows)
    for key, expected in _snapshot(clean).items():
        got = _snapshot(worlds)[key]
        np.testing.assert_array_equal(np.delete(got, 1, 0), np.delete(expected, 1, 0))
    # A reset and new positions make the world good again.
    worlds.reset(_mask(False, True, False, False))
    invalid.zero_()
    worlds.guard(invalid)
    assert invalid.numpy().tolist() == [0, 0, 0, 0]


def test_twenty_metres_a_second_for_two_seconds_are_forty_metres(placed):
    worlds = placed(motorway(1, 500.0), [[0]], [[100.0]], [[20.0]])
    for _ in range(40):
        worlds.physics()
    assert worlds.agents.s.numpy()[0, 0] == pytest.approx(140.0, abs=1e-2)
    assert worlds.agents.x.numpy()[0, 0] == pytest.approx(140.0, abs=1e-2)


def test_a_world_has_a_map_of_its_own_and_only_its_lanes(placed):
    maps = [motorway(2, 300.0), motorway(3, 300.0, start=(0.0, 500.0, 0.0))]
    # Table: lanes 0 and 1 of the first map, 2 to 4 of the second.
    lane = np.array([[0, 1], [2, 4], [2, 1], [0, 1]])
    worlds = placed(
        join(*maps), lane, [[50.0, 80.0]] * 4, 10.0, maps=maps, map_of_world=[0, 1, 1, 2]
    )
    for _ in range(5):
        worlds.physics()
    invalid = wp.zeros(4, dtype=int, device="cpu")
    worlds.guard(invalid)
    # Lane 1 is not of map 1, and there is no map 2.
    assert invalid.numpy().tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(worlds.agents.lane.numpy()[:2], lane[:2])
    np.testing.assert_allclose(worlds.agents.s.numpy()[:2, 0], 52.5, atol=1e-3)
    worlds.reset(worlds._all)
    assert worlds.map_of_world.numpy().tolist() == [0, 0, 0, 0]


@wp.kernel
def _place(road: Road, number: wp.array[int], lane: wp.array[int]):
    w = wp.tid()
    road.map_of_world[w] = number[w]
    place_agent(road, w, 0, lane[w], 50.0, 10.0)


def test_a_task_places_agents_on_lanes_of_the_map(placed):
    maps = [motorway(2, 300.0), motorway(3, 300.0, start=(0.0, 500.0, 0.0))]
    worlds = placed(join(*maps), [[0]] * 7, [[0.0]] * 7, maps=maps)
    worlds.reset(worlds._all)
    number, lane = np.array([[0, 1], [1, 0], [1, 2], [0, 2], [1, 3], [0, -1], [-1, 0]]).T
    arrays = [wp.array(v.astype(np.int32), dtype=int, device="cpu") for v in (number, lane)]
    wp.launch(_place, dim=7, inputs=[worlds.struct(2), *arrays], device="cpu")
    worlds.refresh(worlds._all)
    invalid = wp.zeros(7, dtype=int, device="cpu")
    worlds.guard(invalid)
    assert invalid.numpy().tolist() == [0, 0, 0, 1, 1, 1, 1]
    np.testing.assert_allclose(worlds.agents.y.numpy()[:3, 0], [1.75, 496.5, 503.5], atol=1e-3)
