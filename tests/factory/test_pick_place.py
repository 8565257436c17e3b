"""PickPlace: observation, grasp, success, KPIs and expert against MuJoCo C and closed forms."""

from types import SimpleNamespace

import mujoco
import numpy as np
import pytest

from proveout.envs.core.scene_pose import ScenePose
from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.envs.factory.pick_place import PickPlace, PickPlaceConfig
from proveout.envs.factory.pick_place_cell import FIXTURE, PART, PART_MASS
from proveout.envs.factory.resized_boxes import with_pieces
from proveout.training.evaluation.policy_source import PolicySource, load_policy

PART_QPOS = slice(8, 15)  # behind six joints and two fingers
STILL = np.array([0.0, 0.0, 0.0, 0.0, 1.0], np.float32)  # holding
IDLE = np.array([0.0, 0.0, 0.0, 0.0, -1.0], np.float32)  # open


def make(num_envs, **config):
    return WarpVectorEnv(PickPlace(PickPlaceConfig(**config)), num_envs, device="cpu", workers=1)


def nominal(count, **changed):
    """Parameters of worlds without randomisation, but for what is changed."""
    names = ("part_size", "part_mass", "part_friction", "pad_friction", "servo_gain")
    values = {name: np.ones(count) for name in names}
    values.update({name: np.broadcast_to(value, count) for name, value in changed.items()})
    return {"parameters": values}


def lifted(env, obs, height=0.04):
    """Let the expert act until every world holds its part well above the bench."""
    expert = PickPlace.expert(env.config)
    for _ in range(80):
        parts = env.layout.split(obs)
        bottom = parts["tool_position"][:, 2] + parts["part_offset"][:, 2]
        bottom -= 0.025 * parts["part_size"][:, 2]
        action = expert.predict(obs)
        # Those that are up wait for the others.
        action[bottom > 0.8 * height] = STILL
        if (bottom > 0.8 * height).all():
            for _ in range(4):
                obs = env.step(np.tile(STILL, (env.num_envs, 1)))[0]
            return obs
        obs = env.step(action)[0]
    raise AssertionError(f"the expert lifted only {np.mean(bottom > 0.8 * height):.0%}")


def with_turn(x, y, z, degrees):
    half = np.deg2rad(degrees) / 2
    return [x, y, z, np.cos(half), 0.0, 0.0, np.sin(half)]


def test_the_observation_is_what_it_says():
    env = make(16)
    obs, _ = env.reset(seed=1)
    random = np.random.default_rng(0)
    for _ in range(6):
        action = random.uniform(-1, 1, (16, 5)).astype(np.float32)
        obs = env.step(action)[0]
    entries, state = env.layout.split(obs), env.state_dict()
    model = env.task.model()
    data = mujoco.MjData(model)
    sizes = state["core/drawn"][:, 0]
    assert sizes.std() > 0.02
    for w in range(16):
        data.qpos[:] = state["engine/qpos"][w]
        mujoco.mj_kinematics(model, data)
        tcp, part = data.site("gripper_tcp"), data.body("part")
        np.testing.assert_allclose(entries["tool_position"][w], tcp.xpos, atol=1e-5)
        np.testing.assert_allclose(entries["part_offset"][w], part.xpos - tcp.xpos, atol=1e-5)
        half = np.array(PART) * sizes[w]
        np.testing.assert_allclose(entries["part_size"][w], 40 * half, rtol=1e-5)
        goal = np.array([*FIXTURE, half[2]]) - part.xpos
        np.testing.assert_allclose(entries["goal_offset"][w], goal, atol=1e-5)
        # Fingers close along y of the tool, parts are gripped along their x.
        closing, along = tcp.xmat.reshape(3, 3)[:, 1], part.xmat.reshape(3, 3)[:, 0]
        turn = np.arctan2(-closing[1], -closing[0])
        part_turn = np.arctan2(along[1], along[0])
        assert entries["tool_turn"][w, 0] == pytest.approx(turn, abs=1e-4)
        for name, angle in (("part_turn", part_turn - turn), ("goal_turn", -part_turn)):
            seen = entries[name][w, 0]
            assert abs(np.sin(seen - angle)) < 1e-4  # the same but for half turns
            assert abs(seen) <= np.pi / 2 + 1e-5
        assert entries["opening"][w, 0] == pytest.approx(20 * data.qpos[6:8].sum(), abs=1e-3)
    env.close()


