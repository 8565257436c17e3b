from collections.abc import Callable

import numpy as np
import pytest

from proveout.envs.driving.engine import RoadEngine
from proveout.envs.driving.vehicles.single_track import VehicleParameters

Placed = Callable[..., RoadEngine]


@pytest.fixture
def placed() -> Placed:
    """Worlds whose agents stand on given lanes: arrays (num_worlds, num_agents)."""

    def build(
        network,
        lane,
        s,
        velocity=0.0,
        *,
        d=0.0,
        turn=0.0,
        dt=0.05,
        num_learners=1,
        vehicle=None,
        maps=None,
        map_of_world=0,
        bodies=None,
    ) -> RoadEngine:
        lane = np.atleast_2d(np.asarray(lane, np.int32))
        s, velocity, d, turn = (
            np.broadcast_to(np.asarray(v, np.float64), lane.shape) for v in (s, velocity, d, turn)
        )
        x, y, heading = (np.zeros(lane.shape) for _ in range(3))
        for k in range(network.num_lanes):
            p, on = network.points(k), lane == k
            at = np.linspace(0.0, network.length[k], network.num_points[k])
            for out, values in ((x, network.x), (y, network.y), (heading, network.heading)):
                out[on] = np.interp(s[on], at, values[p])
        x, y = x - d * np.sin(heading), y + d * np.cos(heading)
        worlds = RoadEngine(
            maps or network, vehicle or VehicleParameters(), *lane.shape, dt, "cpu", num_learners,
            bodies=bodies,
        )  # fmt: skip
        values = {"x": x, "y": y, "heading": heading + turn, "velocity": velocity, "s": s, "d": d}
        for name, value in values.items():
            getattr(worlds.agents, name).assign(value.astype(np.float32))
        worlds.agents.lane.assign(lane)
        number = np.broadcast_to(map_of_world, len(lane))
        worlds.map_of_world.assign(number.astype(np.int32))
        worlds.agents.active.fill_(True)
        worlds.refresh(worlds._all)
        return worlds

    return build
