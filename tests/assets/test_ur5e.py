"""The UR5e model against the maker's published numbers, spelled out here a second time."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.assets.kinematics import DhLink, dh_transform, forward_kinematics
from proveout.assets.robot import load_robot
from proveout.assets.robots.ur5e.build import FOLDER, build
from proveout.assets.robots.ur5e.parameters import CHAIN, HOME, JOINTS

NAMES = ["shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3"]
LINKS = ["shoulder", "upper_arm", "forearm", "wrist_1", "wrist_2", "wrist_3"]
A = [0.0, -0.425, -0.3922, 0.0, 0.0, 0.0]
D = [0.1625, 0.0, 0.0, 0.1333, 0.0997, 0.0996]
ALPHA = [np.pi / 2, 0.0, 0.0, np.pi / 2, -np.pi / 2, 0.0]
MASS = [3.761, 8.058, 2.846, 1.37, 1.3, 0.365]
CENTER_OF_MASS = [
    [0.0, -0.02561, 0.00193],
    [0.2125, 0.0, 0.11336],
    [0.15, 0.0, 0.0265],
    [0.0, -0.0018, 0.01634],
    [0.0, 0.0018, 0.01634],
    [0.0, 0.0, -0.001159],
]
TIMESTEP = 0.01


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return load_robot("ur5e").spec.compile()


def published_frames(q: np.ndarray) -> list[np.ndarray]:
    """Frames of the links, each from elementary rotations and shifts: no use of our formula."""

    def rotation(axis: str, angle: float) -> np.ndarray:
        c, s = np.cos(angle), np.sin(angle)
        pose = np.eye(4)
        i, j = {"x": (1, 2), "z": (0, 1)}[axis]
        pose[i, i], pose[i, j], pose[j, i], pose[j, j] = c, -s, s, c
        return pose

    def shift(x: float, z: float) -> np.ndarray:
        pose = np.eye(4)
        pose[:3, 3] = x, 0.0, z
        return pose

    frames = [np.eye(4)]
    for a, d, alpha, angle in zip(A, D, ALPHA, q, strict=True):
        frames.append(frames[-1] @ rotation("z", angle) @ shift(a, d) @ rotation("x", alpha))
    return frames[1:]


def rotation_error(one: np.ndarray, two: np.ndarray) -> float:
    """Angle between two rotation matrices [rad], exact also for tiny angles."""
    return float(2.0 * np.arcsin(min(1.0, np.linalg.norm(one - two) / np.sqrt(8.0))))


def simulate(model: mujoco.MjModel, start: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Joint angles after each step, shape (steps, 6), for targets of shape (steps, 6)."""
    data = mujoco.MjData(model)
    data.qpos[:] = start
    angles = np.empty_like(targets)
    for row, target in enumerate(targets):
        data.ctrl[:] = target
        mujoco.mj_step(model, data)
        angles[row] = data.qpos
    return angles


