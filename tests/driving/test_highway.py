"""Highway against closed forms, its counterfactual driven for real, and Gymnasium's contract."""

import dataclasses

import numpy as np
import pytest

from proveout.envs import check_vector_env, make_task, make_vector
from proveout.envs.core.errors import ConfigError
from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.envs.driving.drivers.table import DriverKind
from proveout.envs.driving.highway import Highway, HighwayConfig

NUM = 16


@pytest.fixture(scope="module")
def env():
    """A batch of motorways in this process."""
    envs = make_vector("proveout/Highway-v0", NUM, device="cpu", workers=1)
    yield envs
    envs.close()


def road_worlds(env: WarpVectorEnv):
    """The engine beneath a local environment."""
    return env._pool.engine


def straight(env: WarpVectorEnv) -> np.ndarray:
    """Which worlds are on the straight road: it has lanes 0 to 2."""
    return road_worlds(env).agents.lane.numpy()[:, 0] < 3


def entries(env, observation):
    return env.layout.split(observation)


def test_config_is_checked():
    with pytest.raises(ConfigError, match="num_agents must be at most 21"):
        HighwayConfig(num_agents=40)
    with pytest.raises(ConfigError, match="slowest"):
        HighwayConfig(slowest=30.0)


def test_both_roads_and_all_lanes_occur_and_cars_start_apart(env):
    env.reset(seed=3)
    worlds = road_worlds(env)
    lane, s = worlds.agents.lane.numpy(), worlds.agents.s.numpy()
    assert 0 < straight(env).sum() < NUM
    assert set(lane[:, 0] % 3) == {0, 1, 2}
    assert worlds.agents.active.numpy().all()
    assert not worlds.agents.collided.numpy().any()
    length = worlds.body_parameters[0].length
    for world in range(NUM):
        assert len(set(lane[world] // 3)) == 1
        for one in set(lane[world]):
            places = np.sort(s[world, lane[world] == one])
            assert np.diff(places).min() > length + 10.0


def test_constant_speed_on_a_straight_lane_is_speed_times_time(env):
    env.reset(seed=3)
    worlds = road_worlds(env)
    chosen = straight(env)
    x, v = worlds.agents.x.numpy()[:, 0].copy(), worlds.agents.velocity.numpy()[:, 0].copy()
    for _ in range(10):
        _, _, _, _, info = env.step(np.zeros((NUM, 2), np.float32))
    alive = chosen & ~info["_final_obs"]
    # 1 s at float32 positions of a few hundred metres: rounding of 1e-4 m a step at most.
    np.testing.assert_allclose((worlds.agents.x.numpy()[:, 0] - x)[alive], v[alive], atol=2e-3)
    np.testing.assert_allclose(worlds.agents.velocity.numpy()[:, 0][alive], v[alive], atol=1e-5)


def test_full_throttle_and_full_braking_give_the_configured_accelerations(env):
    env.reset(seed=4)
    worlds = road_worlds(env)
    before = worlds.agents.velocity.numpy()[:, 0].copy()
    action = np.zeros((NUM, 2), np.float32)
    action[: NUM // 2, 0], action[NUM // 2 :, 0] = 1.0, -1.0
    env.step(action)
    change = worlds.agents.velocity.numpy()[:, 0] - before
    np.testing.assert_allclose(change[: NUM // 2], 0.3, atol=1e-4)  # 3 m/s2 for 0.1 s
    np.testing.assert_allclose(change[NUM // 2 :], -0.6, atol=1e-4)  # 6 m/s2 for 0.1 s


def test_steering_gives_the_configured_lateral_acceleration(env):
    env.reset(seed=4)
    action = np.zeros((NUM, 2), np.float32)
    action[:, 1] = 0.5
    for _ in range(3):
        env.step(action)
    worlds = road_worlds(env)
    v, steering = worlds.agents.velocity.numpy()[:, 0], worlds.agents.steering.numpy()[:, 0]
    lateral = v**2 * np.tan(steering) / Highway.vehicle.wheelbase
    np.testing.assert_allclose(lateral, 1.5, rtol=1e-3)  # half of 3 m/s2


def test_the_shadow_is_what_an_idm_driver_in_the_learners_place_does(env):
    """Drive the learner with the engine's IDM and compare with the shadow's mean speed."""
    env.reset(seed=5)
    worlds = road_worlds(env)
    on_straight = straight(env)
    kind = worlds.drivers.kind.numpy()
    kind[:, 0] = int(DriverKind.IDM)
    means, finished = np.zeros((NUM, 2)), np.zeros(NUM, bool)
    for _ in range(400):
        _, _, _, _, info = env.step(np.zeros((NUM, 2), np.float32))
        stats = info["episode_statistics"]
        now = info["_episode_statistics"] & ~finished
        means[now] = np.stack([stats["mean_speed"], stats["idm_mean_speed"]], axis=1)[now]
        finished |= now
    assert finished.all()
    difference = np.abs(means[:, 0] - means[:, 1])
    # On the straight road they differ by the order of integration only. In a bend the engine
    # measures gaps between cars of one lane exactly as well; lane keeping wanders by centimetres.
    assert difference[on_straight].max() < 0.02
    assert difference.max() < 0.1


def test_a_collision_ends_the_episode_and_is_told(env):
    env.reset(seed=6)
    state = env.state_dict()
    # Put car 1 of world 2 five metres ahead of the learner, standing.
    for name in ("x", "y", "heading", "lane", "s", "d"):
        state[f"engine/{name}"][2, 1] = state[f"engine/{name}"][2, 0]
    heading = state["engine/heading"][2, 0]
    state["engine/x"][2, 1] += 5.0 * np.cos(heading)
    state["engine/y"][2, 1] += 5.0 * np.sin(heading)
    state["engine/s"][2, 1] += 5.0
    state["engine/velocity"][2, 1] = 0.0
    env.load_state_dict(state)
    _, reward, terminated, truncated, info = env.step(np.zeros((NUM, 2), np.float32))
    assert terminated.tolist() == [world == 2 for world in range(NUM)]
    assert not truncated.any()
    assert info["episode_statistics"]["collision"][2] == 1.0
    assert info["episode_statistics"]["success"][2] == 0.0
    assert reward[2] < -1.5


def test_leaving_the_road_ends_the_episode(env):
    env.reset(seed=7)
    ended = np.zeros(NUM, bool)
    action = np.zeros((NUM, 2), np.float32)
    action[:, 1] = 1.0
    for _ in range(60):
        _, _, terminated, _, info = env.step(action)
        stats = info["episode_statistics"]
        assert ((stats["off_road"] + stats["collision"])[terminated] >= 1.0).all()
        ended |= terminated & (stats["off_road"] == 1.0)
    assert ended.sum() > NUM // 2


def test_neighbours_are_the_nearest_cars_in_the_ego_frame(env):
    observation, _ = env.reset(seed=8)
    worlds = road_worlds(env)
    rows = entries(env, observation)["neighbours"]
    cx, cy = worlds.agents.centre_x.numpy(), worlds.agents.centre_y.numpy()
    heading = worlds.agents.heading.numpy()[:, 0]
    distance = np.hypot(cx - cx[:, :1], cy - cy[:, :1])
    for world in range(NUM):
        order = np.argsort(distance[world, 1:], kind="stable")[:8] + 1
        dx, dy = cx[world, order] - cx[world, 0], cy[world, order] - cy[world, 0]
        c, s = np.cos(heading[world]), np.sin(heading[world])
        near = distance[world, order] < 100.0
        assert rows[world, :, 0].tolist() == near.astype(float).tolist()
        np.testing.assert_allclose(50.0 * rows[world, near, 1], (c * dx + s * dy)[near], atol=1e-3)
        np.testing.assert_allclose(50.0 * rows[world, near, 2], (c * dy - s * dx)[near], atol=1e-3)


def test_the_expert_solves_it():
    envs = make_vector("proveout/Highway-v0", 100, device="cpu")
    expert = envs.task.expert(envs.config)
    observation, _ = envs.reset(seed=11)
    success = []
    for _ in range(400):
        observation, _, _, _, info = envs.step(expert.predict(observation))
        success += info["episode_statistics"]["success"][info["_episode_statistics"]].tolist()
    envs.close()
    assert len(success) >= 100
    assert np.mean(success) >= 0.97


def test_one_worker_equals_two_and_the_number_of_worlds_changes_nothing():
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (60, 64, 2)).astype(np.float32)
    runs = {}
    for num, workers in ((8, 1), (8, 2), (64, 2)):
        envs = make_vector("proveout/Highway-v0", num, device="cpu", workers=workers)
        rows = [envs.reset(seed=9)[0][:8]]
        for step in actions:
            observation, reward, terminated, truncated, _ = envs.step(step[:num])
            rows += [observation[:8], reward[:8], terminated[:8], truncated[:8]]
        envs.close()
        runs[num, workers] = np.concatenate([np.ravel(row) for row in rows]).tobytes()
    assert runs[8, 1] == runs[8, 2] == runs[64, 2]


def test_state_restores_the_same_future(env):
    env.reset(seed=10)
    rng = np.random.default_rng(1)
    actions = rng.uniform(-1, 1, (80, NUM, 2)).astype(np.float32)
    for action in actions[:40]:
        env.step(action)
    state = env.state_dict()
    first = [env.step(action)[0] for action in actions[40:]]
    env.load_state_dict(state)
    again = [env.step(action)[0] for action in actions[40:]]
    assert np.array_equal(np.stack(first), np.stack(again))


def test_check_vector_env_finds_nothing():
    def make(num_envs: int = 4, workers: int = 1):
        config = dataclasses.replace(HighwayConfig(), episode_seconds=6.0)
        return WarpVectorEnv(
            make_task("proveout/Highway-v0", config), num_envs, device="cpu", workers=workers
        )

    report = check_vector_env(make, steps=100)
    assert report.ok, report.table()
    assert set(report.skipped) <= {"device"}, report.table()
