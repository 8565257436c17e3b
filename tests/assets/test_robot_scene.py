"""Several robots and tools in one scene, each with its own names."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from proveout.assets.files.errors import ModelError
from proveout.assets.robot import load_robot

GRIPPER = """<robot name="gripper"><link name="palm"/>
{fingers}
<link name="grip_tcp"/><joint name="tip" type="fixed"><origin xyz="0 0 0.1"/>
<parent link="palm"/><child link="grip_tcp"/></joint></robot>"""
FINGER = """<link name="{name}"><inertial><mass value="0.05"/><inertia ixx="1e-5" iyy="1e-5"
izz="1e-5" ixy="0" ixz="0" iyz="0"/></inertial></link>
<joint name="{name}" type="prismatic"><origin xyz="0 0 0.05"/><parent link="palm"/>
<child link="{name}"/><axis xyz="0 {side} 0"/><limit lower="0" upper="0.04" effort="20"
velocity="0.1"/>{mimic}</joint>"""


@pytest.fixture
def gripper(tmp_path: Path) -> Path:
    fingers = FINGER.format(name="left", side=1, mimic="") + FINGER.format(
        name="right", side=-1, mimic='<mimic joint="left"/>'
    )
    path = tmp_path / "gripper.urdf"
    path.write_text(GRIPPER.format(fingers=fingers))
    return path


def test_two_robots_stand_where_they_are_put(capfd: pytest.CaptureFixture[str]) -> None:
    scene, robot = mujoco.MjSpec(), load_robot("ur5e")
    left = robot.attach_to(scene, prefix="left/", pos=(0.0, 1.0, 0.5))
    right = robot.attach_to(scene, prefix="right/", quat=(0.0, 0.0, 0.0, 1.0))
    assert (left["tool"].name, right["base"].name) == ("left/tcp", "right/base")
    model = scene.compile()
    assert (model.nq, model.nu) == (12, 12)
    assert model.opt.timestep == 0.002  # the scene's, not the robot's
    assert "WARNING" not in "".join(capfd.readouterr())
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    # Stretched out along -x: see tests/assets/test_ur5e.py.
    np.testing.assert_allclose(data.site("left/tcp").xpos, [-0.8172, 0.7671, 0.5628], atol=1e-6)
    np.testing.assert_allclose(data.site("right/tcp").xpos, [0.8172, 0.2329, 0.0628], atol=1e-6)


def test_a_tool_hangs_on_the_flange_and_its_tip_is_the_new_tool(gripper: Path) -> None:
    arm, tool = load_robot("ur5e"), load_robot(gripper)
    both = arm.with_tool(tool, prefix="grip/")
    assert both.frames["tool"].name == "grip/tcp"
    assert both.frames["base"].name == "base"
    assert both.actuators == (*arm.actuators, "grip/left")
    assert both.joints[-1].follows == "grip/left"
    np.testing.assert_allclose(both.home, [*arm.home, 0.0, 0.0])
    model = both.spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    mujoco.mj_forward(model, data)
    flange, tip = data.site("tcp"), data.site("grip/tcp")
    np.testing.assert_allclose(tip.xpos, flange.xpos + 0.1 * flange.xmat.reshape(3, 3)[:, 2])
    for _ in range(200):
        mujoco.mj_step(model, data)
    assert np.abs(data.qpos - both.home).max() < 1e-3
    # The robots that were put together are as before.
    assert arm.spec.compile().nbody == load_robot("ur5e").spec.compile().nbody


def test_what_has_no_tool_frame_takes_no_tool(tmp_path: Path, gripper: Path) -> None:
    path = tmp_path / "still.urdf"
    path.write_text('<robot name="still"><link name="stone"/></robot>')
    with pytest.raises(ModelError, match="still has no tool frame to attach gripper to"):
        load_robot(path).with_tool(load_robot(gripper))


def test_our_own_robots_need_no_decomposition() -> None:
    model = load_robot("ur5e").spec.compile()
    collides = model.geom_contype != 0
    assert not (model.geom_type[collides] == mujoco.mjtGeom.mjGEOM_MESH).any()