def test_episodes_start_in_the_ranges_of_the_config():
    count = 200
    env = make(count, part_area=0.02, part_turn=0.3, tool_area=0.03)
    obs, _ = env.reset(seed=2)
    entries, qpos = env.layout.split(obs), env.state_dict()["engine/qpos"]
    part, half = qpos[:, PART_QPOS], 0.025 * entries["part_size"]
    spread = part[:, :2] - [0.45, 0.12]
    assert 0.019 < np.abs(spread).max() <= 0.02 + 1e-6
    np.testing.assert_allclose(part[:, 2], half[:, 2], atol=1e-6)  # lies on the bench
    turn = 2 * np.arctan2(part[:, 6], part[:, 3])
    assert 0.28 < np.abs(turn).max() <= 0.3 + 1e-6
    tool = entries["tool_position"] - [0.45, 0.0, 0.22]
    assert 0.028 < np.abs(tool).max() <= 0.03 + 2e-4
    np.testing.assert_allclose(entries["tool_turn"], 0.0, atol=2e-3)
    np.testing.assert_allclose(entries["target_offset"], 0.0, atol=20 * 2e-4)
    np.testing.assert_allclose(entries["opening"], 20 * 0.085, atol=1e-5)
    # And stay there when nothing is asked for.
    later = env.layout.split(env.step(np.tile(IDLE, (count, 1)))[0])
    np.testing.assert_allclose(later["tool_position"], entries["tool_position"], atol=3e-4)
    np.testing.assert_allclose(later["part_offset"], entries["part_offset"], atol=5e-4)
    env.close()


def test_the_tool_follows_the_action():
    """0.1 m/s along each axis and a turn, as far as the servos' lag allows."""
    env = make(4)
    first = env.layout.split(env.reset(seed=3, options=nominal(4))[0])
    action = np.zeros((4, 5), np.float32)
    action[:, 4] = -1.0
    action[0, 0] = action[1, 1] = action[2, 2] = 0.4
    action[3, 3] = 0.5
    for _ in range(12):
        env.step(action)
    settle = np.tile(IDLE, (4, 1))
    for _ in range(20):
        obs = env.step(settle)[0]
    last = env.layout.split(obs)
    moved = last["tool_position"] - first["tool_position"]
    expected = np.zeros((4, 3))
    expected[0, 0] = expected[1, 1] = expected[2, 2] = 12 * 0.05 * 0.1
    np.testing.assert_allclose(moved, expected, atol=1e-3)
    turned = last["tool_turn"] - first["tool_turn"]
    np.testing.assert_allclose(turned[:, 0], [0, 0, 0, 12 * 0.05 * 0.75], atol=5e-3)
    env.close()


@pytest.mark.parametrize(("load", "holds"), [(3.0, True), (50.0, False)])
def test_a_grasp_holds_three_times_the_weight_and_slips_beyond_friction(load, holds):
    """The heaviest part and the smoothest pads of the mild level: 0.28 kg, friction 0.64, 60 N.

    Friction holds up to 2 * 0.64 * 60 = 77 N, 28 times the weight.
    """
    count = 4
    env = make(count, episode_seconds=20.0)
    options = nominal(count, part_mass=1.4, pad_friction=0.8)
    obs = lifted(env, env.reset(seed=4, options=options)[0])
    state = env.state_dict()
    body = env.task.model().body("part").id
    state["engine/xfrc_applied"][:, body, 2] = -(load - 1.0) * 1.4 * PART_MASS * 9.81
    env.load_state_dict(state)
    still = np.tile(STILL, (count, 1))
    before = env.layout.split(obs)["part_offset"].copy()
    for _ in range(40):  # 2 s
        obs, _, _, _, info = env.step(still)
    slip = np.abs(env.layout.split(obs)["part_offset"] - before).max(axis=1)
    assert not info["invalid"].any()
    if holds:
        assert (slip < 0.001).all(), slip
    else:
        assert (slip > 0.02).all(), slip
    env.close()


def test_the_force_of_the_grip_is_a_number_of_each_world():
    forces = np.array([20.0, 60.0, 120.0, 200.0])
    env = make(4)
    options = {**nominal(4, part_mass=0.6), "config": {"grip_force": forces}}
    lifted(env, env.reset(seed=5, options=options)[0])
    for _ in range(10):  # the target moves on until it leads by what the force asks for
        obs = env.step(np.tile(STILL, (4, 1)))[0]
    squeeze = 50.0 * env.layout.split(obs)["squeeze"][:, 0]
    np.testing.assert_allclose(squeeze, forces, rtol=0.03)
    env.close()


