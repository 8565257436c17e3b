"""Reach: kinematics, goals, reward terms, success and expert against MuJoCo C and closed forms."""

# Warp's stubs give kernel arrays no indexing.
# mypy: disable-error-code="index, misc, var-annotated"

import dataclasses

import mujoco
import numpy as np
import pytest
import warp as wp

from proveout.assets.robots.ur5e.parameters import AROUND_HOME
from proveout.envs.core.errors import ConfigError, ModelError
from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.envs.factory.control.jacobian import ChainJacobian
from proveout.envs.factory.kinematics import Chain, chain_pose, make_chain, rotation_vector
from proveout.envs.factory.reach import Reach, ReachConfig

wp.set_module_options({"enable_backward": False})


@wp.kernel
def _poses(chain: Chain, qpos: wp.array2d[float], out: wp.array[wp.transform]):
    worldid = wp.tid()
    out[worldid] = chain_pose(chain, qpos, worldid)


@wp.kernel
def _rotations(source: wp.array[wp.quat], target: wp.array[wp.quat], out: wp.array[wp.vec3]):
    i = wp.tid()
    out[i] = rotation_vector(source[i], target[i])


def site_pose(model, angles, site="tcp"):
    """Position (3,) and quaternion (w, x, y, z) of the site from MuJoCo C."""
    data = mujoco.MjData(model)
    data.qpos[:] = angles
    mujoco.mj_kinematics(model, data)
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, data.site(site).xmat)
    return data.site(site).xpos.copy(), quat


def angle_between(a, b):
    return 2.0 * np.arccos(np.clip(abs(np.dot(a, b)), 0.0, 1.0))


@pytest.fixture(scope="module")
def env():
    made = WarpVectorEnv(Reach(), 64, device="cpu", workers=1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def model():
    return Reach().model()


def chain_poses(chain, angles):
    qpos = wp.array(angles.astype(np.float32), dtype=float, device="cpu")
    out = wp.zeros(len(angles), dtype=wp.transform, device="cpu")
    wp.launch(_poses, dim=len(angles), inputs=[chain, qpos], outputs=[out], device="cpu")
    return out.numpy()


def test_the_chain_kernel_equals_mujoco_c(model):
    random = np.random.default_rng(0)
    angles = random.uniform(model.jnt_range[:, 0], model.jnt_range[:, 1], (200, 6))
    poses = chain_poses(make_chain(model, "tcp", wp.get_device("cpu")), angles)
    for row, pose in zip(angles.astype(np.float32), poses, strict=True):
        pos, quat = site_pose(model, row)
        np.testing.assert_allclose(pose[:3], pos, atol=1e-5)
        sign = np.sign(np.dot(pose[[6, 3, 4, 5]], quat))
        np.testing.assert_allclose(sign * pose[[6, 3, 4, 5]], quat, atol=1e-5)


def test_the_chain_follows_anchors_and_fixed_links():
    """Joints away from their link's origin, a slide, a link without a joint, a turned site."""
    spec = mujoco.MjSpec()
    body = spec.worldbody
    random = np.random.default_rng(1)
    for i in range(4):
        body = body.add_body(name=f"link{i}", pos=random.normal(size=3), quat=random.normal(size=4))
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.1] * 3)
        if i != 2:
            kind = mujoco.mjtJoint.mjJNT_SLIDE if i == 1 else mujoco.mjtJoint.mjJNT_HINGE
            body.add_joint(type=kind, axis=random.normal(size=3), pos=random.normal(size=3))
    body.add_site(name="tcp", pos=random.normal(size=3), quat=random.normal(size=4))
    model = spec.compile()
    angles = random.uniform(-3, 3, (50, 3))
    poses = chain_poses(make_chain(model, "tcp", wp.get_device("cpu")), angles)
    for row, pose in zip(angles, poses, strict=True):
        pos, quat = site_pose(model, row)
        np.testing.assert_allclose(pose[:3], pos, atol=1e-5)
        sign = np.sign(np.dot(pose[[6, 3, 4, 5]], quat))
        np.testing.assert_allclose(sign * pose[[6, 3, 4, 5]], quat, atol=1e-5)


