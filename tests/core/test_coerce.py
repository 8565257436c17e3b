"""A config holds what its fields declare, whatever it was filled with; else it is refused."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from proveout.assets.files.errors import ProveoutError
from proveout.envs import make_task
from proveout.envs.core.errors import ConfigError, UnknownNameError
from proveout.envs.core.randomize import Randomization
from proveout.envs.core.task import RewardWeights, TaskConfig, quantity
from proveout.envs.driving.highway import HighwayConfig
from proveout.envs.factory.reach import ReachConfig


@dataclass(frozen=True, kw_only=True)
class Weights(RewardWeights):
    speed: float = quantity(1.0, "s/m", "weight of the speed", high=2.0)


@dataclass(frozen=True, kw_only=True)
class Config(TaskConfig):
    length: float = quantity(0.1, "m", "a number", above=0.0)
    count: int = quantity(3, "1", "a whole number", low=2, high=5)
    shown: bool = quantity(True, "1", "a truth value")
    name: str = quantity("a", "1", "text")
    kind: Literal["slow", "fast"] = quantity("slow", "1", "one of two")
    maybe: float | None = quantity(None, "m", "a number or none")
    corners: tuple[float, float] = quantity((0.0, 1.0), "m", "two numbers")
    many: tuple[int, ...] = quantity((1, 2, 3), "1", "any number of them")
    reward_weights: Weights = field(default_factory=Weights)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("length", np.float32(0.5), 0.5),
        ("length", np.array(2.0), 2.0),
        ("length", 1, 1.0),
        ("length", np.int64(3), 3.0),
        ("count", 4.0, 4),
        ("count", np.int16(5), 5),
        ("count", np.float64(2.0), 2),
        ("shown", np.bool_(False), False),
        ("maybe", np.float64(1.5), 1.5),
        ("maybe", None, None),
        ("corners", [1, np.float32(2)], (1.0, 2.0)),
        ("corners", np.array([0.5, 1.5]), (0.5, 1.5)),
        ("many", [4, 5.0], (4, 5)),
        ("reward_weights", {"speed": np.float64(0.5)}, Weights(speed=0.5)),
        ("decimation", 2.0, 2),
    ],
)
def test_what_is_meant_is_taken(name, value, expected):
    for config in (Config(**{name: value}), Config.from_dict({name: value})):
        found = getattr(config, name)
        assert found == expected
        assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("length", "0.5", r"length must be a number \[m\], got '0.5'"),
        ("length", True, "length must be a number"),
        ("length", None, "length must be a number"),
        ("length", [0.1, 0.2], "length must be a number"),
        ("length", np.array([0.1, 0.2]), "length must be a number"),
        ("length", 1j, "length must be a number"),
        ("length", np.float32("nan"), "length must be a finite number"),
        ("length", -np.float16(1), "length must be greater than 0 m"),
        ("length", 10**400, "length must be a finite number"),
        ("length", 1e39, r"length must be at most 3.403e\+38 in size"),
        ("length", 1e-60, "length must be greater than 0 m"),
        ("count", 2.5, "count must be a whole number, got 2.5"),
        ("count", "4", "count must be a whole number, got '4'"),
        ("count", True, "count must be a whole number"),
        ("count", math.nan, "count must be a whole number"),
        ("count", math.inf, "count must be a whole number"),
        ("count", np.int64(6), "count must be at most 5"),
        ("shown", 1, "shown must be True or False"),
        ("name", 5, "name must be text"),
        ("kind", 5, "kind must be one of slow, fast"),
        ("maybe", "x", "maybe must be a number"),
        ("corners", (1.0, 2.0, 3.0), "corners must be a list of 2"),
        ("corners", (1.0, math.inf), r"corners\[1\] must be a finite number"),
        ("corners", 5, "corners must be a list"),
        ("many", (1, 10**12), r"many\[1\] must be at most 2147483647"),
        ("reward_weights", 5, "reward_weights must be a Weights, or a mapping"),
        ("reward_weights", {"speed": "x"}, "speed must be a number"),
        ("reward_weights", {"speed": np.float32(3)}, "speed must be at most 2 s/m"),
        ("decimation", 10**7, "decimation must be from 1 to 1000"),
        ("episode_seconds", 3e8, r"make 6e\+09 control steps"),
        ("episode_seconds", 1e308, "episode_seconds must be at most 3.403e"),
        ("control_dt", 1e-10, r"make 5e\+10 control steps"),
    ],
)
def test_what_cannot_be_meant_is_refused(name, value, words):
    for make in (Config, lambda **kwargs: Config.from_dict(kwargs)):
        with pytest.raises(ConfigError, match=words):
            make(**{name: value})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"kind": "fest"}, "did you mean 'fast'"),
        ({1: 2}, "unknown Config field '1'"),
        ({"reward_weights": {"spead": 1.0}}, "did you mean 'speed'"),
    ],
)
def test_unknown_names(data, words):
    with pytest.raises(UnknownNameError, match=words):
        Config.from_dict(data)


def test_a_long_value_does_not_fill_the_screen():
    with pytest.raises(ConfigError) as caught:
        Config(length="9" * 5000)
    assert len(str(caught.value)) < 200


def test_a_config_that_forgets_its_base_is_checked_by_its_task():
    from toy_point import Point, PointConfig

    @dataclass(frozen=True, kw_only=True)
    class Careless(PointConfig):
        size: float = quantity(1.0, "m", "a size", above=0.0)

        def __post_init__(self) -> None:
            pass

    class Careful(Point):
        config_class = Careless

    with pytest.raises(ConfigError, match="size must be greater than 0"):
        Careful(Careless(size=-1.0))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"low": "a"}, "low must be a number"),
        ({"high": np.float32("inf")}, "high must be a finite number"),
        ({"target": 5}, "target must be text"),
        ({"low": 2.0, "high": 1.0}, "low <= high"),
    ],
)
def test_a_randomisation_is_coerced_too(fields, words):
    with pytest.raises(ConfigError, match=words):
        ReachConfig.from_dict({"randomization": {"link_mass": fields}})
    with pytest.raises(ConfigError, match="link_mass must be a Randomization"):
        ReachConfig.from_dict({"randomization": {"link_mass": 7}})
    assert Randomization(field="body_mass", low=np.float32(0.5)).low == 0.5


# What programs, files and people put where a number is expected.
NUMBERS = st.one_of(
    st.floats(),
    st.integers(),
    st.integers(-3, 40),
    st.floats(0.01, 50.0),
    st.sampled_from([0, -1, 1e-300, 1e39, 1e308, 2**31, 2**63, 10**400, math.nan, math.inf]),
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=5),
    st.binary(max_size=3),
    st.lists(NUMBERS, max_size=3),
    st.dictionaries(st.text(max_size=4), NUMBERS, max_size=2),
    st.complex_numbers(),
)
SCALARS = st.one_of(
    NUMBERS,
    st.floats(width=32).map(np.float32),
    st.floats(width=16).map(np.float16),
    st.integers(-(2**31), 2**31 - 1).map(np.int64),
    st.integers(0, 255).map(np.uint8),
    st.booleans().map(np.bool_),
    NUMBERS.map(lambda n: np.array(n, dtype=object)),
    ODD,
)


def fields_of(config_class):
    names = [f.name for f in dataclasses.fields(config_class)]
    values = st.one_of(SCALARS, SCALARS, st.dictionaries(st.sampled_from([*names, "low"]), SCALARS))
    return st.dictionaries(st.sampled_from([*names, "unknown"]), values, min_size=1, max_size=4)


def assert_sound(config):
    """Every number is what kernels compute with: finite in float32, or in int32."""
    for one in dataclasses.fields(config):
        value = getattr(config, one.name)
        for each in value if type(value) is tuple else (value,):
            if dataclasses.is_dataclass(each):
                assert_sound(each)
            elif type(each) is float:
                assert np.isfinite(np.float32(each))
            elif type(each) is int:
                assert -(2**31) <= each < 2**31
            else:
                assert type(each) in (bool, str)


def _fuzz(env_id, config_class, data):
    try:
        config = config_class.from_dict(data)
        make_task(env_id, config)
    except ProveoutError:
        return
    assert_sound(config)
    assert 1 <= config.max_episode_steps < 2**31
    assert config_class.from_dict(config.to_dict()) == config


@seed(0)
@settings(max_examples=5000, deadline=None, database=None)
@given(fields_of(HighwayConfig))
def test_any_values_in_a_config_of_a_road_task(data):
    _fuzz("proveout/Highway-v0", HighwayConfig, data)


@seed(1)
@settings(max_examples=5000, deadline=None, database=None)
@given(fields_of(ReachConfig))
def test_any_values_in_a_config_of_an_arm(data):
    _fuzz("proveout/Reach-v0", ReachConfig, data)


@pytest.mark.slow
@settings(max_examples=60_000, deadline=None, database=None)
@given(fields_of(ReachConfig))
def test_any_values_for_longer(data):
    _fuzz("proveout/Reach-v0", ReachConfig, data)
