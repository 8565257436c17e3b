"""One thread at a time, in the process that made it, until it closes; else refused by name."""

import os
import sys
import threading

import gymnasium
import numpy as np
import pytest
import toy_point
from toy_tasks import Boxes

from proveout.envs import make_vector
from proveout.envs.core.errors import ClosedError, InUseError
from proveout.envs.core.vector_env import WarpVectorEnv

NOTHING = np.zeros((8, 2), np.float32)
HIGHWAY = "proveout/Highway-v0"


def make(workers=1, **kwargs):
    return make_vector(HIGHWAY, 8, device="cpu", workers=workers, max_episode_steps=40, **kwargs)


def in_a_fork(call):
    """Run `call` in a forked child; return what it returned, or the name of its error."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            told = str(call())
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        told = file.read().decode()
    os.waitpid(pid, 0)
    return told


@pytest.mark.parametrize("workers", [1, 2])
def test_a_forked_child_leaves_the_worlds_of_its_parent_alone(workers):
    env, reference = make(workers), make(workers=1)
    for one in (env, reference):
        one.reset(seed=0)
        one.step(NOTHING)
    told = in_a_fork(lambda: [env.step(NOTHING) for _ in range(5)] and "stepped")
    if workers == 1:
        assert told == "stepped"  # its own copy of them
    else:
        assert told.startswith("InUseError: this environment belongs to process")
    assert in_a_fork(env.close) == "None"
    for _ in range(3):
        np.testing.assert_array_equal(env.step(NOTHING)[0], reference.step(NOTHING)[0])
    assert (env.state_dict()["exchange/elapsed"] == 4).all()
    env.close()
    reference.close()


def test_a_forked_child_steps_what_it_made_itself():
    env = make()
    env.reset(seed=3)
    expected = env.step(NOTHING)[0]

    def child():
        own = make(workers=2)
        own.reset(seed=3)
        same = np.array_equal(own.step(NOTHING)[0], expected)
        own.close()
        return same

    assert in_a_fork(child) == "True"
    env.close()


def test_a_fork_while_another_thread_steps():
    """The child must not wait for a lock that a thread it does not have holds."""
    env, other = make(), make()
    env.reset(seed=0)
    other.reset(seed=0)
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            other.step(NOTHING)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(5):
            assert in_a_fork(lambda: env.step(NOTHING) and "stepped") == "stepped"
    finally:
        stop.set()
        thread.join()
    env.close()
    other.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_two_threads_in_one_environment(workers):
    """Each step is whole or refused: the clock counts those that were not."""
    env = make(workers)
    env.reset(seed=0)
    stepped, refused, odd = [], [], []

    def use():
        for _ in range(60):
            try:
                env.step(NOTHING)
                stepped.append(1)
            except InUseError as error:
                refused.append(str(error))
            except Exception as error:
                odd.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=use, name=f"user {i}") for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not odd
    assert refused, "three threads never met"
    assert "one thread at a time" in refused[0]
    assert "user " in refused[0]
    state = env.state_dict()
    assert (state["exchange/elapsed"] + 40 * state["exchange/episode"] == len(stepped)).all()
    env.close()


def test_environments_are_made_and_stepped_in_several_threads():
    """Also articulated ones with contacts, whose CPU kernels share scratch memory."""

    def roll(task):
        env = WarpVectorEnv(task, 4, device="cpu", workers=1)
        env.reset(seed=2)
        observations = [
            env.step(np.full(env.action_space.shape, 0.3, np.float32))[0] for _ in range(30)
        ]
        env.close()
        return np.stack(observations)

    tasks = [Boxes, toy_point.Point]
    expected = [roll(task()) for task in tasks]
    found, failed = [], []

    def work(kind):
        try:
            again = [roll(tasks[kind]()) for _ in range(3)]
            found.extend(np.array_equal(one, expected[kind]) for one in again)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(i % 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert found == [True] * 12


@pytest.mark.parametrize("workers", [1, 2])
def test_a_closed_environment_is_refused(workers):
    env = make(workers)
    env.reset(seed=0)
    state = env.state_dict()
    env.close()
    env.close()
    for use in (
        env.reset,
        lambda: env.step(NOTHING),
        env.state_dict,
        lambda: env.load_state_dict(state),
        lambda: env.scene_pose([0]),
        env.tensors,
    ):
        with pytest.raises(ClosedError, match="the environment is closed"):
            use()
    assert issubclass(ClosedError, gymnasium.error.ClosedEnvironmentError)
