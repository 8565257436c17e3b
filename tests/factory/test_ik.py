"""Inverse kinematics in a kernel against the Jacobian in numpy and poses of MuJoCo C."""

# Warp's stubs give kernel arrays no indexing.
# mypy: disable-error-code="index, misc, var-annotated"

import mujoco
import numpy as np
import pytest
import warp as wp

from proveout.envs.factory.arm import Arm, make_arm
from proveout.envs.factory.control.ik import move_tool, move_tool_to, solve_positive
from proveout.envs.factory.control.jacobian import ChainJacobian
from proveout.envs.factory.engine import Capacities
from proveout.envs.factory.reach import Reach
from proveout.envs.factory.warp_engine import WarpEngine

wp.set_module_options({"enable_backward": False})

DAMPING = 0.05


@wp.kernel
def _move(
    arm: Arm,
    way: wp.array[wp.spatial_vector],
    damping: float,
    largest: float,
    q: wp.array2d[float],
):
    w = wp.tid()
    move_tool(arm, q, w, way[w], damping, largest)


@wp.kernel
def _approach(
    arm: Arm,
    goal: wp.array[wp.transform],
    steps: int,
    damping: float,
    largest: float,
    q: wp.array2d[float],
):
    w = wp.tid()
    for _ in range(steps):
        move_tool_to(arm, q, w, goal[w], damping, largest)


@wp.kernel
def _solve(
    a: wp.array[wp.spatial_matrix], b: wp.array[wp.spatial_vector], x: wp.array[wp.spatial_vector]
):
    i = wp.tid()
    x[i] = solve_positive(a[i], b[i])


def arm_of(model):
    device = wp.get_device("cpu")
    engine = WarpEngine(model, 1, Capacities(contacts=0, constraints=model.njnt), device)
    return make_arm(model, engine.model, engine.data, "tcp", device)