def test_what_counts_as_placed():
    """Small parts, so that the fixture leaves room for errors beyond the tolerances."""
    half = 0.9 * PART[2]
    cases = [
        (with_turn(0, 0, half, 0), True),
        (with_turn(0, 0.0045, half, 0), True),
        (with_turn(0, 0.0055, half, 0), False),
        (with_turn(0, 0, half, 4.5), True),
        (with_turn(0, 0, half, -5.5), False),
        (with_turn(0, 0, half, 180), True),
        (with_turn(0, 0.2, half, 0), False),
    ]
    count = len(cases)
    env = make(count)
    env.reset(seed=6, options=nominal(count, part_size=0.9))
    state = env.state_dict()
    for w, (pose, _) in enumerate(cases):
        state["engine/qpos"][w, PART_QPOS] = np.add(pose, [*FIXTURE, 0, 0, 0, 0, 0])
    env.load_state_dict(state)
    expected = [placed for _, placed in cases]
    idle = np.tile(IDLE, (count, 1))
    for step in range(env.task.max_episode_steps):
        info = env.step(idle)[4]
        succeeded = env.state_dict()["core/success"]
        # 0.2 s at 20 Hz, both ends counted, are five steps.
        assert succeeded.tolist() == (expected if step >= 4 else [False] * count), step
        if step == 6:
            break
    while not info["_episode_statistics"].all():
        info = env.step(idle)[4]
    statistics = info["episode_statistics"]
    assert statistics["placed"].tolist() == [float(placed) for placed in expected]
    np.testing.assert_allclose(statistics["placement_error"][:3], [0, 4.5, 5.5], atol=0.3)
    np.testing.assert_allclose(statistics["placement_angle"][3:6], [4.5, 5.5, 0], atol=0.2)
    # In the fifth step, or never.
    times = np.where(expected, 5 * 0.05, env.config.episode_seconds)
    np.testing.assert_allclose(statistics["cycle_time"], times, atol=1e-5)
    assert not statistics["grasped"].any()
    env.close()


def test_letting_go_above_the_bench_is_a_drop_and_out_of_reach_the_end():
    env = make(3, episode_seconds=20.0)
    lifted(env, env.reset(seed=7, options=nominal(3))[0])
    for _ in range(20):
        env.step(np.array([STILL, IDLE, IDLE]))
    state = env.state_dict()
    state["engine/qpos"][2, PART_QPOS] = with_turn(0.45, 0.6, PART[2], 0)
    env.load_state_dict(state)
    _, _, terminated, _, info = env.step(np.array([STILL, IDLE, IDLE]))
    assert terminated.tolist() == [False, False, True]
    assert info["episode_statistics"]["drops"][2] == 1.0
    while not info["_episode_statistics"][:2].all():
        info = env.step(np.array([STILL, IDLE, IDLE]))[4]
    statistics = info["episode_statistics"]
    assert statistics["drops"][:2].tolist() == [0.0, 1.0]
    assert statistics["lifted"][:2].tolist() == [1.0, 1.0]
    env.close()


def test_a_grasp_is_that_of_mujoco_c():
    """Closing on a part and lifting it: 200 physics steps with up to a dozen contacts.

    Float32 against float64, and contacts that open a step apart: within 0.3 mm or mrad.
    """
    env = make(1, episode_seconds=20.0)
    obs = env.reset(seed=8, options=nominal(1))[0]
    expert = PickPlace.expert(env.config)
    while env.layout.split(obs)["opening"][0, 0] > 20 * 0.07:  # it has begun to close
        obs = env.step(expert.predict(obs))[0]
    start = env.state_dict()
    commands, ours = [], []
    for _ in range(20):
        obs = env.step(expert.predict(obs))[0]
        state = env.state_dict()
        commands.append(state["core/command"][0])
        ours.append(state["engine/qpos"][0])
    model = env.task.model()
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = start["engine/qpos"][0], start["engine/qvel"][0]
    data.qacc_warmstart[:] = start["engine/qacc_warmstart"][0]
    for command, row in zip(commands, ours, strict=True):
        data.ctrl[:] = command
        mujoco.mj_step(model, data, nstep=env.config.decimation)
        np.testing.assert_allclose(row, data.qpos, atol=3e-4)
    assert data.ncon >= 8  # held
    assert data.body("part").xpos[2] > PART[2] + 0.01
    env.close()


def test_energy_is_the_work_of_all_joints_in_mujoco_c():
    """One second of motion in the air, fingers included, summed at the control rate."""
    env = make(1, episode_seconds=1.0)
    env.reset(seed=10, options=nominal(1))
    state = env.state_dict()
    model = env.task.model()
    data = mujoco.MjData(model)
    data.qpos[:] = state["engine/qpos"][0]
    random, work = np.random.default_rng(1), 0.0
    for step in range(20):
        action = random.uniform(-1, 1, (1, 5)).astype(np.float32)
        action[:, 2] = 1.0 if step < 10 else 0.0
        info = env.step(action)[4]
        if step < 19:
            command = env.state_dict()["core/command"][0]
        data.ctrl[:] = command  # the last one is that of the step before: 5 % of the time
        mujoco.mj_step(model, data, nstep=env.config.decimation)
        work += 0.05 * np.abs(data.qfrc_actuator * data.qvel).sum()
    assert work > 3.0
    assert info["episode_statistics"]["energy"][0] == pytest.approx(work, rel=0.05)
    env.close()


