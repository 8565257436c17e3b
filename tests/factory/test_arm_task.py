"""Reach with arms that its file does not know."""

import os
from pathlib import Path

import numpy as np
import pytest

from proveout.envs import make_task, make_vector
from proveout.envs.core.errors import ModelError, UnknownNameError

ROBOTS = Path(os.environ.get("PROVEOUT_DATA") or "nowhere") / "robots"
PANDA = ROBOTS / "panda_description" / "urdf" / "panda.urdf"
ARM = """
<mujoco model="two">
  <option integrator="implicitfast"/>
  <worldbody>
    {base}
    <body pos="0 0 0.3"><joint name="one" axis="0 1 0" range="-1 1" limited="true"/>
      <geom type="capsule" fromto="0 0 0 0 0 0.3" size="0.02" mass="1"/>
      <body pos="0 0 0.3"><joint name="two" axis="0 1 0"/>
        <geom type="capsule" fromto="0 0 0 0 0 0.2" size="0.02" mass="0.5"/>
        <site name="tcp" pos="0 0 0.2"/></body></body>
  </worldbody>
  <actuator>{actuators}</actuator>
</mujoco>"""
SERVOS = (
    '<position name="one" joint="one" kp="200" kv="20"/>'
    '<position name="two" joint="two" kp="100" kv="8"/>'
)


def arm(folder, base="", actuators=SERVOS):
    path = folder / "two.xml"
    path.write_text(ARM.format(base=base, actuators=actuators))
    return str(path)


def solved(robot, num=64):
    """Share of successes of the expert, and the environment's task."""
    env = make_vector("proveout/Reach-v0", num, config={"robot": robot}, device="cpu", workers=1)
    expert = env.task.expert(env.config)
    observation, _ = env.reset(seed=0)
    for _ in range(env.task.max_episode_steps):
        observation, *_, info = env.step(expert.predict(observation))
    assert not env.invalid_worlds
    env.close()
    return info["episode_statistics"]["success"].mean(), env.task


def test_an_arm_of_two_joints_from_a_file(tmp_path):
    success, task = solved(arm(tmp_path))
    assert task.action_layout.size == 2
    assert task.constraint_rows() == 1  # one of the two joints has limits
    assert success > 0.9


@pytest.mark.skipif(not PANDA.is_file(), reason="PROVEOUT_DATA names no robots")
def test_the_panda_with_its_gripper():
    success, task = solved(str(PANDA), num=100)
    assert task.action_layout.size == 7
    assert task.model().nu == 8
    assert success > 0.9  # 0.96 when this was written; its home is at zero, where it is singular


def test_a_gripper_rests_while_the_arm_moves():
    """Of a robot with more actuators than joints up to the tool, the others keep their command."""
    env = make_vector("proveout/Reach-v0", 2, device="cpu", workers=1)
    rest = env._pool.hooks._engine.rest.numpy()
    np.testing.assert_allclose(rest, env.task.model().key("home").ctrl, rtol=1e-6)
    env.close()


BAD = {
    "unknown": ("ur5", UnknownNameError, "did you mean 'ur5e'"),
    "missing": ("nothing.urdf", ModelError, "nothing.urdf does not exist"),
}


@pytest.mark.parametrize("name", BAD)
def test_robots_that_are_not_there(name):
    robot, error, words = BAD[name]
    with pytest.raises(error, match=words):
        make_task("proveout/Reach-v0", {"robot": robot})


MOTORS = '<motor name="one" joint="one"/><motor name="two" joint="two"/>'
CROSSED = '<position name="two" joint="two" kp="100"/><position name="one" joint="one" kp="100"/>'
FREE = '<body name="box"><freejoint/><geom size="0.05" mass="1"/></body>'


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"actuators": MOTORS}, "actuator 'one' of joint 'one' is no position servo"),
        ({"actuators": CROSSED}, "actuator 'two' does not drive joint 'one'"),
        ({"actuators": ""}, "joint 'one' has no actuator: 2 position servos expected"),
        ({"base": FREE}, "the joints of the arm must be the first"),
    ],
)
def test_arms_that_cannot_be_moved_so_are_refused(changes, words, tmp_path):
    with pytest.raises(ModelError, match=words):
        make_task("proveout/Reach-v0", {"robot": arm(tmp_path, **changes)})
