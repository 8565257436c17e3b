"""Commands reach the actuators and worlds that they are for, or the task is refused by name."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
import warp as wp

from proveout.assets.files.layout import Entry, Layout
from proveout.envs import make_task, task_class
from proveout.envs.core import registry
from proveout.envs.core.errors import ConfigError
from proveout.envs.core.hooks import Step
from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.envs.factory.arm import Arm
from proveout.envs.factory.reach import Reach

wp.set_module_options({"enable_backward": False})

GUIDE = Path(__file__).parents[2] / "docs" / "adding-a-task.md"
ID = "toy/PressAgain-v0"


@pytest.fixture(scope="module")
def press(tmp_path_factory):
    """The task of the guide, under another id."""
    code = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)[0]
    path = tmp_path_factory.mktemp("task") / "press_again.py"
    path.write_text(code.replace("acme/Press-v0", ID))
    registry.load_task_file(path)
    yield task_class(ID)
    del registry._TASKS[ID], gymnasium.registry[ID], sys.modules["proveout_task_press_again"]


def make(task, num_envs=4):
    return WarpVectorEnv(task, num_envs, device="cpu", workers=1)


def successes(task, num_envs=8):
    env = make(task, num_envs)
    env.reset(seed=0)
    for _ in range(60):
        *_, info = env.step(np.full((num_envs, 1), -1.0, np.float32))
    env.close()
    assert info["_episode_statistics"].all()
    return info["episode_statistics"]["success"]


def with_an_idle_joint(spec, *, driven):
    body = spec.worldbody.add_body(name="idle", pos=[1, 0, 1])
    body.add_joint(name="idle", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[1, 0, 0])
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.02, 0, 0], mass=0.1)
    if driven:
        spec.add_actuator(name="idle", target="idle", trntype=mujoco.mjtTrn.mjTRN_JOINT)
    return spec


def test_an_unused_joint_changes_nothing(press):
    class Unused(press):
        def spec(self, *, visual):
            return with_an_idle_joint(super().spec(visual=visual), driven=False)

    assert successes(Unused()).all()


def test_an_actuator_that_no_hook_commands_is_named(press):
    class Idle(press):
        def spec(self, *, visual):
            return with_an_idle_joint(super().spec(visual=visual), driven=True)

    message = r"neither `reset` nor `control` writes the command of 'idle'; .* has 2 columns"
    with pytest.raises(ConfigError, match=message):
        make(Idle())


def test_an_actuator_may_rest_from_the_reset_on(press):
    class Resting(press):
        def spec(self, *, visual):
            return with_an_idle_joint(super().spec(visual=visual), driven=True)

        @wp.func
        def reset(w: int, step: Step, arm: Arm, c: Any, s: Any):
            arm.qpos[w, 1] = 0.1
            step.command[w, 0] = 0.1
            step.command[w, 1] = 0.0

    assert successes(Resting()).all()


class TwoForSix(Reach):
    """Two numbers of an action move the first two of six joints."""

    id = "toy/TwoForSix-v0"

    def make_action_layout(self):
        return Layout((Entry("increment", (2,), "rad", "two", low=-1, high=1),))

    def control(self, sim):
        wp.launch(
            _two_kernel, dim=sim.num_worlds, inputs=[sim.action], outputs=[sim.command],
            device=sim.device,
        )  # fmt: skip


@wp.kernel
def _two_kernel(action: wp.array2d[float], command: wp.array2d[float]):
    worldid = wp.tid()
    for j in range(2):
        command[worldid, j] = command[worldid, j] + 0.1 * action[worldid, j]


def test_an_action_of_two_for_six_actuators():
    env = make(TwoForSix())
    env.reset(seed=1)
    before = env.state_dict()["core/command"]
    actions = np.array([[1, 0], [0, 1], [-1, 0.5], [0, 0]], np.float32)
    env.step(actions)
    after = env.state_dict()["core/command"]
    expected = np.zeros((4, 6), np.float32)
    expected[:, :2] = 0.1 * actions
    np.testing.assert_allclose(after - before, expected, atol=1e-6)
    np.testing.assert_array_equal(env.state_dict()["engine/ctrl"], after)
    env.close()


class Copying(TwoForSix):
    """Copies its action as if it were as wide as the command."""

    id = "toy/Copying-v0"

    def control(self, sim):
        wp.copy(sim.command, sim.action)


class Wider(Copying):
    id = "toy/Wider-v0"

    def make_action_layout(self):
        return Layout((Entry("increment", (7,), "rad", "seven", low=-1, high=1),))


def test_a_copy_between_rows_of_other_widths_is_refused():
    with pytest.raises(ConfigError, match=r"`control` copies an array of shape \(4, 2\) onto one"):
        make(Copying())
    with pytest.raises(ConfigError, match=r"`control` copies an array of shape \(4, 7\) onto one"):
        make(Wider())


class Failing(TwoForSix):
    id = "toy/Failing-v0"

    def control(self, sim):
        wp.launch(_two_kernel, dim=sim.num_worlds, inputs=[sim.success], outputs=[sim.command])


def test_a_launch_that_warp_refuses_is_told_with_its_line():
    with pytest.raises(ConfigError, match=r"`control` \(test_command.py, line \d+\) fails: "):
        make(Failing())


def test_an_episode_begins_without_a_command_of_the_last_one():
    env = make(TwoForSix())
    env.reset(seed=1)
    simulation = env._pool
    simulation.command.fill_(7.0)
    nobody = wp.zeros(4, dtype=wp.bool, device="cpu")
    simulation._kernels.start(nobody)
    assert (simulation.command.numpy() == 7.0).all()
    simulation._kernels.start(simulation._all)
    assert not simulation.command.numpy().any()
    env.close()


def test_the_default_task_of_each_engine_is_as_wide_as_its_commands():
    for env_id, width in (("proveout/Reach-v0", 6), ("proveout/Highway-v0", 2)):
        env = make(make_task(env_id))
        names = env._pool.engine.command_names
        assert len(names) == width == env._pool.command.shape[1]
        env.close()
