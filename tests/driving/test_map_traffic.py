"""Traffic on maps from OpenDRIVE files."""

import time

import gymnasium
import numpy as np
import pytest
import warp as wp

from proveout.assets.opendrive.curves import Piece, Spiral
from proveout.assets.opendrive.road_map import load_road
from proveout.envs import make_vector
from proveout.envs.core.registry import register
from proveout.envs.driving.highway import Highway
from proveout.envs.driving.road import Road, place_agent_at

wp.set_module_options({"enable_backward": False})

WIDTH = '<width sOffset="0" a="3.5" b="0" c="0" d="0"/>'
ON = '<link><predecessor id="{0}"/><successor id="{0}"/></link>'


def _lane(number: int) -> str:
    return f'<lane id="{number}" type="driving">{ON.format(number)}{WIDTH}</lane>'


def _ring() -> str:
    """Two half circles of 60 m, linked at both ends, of two lanes one way and one the other."""
    length = 60.0 * np.pi
    roads = ""
    for number, other, x, heading in (("1", "2", 0.0, 0.0), ("2", "1", 0.0, np.pi)):
        y = 0.0 if number == "1" else 120.0
        roads += (
            f'<road id="{number}" length="{length!r}" junction="-1"><link>'
            f'<predecessor elementType="road" elementId="{other}" contactPoint="end"/>'
            f'<successor elementType="road" elementId="{other}" contactPoint="start"/></link>'
            f'<planView><geometry s="0" x="{x}" y="{y}" hdg="{heading!r}" length="{length!r}">'
            f'<arc curvature="{1 / 60!r}"/></geometry></planView><lanes><laneSection s="0">'
            f'<left>{_lane(1)}</left><center><lane id="0" type="none"/></center>'
            f"<right>{_lane(-1)}{_lane(-2)}</right></laneSection></lanes></road>"
        )
    return f'<OpenDRIVE><header revMajor="1" revMinor="7"/>{roads}</OpenDRIVE>'


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "ring.xodr"
    path.write_text(_ring())
    return load_road(path, surface=False)


def test_idm_cars_go_round_in_both_directions_without_leaving_their_lanes(ring, placed):
    network = ring.network
    assert network.num_lanes == 6
    places = [("2", -1, 10.0), ("1", -1, 20.0), ("1", -1, 60.0), ("1", -2, 40.0), ("1", 1, 50.0)]
    lanes, arcs = zip(*(ring.network_lane(*place) for place in places), strict=True)
    worlds = placed(network, [lanes], [arcs], [[0.0, 8.0, 8.0, 8.0, 8.0]])
    parameters = worlds.drivers.parameters.numpy()
    parameters["desired_speed"] = 10.0
    worlds.drivers.parameters.assign(parameters)
    roads, most, directions = set(), 0.0, []
    for step in range(800):
        worlds.physics(first=step % 4 == 0)
        if step % 4 == 0:
            worlds.after_physics(worlds._all)
        if step % 20:
            continue
        lane = worlds.agents.lane.numpy()[0]
        roads |= {ring.origins[k].road for k in lane[1:]}
        most = max(most, float(np.abs(worlds.agents.d.numpy()[0]).max()))
        assert not worlds.agents.off_road.numpy().any()
        assert not worlds.agents.collided.numpy().any()
        directions.append([ring.origins[k].lane for k in lane])
    # 40 s at up to 10 m/s: each has been on both roads, in its own lane.
    assert roads == {"1", "2"}
    assert {tuple(row) for row in directions} == {(-1, -1, -1, -2, 1)}
    assert most < 0.3
    speed = worlds.agents.velocity.numpy()[0]
    # Those behind the car that stands have stopped; the others go as fast as they want.
    np.testing.assert_allclose(speed[3:], 10.0, atol=0.2)
    assert speed[1:3].max() < 0.5


@wp.kernel
def _place_at(road: Road, x: wp.array[float], y: wp.array[float], heading: wp.array[float]):
    w = wp.tid()
    place_agent_at(road, w, 0, x[w], y[w], heading[w], 10.0)


