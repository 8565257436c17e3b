"""The SCARA: its reach, its servos, and Reach with it."""

import mujoco
import numpy as np
import pytest

from proveout.assets.robot import load_robot
from proveout.envs import make_vector


@pytest.fixture(scope="module")
def model():
    return load_robot("scara").spec.compile()


def test_the_outstretched_arm_reaches_600_mm(model):
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    np.testing.assert_allclose(data.site("tcp").xpos, [0.6, 0.0, 0.415], atol=1e-9)
    data.qpos[model.joint("lift").qposadr[0]] = 0.2
    mujoco.mj_kinematics(model, data)
    np.testing.assert_allclose(data.site("tcp").xpos, [0.6, 0.0, 0.215], atol=1e-9)
    # The tool points down.
    np.testing.assert_allclose(data.site("tcp").xmat.reshape(3, 3)[:, 2], [0, 0, -1], atol=1e-9)


def test_home_is_free_of_contacts_and_within_the_limits(model):
    data = mujoco.MjData(model)
    data.qpos[:] = model.key("home").qpos
    mujoco.mj_forward(model, data)
    assert data.ncon == 0
    around = model.numeric("around_home").data
    assert (data.qpos - around >= model.jnt_range[:, 0]).all()
    assert (data.qpos + around <= model.jnt_range[:, 1]).all()


@pytest.mark.parametrize(("joint", "step"), [(0, 0.2), (1, 0.2), (2, 0.02), (3, 0.2)])
def test_a_servo_settles_without_swinging(model, joint, step):
    data = mujoco.MjData(model)
    data.qpos[:] = data.ctrl[:] = model.key("home").qpos
    data.ctrl[joint] += step
    response = []
    for _ in range(100):
        mujoco.mj_step(model, data)
        response.append((data.qpos[joint] - model.key("home").qpos[joint]) / step)
    # 20 ms to 40 ms of time constant: four of them, and what other joints do meanwhile.
    assert np.abs(np.array(response[20:]) - 1.0).max() < 0.02
    assert max(response) < 1.03


def test_reach_reads_four_joints_from_it_and_is_solved():
    env = make_vector("proveout/Reach-v0", 64, config={"robot": "scara"}, device="cpu", workers=1)
    assert env.action_layout.size == 4
    assert env.layout.slices["previous_action"] == slice(24, 28)
    expert = env.task.expert(env.config)
    observation, _ = env.reset(seed=0)
    for _ in range(env.task.max_episode_steps):
        observation, *_, info = env.step(expert.predict(observation))
    assert info["episode_statistics"]["success"].mean() > 0.95
    assert not env.invalid_worlds
    env.close()
