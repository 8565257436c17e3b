"""What is refused is refused as a whole: a reset or a state that is not right changes nothing."""

import copy

import numpy as np
import pytest
from toy_tasks import Boxes, BoxesConfig, Pendulum, PendulumConfig, ToyWeights, switched_on

from proveout.envs import make_vector
from proveout.envs.core.errors import ConfigError, StateError
from proveout.envs.core.invalid import Invalid
from proveout.envs.core.vector_env import WarpVectorEnv

HIGHWAY, REACH = "proveout/Highway-v0", "proveout/Reach-v0"
WORLDS = 4


def make(env_id=HIGHWAY, workers=1, **config):
    return make_vector(env_id, WORLDS, config=config, device="cpu", workers=workers)


def same(a, b):
    return all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)


DAMPED = {"randomization": {"joint_damping": {"low": 0.5, "high": 2.0}}}

BAD_RESETS = {
    "episodes": {"seed": 7, "options": {"episodes": np.array([0, 0, 0, -1])}},
    "world_ids": {"seed": 7, "options": {"world_ids": np.full(4, 2**31)}},
    "fractions": {"seed": 7, "options": {"world_ids": np.full(4, 0.5)}},
    "ragged": {"seed": 7, "options": {"episodes": [1, [2], 3, 4]}},
    "mask": {"seed": 7, "options": {"reset_mask": [1, 0, 1, 0]}},
    "infinite": {"seed": 7, "options": {"parameters": {"joint_damping": np.inf}}},
    "too large": {"seed": 7, "options": {"parameters": {"joint_damping": 1e39}}},
    "text": {"seed": 7, "options": {"parameters": {"joint_damping": "much"}}},
    "text of a number": {"seed": 7, "options": {"parameters": {"joint_damping": "1.5"}}},
    "huge": {"seed": 7, "options": {"parameters": {"joint_damping": 10**400}}},
    "truth": {"seed": 7, "options": {"parameters": {"joint_damping": True}}},
    "complex": {"seed": 7, "options": {"parameters": {"joint_damping": np.ones(4) * 1j}}},
    "seed is true": {"seed": True},
    "shape": {"seed": 7, "options": {"parameters": {"joint_damping": [1.0, 2.0]}}},
    "negative": {"seed": 7, "options": {"parameters": {"joint_damping": -0.5}}},
    "one is negative": {"options": {"parameters": {"joint_damping": [1.0, 1.0, -1.0, 1.0]}}},
    "a list": {"options": {"parameters": [1, 2]}},
    "options": {"options": [1, 2]},
    "seeds": {"seed": [1, 2, 3, -4]},
}


@pytest.mark.parametrize(("name", "workers"), [*((n, 1) for n in BAD_RESETS), ("negative", 2)])
def test_a_refused_reset_changes_nothing(name, workers):
    env = make(REACH, workers, **DAMPED)
    env.reset(seed=1)
    before = env.state_dict()
    random = env.np_random_seed
    with pytest.raises(ConfigError):
        env.reset(**BAD_RESETS[name])
    assert same(before, env.state_dict())
    assert env.np_random_seed == random
    env.close()


def test_large_and_small_seeds_together():
    env = make()
    seeds = [2**63, 1, 2**64 - 1, 3]
    observations = env.reset(seed=seeds)[0]
    assert env.state_dict()["exchange/seed"].tolist() == seeds
    alone = env.reset(seed=2**64 - 1, options={"world_ids": [2, 0, 0, 0]})[0]
    np.testing.assert_array_equal(alone[0], observations[2])
    env.close()


def test_a_mass_by_override_keeps_its_sign():
    env = make(REACH, randomization={"link_mass": {"low": 0.5, "high": 2.0}})
    env.reset(seed=0)
    for value, words in ((-0.1, "turns the sign of"), (0.0, "leaves nothing of body_mass")):
        with pytest.raises(ConfigError, match=f"parameter link_mass: scale .* {words}"):
            env.reset(seed=0, options={"parameters": {"link_mass": value}})
    env.reset(seed=0, options={"parameters": {"link_mass": 0.01}})
    env.close()
    with pytest.raises(ConfigError, match="leaves nothing of body_mass"):
        make(REACH, randomization={"link_mass": {"low": 0.0, "high": 2.0}})


def test_a_randomisation_that_is_off_is_told_so():
    env = make(REACH)
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=r"'joint_damping' is switched off: its range, 1 to 1"):
        env.reset(options={"parameters": {"joint_damping": 2.0}})
    env.close()


def planted(state, name, index, value):
    changed = copy.deepcopy(state)
    changed[name][index] = value
    return changed


