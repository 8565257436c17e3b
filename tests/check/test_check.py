"""The vector checker finds every defect by name, and nothing in what is right."""

import functools

import gymnasium
import numpy as np
import pytest
from broken_envs import DEFECTS, TORCH_DEFECTS, Cart
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from proveout.envs.check import CHECKS, CheckError, check_vector_env

STEPS = 40


@functools.cache
def check(defect="", **arguments):
    make = functools.partial(Cart, defect=defect, **arguments)

    def factory(num_envs, workers=1):
        return make(num_envs=num_envs, workers=workers)

    return check_vector_env(factory, steps=STEPS, strict=True)


@pytest.mark.parametrize("arguments", [{}, {"array_type": "torch"}, {"object_final_obs": True}])
def test_the_correct_environment_has_no_finding(arguments):
    report = check(**arguments)
    assert report.findings == [], report.table()
    skipped = {"hooks"} | (set() if arguments.get("array_type") == "torch" else {"device"})
    assert report.skipped.keys() == skipped
    assert set(report.passed) == CHECKS.keys() - skipped
    assert report.ok
    report.raise_if_failed()


@pytest.mark.parametrize("defect", DEFECTS)
def test_every_defect_is_found_and_named(defect):
    name, word = DEFECTS[defect]
    report = check(defect)
    messages = [f.message for f in report.findings if f.check == name and f.severity == "error"]
    assert any(word in message for message in messages), report.table()
    assert not report.ok
    with pytest.raises(CheckError, match=name):
        report.raise_if_failed()


@pytest.mark.parametrize("defect", TORCH_DEFECTS)
def test_defects_of_torch_data(defect):
    name, word = TORCH_DEFECTS[defect]
    report = check(defect, array_type="torch")
    messages = [f.message for f in report.errors if f.check == name]
    assert any(word in message for message in messages), report.table()


# Defects that necessarily show in a second check as well.
ALSO = {
    "spaces_inconsistent": {"observation"},  # no data fits both spaces
    "obs_shape": {"final_obs"},
    "claims_same_step_does_next_step": {"autoreset"},
    "seed_random": {"seed_list"},
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_does_not_accuse_innocent_checks(defect):
    report = check(defect)
    accused = {finding.check for finding in report.findings}
    assert accused <= {DEFECTS[defect][0]} | ALSO.get(defect, set()), report.table()


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("task", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1"])
def test_gymnasium_sync_environments_pass(mode, task):
    def make(num_envs):
        envs = [lambda: gymnasium.make(task, max_episode_steps=40)] * num_envs
        return SyncVectorEnv(envs, autoreset_mode=mode)

    report = check_vector_env(make, steps=100)
    assert report.errors == [], report.table()
    assert "autoreset" not in report.skipped or task == "Pendulum-v1"
    assert ("final_obs" in report.skipped) == (mode is not AutoresetMode.SAME_STEP)


def test_gymnasium_vectorised_cart_pole_passes_with_a_warning():
    def make(num_envs):
        return gymnasium.make_vec("CartPole-v1", num_envs, "vector_entry_point")

    report = check_vector_env(make, steps=100)
    assert report.errors == [], report.table()
    # It draws for all worlds from one generator, so a world depends on how many there are.
    assert [finding.check for finding in report.warnings] == ["world_count"]


def test_gymnasium_async_environment_passes():
    env = AsyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2)
    try:
        report = check_vector_env(env, steps=50)
        assert report.errors == [], report.table()
    finally:
        env.close(terminate=True)


def test_mislabelled_gymnasium_environment_is_found():
    def make(num_envs):
        env = SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * num_envs)
        env.metadata["autoreset_mode"] = AutoresetMode.SAME_STEP
        return env

    report = check_vector_env(make)
    assert any("SAME_STEP" in f.message and f.check == "final_obs" for f in report.errors)


class _Pair(gymnasium.Env):
    """Dict observation and Tuple action, ends after ten steps."""

    observation_space = spaces.Dict(
        {"place": spaces.Box(-9.0, 9.0, (2,), np.float32), "gear": spaces.Discrete(40)}
    )
    action_space = spaces.Tuple((spaces.Discrete(3), spaces.Box(-1.0, 1.0, (), np.float32)))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.clock = 0
        self.place = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self._obs(), {}

    def step(self, action):
        self.clock += 1
        self.place = self.place + np.float32(0.1) * action[1]
        return self._obs(), float(action[0]) + 1.0, self.clock == 10, False, {"gear": self.clock}

    def _obs(self):
        return {"place": self.place.copy(), "gear": np.int64(self.clock)}


@pytest.mark.parametrize("mode", AutoresetMode)
def test_nested_spaces(mode):
    report = check_vector_env(
        lambda num_envs: SyncVectorEnv([_Pair] * num_envs, autoreset_mode=mode), steps=40
    )
    assert report.errors == [], report.table()
    assert "not one array" in report.skipped["bad_actions"]


def test_an_environment_instead_of_a_factory():
    env = Cart()
    report = check_vector_env(env, steps=STEPS, strict=True)
    assert report.findings == [], report.table()
    assert {"world_count", "workers", "step_before_reset", "close"} <= report.skipped.keys()
    assert not env.closed


def test_what_was_not_tried_is_said():
    report = check_vector_env(lambda: Cart(), steps=3)
    assert "no episode ended within 3 steps" in report.skipped["autoreset"]
    assert "no episode ended within 3 steps" in report.skipped["final_obs"]
    assert "num_envs" in report.skipped["world_count"]
    assert "workers" in report.skipped["workers"]
    table = report.table()
    assert all(f"skipped: {reason}" in table for reason in report.skipped.values())


def test_foreign_environments_are_warned_where_ours_fail():
    def make(num_envs):
        return Cart(num_envs, defect="action_shape_unchecked")

    report = check_vector_env(make, steps=STEPS)
    assert report.ok
    assert {finding.check for finding in report.warnings} == {"bad_actions"}


@pytest.mark.parametrize("make", [lambda: 3, lambda: 1 / 0])
def test_a_factory_that_makes_no_environment(make):
    report = check_vector_env(make)
    assert [finding.check for finding in report.errors] == ["construction"]
    assert report.passed == []


def test_steps_must_be_positive():
    with pytest.raises(ValueError, match="steps"):
        check_vector_env(Cart(), steps=0)
