from dataclasses import replace

import numpy as np
import pytest

from proveout.assets.files.errors import ModelError
from proveout.assets.road import join, motorway
from proveout.assets.routes import Leg, route_through, shortest_route


def _chain():
    """Two lanes of 100 m, and behind them two of 50 m; only the right ones are linked."""
    a, b = motorway(2, 100.0), motorway(2, 50.0, start=(100.0, 0.0, 0.0))
    return replace(join(a, b), successors=((2,), (), (), ()), predecessors=((), (), (0,), ()))


def test_a_lane_change_leads_to_the_lane_that_goes_on():
    route = shortest_route(_chain(), (1, 20.0), (3, 30.0))
    assert route.lanes in ((1, 0, 2, 3), (1, 0, 3))
    assert route.length == pytest.approx(110.0)
    assert route.legs[0] == Leg(1, 20.0, 20.0)
    assert route.legs[1] == Leg(0, 20.0, 100.0)
    assert route.at(80.0) == (3, 0.0)
    assert route.at(1e9) == (3, 30.0)


def test_the_shorter_of_two_ways_counts():
    start, short, long = (
        motorway(1, 10.0), motorway(1, 100.0, start=(10.0, 0.0, 0.0)),
        motorway(1, segments=[(140.0, 0.0, 0.0)], start=(10.0, 0.0, 0.0)),
    )  # fmt: skip
    n = join(start, short, long)
    n = replace(n, successors=((2, 1), (), ()), predecessors=((), (0,), (0,)))
    assert shortest_route(n, (0, 0.0), (1, 50.0)).length == pytest.approx(60.0)
    assert shortest_route(n, (2, 0.0), (1, 50.0)) is None


def test_a_ring_leads_back_to_what_is_behind():
    radius = 50.0
    turn = 2 * np.pi * radius
    ring = motorway(1, segments=[(turn, 1 / radius, 1 / radius)])
    ring = replace(ring, successors=((0,),), predecessors=((0,),))
    route = shortest_route(ring, (0, 200.0), (0, 100.0))
    assert route.length == pytest.approx(turn - 100.0)
    assert shortest_route(ring, (0, 100.0), (0, 200.0)).length == pytest.approx(100.0)


def test_ways_are_put_together_over_places_between():
    route = route_through(_chain(), [(0, 10.0), (0, 60.0), (2, 5.0)])
    assert route.legs == (Leg(0, 10.0, 100.0), Leg(2, 0.0, 5.0))
    assert route.distance(2, 5.0) == pytest.approx(95.0)


@pytest.mark.parametrize(
    ("end", "message"), [((9, 0.0), "Lane 9 is none"), ((1, 101.0), "s = 101 is not on lane 1")]
)
def test_places_that_are_not_there_are_refused(end, message):
    with pytest.raises(ModelError, match=message):
        shortest_route(_chain(), (0, 0.0), end)
