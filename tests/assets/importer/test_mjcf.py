"""MJCF files: left as they are, and refused where they ask for too much or for others' files."""

import struct
import time
from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh

from proveout.assets.files.errors import ModelError
from proveout.assets.robot import load_robot

ARM = """<mujoco model="arm"><compiler angle="radian"/>
<worldbody><body name="base"><body name="link" pos="0 0 0.1">
<joint name="hinge" axis="0 1 0" range="-1 1"/><geom size="0.05" pos="0.1 0 0"/>
<body name="hand" pos="0.2 0 0"><geom size="0.02"/></body></body></body></worldbody>
{more}</mujoco>"""


def write(folder: Path, text: str, name: str = "arm.xml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_keyframe_and_the_tool_are_all_that_is_added(tmp_path: Path) -> None:
    path = write(tmp_path, ARM.format(more=""))
    loaded = load_robot(path)
    model, plain = loaded.spec.compile(), mujoco.MjModel.from_xml_path(str(path))
    assert (model.nkey, model.nsite) == (1, 1)
    assert (model.nu, model.nbody, model.ngeom) == (0, plain.nbody, plain.ngeom)
    np.testing.assert_array_equal(model.body_mass, plain.body_mass)
    assert loaded.frames["base"].name == "base"
    assert loaded.frames["tool"].body == "link"  # No joint moves the hand against it.
    assert "actuators: none in the file, none added" in loaded.warnings


def test_the_first_keyframe_is_home_and_a_named_one_before_it(tmp_path: Path) -> None:
    keys = '<keyframe><key name="up" qpos="0.5"/>{}</keyframe>'
    loaded = load_robot(write(tmp_path, ARM.format(more=keys.format(""))))
    assert loaded.home.tolist() == [0.5]
    assert "home: the keyframe up" in loaded.warnings
    named = keys.format('<key name="home" qpos="-0.5"/>')
    assert load_robot(write(tmp_path, ARM.format(more=named))).home.tolist() == [-0.5]
    asked = load_robot(tmp_path / "arm.xml", home={"hinge": 0.25})
    assert asked.spec.compile().key("home").qpos.tolist() == [0.25]


def test_options_that_mujoco_warp_lacks_are_replaced_and_told(tmp_path: Path) -> None:
    loaded = load_robot(write(tmp_path, ARM.format(more='<option solver="PGS"/>')))
    assert loaded.spec.option.solver == mujoco.mjtSolver.mjSOL_NEWTON
    assert "solver: Newton, as MuJoCo Warp has no PGS" in loaded.warnings


def test_meshes_of_other_kinds_are_converted(tmp_path: Path) -> None:
    (tmp_path / "meshes").mkdir()
    trimesh.creation.box((0.1, 0.2, 0.3)).export(tmp_path / "meshes" / "box.glb")
    more = '<compiler meshdir="meshes"/><asset><mesh name="box" file="box.glb"/></asset>'
    text = ARM.format(more=more).replace('size="0.02"', 'type="mesh" mesh="box"')
    loaded = load_robot(write(tmp_path, text))
    assert loaded.spec.compile().nmesh == 1
    assert "mesh box.glb: converted to STL" in loaded.warnings


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ('<asset><mesh name="m" file="../secret.stl"/></asset>', "lies outside its folder"),
        ('<asset><mesh name="m" file="{outside}/secret.stl"/></asset>', "lies outside its folder"),
        ('<compiler meshdir="{outside}"/><asset><mesh name="m" file="secret.stl"/></asset>',
         "lies outside its folder"),
        ('<compiler meshdir="{outside}"/><include file="part.xml"/>', "lies outside its folder"),
        ('<asset><texture name="t" type="2d" file="../secret.stl"/></asset>', "lies outside"),
        ('<include file="../other.xml"/>', "lies outside its folder"),
        ('<include file="arm.xml"/>', "includes more than 100 files, or itself"),
        ('<include file="gone.xml"/>', "needs gone.xml, which is not there"),
        ('<asset><hfield name="h" nrow="100000" ncol="100000" size="1 1 1 1"/></asset>',
         "<hfield name='h'> in line 6 has 1e.10 entries"),
        ('<asset><texture name="t" type="2d" builtin="flat" width="90000" height="90000"/></asset>',
         "has 8.1e.09 entries"),
        ('<size memory="900G"/>', "asks for memory='900G'"),
        ('<size nuserdata="900000000"/>', "asks for nuserdata"),
        ('<worldbody><replicate count="100000"><body><geom size="1"/></body></replicate>'
         '</worldbody>', "makes 100000 copies"),
        ('<worldbody><replicate count="100"><replicate count="100"><replicate count="100"><body>'
         '<geom size="1"/></body></replicate></replicate></replicate></worldbody>',
         "makes 1000000 copies"),
        ('<worldbody>' + '<body/>' * 10_000 + '</worldbody>', "has 10003 bodies"),
    ],
)  # fmt: skip
def test_what_asks_for_too_much_is_refused_with_file_and_element(
    tmp_path: Path, more: str, reason: str
) -> None:
    inside = tmp_path / "robot"
    inside.mkdir()
    trimesh.creation.box((1, 1, 1)).export(tmp_path / "secret.stl")
    write(tmp_path, "<mujoco/>", "other.xml")
    part = '<mujoco><asset><mesh name="m" file="secret.stl"/></asset></mujoco>'
    write(inside, part, "part.xml")
    path = write(inside, ARM.format(more="\n" + more.format(outside=tmp_path)))
    start = time.process_time()
    with pytest.raises(ModelError, match=reason) as error:
        load_robot(path)
    assert time.process_time() - start < 5.0
    assert "\n" not in str(error.value)
    if "lies outside" in reason and "include" not in more and "texture" not in more:
        assert load_robot(path, roots=[tmp_path]).spec.compile().nmesh == 1


def test_a_bomb_is_refused_and_comments_are_none(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE m [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    with pytest.raises(ModelError, match="declares entities"):
        load_robot(write(tmp_path, bomb + ARM.format(more="")))
    utf16 = (bomb + ARM.format(more="")).encode("utf-16")
    (tmp_path / "wide.xml").write_bytes(utf16)
    with pytest.raises(ModelError, match="declares entities"):
        load_robot(tmp_path / "wide.xml")
    with pytest.raises(ModelError, match="is not MJCF: its root is <robot>"):
        load_robot(write(tmp_path, "<robot/>"))


def test_a_vertex_that_is_no_number_is_refused_before_mujoco_sees_it(tmp_path: Path) -> None:
    data = bytearray(trimesh.creation.box((1, 1, 1)).export(file_type="stl"))
    data[96:100] = struct.pack("<f", float("inf"))
    (tmp_path / "m.stl").write_bytes(data)
    more = '<asset><mesh name="m" file="m.stl"/></asset>'
    with pytest.raises(ModelError, match=r"m\.stl has a vertex that is not finite"):
        load_robot(write(tmp_path, ARM.format(more=more)))
