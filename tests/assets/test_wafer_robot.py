"""The wafer robot: strokes, drives that take accelerations, and a fork that stands still."""

import mujoco
import numpy as np
import pytest

from proveout.assets.robot import load_robot


@pytest.fixture(scope="module")
def model():
    return load_robot("wafer_robot").spec.compile()


def test_the_pocket_is_where_theta_r_and_z_put_it(model):
    data = mujoco.MjData(model)
    for theta, radial, lift in ((0.0, 0.0, 0.0), (0.5, 0.5, 0.32), (-2.9, 0.1, 0.2)):
        for name, value in (("theta", theta), ("radial", radial), ("lift", lift)):
            data.joint(name).qpos[0] = value
        mujoco.mj_kinematics(model, data)
        out = 0.16 + radial
        expected = [out * np.cos(theta), out * np.sin(theta), 0.9 + lift]
        np.testing.assert_allclose(data.site("tcp").xpos, expected, atol=1e-9)


def test_the_crowns_of_the_pads_are_in_the_plane_of_the_pocket(model):
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    for name in ("pad_root", "pad_left", "pad_right"):
        crown = data.geom(name).xpos[2] + model.geom(name).size[0]
        assert crown == pytest.approx(data.site("tcp").xpos[2], abs=1e-9)
    # The middle of a wafer is inside the triangle of the pads.
    x, y = (np.array([data.geom(n).xpos[i] for n in ("pad_root", "pad_left")]) for i in (0, 1))
    assert x[0] < 0.16 < x[1]
    assert y[0] == 0.0 < y[1]


@pytest.mark.parametrize(("joint", "rate"), [("lift", 1.0), ("theta", 5.0), ("radial", 2.0)])
def test_a_drive_accelerates_by_what_it_is_told_and_then_keeps_its_speed(model, joint, rate):
    data = mujoco.MjData(model)
    data.qpos[:] = [0.1, 0.0, 0.1]
    data.actuator(joint).ctrl[0] = rate
    mujoco.mj_step(model, data, nstep=40)  # 0.2 s
    early = data.joint(joint).qvel[0]
    data.actuator(joint).ctrl[0] = 0.0
    mujoco.mj_step(model, data, nstep=30)
    late = data.joint(joint).qvel[0]
    # While it accelerates it lags by 20 ms, or 10; then it is there.
    assert 0.0 < 0.2 * rate - early < 0.022 * rate
    assert late == pytest.approx(0.2 * rate, rel=0.01)


def test_it_holds_its_home_pose_without_a_command(model):
    data = mujoco.MjData(model)
    data.qpos[:] = model.key("home").qpos
    mujoco.mj_step(model, data, nstep=400)
    np.testing.assert_allclose(data.qpos, model.key("home").qpos, atol=1e-6)
