"""Measured capacities: what boxes on a plane need can be counted by hand."""

import numpy as np
import pytest
from toy_tasks import Boxes, BoxesConfig, Pendulum, PendulumConfig

from proveout.envs.core.errors import BadActionError, ConfigError
from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.envs.factory.capacity import measure_capacities
from proveout.envs.factory.reach import Reach


def test_boxes_on_a_plane():
    """A box rests on 4 corners; a contact with friction has 4 rows of a pyramid."""
    task = Boxes(BoxesConfig(num_boxes=2, contacts=1, constraints=1, spin=0.0))
    found = measure_capacities(task, num_worlds=8, episodes=1, margin=1.0)
    assert found.contacts == 8
    assert found.constraints == 8 * 4
    assert task.capacities.contacts == 1, "the task itself is not touched"
    wide = measure_capacities(task, num_worlds=8, episodes=1, margin=1.5)
    assert (wide.contacts, wide.constraints) == (12, 48)
    # The measured room is enough for other seeds and actions.
    config = BoxesConfig(contacts=wide.contacts, constraints=wide.constraints)
    env = WarpVectorEnv(Boxes(config), 32, device="cpu", workers=1)
    env.reset(seed=99)
    random = np.random.default_rng(0)
    for _ in range(80):
        env.step(random.uniform(-1, 1, env.action_space.shape).astype(np.float32))
    assert env.invalid_worlds == 0
    env.close()


def test_room_grows_until_nothing_is_lost():
    """Forty boxes need 160 contacts and 640 rows, more than the search begins with."""
    task = Boxes(BoxesConfig(num_boxes=40, episode_seconds=0.4, spin=0.0))
    found = measure_capacities(task, num_worlds=2, episodes=1, margin=1.0)
    assert 160 <= found.contacts <= 200
    assert 640 <= found.constraints <= 800


def test_reach_has_neither_contacts_nor_more_rows_than_limits():
    found = measure_capacities(Reach(), num_worlds=8, episodes=2)
    assert found.contacts == 0
    assert found.constraints <= Reach.capacities.constraints


def test_joint_limits_are_counted():
    """Start angles up to 3 rad beyond limits of 1.2 rad: some world has all three at a limit."""
    config = PendulumConfig(start=3.0)
    found = measure_capacities(Pendulum(config), num_worlds=32, episodes=1, margin=1.0)
    assert found.constraints == 3


@pytest.mark.parametrize(
    "arguments", [{"num_worlds": 0}, {"episodes": 0}, {"margin": 0.5}, {"margin": float("nan")}]
)
def test_bad_arguments(arguments):
    with pytest.raises(ConfigError, match="at least 1"):
        measure_capacities(Reach(), **arguments)


class Swinger:
    """Pushes every pendulum the way it swings, until it beats against its limit."""

    def predict(self, observations):
        return np.where(observations[:, 3:] < 0.0, -1.0, 1.0).astype(np.float32)


def test_the_policy_that_acts_is_what_is_measured():
    """Random actions stay near the middle; swinging beats against all three limits."""
    task = Pendulum(PendulumConfig(start=0.0, episode_seconds=1.5))
    idle = measure_capacities(task, num_worlds=4, episodes=1, margin=1.0)
    swung = measure_capacities(task, num_worlds=4, episodes=1, margin=1.0, act=Swinger().predict)
    assert (idle.constraints, swung.constraints) == (0, 3)


@pytest.mark.parametrize(
    ("actions", "named"),
    [
        (np.zeros(3, np.float32), r"shape \(4, 3\)"),
        (np.zeros((1, 3), np.float32), r"shape \(4, 3\)"),
        (np.full((4, 3), np.nan, np.float32), "not finite"),
    ],
)
def test_actions_that_measure_nothing_are_refused(actions, named):
    with pytest.raises(BadActionError, match=named):
        measure_capacities(Pendulum(), num_worlds=4, episodes=1, act=lambda observations: actions)
