"""Episodes that wait for their worlds: each is the one that a reset would have begun."""

import gymnasium
import numpy as np
import pytest

from proveout.envs import make_vector
from proveout.envs.core.errors import ConfigError, UnknownNameError

REACH = "proveout/Reach-v0"
SHORT = {"episode_seconds": 0.5, "hold_seconds": 0.1}
STEPS = 10


def make(num=4, workers=1, env_id=REACH, **config):
    return make_vector(env_id, num, config={**SHORT, **config}, device="cpu", workers=workers)


def actions_of(env, steps):
    draw = np.random.default_rng(5)
    return draw.uniform(-1, 1, (steps, *env.action_space.shape)).astype(np.float32)


def alone(world_id, episode, actions, seed=3, **options):
    """Observations and rewards of one episode in a world of its own."""
    env = make(1)
    first, _ = env.reset(
        seed=seed, options={"world_ids": [world_id], "episodes": [episode], **options}
    )
    rows = [env.step(action[None])[:2] for action in actions]
    env.close()
    return first[0], np.stack([row[0][0] for row in rows[:-1]]), np.array([r[1][0] for r in rows])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_world_takes_the_episode_that_waits_for_it(workers):
    env = make(4, workers)
    env.reset(seed=3)
    increments = np.array([0.02, 0.05, 0.1, 0.2])
    env.reset_next(
        seed=9,
        options={
            "reset_mask": np.array([True, False, True, True]),
            "world_ids": np.array([70, 71, 72, 73]),
            "episodes": np.array([5, 6, 7, 8]),
            "config": {"max_increment": increments},
        },
    )
    assert env.next_waits().tolist() == [True, False, True, True]
    first_actions, actions = actions_of(env, STEPS), actions_of(env, STEPS)
    for action in first_actions:
        begun, _, _, truncated, _ = env.step(action)
    assert truncated.all()
    assert not env.next_waits().any()
    rows = [env.step(action) for action in actions]
    observations = np.stack([row[0] for row in rows[:-1]])
    rewards = np.stack([row[1] for row in rows])
    np.testing.assert_array_equal(
        env.config_rows()["max_increment"],
        [np.float32(0.02), 0.12, np.float32(0.1), np.float32(0.2)],
    )
    expected = [
        alone(70, 5, actions[:, 0], seed=9, config={"max_increment": 0.02}),
        alone(1, 1, actions[:, 1]),
        alone(72, 7, actions[:, 2], seed=9, config={"max_increment": 0.1}),
        alone(73, 8, actions[:, 3], seed=9, config={"max_increment": 0.2}),
    ]
    for world, (first, seen, gained) in enumerate(expected):
        np.testing.assert_array_equal(begun[world], first)
        np.testing.assert_array_equal(observations[:, world], seen)
        np.testing.assert_array_equal(rewards[:, world], gained)
    # Then each goes on with the next of the same key and the same numbers.
    later = [env.step(action)[0] for action in actions][-2]
    first, seen, _ = alone(72, 8, actions[:, 2], seed=9, config={"max_increment": 0.1})
    np.testing.assert_array_equal(later[2], seen[-1])
    env.close()


def test_what_waits_is_saved_and_restored():
    env = make(2)
    env.reset(seed=3)
    env.reset_next(seed=4, options={"episodes": np.array([2, 3])})
    state = env.state_dict()
    actions = actions_of(env, STEPS)
    expected = [env.step(action)[0] for action in actions]
    env.reset(seed=8)
    env.load_state_dict(state)
    assert env.next_waits().all()
    for action, observation in zip(actions, expected, strict=True):
        np.testing.assert_array_equal(env.step(action)[0], observation)
    env.close()


def test_a_later_request_replaces_an_earlier_one():
    env = make(2)
    env.reset(seed=3)
    env.reset_next(seed=4, options={"episodes": np.array([2, 3])})
    env.reset_next(seed=5, options={"reset_mask": np.array([False, True])})
    actions = actions_of(env, STEPS)
    for action in actions:
        begun = env.step(action)[0]
    np.testing.assert_array_equal(begun[0], alone(0, 2, actions[:2, 0], seed=4)[0])
    np.testing.assert_array_equal(begun[1], alone(1, 0, actions[:2, 0], seed=5)[0])
    env.close()


def test_what_cannot_be_is_refused_and_nothing_waits():
    env = make(2)
    with pytest.raises(gymnasium.error.ResetNeeded, match="before reset_next"):
        env.reset_next(seed=1)
    env.reset(seed=3)
    with pytest.raises(UnknownNameError, match="did you mean 'max_increment'"):
        env.reset_next(options={"config": {"max_incremen": 0.1}})
    with pytest.raises(ConfigError, match="world 1: max_increment must be greater than 0"):
        env.reset_next(options={"config": {"max_increment": [0.1, -1.0]}})
    assert not env.next_waits().any()
    env.close()