def test_the_picture_of_a_part_is_as_large_as_the_part():
    model = PickPlace().scene()
    qpos = model.qpos0.copy()
    quat = np.array([0.9, 0.1, -0.3, 0.2])
    qpos[PART_QPOS] = [0.5, 0.1, 0.2, *(quat / np.linalg.norm(quat))]
    half = np.array(PART) * [0.9, 0.9, 0.9]
    sizes = np.zeros((1, model.ngeom, 3))
    sizes[0, model.geom("part").id] = half
    engine = SimpleNamespace(
        host_model=model, model=SimpleNamespace(geom_size=SimpleNamespace(numpy=lambda: sizes))
    )
    empty = ScenePose(qpos, np.zeros((0, 3)), np.zeros((0, 4)))
    pose = with_pieces(engine, 0, empty, ("part",))
    data = mujoco.MjData(model)
    data.qpos[:], data.mocap_pos[:], data.mocap_quat[:] = pose.qpos, pose.mocap_pos, pose.mocap_quat
    mujoco.mj_kinematics(model, data)
    frame = data.body("part").xmat.reshape(3, 3)
    reach = []
    for body in np.flatnonzero(model.body_mocapid >= 0):
        geom = model.body_geomadr[body]
        np.testing.assert_allclose(data.geom_xmat[geom].reshape(3, 3), frame, atol=1e-9)
        middle = frame.T @ (data.geom_xpos[geom] - data.body("part").xpos)
        reach += [middle - model.geom_size[geom], middle + model.geom_size[geom]]
        # Two neighbours overlap, so that nothing is left out between them.
        assert (np.abs(middle) < model.geom_size[geom]).all()
    np.testing.assert_allclose(np.max(reach, axis=0), half, atol=1e-9)
    np.testing.assert_allclose(np.min(reach, axis=0), -half, atol=1e-9)


def test_the_expert_places_parts():
    """At least 0.95 of 128 episodes at the default level, without a drop."""
    env = make(128)
    expert = PickPlace.expert(env.config)
    obs, _ = env.reset(seed=9)
    for _ in range(env.task.max_episode_steps):
        obs, _, _, _, info = env.step(expert.predict(obs))
    statistics = info["episode_statistics"]
    assert info["_episode_statistics"].all()
    assert statistics["success"].mean() >= 0.95
    assert statistics["drops"].sum() == 0
    assert statistics["placement_error"].max() < 5.0
    assert 2.0 < np.median(statistics["cycle_time"]) < 5.0
    assert (statistics["energy"] > 5.0).all()
    assert env.invalid_worlds == 0
    env.close()


def test_the_expert_blends_over_millimetres():
    """A tenth of a millimetre or a newton changes no action by more than an eighth of its range."""
    env = make(32)
    expert = PickPlace.expert(env.config)
    obs, _ = env.reset(seed=11)
    entries = env.layout.split(np.arange(obs.shape[1])[None])
    changed = {}
    for name, scale in (("part_offset", 1.0), ("goal_offset", 1.0), ("opening", 20.0)):
        for axis, column in enumerate(entries[name][0]):
            changed[name, axis] = (column, 1e-4 * scale)
    changed["squeeze", 0] = (entries["squeeze"][0, 0], 1.0 * 0.02)
    largest = dict.fromkeys(changed, 0.0)
    for _ in range(90):
        action = expert.predict(obs)
        for key, (column, change) in changed.items():
            other = obs.copy()
            other[:, column] += change
            largest[key] = max(largest[key], np.abs(expert.predict(other) - action).max())
        obs = env.step(action)[0]
    assert max(largest.values()) < 0.25, largest
    assert max(largest.values()) > 0.01
    env.close()


def test_the_shipped_policy_places_parts():
    """At least 0.9 of 64 episodes, which end after 5 s here."""
    env = make(64, episode_seconds=5.0)
    policy = load_policy(PolicySource("pretrained"), env)
    obs, _ = env.reset(seed=12)
    for _ in range(env.task.max_episode_steps):
        obs, _, _, _, info = env.step(policy.predict(obs))
    statistics = info["episode_statistics"]
    assert info["_episode_statistics"].all()
    assert statistics["success"].mean() >= 0.9
    assert statistics["cycle_time"].mean() < 4.0
    assert env.invalid_worlds == 0
    env.close()
