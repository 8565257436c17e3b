"""Worker processes: the same bits for every K, and no loss, hang or leftover that is not told."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import warp as wp
from toy_point import Point, PointConfig
from toy_tasks import Boxes

from proveout.envs.core import worker_pool
from proveout.envs.core.errors import ModelError, WorkerError
from proveout.envs.core.pool import default_workers
from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.envs.factory.reach import Reach

TESTS = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(os.name != "posix", reason="workers need POSIX")


def make(task, num_envs, count):
    return WarpVectorEnv(task, num_envs, device="cpu", workers=count)


def actions(size, worlds, steps):
    """The same for a world whatever the number of worlds."""
    return np.stack(
        [np.random.default_rng(w).uniform(-1, 1, (steps, size)).astype(np.float32) for w in worlds],
        axis=1,
    )


def roll(env, sequence, seed=3):
    obs, _ = env.reset(seed=seed)
    rows = [(obs, *[np.zeros(env.num_envs)] * 3)]
    rows += [env.step(action)[:4] for action in sequence]
    return [np.stack([row[i] for row in rows]) for i in range(4)]


def pids(env):
    """Worker 1 and those after it; worker 0 is this process."""
    return [link._process.pid for link in env._pool._links]


def alive(pid):
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(numbers, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(alive(pid) for pid in numbers):
        time.sleep(0.02)
    return [pid for pid in numbers if alive(pid)]


@pytest.fixture
def pair():
    """Two workers with two worlds each."""
    env = make(Point(), 4, 2)
    env.reset(seed=0)
    yield env
    env.close()


NOTHING = np.zeros((4, 3), np.float32)


@pytest.mark.parametrize("task", [Boxes, Reach])
def test_one_worker_equals_two_and_a_world_does_not_see_the_others(task):
    """64 worlds in one process, 9 in two (4 and 5): the bits of a world are the same."""
    steps = 100
    size = task().action_layout.size
    many = make(task(), 64, 1)
    expected = roll(many, actions(size, range(64), steps))
    many.close()
    few = make(task(), 9, 2)
    got = roll(few, actions(size, range(9), steps))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b[:, :9])
    assert expected[3].any(), "episodes must end for this to show anything"
    qpos = few.state_dict()["engine/qpos"]
    for world, pose in zip([8, 0, 5], few.scene_pose([8, 0, 5]), strict=True):
        np.testing.assert_array_equal(pose.qpos, qpos[world])
    if task is Boxes:
        assert few.contacts_per_world() > 0.0
    numbers = pids(few)
    assert all(alive(pid) for pid in numbers)
    few.close()
    assert wait_until_gone(numbers, 0.5) == []
    few.close()


ROLL_OUT = """
import hashlib, numpy as np
from proveout.envs import make_vector
env = make_vector("proveout/Reach-v0", 16, device="cpu", workers=1)
digest = hashlib.sha256()
digest.update(env.reset(seed=5)[0].tobytes())
random = np.random.default_rng(5)
ends = 0
for _ in range(200):
    out = env.step(random.uniform(-1, 1, env.action_space.shape).astype(np.float32))
    ends += int(out[3].sum())
    for array in out[:4]:
        digest.update(np.ascontiguousarray(array).tobytes())
print(digest.hexdigest(), ends)
"""


def test_two_processes_compute_the_same_bits():
    both = [
        subprocess.Popen([sys.executable, "-c", ROLL_OUT], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    first, second = (process.communicate(timeout=300)[0].split() for process in both)
    assert len(first[0]) == 64
    assert first == second
    assert first[1] == "48"  # 3 episodes of 60 steps each


def test_a_killed_worker_is_named_within_seconds(pair):
    numbers = pids(pair)
    os.kill(numbers[0], signal.SIGKILL)
    started = time.monotonic()
    with pytest.raises(WorkerError, match=rf"worker 1 \(pid {numbers[0]}\) died.*signal 9"):
        roll(pair, [NOTHING] * 3)
    assert time.monotonic() - started < 5.0
    assert wait_until_gone(numbers, 2.0) == []
    # Afterwards every call says so; none writes into pipes that are closed.
    for call in (
        lambda: pair.step(NOTHING),
        lambda: pair.reset(seed=0),
        pair.state_dict,
        lambda: pair.scene_pose([0]),
        pair.contacts_per_world,
    ):
        with pytest.raises(WorkerError, match="make a new one"):
            call()
    pair.close()


@pytest.mark.parametrize("size", [0, 400_000])
def test_a_worker_that_hangs_is_named(pair, monkeypatch, size):
    """Also when it does not read a call that is larger than a pipe's buffer."""
    monkeypatch.setattr(worker_pool, "STEP_TIMEOUT", 1.0)
    monkeypatch.setattr(worker_pool, "STEP_TIMEOUT_FACTOR", 0.0)
    numbers = pids(pair)
    calls = [{"repeats": 0}, {"repeats": np.zeros(size)}]
    os.kill(numbers[0], signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(WorkerError, match=rf"worker 1 \(pid {numbers[0]}\) has not answered"):
        pair._pool._call("bare_physics", calls)
    assert time.monotonic() - started < 6.0
    assert wait_until_gone(numbers, 2.0) == []


def test_an_interrupt_in_a_step_leaves_the_environment_usable(pair):
    """Whenever it comes, all workers have made the same number of steps."""
    reference = make(Point(), 4, 1)
    interrupts = 0
    for delay in np.linspace(0.0002, 0.004, 12):
        pair.reset(seed=1)
        expected, _ = reference.reset(seed=1)
        signal.setitimer(signal.ITIMER_REAL, delay)
        previous = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        try:
            for _ in range(200):
                pair.step(NOTHING)
        except KeyboardInterrupt:
            interrupts += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, previous)
        state = pair.state_dict()
        assert len(np.unique(state["exchange/elapsed"])) == 1
        assert len(np.unique(state["exchange/episode"])) == 1
        got, _ = pair.reset(seed=1)
        np.testing.assert_array_equal(got, expected)
    assert interrupts >= 10
    reference.close()


