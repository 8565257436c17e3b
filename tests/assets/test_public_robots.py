"""Robots of others, where `PROVEOUT_DATA` names a folder that has them; see the README."""

import os
from pathlib import Path

import mujoco
import numpy as np
import pytest

from proveout.assets.robot import Robot, load_robot

ROBOTS = Path(os.environ.get("PROVEOUT_DATA") or "nowhere") / "robots"
pytestmark = pytest.mark.skipif(not ROBOTS.is_dir(), reason="PROVEOUT_DATA names no robots")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def load(cache: Path, name: str) -> Robot:
    return load_robot(ROBOTS / name, cache=cache)


def holds_in_warp(robot: Robot) -> float:
    """Largest distance from home within 100 steps of MuJoCo Warp, from home [rad or m]."""
    import mujoco_warp
    import warp as wp

    model = robot.spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    mujoco.mj_forward(model, data)
    with wp.ScopedDevice("cpu"):
        m = mujoco_warp.put_model(model)
        d = mujoco_warp.put_data(model, data, nworld=2, nconmax=64, njmax=256)
        furthest = 0.0
        for _ in range(100):
            mujoco_warp.step(m, d)
            furthest = max(furthest, float(np.abs(d.qpos.numpy() - robot.home).max()))
    return furthest


def test_panda(cache: Path) -> None:
    panda = load(cache, "panda_description/urdf/panda.urdf")
    assert panda.frames["tool"].body == "panda_hand_tcp"
    arm = [joint for joint in panda.joints if joint.kind == "hinge"]
    assert len(arm) == 7
    # https://frankarobotics.github.io/docs/robot_specifications.html
    highest = [2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973]  # rad
    np.testing.assert_allclose([j.high for j in arm], highest)
    assert [j.effort for j in arm] == [87.0] * 4 + [12.0] * 3
    assert panda.joints[-1].follows == "panda_finger_joint1"
    assert len(panda.actuators) == 8
    # A tenth of a milliradian: the mimic joint's constraint is soft.
    assert holds_in_warp(panda) < 1e-4


def test_ur5(cache: Path) -> None:
    ur5 = load(cache, "ur_description/urdf/ur5_robot.urdf")
    assert ur5.frames["tool"].body == "tool0"
    assert len(ur5.joints) == len(ur5.actuators) == 6
    assert ur5.parts["forearm_link"] > 1  # It is bent.
    model = ur5.spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    mujoco.mj_kinematics(model, data)
    # The maker's DH table of the UR5: a2, a3, d1, d4, d5, d6 [m].
    a2, a3, d1, d4, d5, d6 = 0.425, 0.39225, 0.089159, 0.10915, 0.09465, 0.0823
    np.testing.assert_allclose(
        np.abs(data.site("tcp").xpos), [a2 + a3, d4 + d6, abs(d1 - d5)], atol=1e-4
    )
    assert holds_in_warp(ur5) < 1e-6


@pytest.mark.parametrize("file", sorted(ROBOTS.rglob("*.urdf")), ids=lambda path: path.name)
def test_every_robot_loads_and_holds_its_pose(cache: Path, file: Path) -> None:
    robot = load(cache, str(file.relative_to(ROBOTS)))
    model = robot.spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    for _ in range(500):
        mujoco.mj_step(model, data)
    assert np.abs(data.qpos - robot.home).max() < 1e-3
