"""What a config refuses, by the ranges that its fields declare."""

import dataclasses
from dataclasses import dataclass, field

import pytest

from proveout.envs import make_task
from proveout.envs.core.errors import ConfigError
from proveout.envs.core.task import RewardWeights, TaskConfig, quantity


@dataclass(frozen=True, kw_only=True)
class Weights(RewardWeights):
    speed: float = quantity(1.0, "s/m", "weight of the speed", high=2.0)


@dataclass(frozen=True, kw_only=True)
class Config(TaskConfig):
    tolerance: float = quantity(0.1, "m", "above nothing", above=0.0)
    cars: int = quantity(3, "1", "from 2 to 5", low=2, high=5)
    free: float = quantity(-7.0, "1", "any number")
    reward_weights: Weights = field(default_factory=Weights)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tolerance": -1.0}, "tolerance must be greater than 0 m, got -1.0"),
        ({"tolerance": 0}, "tolerance must be greater than 0 m, got 0"),
        ({"cars": 1}, "cars must be at least 2, got 1"),
        ({"cars": 6}, "cars must be at most 5, got 6"),
        ({"free": float("nan")}, "free must be a finite number"),
        ({"reward_weights": {"speed": 3.0}}, "speed must be at most 2 s/m"),
        ({"control_dt": 0.0}, "control_dt must be a positive time"),
    ],
)
def test_a_value_out_of_its_range_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        Config.from_dict(changes)


def test_the_ends_of_a_range_belong_to_it():
    for cars in (2, 5):
        assert dataclasses.replace(Config(), cars=cars).cars == cars


@pytest.mark.parametrize(
    ("env_id", "changes"),
    [
        ("proveout/Reach-v0", {"position_tolerance": -1.0}),
        ("proveout/Reach-v0", {"start_noise": 2.0}),
        ("proveout/Highway-v0", {"num_agents": 22}),
        ("proveout/Highway-v0", {"max_braking": 0.0}),
        ("proveout/Highway-v0", {"slowest": 26.0}),
    ],
)
def test_the_tasks_declare_their_ranges(env_id, changes):
    with pytest.raises(ConfigError):
        make_task(env_id, changes)


def test_swapped_arguments_of_quantity_are_told():
    with pytest.raises(ConfigError, match="unit and text are strings"):
        quantity("m", 0.5, "length")
