"""Randomised numbers of road worlds against closed forms."""

import dataclasses

import numpy as np
import pytest
from test_highway import road_worlds

from proveout.envs.core.errors import ConfigError, ModelError, UnknownNameError
from proveout.envs.core.randomize import Randomization
from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.envs.driving.highway import Highway, HighwayConfig
from proveout.envs.driving.task import RoadRandomization

GRAVITY = 9.81


def highway(num_envs, randomization, workers=1, task=Highway, **changes):
    config = HighwayConfig(randomization=randomization, **changes)
    return WarpVectorEnv(task(config), num_envs, device="cpu", workers=workers)


def one(**declared):
    """A group whose `friction` is any randomisation at all."""
    return dataclasses.replace(RoadRandomization(), friction=Randomization(**declared))


def everything(**wide):
    """The declared group with some ranges, all from 0.8 to 1.2 by default."""
    group = RoadRandomization()
    names = [f.name for f in dataclasses.fields(group) if f.name not in ("level", "latency")]
    wide = wide or dict.fromkeys(names, (0.8, 1.2))
    return dataclasses.replace(
        group,
        **{
            name: dataclasses.replace(getattr(group, name), low=low, high=high)
            for name, (low, high) in wide.items()
        },
    )


def braking_distances(env, options):
    """Speed at the start and distance to rest [m], of the worlds whose learner drives alone on a
    straight road."""
    env.reset(seed=2, options=options)
    state = env.state_dict()
    lane, start = state["engine/lane"], state["engine/s"][:, 0].astype(float)
    speed = state["engine/velocity"][:, 0].astype(float)
    good = (lane[:, 0] < 3) & (lane[:, 0] != lane[:, 1])
    action = np.tile(np.array([-1.0, 0.0], np.float32), (env.num_envs, 1))
    for _ in range(180):
        ended = env.step(action)[2]
        assert not ended[good].any()
    state = env.state_dict()
    np.testing.assert_allclose(state["engine/velocity"][good, 0], 0.0, atol=1e-6)
    return speed, state["engine/s"][:, 0] - start, good


@pytest.mark.parametrize(
    ("name", "values", "limit"),
    [
        ("friction", (0.25, 0.5, 1.0), GRAVITY),
        ("acceleration", (0.2, 0.4, 0.8), 11.5),
        # As the tyres hold less than the brakes give.
        ("acceleration", (0.86, 0.95, 1.0), None),
    ],
)
def test_braking_distance_is_speed_squared_over_twice_the_limit(name, values, limit):
    env = highway(48, everything(**{name: (0.1, 1.0)}), num_agents=2, max_braking=12.0)
    given = np.tile(values, 16).astype(np.float32)
    speed, distance, good = braking_distances(env, {"parameters": {name: given}})
    for value in values:
        chosen = good & (given == np.float32(value))
        assert chosen.any()
        deceleration = GRAVITY if limit is None else limit * value
        # A step at constant deceleration is exact, but for the one that comes to rest.
        np.testing.assert_allclose(
            distance[chosen], speed[chosen] ** 2 / (2.0 * deceleration), rtol=5e-3
        )
    env.close()


def test_a_drawn_time_headway_shows_in_the_equilibrium_gap():
    env = highway(
        12, everything(traffic_headway=(0.5, 2.0)), num_agents=8, slowest=10.0,
        fastest=10.0, episode_seconds=300.0,
    )  # fmt: skip
    env.reset(seed=1)
    start = env.state_dict()
    # A learner that does not steer stays on the straight road only.
    straight = np.flatnonzero(start["engine/lane"][:, 0] < 3)
    drawn = start["core/drawn"][straight, 0].astype(float)
    assert len(np.unique(drawn)) == len(straight) > 3
    action = np.zeros((12, 2), np.float32)
    for step in range(2000):
        action[:, 0] = -0.5 if step < 15 else 0.0  # from about 9.5 m/s to 5 m/s
        assert not env.step(action)[2][straight].any()
    engine, state = road_worlds(env), env.state_dict()
    follower = engine.follower.numpy()[straight, 0, 0]
    assert (follower > 0).all()
    gap = engine.leader_gap.numpy()[straight, follower, 0]
    v = state["engine/velocity"][straight, 0].astype(float)
    expected = (2.0 + v * 1.2 * drawn) / np.sqrt(1.0 - (v / 10.0) ** 4)
    np.testing.assert_allclose(gap, expected, rtol=0.01)
    env.close()


