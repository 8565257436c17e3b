"""Loading robots, and what a person reads when it does not work."""

import shutil
from pathlib import Path

import mujoco
import pytest

from proveout.assets.files.errors import (
    ModelError,
    ProveoutError,
    UnknownNameError,
    nearest,
    unknown,
)
from proveout.assets.robot import ROBOTS, load_robot, robot_names

ONE_JOINT_URDF = """<robot name="pendulum">
  <link name="base"/>
  <link name="rod"><inertial><mass value="2"/>
    <inertia ixx="0.1" iyy="0.1" izz="0.1" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="hinge" type="continuous"><parent link="base"/><child link="rod"/>
    <axis xyz="0 1 0"/></joint>
</robot>"""


@pytest.fixture
def copy_of_ur5e(tmp_path: Path) -> Path:
    folder = tmp_path / "arm"
    shutil.copytree(ROBOTS / "ur5e", folder)
    return folder / "ur5e.xml"


def test_bare_name_and_path_give_the_same_robot(copy_of_ur5e: Path) -> None:
    assert "ur5e" in robot_names()
    by_name = load_robot("ur5e").spec.compile()
    for path in (copy_of_ur5e, str(copy_of_ur5e)):
        by_path = load_robot(path).spec.compile()
        assert (by_path.nq, by_path.nu, by_path.nmesh) == (by_name.nq, by_name.nu, by_name.nmesh)
    assert (by_name.nq, by_name.nu) == (6, 6)


def test_robot_can_be_attached_to_a_scene_with_a_prefix() -> None:
    scene = mujoco.MjSpec()
    scene.option.timestep = 0.01  # As the robot's, or MuJoCo warns of a conflict.
    scene.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    frame = scene.worldbody.add_frame(pos=[0.0, 0.0, 0.7])
    scene.attach(load_robot("ur5e").spec, prefix="left/", frame=frame)
    model = scene.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    # d1 - d5 above the stand, with all joints at zero.
    assert data.site("left/tcp").xpos[2] == pytest.approx(0.7 + 0.1625 - 0.0997)


def test_urdf_loads(tmp_path: Path) -> None:
    path = tmp_path / "pendulum.urdf"
    path.write_text(ONE_JOINT_URDF)
    model = load_robot(path).spec.compile()
    assert model.joint("hinge").axis.tolist() == [0.0, 1.0, 0.0]
    assert model.body("rod").mass[0] == 2.0


@pytest.mark.parametrize("place", ["maker/meshes", "meshes", "maker/urdf"])
def test_package_mesh_of_a_urdf_is_found_and_is_named_when_gone(tmp_path: Path, place: str) -> None:
    for folder in (tmp_path / "maker" / "urdf", tmp_path / place):
        folder.mkdir(parents=True, exist_ok=True)
    mesh = shutil.copy(ROBOTS / "ur5e" / "meshes" / "flange.stl", tmp_path / place)
    path = tmp_path / "maker" / "urdf" / "flange.urdf"
    path.write_text(
        """<robot name="flange"><link name="flange"><collision><geometry>
        <mesh filename="package://maker/meshes/flange.stl"/>
        </geometry></collision></link></robot>"""
    )
    assert load_robot(path, decompose=False).spec.compile().nmesh == 1
    Path(mesh).unlink()
    with pytest.raises(ModelError, match=r"needs the file package://maker/meshes/flange\.stl"):
        load_robot(path)


def test_unknown_name_says_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as error:
        load_robot("ur5")
    assert str(error.value) == "unknown robot 'ur5'; did you mean 'ur5e'?"


def test_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nothing.xml"
    with pytest.raises(ModelError, match=r"nothing\.xml does not exist"):
        load_robot(path)
    with pytest.raises(ModelError, match=r"nothing\.urdf does not exist"):
        load_robot("nothing.urdf")


def test_other_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "arm.step"
    path.write_text("")
    with pytest.raises(ModelError, match=r"arm\.step is not MJCF or URDF"):
        load_robot(path)


def test_missing_mesh_is_named(copy_of_ur5e: Path) -> None:
    (copy_of_ur5e.parent / "meshes" / "forearm.stl").unlink()
    with pytest.raises(ModelError) as error:
        load_robot(copy_of_ur5e)
    message = str(error.value)
    assert "forearm.stl" in message
    assert str(copy_of_ur5e) in message
    assert "meshdir" in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<mujoco><worldbody>", "not well-formed"),
        ("<mujoco><worldbody><bodi/></worldbody></mujoco>", "bodi"),
        (
            "<mujoco><worldbody><body><joint/></body></worldbody></mujoco>",
            "mass and inertia",
        ),
    ],
)
def test_model_that_does_not_compile_says_why_in_one_line(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "broken.xml"
    path.write_text(text)
    with pytest.raises(ModelError, match=f"(?i){reason}") as error:
        load_robot(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_nearest_and_unknown() -> None:
    assert nearest("Reech", ["Reach", "Insert"]) == "Reach"
    assert nearest("xyz", ["Reach", "Insert"]) is None
    assert str(unknown("task", "xyz", ["b", "a"])) == "unknown task 'xyz'; known are a, b."
    assert str(unknown("task", "xyz", [])) == "unknown task 'xyz'; none is known."
    assert issubclass(UnknownNameError, ProveoutError)
