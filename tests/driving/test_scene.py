import mujoco
import numpy as np
import pytest

from proveout.assets.road import bend, motorway
from proveout.envs.driving.bodies import BodyKind, BodyParameters
from proveout.envs.driving.scene import scene, scene_state

NETWORK = motorway(3, segments=[(150.0, 0, 0), *bend(300.0, 0.5, 50.0), (100.0, 0, 0)])
CAR = BodyParameters()
TRUCK = BodyParameters(
    kind=BodyKind.TRUCK, length=12.0, width=2.5, height=3.5, rear_axle_to_centre=3.0
)
BODIES = (CAR, TRUCK, CAR)
CENTRES = np.array([body.rear_axle_to_centre for body in BODIES])


@pytest.fixture(scope="module")
def drawn():
    model = scene(NETWORK, BODIES, 2.58).compile()
    data = mujoco.MjData(model)
    x, y, heading = np.array([50.0, 80.0, 0.0]), np.array([0.0, 3.5, 0.0]), np.array([0, 0.2, 0.0])
    data.mocap_pos[:], data.mocap_quat[:] = scene_state(
        x, y, heading, CENTRES, np.array([True, True, False])
    )
    mujoco.mj_forward(model, data)
    return model, data


def _hit(drawn, origin, direction):
    model, data = drawn
    geom = np.zeros(1, np.int32)
    distance = mujoco.mj_ray(
        model, data, np.array(origin), np.array(direction, float), None, 1, -1, geom, None
    )
    return distance, model.material(model.geom_matid[geom[0]]).name if geom[0] >= 0 else None


def test_rays_from_above_see_markings_asphalt_and_grass(drawn):
    # Straight part: lanes at y = -3.5, 0, 3.5; dashes 0-6 m, 18-24 m ... at y = -1.75, 1.75.
    for x, y, material in (
        (20.7, 1.78, "marking"),
        (20.7, -1.72, "marking"),
        (30.3, 1.78, "asphalt"),
        (20.3, 0.57, "asphalt"),
        (30.3, 4.95, "marking"),
        (30.3, -4.95, "marking"),
        (30.3, 6.0, "asphalt"),
        (30.3, 12.0, "grass"),
    ):
        distance, found = _hit(drawn, (x, y, 10.0), (0, 0, -1))
        assert found == material, (x, y)
        assert distance == pytest.approx(10.0, abs=0.1)


def test_the_road_follows_the_lanes_in_the_bend(drawn):
    for lane, material_at_edge in ((0, -1.45), (2, 1.45)):
        p = NETWORK.points(lane)
        for k in range(5, NETWORK.num_points[lane] - 5, 37):
            x, y, h = NETWORK.x[p][k], NETWORK.y[p][k], NETWORK.heading[p][k]
            if np.hypot(x - 50, y) < 8 or np.hypot(x - 80, y - 3.5) < 8:
                continue
            assert _hit(drawn, (x, y, 10.0), (0, 0, -1))[1] == "asphalt"
            edge = (x - material_at_edge * np.sin(h), y + material_at_edge * np.cos(h), 10.0)
            assert _hit(drawn, edge, (0, 0, -1))[1] == "marking"


def test_cars_stand_where_their_bodies_are(drawn):
    model, data = drawn
    body = data.body("agent_0")
    assert body.xpos[0] == pytest.approx(50.0 + CAR.rear_axle_to_centre)
    centre = 50.0 + CAR.rear_axle_to_centre
    half_length, half_width = 0.5 * CAR.length, 0.5 * CAR.width
    # Bumpers and flanks, felt by rays from ahead, behind and beside.
    for origin, direction, reach in (
        ((centre + 10.0, 0.0, 0.5), (-1, 0, 0), 10.0 - half_length),
        ((centre - 10.0, 0.0, 0.35), (1, 0, 0), 10.0 - half_length),
        ((centre, 5.0, 0.45), (0, -1, 0), 5.0 - half_width),
        ((centre, -5.0, 0.45), (0, 1, 0), 5.0 - half_width),
    ):
        assert _hit(drawn, origin, direction)[0] == pytest.approx(reach, abs=0.03)
    assert _hit(drawn, (centre, 0.0, 10.0), (0, 0, -1))[1] == "learner"
    assert data.body("agent_2").xpos[2] == -100.0
    assert model.nmocap == 4


def test_cameras_look_at_the_learner(drawn):
    model, data = drawn
    learner = data.body("agent_0").xpos
    for name in ("chase", "overview"):
        camera = data.camera(name)
        axes = camera.xmat.reshape(3, 3)
        towards = axes.T @ (learner - camera.xpos)
        half = np.tan(np.radians(model.camera(name).fovy[0]) / 2)
        assert -towards[2] > 5.0
        assert abs(towards[0]) < 1e-6 * -towards[2] + 1e-6
        assert abs(towards[1]) < half * -towards[2]
        assert axes[2, 1] > 0.0  # upright


def test_another_kind_of_body_is_drawn_at_its_size(drawn):
    _model, data = drawn
    centre = data.body("agent_1").xpos
    ahead = np.array([np.cos(0.2), np.sin(0.2), 0.0])
    # Rear axle at (80, 3.5), centre 3 m ahead of it; front 6 m ahead of the centre, 3.5 m high.
    np.testing.assert_allclose(centre, np.array([80.0, 3.5, 0.0]) + 3.0 * ahead, atol=1e-6)
    distance, material = _hit(drawn, centre + 10.0 * ahead + np.array([0.0, 0.0, 1.0]), -ahead)
    assert distance == pytest.approx(4.0, abs=0.01)
    assert material.startswith("paint")
    above = centre + np.array([0.0, 0.0, 10.0])
    assert _hit(drawn, above, (0, 0, -1))[0] == pytest.approx(6.5, abs=0.01)