def test_a_longer_wheelbase_turns_less():
    """Yaw rate is speed times tan(steering) / wheelbase, with the same angle in both worlds."""
    env = highway(2, one(field="vehicle_wheelbase", low=0.5, high=2.0), max_steering=0.01)
    env.reset(
        seed=0, options={"parameters": {"friction": np.array([1.0, 2.0])}, "world_ids": [5, 5]}
    )
    start = env.state_dict()
    np.testing.assert_array_equal(start["engine/heading"][0], start["engine/heading"][1])
    for _ in range(3):
        env.step(np.tile(np.array([0.0, 0.2], np.float32), (2, 1)))
    steering = env.state_dict()["engine/steering"][:, 0]
    turned = env.state_dict()["engine/heading"][:, 0] - start["engine/heading"][:, 0]
    assert steering[0] == steering[1] != 0.0
    assert turned[0] / turned[1] == pytest.approx(2.0, rel=1e-3)
    env.close()


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"operation": "scale", "low": 0.5, "high": 0.5}, lambda task: 0.5 * task),
        ({"operation": "add", "low": 0.3, "high": 0.3}, lambda task: task + 0.3),
        ({"operation": "set", "low": 2.5, "high": 2.5}, lambda task: 2.5),
    ],
)
def test_the_number_changes_what_the_task_writes_in_every_episode(declared, expected):
    env = highway(4, one(field="driver_time_headway", target="driver_[12]", **declared),
                  episode_seconds=1.0)  # fmt: skip
    env.reset(seed=0)
    names = list(road_worlds(env).drivers.parameters.dtype.vars)
    for _ in range(3):
        headway = env.state_dict()["engine/driver_parameters"][..., names.index("time_headway")]
        np.testing.assert_allclose(headway[:, 1:3], expected(1.2), rtol=1e-6)
        np.testing.assert_allclose(headway[:, [0, *range(3, 16)]], 1.2, rtol=1e-6)
        for _ in range(10):
            env.step(np.zeros((4, 2), np.float32))
    env.close()


def test_neutral_numbers_leave_every_bit():
    plain, scaled = highway(3, RoadRandomization()), highway(3, everything())
    names = [name for name, _ in scaled.task.randomizations]
    first = plain.reset(seed=3)[0]
    second = scaled.reset(seed=3, options={"parameters": dict.fromkeys(names, 1.0)})[0]
    np.testing.assert_array_equal(first, second)
    for action in actions(3):
        for a, b in zip(plain.step(action)[:4], scaled.step(action)[:4], strict=True):
            np.testing.assert_array_equal(a, b)
    plain.close()
    scaled.close()


def actions(num_envs, steps=40):
    draw = np.random.default_rng(0)
    return draw.uniform(-1, 1, (steps, 8, 2)).astype(np.float32)[:, :num_envs]


def test_the_same_bits_for_every_number_of_worlds_and_workers():
    envs = [highway(8, everything()), highway(3, everything()), highway(8, everything(), 2)]
    rows = []
    for env in envs:
        observation, _ = env.reset(seed=3)
        told = [observation]
        for action in actions(env.num_envs):
            told += env.step(action)[:4]
        rows.append(told)
        env.close()
    for many, few, split in zip(*rows, strict=True):
        np.testing.assert_array_equal(many[:3], few)
        np.testing.assert_array_equal(many, split)


def test_a_restored_state_goes_on_with_its_numbers():
    env = highway(4, everything())
    env.reset(seed=3)
    for action in actions(4, 10):
        env.step(action)
    saved = env.state_dict()
    expected = [env.step(action)[0] for action in actions(4)]
    other = highway(4, everything())
    other.reset(seed=9)
    other.load_state_dict(saved)
    for action, rows in zip(actions(4), expected, strict=True):
        np.testing.assert_array_equal(other.step(action)[0], rows)
    env.close()
    other.close()


