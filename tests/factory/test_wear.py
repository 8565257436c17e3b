"""Wear of arm and gripper: friction, play, lost force and drift against closed forms."""

import numpy as np

from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.envs.factory.pick_place import PickPlace, PickPlaceConfig

NEW = {
    name: np.ones(3)
    for name in ("part_size", "part_mass", "part_friction", "pad_friction", "servo_gain")
}


def make():
    env = WarpVectorEnv(PickPlace(PickPlaceConfig()), 3, device="cpu", workers=1)
    assert env.config_rows()["wear.backlash"].tolist() == [0.0, 0.0, 0.0]
    return env


def worn(env, **wear):
    """Three worlds of the same episode, each with a wear of its own."""
    config = {f"wear.{name}": np.array(values, float) for name, values in wear.items()}
    return env.reset(
        seed=3,
        options={
            "config": config, "parameters": NEW,
            "world_ids": np.zeros(3, int), "episodes": np.zeros(3, int),
        },
    )[0]  # fmt: skip


def test_joint_friction_holds_a_joint_and_stays_in_a_saved_state():
    env = make()
    worn(env, joint_friction=[0.0, 5.0, 60.0])
    state = env.state_dict()
    friction = state["engine/model/dof_frictionloss"]
    np.testing.assert_array_equal(friction[:, :6], np.repeat([[0.0], [5.0], [60.0]], 6, axis=1))
    assert not friction[:, 6:].any()
    # What is told to turn by a little: the servo's torque first has to overcome the friction.
    turn = np.tile(np.array([0.0, 0.0, 0.0, 0.1, -1.0], np.float32), (3, 1))
    for _ in range(2):
        env.step(turn)
    moved = np.abs(env.state_dict()["engine/qpos"] - state["engine/qpos"])[:, 5]
    # Both worn joints are held; MuJoCo regularises dry friction, so that they creep alike.
    np.testing.assert_allclose(moved[1], moved[2], rtol=1e-3)
    assert moved[2] < 0.25 * moved[0]
    worn(env, joint_friction=[0.0, 0.0, 0.0])
    env.load_state_dict(state)
    again = env.state_dict()["engine/model/dof_frictionloss"]
    np.testing.assert_array_equal(again, friction)


def test_backlash_leaves_the_joints_behind_by_half_of_it():
    env = make()
    worn(env, backlash=[0.0, 0.02, 0.04])
    turn = np.tile(np.array([0.0, 0.0, 0.0, 1.0, -1.0], np.float32), (3, 1))
    for _ in range(4):
        env.step(turn)
    state = env.state_dict()
    (motor,) = (value for name, value in state.items() if name.endswith("/motor"))
    behind = motor - state["core/command"][:, :6]
    np.testing.assert_allclose(np.abs(behind[:, 5]), [0.0, 0.01, 0.02], atol=1e-6)


def test_lost_grip_force_and_drift_are_what_they_say():
    env = make()
    first = worn(env, grip_loss=[0.0, 0.5, 0.5], sensor_drift=[0.0, 0.01, -0.02])
    still = np.tile(np.array([0.0, 0.0, 0.0, 0.0, -1.0], np.float32), (3, 1))
    parts = env.layout.split(first)
    np.testing.assert_array_equal(parts["part_offset"][0], parts["part_offset"][1])
    for _ in range(10):
        obs = env.step(still)[0]
    seen = env.layout.split(obs)["part_offset"]
    away = seen - seen[0]
    half_second = 0.5
    expected = np.array([[0, 0, 0], [0.01, 0.01, 0], [-0.02, -0.02, 0]]) * half_second
    np.testing.assert_allclose(away, expected, atol=1e-6)

    # The fingers press on each other with the share of the force that is left.
    closing = np.tile(np.array([0.0, 0.0, 0.0, 0.0, 1.0], np.float32), (3, 1))
    for _ in range(30):
        obs = env.step(closing)[0]
    squeeze = 50.0 * env.layout.split(obs)["squeeze"][:, 0]
    assert squeeze[0] > 40.0
    np.testing.assert_allclose(squeeze[1:], 0.5 * squeeze[0], rtol=0.03)
