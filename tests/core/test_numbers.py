"""Numbers of a config that differ from world to world: each is a run of its own, to the bit."""

import numpy as np
import pytest
from test_functions import Counting, CountingConfig
from toy_tasks import Pendulum, PendulumConfig

from proveout.envs import make_vector
from proveout.envs.core.errors import ConfigError, UnknownNameError
from proveout.envs.core.vector_env import WarpVectorEnv

REACH, HIGHWAY = "proveout/Reach-v0", "proveout/Highway-v0"


def make(env_id=REACH, num=4, workers=1, **config):
    return make_vector(env_id, num, config=config, device="cpu", workers=workers)


def roll(env, actions):
    rows = []
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        statistics = np.stack(list(info["episode_statistics"].values()), axis=1)
        counts = info["_episode_statistics"]
        rows.append([observation, reward, terminated, truncated, info["final_obs"],
                     np.where(counts[:, None], statistics, 0.0)])  # fmt: skip
    return [np.stack(column) for column in zip(*rows, strict=True)]


def actions_of(env, steps):
    draw = np.random.default_rng(5)
    return draw.uniform(-1, 1, (steps, *env.action_space.shape)).astype(np.float32)


@pytest.mark.parametrize("workers", [1, 2])
def test_64_worlds_with_64_values_are_64_runs_of_one(workers):
    increments = np.linspace(0.02, 0.2, 64)
    weights = np.linspace(0.0, 0.3, 64)
    short = {"episode_seconds": 1.0, "hold_seconds": 0.1}
    together = make(num=64, workers=workers, **short)
    numbers = {"max_increment": increments, "reward_weights.reached": weights}
    together.reset(seed=3, options={"config": numbers})
    actions = actions_of(together, 30)  # over the end of an episode
    many = roll(together, actions)
    together.close()
    for world in range(0, 64, 9):
        config = {
            "max_increment": increments[world],
            "reward_weights": {"reached": weights[world]},
            **short,
        }
        alone = make(num=1, **config)
        alone.reset(seed=3, options={"world_ids": [world], "episodes": [0]})
        for a, b in zip(roll(alone, actions[:, world : world + 1]), many, strict=True):
            np.testing.assert_array_equal(a[:, 0], b[:, world])
        alone.close()


def test_road_worlds_too():
    gaps = np.array([20.0, 30.0, 40.0, 50.0])
    env = make(HIGHWAY, episode_seconds=1.0)
    first, _ = env.reset(seed=0, options={"config": {"gap": gaps, "max_speed": 30.0}})
    after = roll(env, actions_of(env, 15))
    for world, gap in enumerate(gaps):
        alone = make(HIGHWAY, num=1, gap=gap, max_speed=30.0, episode_seconds=1.0)
        observation, _ = alone.reset(seed=0, options={"world_ids": [world], "episodes": [0]})
        np.testing.assert_array_equal(observation[0], first[world])
        actions = actions_of(env, 15)[:, world : world + 1]
        for a, b in zip(roll(alone, actions), after, strict=True):
            np.testing.assert_array_equal(a[:, 0], b[:, world])
        alone.close()
    env.close()


def test_numbers_stay_until_their_world_is_reset_explicitly():
    env = WarpVectorEnv(Counting(), 4, device="cpu", workers=1)
    nothing = np.zeros((4, 3), np.float32)
    env.reset(seed=0, options={"config": {"step_size": [1, 2, 3, np.nan], "offset": 0.0}})
    assert env.config_rows()["step_size"].tolist() == [1, 2, 3, 2]
    assert env.step(nothing)[0][:, 0].tolist() == [1, 2, 3, 2]
    for _ in range(env.task.max_episode_steps):
        observation = env.step(nothing)[0]
    assert observation[:, 0].tolist() == [1, 2, 3, 2], "the next episode's first step"
    mask = np.array([True, False, False, True])
    env.reset(options={"reset_mask": mask, "config": {"step_size": 5}})
    assert env.config_rows()["step_size"].tolist() == [5, 2, 3, 5]
    assert env.config_rows()["offset"].tolist() == [0.5, 0, 0, 0.5]
    state = env.state_dict()
    expected = env.step(nothing)[0]
    env.reset(seed=1)
    assert env.config_rows()["step_size"].tolist() == [2, 2, 2, 2]
    env.load_state_dict(state)
    np.testing.assert_array_equal(env.step(nothing)[0], expected)
    env.close()


def test_the_ends_of_a_range_belong_to_it():
    env = make(REACH)
    env.reset(seed=0, options={"config": {"min_height": [0.0, 0.3, 0.1, np.nan]}})
    np.testing.assert_allclose(env.config_rows()["min_height"], [0.0, 0.3, 0.1, 0.12], rtol=1e-7)
    env.close()


BAD = {
    "structural": ({"decimation": 3}, ConfigError, "decimation shapes arrays or the recorded step"),
    "of the task": ({"num_agents": 3}, ConfigError, "num_agents shapes arrays"),
    "unknown": ({"gab": 3.0}, UnknownNameError, "did you mean 'gap'"),
    "unknown weight": ({"reward_weights.alife": 1.0}, UnknownNameError, "reward_weights.alive"),
    "group": ({"reward_weights": 5}, ConfigError, "reward_weights cannot differ"),
    "out of range": ({"gap": [36, 36, 2, 36]}, ConfigError, "world 2: gap must be at least 15 m"),
    "two do not fit": (
        {"slowest": [20, 25, 26, 20]},
        ConfigError,
        "world 2: HighwayConfig: slowest <= fastest",
    ),
    "infinite": ({"gap": np.inf}, ConfigError, "world 0: gap must be a finite number"),
    "too large": ({"gap": 1e39}, ConfigError, "world 0: gap must be at most 3.403e"),
    "text": ({"gap": "wide"}, ConfigError, "gap: numbers expected, got 'wide'"),
    "shape": ({"gap": [30.0, 40.0]}, ConfigError, r"shape \(4,\) expected, got \(2,\)"),
    "no mapping": ([1, 2], ConfigError, "a mapping of names to numbers expected"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_refused_and_nothing_changed(name):
    given, error, words = BAD[name]
    env = make(HIGHWAY)
    env.reset(seed=2)
    before = env.state_dict()
    with pytest.raises(error, match=words):
        env.reset(seed=3, options={"config": given})
    after = env.state_dict()
    assert all(np.array_equal(before[k], after[k], equal_nan=True) for k in before)
    env.close()


def test_a_whole_number_must_be_whole():
    env = WarpVectorEnv(Counting(CountingConfig()), 2, device="cpu", workers=1)
    with pytest.raises(ConfigError, match=r"world 1: step_size must be a whole number, got 1\.5"):
        env.reset(seed=0, options={"config": {"step_size": [1, 1.5]}})
    with pytest.raises(ConfigError, match="world 0: step_size: at most 16777216"):
        env.reset(seed=0, options={"config": {"step_size": 2**25}})
    env.close()


def test_tasks_with_kernels_of_their_own_have_weights_only():
    env = WarpVectorEnv(Pendulum(PendulumConfig()), 2, device="cpu", workers=1)
    assert env.task.numbers.names == ("reward_weights.value", "reward_weights.square")
    env.reset(seed=0, options={"config": {"reward_weights.value": [0.0, 2.0]}})
    with pytest.raises(ConfigError, match=r"start cannot differ .* own kernels take it once"):
        env.reset(options={"config": {"start": 0.1}})
    env.close()