def test_an_agent_is_placed_where_the_map_says_and_its_world_is_invalid_beside_it(ring, placed):
    poses = [
        ring.lane_pose("1", -2, 30.0, offset=0.5),
        ring.lane_pose("2", 1, 100.0, offset=-0.4),
        ring.pose("1", 30.0, t=-40.0),
    ]
    worlds = placed(ring.network, [[0]] * 3, [[0.0]] * 3)
    worlds.reset(worlds._all)
    columns = np.array([(p.x, p.y, p.heading) for p in poses]).T
    arrays = [wp.array(c.astype(np.float32), device="cpu") for c in columns]
    wp.launch(_place_at, dim=3, inputs=[worlds.struct(2), *arrays], device="cpu")
    worlds.refresh(worlds._all)
    invalid = wp.zeros(3, dtype=int, device="cpu")
    worlds.guard(invalid)
    assert invalid.numpy().tolist() == [0, 0, 1]
    lane, s, d = (getattr(worlds.agents, name).numpy()[:, 0] for name in ("lane", "s", "d"))
    for w, (road, number, at, offset) in enumerate((("1", -2, 30.0, 0.5), ("2", 1, 100.0, 0.4))):
        place = ring.road_lane(int(lane[w]), float(s[w]))
        assert place == (road, number, pytest.approx(at, abs=0.01))
        # Left of the way that it goes.
        assert d[w] == pytest.approx(offset, abs=0.01)


def _motorway() -> str:
    """Three lanes each way, 3 km, with a bend of 800 m radius between spirals."""
    pieces = [
        ("<line/>", 350.0, 0.0, 0.0),
        ('<spiral curvStart="0" curvEnd="0.00125"/>', 120.0, 0.0, 1.0),
        ('<arc curvature="0.00125"/>', 400.0, 1.0, 1.0),
        ('<spiral curvStart="0.00125" curvEnd="0"/>', 120.0, 1.0, 0.0),
        ("<line/>", 2000.0, 0.0, 0.0),
    ]
    plan, s, place = "", 0.0, (0.0, 0.0, 0.0)
    for shape, length, begin, end in pieces:
        x, y, heading = place
        plan += (
            f'<geometry s="{s!r}" x="{x!r}" y="{y!r}" hdg="{heading!r}" length="{length!r}">'
            f"{shape}</geometry>"
        )
        curve = Spiral(length, begin / 800.0, end / 800.0)
        found = Piece(s, x, y, heading, curve, 0).evaluate(np.array([length]))
        s, place = s + length, (float(found[0][0]), float(found[1][0]), float(found[2][0]))
    lanes = "<laneSection s='0'><left>{}</left><center><lane id='0' type='none'/></center>"
    lanes = lanes.format("".join(map(_lane, (3, 2, 1))))
    lanes += f"<right>{''.join(map(_lane, (-1, -2, -3)))}</right></laneSection>"
    return (
        f'<OpenDRIVE><header revMajor="1" revMinor="6"/><road id="0" length="{s!r}" junction="-1">'
        f"<planView>{plan}</planView><lanes>{lanes}</lanes></road></OpenDRIVE>"
    )


@pytest.mark.slow
def test_highway_runs_on_a_map_nearly_as_fast_as_on_its_own_road(tmp_path):
    path = tmp_path / "motorway.xodr"
    path.write_text(_motorway())

    @register("test/MapHighway-v0")
    class MapHighway(Highway):
        def network(self):
            return load_road(path, surface=False).network

    names, num_worlds = ("proveout/Highway-v0", "test/MapHighway-v0"), 1024
    try:
        envs = [make_vector(name, num_worlds, device="cpu", workers=1) for name in names]
        action = np.zeros((num_worlds, 2), np.float32)
        times: list[list[float]] = [[], []]
        off_road = invalid = 0.0
        for env in envs:
            env.reset(seed=0)
            env.step(action)
        for _ in range(6):
            for env, spent in zip(envs, times, strict=True):
                start = time.process_time()
                for _ in range(20):
                    *_, info = env.step(action)
                    invalid += info["invalid"].sum()
                spent.append(time.process_time() - start)
        # The traffic has kept its lanes around the bend; the learner goes straight on.
        agents = envs[1]._pool.engine.agents
        assert agents.s.numpy()[:, 1:].max() > 450.0
        off_road = agents.off_road.numpy()[:, 1:].mean()
        assert np.abs(agents.d.numpy()[:, 1:]).max() < 0.5
    finally:
        from proveout.envs.core import registry

        for env in envs:
            env.close()
        del registry._TASKS["test/MapHighway-v0"]
        del gymnasium.registry["test/MapHighway-v0"]
    assert invalid == 0
    assert off_road == 0.0
    own, on_map = (np.median(spent) for spent in times)
    assert own / on_map > 0.8