def uneven_model():
    """Hinges and a slide away from their links' origins, and a link without a joint."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    body = spec.worldbody
    random = np.random.default_rng(3)
    for i in range(8):
        body = body.add_body(pos=0.3 * random.normal(size=3), quat=random.normal(size=4))
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.1] * 3)
        if i != 2:
            kind = mujoco.mjtJoint.mjJNT_SLIDE if i == 4 else mujoco.mjtJoint.mjJNT_HINGE
            body.add_joint(
                name=f"joint{i}", type=kind, axis=random.normal(size=3),
                pos=0.1 * random.normal(size=3), range=[-3, 3], limited=True,
            )  # fmt: skip
    body.add_site(name="tcp", pos=random.normal(size=3), quat=random.normal(size=4))
    return spec.compile()


@pytest.fixture(scope="module", params=["ur5e", "uneven"])
def model(request):
    return Reach().model() if request.param == "ur5e" else uneven_model()


@pytest.fixture(scope="module")
def ur5e():
    return Reach().model()


def moved(model, q, way, damping=DAMPING, largest=1e9):
    """Joint positions after one step of the kernel, (N, joints)."""
    rows = wp.array(np.asarray(q, np.float32), dtype=float, device="cpu")
    ways = wp.array(np.asarray(way, np.float32), dtype=wp.spatial_vector, device="cpu")
    inputs = [arm_of(model), ways, damping, largest]
    wp.launch(_move, dim=len(q), inputs=inputs, outputs=[rows], device="cpu")
    return rows.numpy()


def approached(model, q, goals, steps, damping=DAMPING, largest=1e9):
    rows = wp.array(np.asarray(q, np.float32), dtype=float, device="cpu")
    poses = wp.array(np.asarray(goals, np.float32), dtype=wp.transform, device="cpu")
    inputs = [arm_of(model), poses, steps, damping, largest]
    wp.launch(_approach, dim=len(q), inputs=inputs, outputs=[rows], device="cpu")
    return rows.numpy()


def poses_of(model, q):
    """Position and quaternion (x, y, z, w) of the tool from MuJoCo C, (N, 7)."""
    data, poses = mujoco.MjData(model), []
    for row in q:
        data.qpos[:] = row
        mujoco.mj_kinematics(model, data)
        quat = np.zeros(4)
        mujoco.mju_mat2Quat(quat, data.site("tcp").xmat)
        poses.append([*data.site("tcp").xpos, *quat[[1, 2, 3, 0]]])
    return np.array(poses)


def angles_between(a, b):
    return 2.0 * np.arccos(np.clip(np.abs((a[:, 3:] * b[:, 3:]).sum(1)), 0.0, 1.0))


def test_the_solver_is_the_one_of_numpy():
    random = np.random.default_rng(0)
    factor = random.normal(size=(200, 6, 6))
    a = factor @ factor.transpose(0, 2, 1) + 0.01 * np.eye(6)
    b = random.normal(size=(200, 6))
    x = wp.zeros(200, dtype=wp.spatial_vector, device="cpu")
    inputs = [
        wp.array(a.astype(np.float32), dtype=wp.spatial_matrix, device="cpu"),
        wp.array(b.astype(np.float32), dtype=wp.spatial_vector, device="cpu"),
    ]
    wp.launch(_solve, dim=200, inputs=inputs, outputs=[x], device="cpu")
    expected = np.linalg.solve(a, b[..., None])[..., 0]
    # Single precision times the matrices' condition of up to 1e4.
    scale = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(x.numpy() / scale, expected / scale, atol=5e-3)


def test_a_step_is_the_damped_least_squares_of_the_jacobian(model):
    random = np.random.default_rng(1)
    q = random.uniform(-1.5, 1.5, (100, model.njnt))
    way = 0.05 * random.normal(size=(100, 6))
    jacobian = ChainJacobian(model, "tcp")(q)
    square = jacobian @ jacobian.transpose(0, 2, 1) + DAMPING**2 * np.eye(6)
    solved = np.linalg.solve(square, way[..., None])[..., 0]
    expected = np.einsum("nji,nj->ni", jacobian, solved)
    inside = (np.abs(q + expected) < np.abs(model.jnt_range[:, 1])).all(1)
    assert inside.sum() > 90
    np.testing.assert_allclose((moved(model, q, way) - q)[inside], expected[inside], atol=3e-4)


def test_a_small_way_is_gone_in_mujoco_c(ur5e):
    random = np.random.default_rng(2)
    home = ur5e.key("home").qpos
    q = (home + random.uniform(-0.3, 0.3, (50, 6))).astype(np.float32)
    way = np.concatenate([random.normal(size=(50, 3)), np.zeros((50, 3))], axis=1)
    way *= 0.002 / np.linalg.norm(way, axis=1, keepdims=True)
    before, after = poses_of(ur5e, q), poses_of(ur5e, moved(ur5e, q, way, damping=0.005))
    np.testing.assert_allclose(after[:, :3] - before[:, :3], way[:, :3], atol=5e-5)
    assert angles_between(before, after).max() < 1e-3


def test_poses_are_reached(model):
    random = np.random.default_rng(4)
    start = random.uniform(-1.2, 1.2, (100, model.njnt)) if model.nkey == 0 else None
    if start is None:
        start = model.key("home").qpos + random.uniform(-0.3, 0.3, (100, 6))
    goal = poses_of(model, start + random.uniform(-0.2, 0.2, start.shape))
    reached = poses_of(model, approached(model, start, goal, steps=60, largest=0.2))
    close = np.linalg.norm(reached[:, :3] - goal[:, :3], axis=1) < 1e-4
    assert (close & (angles_between(reached, goal) < 1e-3)).mean() >= 0.97


def test_no_joint_moves_more_than_the_largest_change_and_the_direction_stays(ur5e):
    random = np.random.default_rng(5)
    q = np.tile(ur5e.key("home").qpos, (50, 1)) + random.uniform(-0.2, 0.2, (50, 6))
    way = 0.06 * random.normal(size=(50, 6))
    free = moved(ur5e, q, way) - q
    assert (np.abs(free).max(1) > 0.03).all()
    bound = moved(ur5e, q, way, largest=0.03) - q
    np.testing.assert_allclose(np.abs(bound).max(1), 0.03, atol=1e-5)
    ratio = np.abs(free).max(1, keepdims=True) / 0.03
    np.testing.assert_allclose(bound * ratio, free, atol=2e-3)


def test_limits_are_kept_and_the_other_joints_go_on(ur5e):
    model = ur5e
    home = model.key("home").qpos
    low, high = model.jnt_range.T
    q = np.tile(home, (2, 1))
    # The elbow stands at its upper limit in the first world, in the middle in the second.
    q[0, 2] = high[2]
    jacobian = ChainJacobian(model, "tcp")(q)
    way = 0.02 * jacobian[:, :, 2] / np.linalg.norm(jacobian[:, :, 2], axis=1, keepdims=True)
    after = moved(model, q, way)
    assert after[0, 2] == pytest.approx(high[2], abs=1e-6)
    assert after[1, 2] > q[1, 2] + 0.001
    # Without the elbow's column, as least squares over the other five joints say.
    others = np.delete(jacobian[0], 2, axis=1)
    square = others @ others.T + DAMPING**2 * np.eye(6)
    expected = others.T @ np.linalg.solve(square, way[0])
    np.testing.assert_allclose(np.delete(after[0] - q[0], 2), expected, atol=1e-5)
    # Pulled far away for long, every joint stays inside.
    random = np.random.default_rng(6)
    goals = np.concatenate([5 * random.normal(size=(200, 3)), random.normal(size=(200, 4))], axis=1)
    goals[:, 3:] /= np.linalg.norm(goals[:, 3:], axis=1, keepdims=True)
    end = approached(model, np.tile(home, (200, 1)), goals, steps=200, largest=0.2)
    assert np.isfinite(end).all()
    assert (end >= low.astype(np.float32)).all()
    assert (end <= high.astype(np.float32)).all()


@pytest.mark.parametrize("pose", ["stretched", "wrist", "zero"])
def test_singular_poses_are_safe(ur5e, pose):
    q = np.zeros((60, 6))
    if pose == "stretched":
        q[:, 1] = -np.pi / 2  # straight up, elbow and wrists in one plane
    elif pose == "wrist":
        q[:] = ur5e.key("home").qpos
        q[:, 4] = 0.0  # axes of wrist 1 and wrist 3 are parallel
    smallest = np.linalg.svd(ChainJacobian(ur5e, "tcp")(q[:1])[0])[1][-1]
    assert smallest < 1e-3
    random = np.random.default_rng(7)
    way = random.normal(size=(60, 6))
    change = moved(ur5e, q, way) - q
    assert np.isfinite(change).all()
    # The norm of the damped inverse is at most 1 / (2 damping).
    assert (np.linalg.norm(change, axis=1) <= np.linalg.norm(way, axis=1) / (2 * DAMPING)).all()
    # And the arm gets out of it: nearby poses are reached.
    goal = poses_of(ur5e, q + random.uniform(-0.3, 0.3, q.shape))
    reached = poses_of(ur5e, approached(ur5e, q, goal, steps=300, largest=0.1))
    error = np.linalg.norm(reached[:, :3] - goal[:, :3], axis=1)
    before = np.linalg.norm(poses_of(ur5e, q)[:, :3] - goal[:, :3], axis=1)
    assert np.median(error) < 0.1 * np.median(before)