def test_the_jacobian_is_the_one_of_mujoco_c():
    spec = mujoco.MjSpec()
    body = spec.worldbody
    random = np.random.default_rng(2)
    for i in range(5):
        body = body.add_body(name=f"link{i}", pos=random.normal(size=3), quat=random.normal(size=4))
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.1] * 3)
        if i != 2:
            kind = mujoco.mjtJoint.mjJNT_SLIDE if i == 3 else mujoco.mjtJoint.mjJNT_HINGE
            body.add_joint(type=kind, axis=random.normal(size=3), pos=random.normal(size=3))
    body.add_site(name="tcp", pos=random.normal(size=3))
    model = spec.compile()
    positions = random.uniform(-2, 2, (20, 4))
    for row, jacobian in zip(positions, ChainJacobian(model, "tcp")(positions), strict=True):
        data = mujoco.MjData(model)
        data.qpos[:] = row
        mujoco.mj_forward(model, data)
        moving, turning = np.zeros((3, 4)), np.zeros((3, 4))
        mujoco.mj_jacSite(model, data, moving, turning, model.site("tcp").id)
        np.testing.assert_allclose(jacobian, np.concatenate([moving, turning]), atol=1e-10)


def test_a_chain_that_is_none_is_refused(model):
    with pytest.raises(ModelError, match="no site named 'grip'"):
        make_chain(model, "grip", wp.get_device("cpu"))
    spec = mujoco.MjSpec()
    body = spec.worldbody.add_body(name="cart")
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.1] * 3)
    body.add_joint(type=mujoco.mjtJoint.mjJNT_BALL)
    body.add_site(name="tcp")
    with pytest.raises(ModelError, match="'cart': one hinge or slide"):
        make_chain(spec.compile(), "tcp", wp.get_device("cpu"))