def test_tcp_follows_the_published_chain(model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    for _ in range(100):
        q = rng.uniform(model.jnt_range[:, 0], model.jnt_range[:, 1])
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        expected = published_frames(q)[-1]
        tcp = data.site("tcp")
        assert np.linalg.norm(tcp.xpos - expected[:3, 3]) < 1e-5
        assert rotation_error(tcp.xmat.reshape(3, 3), expected[:3, :3]) < 1e-5
        np.testing.assert_allclose(forward_kinematics(CHAIN, q), expected, atol=1e-12)


def test_body_frames_and_centers_of_mass_are_the_published_ones(model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    q = np.array([0.3, -1.1, 1.4, -0.6, 0.9, 2.0])
    data.qpos[:] = q
    mujoco.mj_kinematics(model, data)
    for link, frame, center in zip(LINKS, published_frames(q), CENTER_OF_MASS, strict=True):
        np.testing.assert_allclose(data.body(link).xpos, frame[:3, 3], atol=1e-9)
        expected = frame[:3, :3] @ center + frame[:3, 3]
        np.testing.assert_allclose(data.body(link).xipos, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        # Stretched out along -x: reach 0.8172, sideways d4 + d6, down d5.
        ([0, 0, 0, 0, 0, 0], [-0.8172, -0.2329, 0.1625 - 0.0997]),
        # Straight up: the wrist's d5 then points along -x.
        ([0, -np.pi / 2, 0, 0, 0, 0], [-0.0997, -0.2329, 0.1625 + 0.8172]),
    ],
)
def test_tcp_where_a_person_can_compute_it(
    model: mujoco.MjModel, q: list[float], expected: list[float]
) -> None:
    data = mujoco.MjData(model)
    data.qpos[:] = q
    mujoco.mj_kinematics(model, data)
    np.testing.assert_allclose(data.site("tcp").xpos, expected, atol=1e-9)


def test_names_limits_and_masses(model: mujoco.MjModel) -> None:
    assert [model.joint(i).name for i in range(model.njnt)] == NAMES
    assert [model.actuator(i).name for i in range(model.nu)] == NAMES
    limit = np.deg2rad([360.0, 360.0, 180.0, 360.0, 360.0, 360.0])
    torque = np.array([150.0, 150.0, 150.0, 28.0, 28.0, 28.0])
    both_sides = [-1.0, 1.0]
    np.testing.assert_allclose(model.jnt_range, np.outer(limit, both_sides))
    np.testing.assert_allclose(model.actuator_ctrlrange, np.outer(limit, both_sides))
    np.testing.assert_allclose(model.actuator_forcerange, np.outer(torque, both_sides))
    assert model.jnt_limited.all()
    assert model.actuator_forcelimited.all()
    np.testing.assert_allclose([model.body(link).mass[0] for link in LINKS], MASS)
    np.testing.assert_allclose([joint.max_velocity for joint in JOINTS], np.pi)
    assert (model.opt.timestep, model.opt.integrator) == (
        TIMESTEP,
        mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
    )


def test_inertia_tensors_are_rotated_into_the_dh_frames(model: mujoco.MjModel) -> None:
    for joint in JOINTS:
        body = model.body(joint.link)
        elements = np.empty(9)
        mujoco.mju_quat2Mat(elements, body.iquat)
        rotation = elements.reshape(3, 3)
        tensor = rotation @ np.diag(body.inertia) @ rotation.T
        xx, yy, zz, xy, xz, yz = joint.inertia
        expected = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        np.testing.assert_allclose(tensor, expected, atol=1e-9)


def test_gravity_is_compensated_at_any_pose(model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    rng = np.random.default_rng(1)
    for _ in range(20):
        data.qpos[:] = rng.uniform(-np.pi, np.pi, 6)
        mujoco.mj_forward(model, data)
        # Inverse dynamics of standing still is the gravity torque, which gravcomp must equal.
        np.testing.assert_allclose(data.qfrc_gravcomp, data.qfrc_bias, atol=1e-9)


def test_home_is_in_front_with_the_tool_down_and_touches_nothing(model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.qpos, HOME)
    np.testing.assert_allclose(data.ctrl, HOME)
    np.testing.assert_allclose(data.site("tcp").xpos, [0.45, 0.0, 0.40], atol=2e-4)
    np.testing.assert_allclose(data.site("tcp").xmat.reshape(3, 3)[:, 2], [0, 0, -1], atol=2e-4)
    assert data.xpos[model.body("forearm").id, 2] > 0.4  # Elbow up: the wrist is above the tcp.
    assert data.ncon == 0


def test_holds_home(model: mujoco.MjModel) -> None:
    angles = simulate(model, np.array(HOME), np.tile(HOME, (500, 1)))
    assert np.abs(angles - HOME).max() < 1e-6


@pytest.mark.parametrize("start", [HOME, (0.0, -np.pi / 2, 0.0, 0.0, 0.0, 0.0)])
@pytest.mark.parametrize("joint", range(6))
@pytest.mark.parametrize("size", [0.05, -0.4])
def test_step_settles_without_overshoot(
    model: mujoco.MjModel, start: tuple[float, ...], joint: int, size: float
) -> None:
    goal = np.array(start)
    goal[joint] += size
    angles = simulate(model, np.array(start), np.tile(goal, (100, 1)))
    progress = (angles[:, joint] - start[joint]) / size
    settling_steps = 40 if joint < 3 else 20  # 0.4 s for the large joints, 0.2 s for the wrist.
    assert progress.max() < 1.01
    assert np.abs(progress[settling_steps:] - 1.0).max() < 0.02
    others = np.delete(angles - np.array(start), joint, axis=1)
    assert np.abs(others).max() < 0.03  # Reaction on the other joints [rad].


@pytest.mark.parametrize("timestep", [0.002, 0.01])
def test_lag_behind_a_ramp_is_velocity_gain_over_stiffness(
    model: mujoco.MjModel, timestep: float
) -> None:
    """At steady speed kp * error balances (kv + damping) * speed, so lag = (kv + damping) / kp."""
    spec = load_robot("ur5e").spec
    spec.option.timestep = timestep
    # Only one joint turns, and no other body has to be swung: the plain balance then holds.
    speed = 0.5
    steps = round(1.0 / timestep)
    ramp = np.tile(HOME, (steps, 1))
    ramp[:, 5] += speed * timestep * np.arange(1, steps + 1)
    angles = simulate(spec.compile(), np.array(HOME), ramp)
    lag = (ramp[-1, 5] - angles[-1, 5]) / speed
    gains = JOINTS[5]
    expected = (gains.velocity_gain + gains.damping) / gains.stiffness
    # The controller reads the angle at the start of a step: one step of the ramp is not yet seen.
    assert lag == pytest.approx(expected, abs=1.1 * timestep)


def test_only_links_that_are_not_neighbours_collide(model: mujoco.MjModel) -> None:
    visual = model.geom_group == 2
    collision = model.geom_group == 3
    assert (visual | collision).all()
    assert not model.geom_contype[visual].any()
    assert not model.geom_conaffinity[visual].any()
    assert (model.geom_type[collision] == mujoco.mjtGeom.mjGEOM_CAPSULE).all()
    assert set(model.geom_bodyid[collision]) == set(range(1, 8))
    data = mujoco.MjData(model)
    rng = np.random.default_rng(2)
    for _ in range(100):
        data.qpos[:] = rng.uniform(model.jnt_range[:, 0], model.jnt_range[:, 1])
        mujoco.mj_forward(model, data)
        for contact in data.contact:
            first, second = model.geom_bodyid[contact.geom]
            assert abs(first - second) > 1
    # Folded flat, the wrist meets the upper arm.
    data.qpos[:] = [0.0, -np.pi / 2, np.pi, 0.0, 0.0, 0.0]
    mujoco.mj_forward(model, data)
    assert data.ncon > 0


def test_shipped_files_are_what_build_writes(tmp_path: Path) -> None:
    build(tmp_path)
    assert (tmp_path / "ur5e.xml").read_text() == (FOLDER / "ur5e.xml").read_text()
    shipped = sorted((FOLDER / "meshes").iterdir())
    assert [path.name for path in shipped] == sorted(
        path.name for path in (tmp_path / "meshes").iterdir()
    )
    for path in shipped:
        # Vertices may differ in the last bit between builds of numpy, so compare numbers.
        records = np.dtype([("corners", "<f4", 12), ("attribute", "<u2")])
        one, two = (
            np.frombuffer(file.read_bytes(), records, offset=84)["corners"]
            for file in (path, tmp_path / "meshes" / path.name)
        )
        np.testing.assert_allclose(one, two, atol=1e-6)
    assert sum(path.stat().st_size for path in shipped) < 400_000


angles_6 = st.lists(st.floats(-2 * np.pi, 2 * np.pi), min_size=6, max_size=6)


@settings(max_examples=50, deadline=None)
@given(q=angles_6, joint=st.integers(0, 5))
def test_a_whole_turn_changes_nothing_and_poses_are_rigid(q: list[float], joint: int) -> None:
    pose = forward_kinematics(CHAIN, q)
    turned = list(q)
    turned[joint] += 2 * np.pi
    np.testing.assert_allclose(forward_kinematics(CHAIN, turned), pose, atol=1e-12)
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)


def test_dh_transform_by_hand() -> None:
    pose = dh_transform(DhLink(a=2.0, d=3.0, alpha=np.pi / 2), np.pi / 2)
    expected = [[0, 0, 1, 0], [1, 0, 0, 2], [0, 1, 0, 3], [0, 0, 0, 1]]
    np.testing.assert_allclose(pose, expected, atol=1e-15)


def test_forward_kinematics_refuses_a_wrong_number_of_angles() -> None:
    with pytest.raises(ValueError, match=r"shape \(5,\)"):
        forward_kinematics(CHAIN, np.zeros(5))