def test_drawn_numbers_are_in_the_statistics():
    env = highway(3, everything(friction=(0.5, 0.9)), episode_seconds=0.5)
    assert ("randomization/friction", "1") in env.statistics
    env.reset(seed=0, options={"parameters": {"friction": np.array([0.6, np.nan, 0.7])}})
    drawn = env.state_dict()["core/drawn"][:, 0]
    for _ in range(5):
        info = env.step(np.zeros((3, 2), np.float32))[4]
    told = info["episode_statistics"]["randomization/friction"]
    np.testing.assert_array_equal(told, drawn)
    np.testing.assert_allclose(told[[0, 2]], [0.6, 0.7], rtol=1e-6)
    assert 0.5 <= told[1] <= 0.9
    env.close()


@pytest.mark.parametrize(
    ("declared", "error", "message"),
    [
        ({"field": "driver_time_headwa"}, UnknownNameError, "did you mean 'driver_time_headway'"),
        ({"field": "body_mass"}, UnknownNameError, "body_mass"),
        ({"field": "friction", "target": "driver"}, ModelError,
         "'driver' matches none of: learner, driver_1, driver_2"),
        ({"field": "friction", "target": "("}, ModelError, "no expression"),
        ({"field": "friction", "low": -0.5}, ConfigError, "turns the sign of friction"),
        ({"field": "friction", "low": 0.0}, ConfigError, "leaves nothing of friction"),
        ({"field": "vehicle_wheelbase", "operation": "add", "low": -3.0}, ConfigError, "the sign"),
        ({"field": "driver_max_acceleration", "operation": "set", "low": 0.0}, ConfigError,
         "leaves nothing"),
        ({"field": "driver_time_headway", "operation": "add", "low": -0.1}, ConfigError,
         "which the task writes itself; use scale or set"),
    ],
)  # fmt: skip
def test_bad_declarations_are_refused(declared, error, message):
    with pytest.raises(error, match=message):
        highway(2, one(**{"high": 1.5, **declared}))


def test_bad_numbers_are_refused_and_nothing_changes():
    env = highway(2, everything())
    env.reset(seed=0)
    before = env.state_dict()
    for name, value in (("friction", 0.0), ("traffic_headway", -1.0), ("wheelbase", np.inf)):
        with pytest.raises(ConfigError, match=name):
            env.reset(options={"parameters": {name: value}})
    for name, array in env.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    env.close()


def test_a_vehicle_without_a_limit_of_friction_has_none_to_change():
    class Boundless(Highway):
        vehicle = dataclasses.replace(Highway.vehicle, friction=np.inf)

    with pytest.raises(ModelError, match="no limit of friction"):
        highway(2, one(field="friction", high=1.5), task=Boundless)


def test_bodies_have_the_size_of_their_world():
    env = highway(2, one(field="body_length", operation="scale", low=0.5, high=2.0))
    env.reset(seed=2, options={"parameters": {"friction": [1.0, 2.0]}})
    worlds = road_worlds(env)
    bodies = worlds.bodies.numpy()
    np.testing.assert_allclose(bodies["length"][:, 0], [4.508, 9.016], rtol=1e-6)
    np.testing.assert_allclose(bodies["rear_axle_to_centre"][:, 0], [1.4227171, 2.8454342])
    np.testing.assert_allclose(bodies["width"], 1.61)
    leader, gap, s = worlds.leader.numpy(), worlds.leader_gap.numpy(), worlds.agents.s.numpy()
    lane = worlds.agents.lane.numpy()
    for w, length in enumerate((4.508, 9.016)):
        agents = np.nonzero(leader[w, :, 0] >= 0)[0]
        ahead = leader[w, agents, 0]
        assert (lane[w, agents] == lane[w, ahead]).all()
        expected = s[w, ahead] - s[w, agents] - length
        np.testing.assert_allclose(gap[w, agents, 0], expected, atol=1e-3)
    env.close()
