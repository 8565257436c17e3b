"""Numbers of a config that are drawn for every world and episode."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from test_functions import Counting, CountingConfig

from proveout.envs import make_vector
from proveout.envs.core.errors import ConfigError, UnknownNameError
from proveout.envs.core.randomize import Randomization
from proveout.envs.core.task import RandomizationConfig
from proveout.envs.core.vector_env import WarpVectorEnv

OFFSET = Randomization(field="config.offset", operation="set", low=1.0, high=2.0, unit="m")
STEPS = Randomization(field="config.step_size", operation="add", low=-1.0, high=3.0)
WEIGHT = Randomization(field="config.reward_weights.place", low=0.5, high=1.5)


@dataclass(frozen=True, kw_only=True)
class DrawnGroup(RandomizationConfig):
    offset: Randomization = OFFSET
    steps: Randomization = STEPS
    weight: Randomization = WEIGHT


@dataclass(frozen=True, kw_only=True)
class DrawnConfig(CountingConfig):
    randomization: DrawnGroup = field(default_factory=DrawnGroup)


class Drawn(Counting):
    """Counting with drawn numbers."""

    id = "toy/Drawn-v0"
    config_class = DrawnConfig


def make(num_envs=8, workers=1, **config):
    return WarpVectorEnv(Drawn(DrawnConfig(**config)), num_envs, device="cpu", workers=workers)


def roll(env, steps, action=0.0):
    """Observations of each step, its rewards, and the last statistics."""
    actions = np.full((env.num_envs, 3), action, np.float32)
    rows = [env.step(actions) for _ in range(steps)]
    return (
        np.stack([row[0] for row in rows]),
        np.stack([row[1] for row in rows]),
        rows[-1][4]["episode_statistics"],
    )


def test_what_is_drawn_is_what_the_functions_see_and_what_is_told():
    env = make()
    first, _ = env.reset(seed=4)
    length = env.task.max_episode_steps
    _, _, told = roll(env, length, 0.1)
    offset, steps = told["randomization/offset"], told["randomization/steps"]
    assert len(set(offset)) == 8
    assert (offset >= 1.0).all()
    assert (offset <= 2.0).all()
    np.testing.assert_array_equal(first[:, 0], offset)
    # Two, the config's, and what is drawn, rounded to a whole number.
    np.testing.assert_array_equal(told["count"], length * np.floor(2.0 + steps + 0.5))
    assert len(set(told["count"])) > 2
    np.testing.assert_allclose(
        told["return"], length * told["reward/place"] * told["randomization/weight"], rtol=1e-4
    )
    assert "offset" not in env.config_rows()
    assert "spread" in env.config_rows()
    env.close()


@pytest.mark.parametrize(("num_envs", "workers"), [(3, 1), (9, 2)])
def test_a_world_draws_the_same_whatever_is_beside_it(num_envs, workers):
    env, other = make(8), make(num_envs, workers)
    env.reset(seed=4)
    other.reset(seed=4)
    ours, theirs = roll(env, 50), roll(other, 50)  # over two ends of episodes
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        np.testing.assert_array_equal(a[:, :3], b[:, :3])
    env.close()
    other.close()


def test_drawn_numbers_are_saved_and_restored():
    env = make()
    env.reset(seed=4)
    state = env.state_dict()
    expected = roll(env, 30)
    env.reset(seed=5)
    env.load_state_dict(state)
    for a, b in zip(roll(env, 30)[:2], expected[:2], strict=True):
        np.testing.assert_array_equal(a, b)
    env.close()


def test_worlds_can_be_given_the_value_instead():
    env = make(4)
    values = [1.25, np.nan, 1.75, 9.0]
    first, _ = env.reset(seed=4, options={"parameters": {"offset": values}})
    np.testing.assert_array_equal(first[[0, 2, 3], 0], [1.25, 1.75, 9.0])
    assert 1.0 <= first[1, 0] <= 2.0
    with pytest.raises(ConfigError, match="offset is randomised here; give its worlds values by"):
        env.reset(options={"config": {"offset": 1.0}})
    with pytest.raises(ConfigError, match="config, world 2: step_size must be at least 1"):
        env.reset(options={"parameters": {"steps": [0, 0, -1.6, 0]}})
    env.close()


BAD = {
    "structural": ({"field": "config.width"}, ConfigError, "width shapes arrays"),
    "unknown": ({"field": "config.ofset"}, UnknownNameError, "did you mean 'offset'"),
    "of every task": ({"field": "config.decimation"}, ConfigError, "decimation shapes arrays"),
    "twice": ({"field": "config.step_size"}, ConfigError, "config.step_size is randomised twice"),
    "out of range": (
        {"field": "config.spread", "operation": "set", "low": -1.0},
        ConfigError,
        "spread must be at least 0 m, got -1",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_refused_when_worlds_are_made(name):
    changes, error, words = BAD[name]
    wrong = DrawnGroup(offset=Randomization(**{"low": 0.5, "high": 2.0, **changes}))
    with pytest.raises(error, match=words):
        make(randomization=wrong)


def test_a_value_that_a_draw_would_replace_is_refused():
    with pytest.raises(ConfigError, match=r"offset is drawn .* so that 0.75 would be ignored"):
        make(offset=0.75)
    off = DrawnGroup(offset=Randomization(field="config.offset", operation="set", enabled=False))
    env = make(offset=0.75, randomization=off)
    first, _ = env.reset(seed=4)
    np.testing.assert_array_equal(first[:, 0], 0.75)
    assert "randomization/offset" not in dict(env.statistics)
    env.close()


@dataclass(frozen=True, kw_only=True)
class GapGroup(RandomizationConfig):
    gap: Randomization = Randomization(
        field="config.gap", operation="set", low=25.0, high=50.0, unit="m"
    )
    slowest: Randomization = Randomization(field="config.slowest", low=0.9, high=1.1)


def test_fields_that_must_fit_each_other_are_checked_with_what_may_be_drawn():
    task = make_vector("proveout/Highway-v0", 1, device="cpu", workers=1)
    config_class = type(task.unwrapped.task.config)
    task.close()

    @dataclass(frozen=True, kw_only=True)
    class GapConfig(config_class):
        randomization: GapGroup = field(default_factory=GapGroup)

    class Gaps(type(task.unwrapped.task)):
        """Highway with drawn gaps."""

        id = "toy/Gaps-v0"
        config_class = GapConfig

    env = WarpVectorEnv(Gaps(GapConfig()), 4, device="cpu", workers=1)
    env.reset(seed=0)
    # 20 m/s, drawn up to 10 % higher, may be above 21 m/s, and is never above 22.5 m/s.
    with pytest.raises(ConfigError, match=r"world 1: GapConfig: slowest <= fastest"):
        env.reset(options={"config": {"fastest": [25.0, 21.0, 25.0, 25.0]}})
    env.reset(options={"config": {"fastest": [25.0, 22.5, 25.0, 25.0]}})
    env.close()
