"""What a page asks of running worlds, without a page."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from toy_tasks import Pendulum, PendulumConfig

from proveout.envs.core.errors import ConfigError, UnknownNameError
from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.training.evaluation.policy_source import PolicySource, load_policy
from proveout.training.tasks import VectorEnvSpec, make_vector_env
from proveout.training.view.session import AS_FAST_AS_IT_GOES, Session

ID = "proveout/Reach-v0"
WORLDS = 3


def make(num_envs: int = WORLDS, config=None):
    return make_vector_env(VectorEnvSpec(ID, config, num_envs=num_envs, device="cpu", workers=1))


@pytest.fixture(scope="module")
def env():
    made = make()
    yield made
    made.close()


@pytest.fixture
def session(env):
    return Session(env, load_policy(PolicySource("expert"), env), seed=4)


def test_a_typed_episode_is_the_one_that_any_batch_has(session) -> None:
    """World 1 takes the episode of world 17; here is the same one in an environment of its own."""
    session.advance()
    session.begin(1, 9, 17, 5)
    frame = session.frame()
    assert (frame.seed[1], frame.world_id[1], frame.episode[1]) == (9, 17, 5)
    alone = make(1)
    alone.reset(seed=9, options={"world_ids": np.array([17]), "episodes": np.array([5])})
    policy = load_policy(PolicySource("expert"), alone)
    (expected,) = alone.scene_pose([0])
    np.testing.assert_array_equal(frame.poses[1].qpos, expected.qpos)
    np.testing.assert_array_equal(frame.poses[1].mocap_pos, expected.mocap_pos)
    observation = alone._pool.read("observation").copy()
    for _ in range(10):
        session.advance()
        observation = alone.step(policy.predict(observation))[0]
    np.testing.assert_array_equal(session.frame().poses[1].qpos, alone.scene_pose([0])[0].qpos)
    alone.close()


def test_the_other_worlds_do_not_notice(session, env) -> None:
    other = make()
    twin = Session(other, load_policy(PolicySource("expert"), other), seed=4)
    session.restart(4)
    session.begin(1, 9, 17, 5)
    for _ in range(5):
        session.advance()
        twin.advance()
    for world in (0, 2):
        here, there = session.frame().poses[world], twin.frame().poses[world]
        np.testing.assert_array_equal(here.qpos, there.qpos)
    other.close()


def test_a_number_holds_from_the_next_episode_on(session, env) -> None:
    session.show([0, 2])
    session.set_number("max_increment", 0.05)
    assert np.allclose(env.config_rows()["max_increment"], 0.12)
    session.begin_now()
    assert np.allclose(env.config_rows()["max_increment"], [0.05, 0.12, 0.05])
    assert session.frame().episode.tolist() == [1, 1]
    session.restore_numbers()
    for _ in range(env.config.max_episode_steps):
        session.advance()
    assert np.allclose(env.config_rows()["max_increment"], 0.12)


def test_a_number_that_cannot_be_is_refused_and_changes_nothing(session, env) -> None:
    with pytest.raises(ConfigError, match="hold_seconds takes 201 control steps"):
        session.set_number("hold_seconds", 10.0)
    assert session.changed == {}
    session.begin_now()
    assert np.allclose(env.config_rows()["hold_seconds"], 0.25)


def test_ranges_of_sliders_hold_the_value_and_those_of_the_field(session) -> None:
    told = session.numbers
    assert (told["min_height"].low, told["min_height"].high) == (0.0, 0.3)
    assert 0.0 < told["max_increment"].low < 0.12 < told["max_increment"].high
    assert told["reward_weights.distance"].low < -0.05 < told["reward_weights.distance"].high
    assert told["max_increment"].unit == "rad"


def test_what_is_told_of_an_episode_adds_up_to_its_statistics(session, env) -> None:
    """Curves of the world that is asked: their sums are the reward and terms of the episode."""
    session.restart(4)
    for _ in range(env.config.max_episode_steps):
        session.advance()
    (ended,) = [e for e in session.ended if e.world == 0 and e.seed == 4 and e.episode == 0][-1:]
    table = session.trace.table
    assert len(table) == env.config.max_episode_steps
    assert table[:, 1].sum() == pytest.approx(ended.statistics["return"], rel=1e-5)
    weights = env.config.reward_weights
    for term, total in zip(session.trace.terms, session.trace.sums, strict=True):
        mean = ended.statistics[f"reward/{term}"] * getattr(weights, term)
        assert total == pytest.approx(mean * len(table), rel=1e-4, abs=1e-7)
    last = dict(zip(session.trace.kpis, table[-1, -len(session.trace.kpis) :], strict=True))
    assert last["final_distance"] == pytest.approx(ended.statistics["final_distance"])
    session.advance()
    assert len(session.trace.table) == 1


def test_an_ended_episode_is_replayed_bit_for_bit(session, env) -> None:
    session.restart(4)
    session.set_number("max_increment", 0.07)
    session.begin_now()
    first = []
    for _ in range(env.config.max_episode_steps):
        first.append(session.frame().poses[1].qpos)
        session.advance()
    ended = [e for e in session.ended if e.world == 1][-1]
    assert ended.config == {"max_increment": pytest.approx(0.07)}
    session.restore_numbers()
    session.policy = None
    session.replay(ended)
    assert session.focus == 1
    for pose in first:
        np.testing.assert_array_equal(session.frame().poses[1].qpos, pose)
        session.advance()
    assert np.allclose(env.config_rows()["max_increment"][1], 0.12)


def test_an_invalid_world_is_told_with_its_reason_and_its_start() -> None:
    worlds = WarpVectorEnv(Pendulum(PendulumConfig(constraints=2)), 4, device="cpu", workers=1)

    class Push:
        def predict(self, observation):
            return np.ones((len(observation), *worlds.single_action_space.shape), np.float32)

    session = Session(worlds, Push(), seed=1)
    session.show([0])
    for _ in range(200):
        session.advance()
    invalid = [e for e in session.ended if e.invalid]
    assert {e.invalid for e in invalid} == {"constraint list full"}
    assert {e.world for e in invalid} - {0}, "all invalid worlds are told, shown or not"
    told = invalid[-1]
    session.replay(told)
    frame = session.frame()
    assert frame.worlds == (told.world,)
    key = (int(frame.seed[0]), int(frame.world_id[0]), int(frame.episode[0]))
    assert key == (told.seed, told.world_id, told.episode)
    before = len(session.ended)
    for _ in range(len(told.actions)):
        session.advance()
    again = [e for e in list(session.ended)[-max(1, len(session.ended) - before) :] if e.invalid]
    assert (told.world, told.episode, told.seconds) in {
        (e.world, e.episode, e.seconds) for e in again
    }
    worlds.close()


def test_commands_of_other_threads_wait_for_their_turn(session) -> None:
    """And what cannot be done becomes a message."""
    session.paused = True
    threads = [
        threading.Thread(target=session.post, args=(lambda w=w: session.begin(w, 1, w, 2),))
        for w in range(WORLDS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.work() > 0.0
    assert session.frame().episode.tolist() == [2, 2, 2]
    assert session.message == ""
    session.post(lambda: session.look_at(3))
    session.work()
    assert session.message == "there is no world 3; they are numbered from 0 to 2"


def test_the_clock_of_a_session(session) -> None:
    session.speed = 1e-6
    session.work()
    steps = session.steps
    assert session.work() > 10.0
    assert session.steps == steps
    session.speed, session._due = AS_FAST_AS_IT_GOES, 0.0
    for _ in range(5):
        assert session.work() == 0.0
    assert session.steps == steps + 5


def test_another_level_of_randomisation_is_that_of_the_config() -> None:
    made = []

    def remake(config):
        made.append(make(2, config))
        return made[-1], None

    session = Session(*remake(None), seed=3, remake=remake)
    session.set_level("strong")
    assert session.generation == 1
    assert session.env.config.randomization.level == "strong"
    assert made[0].closed
    expected = make(2, session.env.config)
    expected.reset(seed=3)
    for here, there in zip(session.frame().poses, expected.scene_pose([0, 1]), strict=True):
        np.testing.assert_array_equal(here.qpos, there.qpos)
    with pytest.raises(UnknownNameError, match="unknown level 'wild'"):
        session.set_level("wild")
    session.close()
    expected.close()
