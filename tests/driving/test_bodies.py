"""Bodies of different sizes, against distances computed by hand."""

import numpy as np
import pytest
from test_highway import road_worlds

from proveout.assets.road import motorway
from proveout.envs.core.errors import ModelError
from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.envs.driving.bodies import BodyKind, BodyParameters
from proveout.envs.driving.engine import RoadEngine
from proveout.envs.driving.highway import Highway, HighwayConfig
from proveout.envs.driving.vehicles.single_track import VehicleParameters

CAR = BodyParameters(length=4.0, width=2.0, rear_axle_to_centre=1.0)  # front 3 m, rear 1 m
TRUCK = BodyParameters(
    kind=BodyKind.TRUCK, length=12.0, width=2.5, height=3.5, rear_axle_to_centre=4.0
)  # front 10 m, rear 2 m
WALKER = BodyParameters(
    kind=BodyKind.PEDESTRIAN, length=0.4, width=0.6, height=1.8, rear_axle_to_centre=0.0
)


def test_gaps_have_the_length_of_each(placed):
    # Rear axles: truck at 100, car at 130, pedestrian at 140.
    worlds = placed(
        motorway(1, 500.0), [[0, 0, 0]], [[130.0, 100.0, 140.0]], bodies=(CAR, TRUCK, WALKER)
    )
    leader, gap = worlds.leader.numpy()[0, :, 0], worlds.leader_gap.numpy()[0, :, 0]
    assert leader.tolist() == [2, 0, -1]
    # Car's front 133 to the pedestrian's rear 139.8; truck's front 110 to the car's rear 129.
    np.testing.assert_allclose(gap[:2], [6.8, 19.0], atol=1e-4)
    follower, behind = worlds.follower.numpy()[0, :, 0], worlds.follower_gap.numpy()[0, :, 0]
    assert follower.tolist() == [1, -1, 0]
    np.testing.assert_allclose(behind[[0, 2]], [19.0, 6.8], atol=1e-4)


def test_a_driver_stops_behind_a_truck_by_its_rear_bumper(placed):
    worlds = placed(
        motorway(1, 500.0), [[0, 0]], [[150.0, 100.0]], [[0.0, 10.0]], bodies=(TRUCK, CAR), dt=0.02
    )
    for _ in range(3000):  # a minute
        worlds.physics()
    gap = worlds.agents.s.numpy()[0] @ [1.0, -1.0] - 2.0 - 3.0
    assert gap == pytest.approx(2.0, abs=0.2)  # the model's minimum gap
    assert not worlds.agents.collided.numpy().any()


@pytest.mark.parametrize(
    ("s", "d", "hit"),
    [
        # Truck's rear axle at 100: front at 110; the pedestrian reaches 0.2 m around its place.
        (110.1, 0.0, True),
        (110.3, 0.0, False),
        (97.9, 0.0, True),
        (97.7, 0.0, False),
        # Half widths 1.25 and 0.3 m.
        (104.0, 1.5, True),
        (104.0, 1.6, False),
    ],
)
def test_bodies_of_two_sizes_collide_by_hand(placed, s, d, hit):
    for order in ((TRUCK, WALKER), (WALKER, TRUCK)):
        places = [100.0, s] if order[0] is TRUCK else [s, 100.0]
        sides = [0.0, d] if order[0] is TRUCK else [d, 0.0]
        worlds = placed(motorway(3, 500.0), [[1, 1]], [places], d=[sides], bodies=order)
        assert worlds.agents.collided.numpy().tolist() == [[hit, hit]]


def test_a_wide_body_leaves_the_road_first_and_counts_in_the_next_lane(placed):
    # Lanes 3.5 m wide; half widths 1 and 1.25 m; 0.6 m off the centre of the left lane.
    worlds = placed(
        motorway(2, 500.0), [[1, 1]], [[100.0, 200.0]], d=[[0.6, 0.6]], bodies=(CAR, TRUCK)
    )
    assert worlds.agents.off_road.numpy().tolist() == [[False, True]]
    # 0.7 m to the right of it, the truck is 0.2 m over the marking, the car 0.05 m short of it.
    worlds = placed(
        motorway(2, 500.0), [[0, 1, 1]], [[100.0, 150.0, 200.0]], d=[[0.0, -0.7, -0.7]],
        bodies=(CAR, CAR, TRUCK),
    )  # fmt: skip
    assert worlds.leader.numpy()[0, 0, 0] == 2


def test_bodies_are_checked():
    def build(*bodies):
        return RoadEngine(motorway(1, 100.0), VehicleParameters(), 1, 2, 0.05, "cpu", bodies=bodies)

    with pytest.raises(ModelError, match=r"1 bodies for 2 agents; give one for each"):
        build(CAR)
    for wrong in (BodyParameters(length=0.0), BodyParameters(kind=99)):
        with pytest.raises(ModelError, match=r"body of agent 1: .*has no size or kind"):
            build(CAR, wrong)


class AmongTrucks(Highway):
    def bodies(self):
        return (CAR, *[TRUCK] * (self.config.num_agents - 1))


def test_a_task_says_what_its_agents_are():
    task = AmongTrucks(HighwayConfig(num_agents=3))
    env = WarpVectorEnv(task, 2, device="cpu", workers=1)
    env.reset(seed=0)
    engine = road_worlds(env)
    np.testing.assert_allclose(engine.bodies.numpy()["length"], [[4.0, 12.0, 12.0]])
    assert engine.bodies.numpy()["kind"].tolist() == [[0, 2, 2]]
    (pose,) = engine.scene_pose([1])
    x, heading = (getattr(engine.agents, name).numpy()[1] for name in ("x", "heading"))
    centre = x + np.array([1.0, 4.0, 4.0]) * np.cos(heading)
    np.testing.assert_allclose(pose.mocap_pos[:3, 0], centre, atol=1e-4)
    env.close()
    model = task.scene()
    # Two shapes, each with a mesh of its own, whatever the number of agents.
    names = {model.mesh(i).name for i in range(model.nmesh)}
    assert {"body_0_body", "body_1_body"} <= names
    assert not any(name.startswith("body_2") for name in names)
