"""Maps of others, where `PROVEOUT_DATA` names a folder that has them; see the README."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from proveout.assets.opendrive.curves import ParamPoly
from proveout.assets.opendrive.road_map import RoadMap, load_road
from proveout.assets.opendrive.search import project

MAPS = Path(os.environ.get("PROVEOUT_DATA") or "nowhere") / "openscenario"
FILES = sorted(MAPS.rglob("*.xodr"))
pytestmark = pytest.mark.skipif(not FILES, reason="PROVEOUT_DATA names no maps")

# What does not fit by the file's own numbers: joints, largest gap [m], largest turn [rad].
BROKEN = {
    # Lanes of type "none" of roads 229 and 284 are linked across a whole road's width.
    "multi_intersections.xodr": (2, 7.65, 0.0),
    # Lane -3 runs out beside lane -2, which it is linked to: half of its width.
    "soderleden.xodr": (1, 1.75, 0.0),
    # Outer lanes begin to widen where the roads meet.
    "parking_demo.xodr": (7, 0.0, 0.34112),
}
# Links of the file to lanes that its roads do not have.
DANGLING = {"X-Intersection_NCAP.xodr": 4, "X-Intersection_NCAP_noRoadmarks.xodr": 4}


@cache
def load(path: Path) -> RoadMap:
    return load_road(path, surface=False, spacing=4.0)


def test_all_are_there() -> None:
    assert len(FILES) == 32


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_lanes_meet_where_they_are_linked(path: Path) -> None:
    found = load(path)
    gaps = found.continuity()
    bad = [gap for gap in gaps if gap.position > 1e-3 or gap.heading > 1e-3]
    count, gap, turn = BROKEN.get(path.name, (0, 0.0, 0.0))
    assert len(bad) == count
    assert max((g.position for g in bad), default=0.0) == pytest.approx(gap, abs=1e-6)
    assert max((g.heading for g in bad), default=0.0) == pytest.approx(turn, abs=1e-5)
    pieces = [road.line.joints() for road in found.roads.values()]
    assert np.concatenate([*pieces, np.zeros((1, 2))]).max() < 1e-3
    dangling = [text for text in found.warnings if "which is not there" in text]
    assert len(dangling) == DANGLING.get(path.name, 0)
    # All that is left out are lines that say so, and every lane that is driven on has arrays.
    driven = {
        (road.id, lane.id)
        for road in found.roads.values()
        for section in road.sections
        for lane in section.lanes.values()
        if lane.kind == "driving" and lane.widths is not None and lane.widths.coefficients.any()
    }
    assert driven == {(origin.road, origin.lane) for origin in found.origins}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_arrays_are_where_the_map_says(path: Path) -> None:
    found = load(path)
    network = found.network
    rng = np.random.default_rng(1)
    for number in rng.choice(network.num_lanes, min(network.num_lanes, 12), replace=False):
        at = float(rng.uniform(0.0, network.length[number]))
        road, lane, s = found.road_lane(int(number), at)
        pose = found.lane_pose(road, lane, s)
        points = network.points(number)
        arc = np.linspace(0.0, network.length[number], network.num_points[number])
        x, y, z, heading = (
            float(np.interp(at, arc, values[points]))
            for values in (network.x, network.y, network.elevation, network.heading)
        )
        # Chords leave a bend by 2 mm.
        assert np.hypot(x - pose.x, y - pose.y) < 4e-3
        assert abs(z - pose.z) < 4e-3
        turn = heading - pose.heading - (np.pi if found.travel(road, lane, s) < 0 else 0.0)
        assert abs(np.angle(np.exp(1j * turn))) < 2e-3
        assert found.network_lane(road, lane, s)[1] == pytest.approx(at, abs=1e-3)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_points_agree_with_those_of_asams_checker(path: Path) -> None:
    checker = pytest.importorskip("qc_opendrive.base.utils")
    found = load(path)
    rng = np.random.default_rng(0)
    for element in checker.get_roads(checker.get_root_without_default_namespace(str(path))):
        road = found.roads[element.get("id")]
        for s in rng.uniform(0.0, road.length, 12):
            told = checker.get_point_xyz_from_road(element, s, 2.5, 0.0)
            pose = found.pose(road.id, float(s), 2.5)
            along = np.hypot(told.x - pose.x, told.y - pose.y)
            if not any(isinstance(piece.curve, ParamPoly) for piece in road.line.pieces):
                assert along < 1e-9
            # On the same curve; along it the checker goes by the parameter, not by arc length.
            assert along < 0.05
            _s, t, _past = project(road, float(s), told.x, told.y)
            assert t == pytest.approx(2.5, abs=1e-6)
            assert told.z == pytest.approx(pose.z, abs=1e-9)