def test_an_error_in_a_worker_is_one_sentence_and_closes_everything():
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(ModelError, match=r"the model of toy/Point-v0 is broken") as error:
        make(Point(PointConfig(broken=True)), 4, 2)
    assert "Traceback" not in str(error.value)
    assert set(os.listdir("/proc/self/fd")) <= before


def test_a_task_that_workers_cannot_find():
    class Local(Point):
        pass

    with pytest.raises(WorkerError, match=r"top level of a file, or use workers=1"):
        make(Local(), 4, 2)
    make(Local(), 4, 1).close()


STEPPER = """
import json, sys
import numpy as np
sys.path.insert(0, {tests!r})
from proveout.envs.core.vector_env import WarpVectorEnv
from toy_point import Point
if __name__ == "__main__":
    env = WarpVectorEnv(Point(), 4, device="cpu", workers=2)
    env.reset(seed=0)
    print(json.dumps([link._process.pid for link in env._pool._links]), flush=True)
    while True:
        env.step(np.zeros((4, 3), np.float32))
"""


@contextlib.contextmanager
def stepping_process(tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    script = tmp_path / "stepper.py"
    script.write_text(STEPPER.format(tests=str(TESTS)))
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    try:
        numbers = json.loads(process.stdout.readline())
        assert all(alive(pid) for pid in numbers)
        time.sleep(0.3)
        yield process, numbers
        assert list(temporary.iterdir()) == []
    finally:
        process.kill()
        process.communicate()


def shared_memory():
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


def test_workers_end_with_a_killed_parent(tmp_path):
    before = shared_memory()
    with stepping_process(tmp_path) as (process, numbers):
        os.kill(process.pid, signal.SIGKILL)
        assert wait_until_gone(numbers, 2.0) == []
        process.wait(5.0)
        assert shared_memory() <= before


def test_ctrl_c_leaves_no_process(tmp_path):
    before = shared_memory()
    with stepping_process(tmp_path) as (process, numbers):
        os.killpg(process.pid, signal.SIGINT)
        process.wait(10.0)
        assert wait_until_gone(numbers, 2.0) == []
        assert shared_memory() <= before
        noise = process.stderr.read()
        # The parent's own traceback and nothing from its workers.
        assert noise.count("KeyboardInterrupt") == 1, noise


UNGUARDED = """
import sys
sys.path.insert(0, {tests!r})
from toy_point import Point as Base
from proveout.envs.core.vector_env import WarpVectorEnv
class Mine(Base):
    pass
env = WarpVectorEnv(Mine(), 4, device="cpu", workers={workers})
env.reset(seed=0)
print("made")
"""


def test_a_script_without_a_guard_is_told_and_does_not_multiply(tmp_path):
    if default_workers(4, wp.get_device("cpu")) < 2:
        pytest.skip("one core: no workers by default")
    script = tmp_path / "unguarded.py"
    script.write_text(UNGUARDED.format(tests=str(TESTS), workers=None))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "made" not in done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert "WorkerError" in last
    assert '`if __name__ == "__main__":`' in last


def test_a_guarded_script_may_define_its_own_task(tmp_path):
    script = tmp_path / "guarded.py"
    body = UNGUARDED.format(tests=str(TESTS), workers=2)
    head, tail = body.split("env = ")
    indented = "".join(f"    {line}\n" for line in ("env = " + tail).splitlines())
    script.write_text(head + 'if __name__ == "__main__":\n' + indented)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "made", done.stderr
