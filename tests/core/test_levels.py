"""Levels of randomisation, and groups of numbers."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import warp as wp
from test_functions import Counting, CountingConfig, CountingState, Places

from proveout.envs.core.errors import ConfigError, UnknownNameError
from proveout.envs.core.hooks import Step
from proveout.envs.core.number_groups import NumberGroup
from proveout.envs.core.randomize import Randomization
from proveout.envs.core.registry import make_task
from proveout.envs.core.task import RandomizationConfig, quantity
from proveout.envs.core.vector_env import WarpVectorEnv

OFFSET = Randomization(
    field="config.offset", operation="set", low=1.0, high=2.0, strong=(5.0, 7.0), unit="m"
)
WEIGHT = Randomization(field="config.reward_weights.place", low=0.5, high=1.5)


@dataclass(frozen=True, kw_only=True)
class LevelGroup(RandomizationConfig):
    offset: Randomization = OFFSET
    weight: Randomization = WEIGHT


@dataclass(frozen=True, kw_only=True)
class LevelConfig(CountingConfig):
    randomization: LevelGroup = field(default_factory=LevelGroup)


class Levels(Counting):
    """Counting with levels."""

    id = "toy/Levels-v0"
    config_class = LevelConfig


def drawn(**group):
    env = WarpVectorEnv(
        Levels(LevelConfig(randomization=LevelGroup(**group))), 64, device="cpu", workers=1
    )
    env.reset(seed=0)
    actions = np.zeros((64, 3), np.float32)
    done = np.zeros(64, bool)
    while not done.all():
        _, _, terminated, truncated, info = env.step(actions)
        done = terminated | truncated
    return {
        name.removeprefix("randomization/"): values
        for name, values in info["episode_statistics"].items()
        if name.startswith("randomization/")
    }


def test_a_level_decides_what_is_drawn():
    mild, strong = drawn(), drawn(level="strong")
    assert ((mild["offset"] >= 1.0) & (mild["offset"] <= 2.0)).all()
    assert ((strong["offset"] >= 5.0) & (strong["offset"] <= 7.0)).all()
    # Without a strong range of its own it stays.
    np.testing.assert_array_equal(mild["weight"], strong["weight"])
    assert drawn(level="off") == {}


def test_a_range_that_is_given_wins_over_the_level():
    own = Randomization(
        field="config.offset", operation="set", low=3.0, high=4.0, strong=(5.0, 7.0), unit="m"
    )
    given = drawn(level="strong", offset=own)
    assert ((given["offset"] >= 3.0) & (given["offset"] <= 4.0)).all()


def test_what_the_level_switches_off_is_refused_by_name():
    env = WarpVectorEnv(
        Levels(LevelConfig(randomization=LevelGroup(level="off"))), 2, device="cpu", workers=1
    )
    with pytest.raises(
        ConfigError, match=r"'offset' is switched off by config\.randomization\.level"
    ):
        env.reset(seed=0, options={"parameters": {"offset": 1.0}})


def test_levels_and_ranges_that_make_no_sense():
    with pytest.raises(UnknownNameError, match="'strong'"):
        LevelGroup(level="stronk")
    with pytest.raises(ConfigError, match="low <= high"):
        Randomization(field="x", strong=(2.0, 1.0))
    with pytest.raises(ConfigError, match="a lower and an upper end"):
        Randomization(field="x", strong=(2.0,))
    with pytest.raises(ConfigError, match="loguniform needs low > 0"):
        Randomization(field="x", distribution="loguniform", strong=(0.0, 1.0))


@pytest.mark.parametrize("env_id", ["proveout/Reach-v0", "proveout/PickPlace-v0"])
def test_every_range_of_a_shipped_task_widens(env_id):
    task = make_task(env_id)
    for name, r in task.config.randomization.ranges.items():
        assert r.strong, name
        assert r.strong[0] <= r.low <= r.high <= r.strong[1], name
        assert r.strong != (r.low, r.high), name


@dataclass(frozen=True, kw_only=True)
class Wear(NumberGroup):
    slack: float = quantity(0.5, "m", "of the thread", low=0.0, high=2.0)
    teeth: int = quantity(3, "1", "left", low=1, high=9)
    profile: str = quantity("new", "1", "name")


@dataclass(frozen=True, kw_only=True)
class WornConfig(CountingConfig):
    wear: Wear = field(default_factory=Wear)


class Worn(Counting):
    """Counting with a group of numbers, which it shows."""

    id = "toy/Worn-v0"
    config_class = WornConfig

    @wp.func
    def observe(
        w: int, step: Step, places: Places, c: Any, s: CountingState, obs: wp.array2d[float]
    ):
        obs[w, 0] = c.wear.slack
        obs[w, 1] = float(c.wear.teeth)
        obs[w, 2] = c.offset


def worn(count=4):
    return WarpVectorEnv(Worn(), count, device="cpu", workers=1)


def test_a_group_differs_from_world_to_world():
    env = worn()
    given = {"wear.slack": np.array([0.0, 0.5, 1.5, np.nan]), "wear.teeth": np.array([1, 2, 9, 4])}
    obs, _ = env.reset(seed=0, options={"config": {**given, "offset": 7.0}})
    expected = [[0.0, 1, 7], [0.5, 2, 7], [1.5, 9, 7], [0.5, 4, 7]]
    np.testing.assert_array_equal(obs, np.float32(expected))
    rows = env.config_rows()
    np.testing.assert_array_equal(rows["wear.slack"], [0.0, 0.5, 1.5, 0.5])
    assert "wear.profile" not in rows


def test_a_number_of_a_group_has_its_range_in_each_world():
    env = worn()
    with pytest.raises(ConfigError, match=r"world 2: slack must be at most 2 m, got 3\.0"):
        env.reset(seed=0, options={"config": {"wear.slack": np.array([0, 0, 3.0, 0])}})
    with pytest.raises(ConfigError, match="world 1: teeth must be a whole number"):
        env.reset(seed=0, options={"config": {"wear.teeth": np.array([1, 1.5, 3, 3])}})
    with pytest.raises(UnknownNameError, match=r"'wear\.slack'"):
        env.reset(seed=0, options={"config": {"wear.slak": 1.0}})
    with pytest.raises(ConfigError, match="wear cannot differ from world to world"):
        env.reset(seed=0, options={"config": {"wear": 1.0}})