@pytest.mark.parametrize("workers", [1, 2])
def test_a_refused_state_changes_nothing(workers):
    env = make(workers=workers)
    env.reset(seed=1)
    before = env.state_dict()
    text = {**before, "engine/x": np.full(before["engine/x"].shape, "a")}
    for state, words in (
        (planted(before, "core/episode_return", 3, np.nan), "core/episode_return: world 3 is not"),
        (planted(before, "core/command", (2, 0), np.inf), "core/command: world 2 is not finite"),
        (planted(before, "task/shadow_v", (1, 0), np.nan), "task/shadow_v: world 1"),
        (planted(before, "engine/driver_parameters", (0, 3, 1), np.nan), "driver_parameters"),
        (planted(before, "engine/x", (3, 0), np.inf), "engine/x: world 3"),
        (text, "engine/x: float32 expected"),
        ({**before, "exchange/elapsed": np.full(4, np.nan)}, "elapsed: int32 expected"),
        ({**before, "exchange/seed": np.array([1.0, 2, 3, 4])}, "seed: uint64 expected"),
        ({**before, "exchange/seed": np.array([-1, 2, 3, 4])}, "seed: numbers from 0"),
        ({**before, "engine/x": before["engine/x"].astype(complex)}, "got complex128"),
        ({**before, "engine/x": np.full((4, 16), None)}, "got object"),
        ({**before, "engine/x": np.full((4, 16), 1e39)}, "engine/x: world 0"),
        ({**before, "engine/x": before["engine/x"][:3]}, "has 3 rows"),
        ({**before, "engine/x": np.float32(1.0)}, "has no rows"),
        ([1, 2], "is a mapping"),
        (planted(before, "exchange/elapsed", 2, 2**31 - 1), "elapsed: control steps from 0 to 400"),
        (planted(before, "exchange/elapsed", 2, -5), "elapsed: control steps from 0 to 400"),
        (planted(before, "core/episode_steps", 1, 2**31 - 1), "episode_steps: control steps"),
        (planted(before, "engine/lane", (1, 2), -(2**31)), "engine/lane: from 0 to 5 expected"),
        (planted(before, "engine/lane", (1, 2), 6), "engine/lane: from 0 to 5 expected"),
        (planted(before, "exchange/number_override", (1, 0), -5), "world 1: gap must be at least"),
        (planted(before, "exchange/number_override", (3, 0), np.inf), "world 3: gap must be"),
    ):
        with pytest.raises(StateError, match=words):
            env.load_state_dict(state)
        assert same(before, env.state_dict()), words
    env.load_state_dict(before)
    env.close()


def test_a_state_with_a_mass_that_no_reset_gives_is_refused():
    env = make(REACH, randomization={"link_mass": {"low": 0.5, "high": 2.0}})
    env.reset(seed=0, options={"parameters": {"link_mass": 0.4}, "config": {"min_height": 0.3}})
    state = env.state_dict()
    for value, words in ((-0.1, "turns the sign"), (0.0, "leaves nothing"), (np.inf, "finite")):
        with pytest.raises(StateError, match=f"parameter link_mass.*{words}"):
            env.load_state_dict(planted(state, "exchange/parameter_override", (2, 0), value))
    env.load_state_dict(state)
    env.close()


@pytest.mark.parametrize("env_id", [HIGHWAY, REACH])
def test_every_state_of_a_run_can_be_restored(env_id):
    env = make(env_id, episode_seconds=1.0)
    env.reset(seed=0)
    random = np.random.default_rng(0)
    for _ in range(30):
        env.step(random.uniform(-1, 1, env.action_space.shape).astype(np.float32))
        env.load_state_dict(env.state_dict())
    env.close()


def test_a_car_beyond_all_bounds_is_invalid():
    env = make()
    env.reset(seed=1)
    env.load_state_dict(planted(env.state_dict(), "engine/x", (2, 5), 1e30))
    info = env.step(np.zeros((WORLDS, 2), np.float32))[4]
    assert info["invalid_reason"].tolist() == [0, 0, Invalid.NON_FINITE_STATE, 0]
    env.close()


def test_a_return_that_overflows_is_never_counted():
    """Each reward is finite, their sum is not."""
    config = PendulumConfig(reward_weights=ToyWeights(value=3e38, square=0.0))
    env = WarpVectorEnv(Pendulum(config), WORLDS, device="cpu", workers=1)
    env.reset(seed=0)
    reasons, told = set(), []
    for _ in range(200):
        *_, info = env.step(np.ones(env.action_space.shape, np.float32))
        reasons |= set(info["invalid_reason"].tolist())
        told.append(info["episode_statistics"]["return"][info["_episode_statistics"]])
    env.close()
    assert Invalid.NON_FINITE_REWARD in reasons
    assert np.isfinite(np.concatenate(told)).all()


def test_a_first_observation_that_overflows_is_held_back_and_told():
    """Noise near the end of float32: some observations overflow."""
    noisy = switched_on(PendulumConfig, noise={"low": 3e38, "high": 3e38})
    env = WarpVectorEnv(Pendulum(noisy), 64, device="cpu", workers=1)
    observations, _ = env.reset(seed=0)
    assert np.isfinite(observations).all()
    started = env.state_dict()["core/bad_start"] != 0
    assert started.any()
    observations, *_, info = env.step(np.zeros(env.action_space.shape, np.float32))
    assert (info["invalid_reason"][started] == Invalid.NON_FINITE_REWARD).all()
    assert np.isfinite(observations).all()
    env.close()


def test_capacities_are_whole_numbers_from_zero():
    from proveout.envs.factory.engine import Capacities

    assert Capacities(contacts=np.int64(3), constraints=7.0).constraints == 7
    for contacts in (-3, 2.5, "9", True, np.nan):
        with pytest.raises(ConfigError, match="capacities: contacts"):
            Capacities(contacts=contacts, constraints=1)


def test_a_latency_that_cannot_be_remembered_is_refused():
    latency = {"low": 0.0, "high": 1e6}
    with pytest.raises(ConfigError, match=r"latency of 1e\+06 s is 20000000 control steps"):
        make(REACH, randomization={"latency": latency})


def test_more_worlds_than_memory():
    for num, words in ((10**9, "need more than"), (10**11, "num_envs must be at most")):
        with pytest.raises(ConfigError, match=words):
            make_vector(HIGHWAY, num, device="cpu", workers=1)


def test_the_same_saved_state_of_boxes_goes_on(tmp_path):
    """A state that went through a file is restored."""
    env = WarpVectorEnv(Boxes(BoxesConfig()), 4, device="cpu", workers=1)
    env.reset(seed=0)
    np.savez(tmp_path / "state.npz", **env.state_dict())
    with np.load(tmp_path / "state.npz") as state:
        env.load_state_dict(dict(state))
    env.close()