def test_the_rotation_vector_is_axis_times_angle():
    random = np.random.default_rng(2)
    axis = random.normal(size=(300, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    angle = np.concatenate([random.uniform(0, 3.1, 200), np.logspace(-7, -1, 100)])
    turn = np.concatenate([axis * np.sin(angle / 2)[:, None], np.cos(angle / 2)[:, None]], axis=1)
    source = random.normal(size=(300, 4))
    source /= np.linalg.norm(source, axis=1, keepdims=True)
    ax, ay, az, aw = turn.T
    bx, by, bz, bw = source.T
    target = np.stack(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ],
        axis=1,
    )
    target[::2] *= -1.0  # the same rotation
    out = wp.zeros(300, dtype=wp.vec3, device="cpu")
    arrays = [wp.array(q.astype(np.float32), dtype=wp.quat, device="cpu") for q in (source, target)]
    wp.launch(_rotations, dim=300, inputs=arrays, outputs=[out], device="cpu")
    np.testing.assert_allclose(out.numpy(), axis * angle[:, None], atol=2e-6)


def goals(env, resets=20):
    rows = []
    env.reset(seed=3)
    for _ in range(resets):
        state = env.state_dict()
        goal = state["task/goal"]
        rows.append([state["task/goal_angles"], goal[:, :3], goal[:, 3:]])
        env.reset()
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def test_goals_are_reachable_poses_above_the_floor(env, model):
    angles, pos, quat = goals(env)
    assert len(angles) == 1280
    home = model.key("home").qpos
    assert (np.abs(angles - home) <= np.array(AROUND_HOME) + 1e-6).all()
    assert (angles > model.jnt_range[:, 0]).all()
    assert (angles < model.jnt_range[:, 1]).all()
    assert (pos[:, 2] > env.config.min_height).all()
    for row, p, q in zip(angles[::10], pos[::10], quat[::10], strict=True):
        their_pos, their_quat = site_pose(model, row)
        np.testing.assert_allclose(p, their_pos, atol=1e-5)
        assert angle_between(q[[3, 0, 1, 2]], their_quat) < 2e-3
    assert len(np.unique(pos[:, 0])) > 1200
    assert np.ptp(pos, axis=0).min() > 0.5, "goals fill a space, not a line"


def test_every_goal_lies_above_the_lowest_height():
    highest = ReachConfig.__dataclass_fields__["min_height"].metadata["high"]
    env = WarpVectorEnv(Reach(ReachConfig(min_height=highest)), 512, device="cpu", workers=1)
    env.reset(seed=0)
    assert env.state_dict()["task/goal"][:, 2].min() > highest
    env.close()
    with pytest.raises(ConfigError, match="min_height must be at most"):
        ReachConfig(min_height=0.9)


def test_a_hold_that_no_episode_can_contain_is_refused():
    """Both ends count: an episode of 60 steps holds 2.95 s at 20 Hz, and not 3 s."""
    assert ReachConfig(hold_seconds=2.95).hold_steps == 60
    with pytest.raises(ConfigError, match="61 control steps, both ends counted"):
        ReachConfig(hold_seconds=3.0)


def test_the_observation_is_what_it_says(env, model):
    env.reset(seed=6)
    random = np.random.default_rng(6)
    for _ in range(7):
        action = random.uniform(-1, 1, (64, 6)).astype(np.float32)
        obs = env.step(action)[0]
    entries = env.layout.split(obs)
    state = env.state_dict()
    np.testing.assert_array_equal(entries["joint_position"], state["engine/qpos"])
    np.testing.assert_array_equal(entries["joint_velocity"], state["engine/qvel"])
    np.testing.assert_array_equal(entries["previous_action"], action)
    np.testing.assert_allclose(
        entries["joint_target_offset"], state["core/command"] - state["engine/qpos"], atol=1e-6
    )
    for w in range(0, 64, 8):
        pos, quat = site_pose(model, state["engine/qpos"][w])
        offset = state["task/goal"][w, :3] - pos
        np.testing.assert_allclose(entries["tcp_position"][w], pos, atol=1e-5)
        np.testing.assert_allclose(entries["goal_offset"][w], offset, atol=1e-5)
        near = np.clip(offset / 0.05, -1, 1)
        np.testing.assert_allclose(entries["goal_offset_near"][w], near, atol=2e-4)
        goal = state["task/goal"][w, [6, 3, 4, 5]].astype(float)
        inverse, turn, vector = np.zeros(4), np.zeros(4), np.zeros(3)
        mujoco.mju_negQuat(inverse, quat)
        mujoco.mju_mulQuat(turn, goal, inverse)
        mujoco.mju_quat2Vel(vector, turn, 1.0)
        np.testing.assert_allclose(entries["goal_rotation"][w], vector, atol=1e-4)


def place(env, angles, goal_pos, goal_quat, **more):
    """Put all worlds at rest at some angles, with targets there and a goal."""
    env.reset(seed=0)
    state = env.state_dict()
    state["engine/qpos"][:] = angles
    state["core/command"][:] = angles
    state["engine/qvel"][:] = 0.0
    state["task/goal"][:, :3] = goal_pos
    state["task/goal"][:, 3:] = goal_quat
    for name, value in more.items():
        state[name.replace("__", "/")][:] = value
    env.load_state_dict(state)


def test_reward_terms_equal_closed_forms(model):
    """An arm held at rest; gravity is taken away so that it stays there to the last bit."""

    class Weightless(Reach):
        def spec(self, *, visual):
            spec = super().spec(visual=visual)
            spec.option.gravity = [0, 0, 0]
            return spec

    env = WarpVectorEnv(Weightless(), 1, device="cpu", workers=1)
    home = model.key("home").qpos
    pos, quat = site_pose(model, home)
    turn = np.array([np.cos(0.15), 0.0, 0.0, np.sin(0.15)])  # 0.3 rad about z
    goal = np.zeros(4)
    mujoco.mju_mulQuat(goal, turn, quat)
    offset = np.array([0.03, -0.04, 0.12])
    place(env, home, pos + offset, goal[[1, 2, 3, 0]])
    reward = env.step(np.zeros((1, 6), np.float32))[1]
    terms = env.state_dict()["core/reward_terms"][0]
    names = env.task.reward_terms
    distance, angle = 0.13, 0.3
    expected = {
        "distance": distance,
        "orientation": angle,
        "near": np.exp(-distance / 0.06),
        "aligned": np.exp(-distance / 0.06 - angle / 0.25),
        "reached": 0.0,
        "action_rate": 0.0,
        "joint_speed": 0.0,
        "joint_limits": 0.0,
    }
    assert set(names) == set(expected)
    for name, value in zip(names, terms, strict=True):
        assert value == pytest.approx(expected[name], abs=2e-5), name
    weights = dataclasses.asdict(env.config.reward_weights)
    total = sum(weights[name] * value for name, value in expected.items())
    assert reward[0] == pytest.approx(total, abs=1e-4)

    # A change of the action from 0 to 0.5 on two joints: 2 x 0.25.
    place(env, home, pos, quat[[1, 2, 3, 0]])
    action = np.zeros((1, 6), np.float32)
    action[0, :2] = 0.5
    env.step(action)
    after = env.state_dict()
    terms = dict(zip(names, after["core/reward_terms"][0], strict=True))
    assert terms["action_rate"] == pytest.approx(0.5)
    assert terms["joint_speed"] == pytest.approx(np.sum(after["engine/qvel"][0] ** 2), rel=1e-5)
    np.testing.assert_allclose(after["core/command"][0, :2], home[:2] + 0.06, atol=1e-6)

    # Two joints 0.1 rad inside their limits: beyond 95 % of half the range.
    low, high = model.jnt_range.T
    angles = home.copy()
    angles[3], angles[4] = high[3] - 0.1, low[4] + 0.1
    place(env, angles, pos, quat[[1, 2, 3, 0]])
    env.step(np.zeros((1, 6), np.float32))
    terms = dict(zip(names, env.state_dict()["core/reward_terms"][0], strict=True))
    half = 0.5 * (high - low)
    assert terms["joint_limits"] == pytest.approx(0.05 * (half[3] + half[4]) - 0.2, abs=1e-3)

    # At the goal the bonus terms are full.
    place(env, home, pos, quat[[1, 2, 3, 0]])
    env.step(np.zeros((1, 6), np.float32))
    terms = dict(zip(names, env.state_dict()["core/reward_terms"][0], strict=True))
    assert terms["reached"] == 1.0
    assert terms["near"] == pytest.approx(1.0, abs=1e-3)
    assert terms["aligned"] == pytest.approx(1.0, abs=1e-2)
    env.close()


@pytest.mark.parametrize("steps", [3, 5, 6, 7])
def test_success_needs_a_quarter_of_a_second_within_the_tolerances(env, model, steps):
    """Six ends of steps of 0.05 s span it; five do not, and a break starts the count anew."""
    home = model.key("home").qpos
    pos, quat = site_pose(model, home)
    still = np.zeros((64, 6), np.float32)
    place(env, home, pos, quat[[1, 2, 3, 0]])

    def hold(count):
        for _ in range(count):
            env.step(still)
        return env.state_dict()

    state = hold(steps)
    assert (state["core/success"] == (steps >= 6)).all()
    assert (state["task/held"] == steps).all()
    if steps < 6:
        # Away for one step, then back for five: still no success; the sixth makes it one.
        state["task/goal"][:, 2] += 0.05
        env.load_state_dict(state)
        state = hold(1)
        assert (state["task/held"] == 0).all()
        state["task/goal"][:, :3] = pos
        env.load_state_dict(state)
        assert not hold(5)["core/success"].any()
        assert hold(1)["core/success"].all()
    else:
        # Once reached it stays a success, and the time is that of the sixth step.
        state["task/goal"][:, 2] += 0.05
        env.load_state_dict(state)
        state = hold(3)
        assert state["core/success"].all()
        np.testing.assert_allclose(state["task/reach_time"], 0.30, rtol=1e-6)


@pytest.mark.parametrize(
    ("offset", "turn", "reached"),
    [(0.019, 0.0, True), (0.021, 0.0, False), (0.0, 0.19, True), (0.0, 0.21, False)],
)
def test_the_tolerances_are_2_cm_and_a_fifth_of_a_radian(env, model, offset, turn, reached):
    home = model.key("home").qpos
    pos, quat = site_pose(model, home)
    goal = np.zeros(4)
    mujoco.mju_mulQuat(goal, np.array([np.cos(turn / 2), np.sin(turn / 2), 0, 0]), quat)
    place(env, home, pos + np.array([offset, 0, 0]), goal[[1, 2, 3, 0]])
    env.step(np.zeros((64, 6), np.float32))
    state = env.state_dict()
    column = env.task.reward_terms.index("reached")
    assert (state["core/reward_terms"][:, column] == float(reached)).all()


def test_targets_stay_within_the_joint_limits(env, model):
    env.reset(seed=0)
    for _ in range(59):
        env.step(np.ones((64, 6), np.float32))
    command = env.state_dict()["core/command"]
    assert (command <= model.jnt_range[:, 1].astype(np.float32)).all()
    assert (np.abs(command - model.jnt_range[:, 1]) < 1e-5).any()


def test_the_expert_reaches_its_goals():
    """At least 0.99 of 500 episodes, from the observation alone."""
    env = WarpVectorEnv(Reach(), 250, device="cpu", workers=1)
    expert = Reach.expert(env.config)
    obs, _ = env.reset(seed=17)
    success, times = [], []
    while len(success) < 500:
        obs, _, _, _, info = env.step(expert.predict(obs))
        rows = info["_episode_statistics"]
        success += info["episode_statistics"]["success"][rows].tolist()
        times += info["episode_statistics"]["time_to_reach"][rows].tolist()
    assert len(success) == 500
    assert np.mean(success) >= 0.99, np.mean(success)
    assert np.min(times) >= 0.25
    assert np.median(times) < 1.5
    assert env.invalid_worlds == 0
    env.close()
