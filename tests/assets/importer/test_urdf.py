"""URDF files: what is built from them, what is told, and what is refused."""

import struct
import time
from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh

from proveout.assets.files.errors import ModelError, UnknownNameError
from proveout.assets.importer.urdf_tree import MAX_LINKS
from proveout.assets.robot import load_robot

INERTIAL = """<inertial><origin xyz="0.1 0 0"/><mass value="{mass}"/>
<inertia ixx="{ixx}" iyy="{iyy}" izz="{izz}" ixy="0" ixz="0" iyz="0"/></inertial>"""


def inertial(mass: float = 1.0, ixx: float = 0.02, iyy: float = 0.02, izz: float = 0.02) -> str:
    return INERTIAL.format(mass=mass, ixx=ixx, iyy=iyy, izz=izz)


def joint(
    name: str, parent: str, child: str, *, kind: str = "revolute", inside: str | None = None
) -> str:
    limit = '<limit lower="-1" upper="1" effort="5" velocity="2"/>'
    return (
        f'<joint name="{name}" type="{kind}"><origin xyz="0 0 0.2"/><parent link="{parent}"/>'
        f'<child link="{child}"/><axis xyz="0 1 0"/>{limit if inside is None else inside}</joint>'
    )


def robot(*parts: str) -> str:
    return f'<robot name="arm">{"".join(parts)}</robot>'


def two(content: str | None = None, **options: str) -> str:
    """A base and one link that turns."""
    body = inertial() if content is None else content
    return robot(
        '<link name="base"/>', f'<link name="rod">{body}</link>',
        joint("hinge", "base", "rod", **options),  # type: ignore[arg-type]
    )  # fmt: skip


def write(folder: Path, text: str) -> Path:
    path = folder / "arm.urdf"
    path.write_text(text)
    return path


def settle(model: mujoco.MjModel, steps: int = 500) -> mujoco.MjData:
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    for _ in range(steps):
        mujoco.mj_step(model, data)
    return data


def test_servos_follow_their_rule_and_carry_the_weight(tmp_path: Path) -> None:
    loaded = load_robot(write(tmp_path, two()))
    assert loaded.actuators == ("hinge",)
    (hinge,) = loaded.joints
    assert (hinge.low, hinge.high, hinge.effort, hinge.velocity) == (-1.0, 1.0, 5.0, 2.0)
    model = loaded.spec.compile()
    felt = 0.02 + 1.0 * 0.1**2  # about the joint, by Steiner
    assert model.actuator_gainprm[0, 0] == pytest.approx(felt * 50.0**2)
    assert -model.actuator_biasprm[0, 2] == pytest.approx(2.0 * felt * 50.0)
    np.testing.assert_allclose(model.actuator_forcerange[0], [-5.0, 5.0])
    data = settle(model)
    assert abs(data.qpos[0]) < 1e-9  # though gravity pulls with 1 kg x 0.1 m
    assert any("servos added" in warning for warning in loaded.warnings)


def test_a_weak_joint_sags_as_its_effort_says(tmp_path: Path) -> None:
    weak = '<limit lower="-1" upper="1" effort="0.5" velocity="2"/>'
    model = load_robot(write(tmp_path, two(inside=weak))).spec.compile()
    # 0.5 N m do not carry 1 kg at 0.1 m (0.98 N m): it falls to its end.
    assert settle(model, 2000).qpos[0] == pytest.approx(1.0, abs=0.02)


def test_stiffness_is_bounded_by_effort(tmp_path: Path) -> None:
    weak = '<limit lower="-1" upper="1" effort="0.5" velocity="2"/>'
    model = load_robot(write(tmp_path, two(inside=weak))).spec.compile()
    assert model.actuator_gainprm[0, 0] == pytest.approx(0.5 / 0.02)


def test_a_mimic_joint_follows_and_has_no_actuator(tmp_path: Path) -> None:
    text = robot(
        '<link name="palm"/>',
        *(f'<link name="{side}">{inertial()}</link>' for side in ("left", "right")),
        joint("leads", "palm", "left"),
        joint(
            "follows", "palm", "right",
            inside='<limit lower="-3" upper="3" effort="5" velocity="2"/>'
            '<mimic joint="leads" multiplier="-2" offset="0.5"/>',
        ),
    )  # fmt: skip
    loaded = load_robot(write(tmp_path, text), home={"leads": 0.25})
    assert loaded.actuators == ("leads",)
    assert loaded.joints[1].follows == "leads"
    np.testing.assert_allclose(loaded.home, [0.25, -2 * 0.25 + 0.5])
    model = loaded.spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    data.ctrl[0] = -0.6
    for _ in range(2000):
        mujoco.mj_step(model, data)
    # Equalities are soft: the two links pull on each other with what they weigh.
    np.testing.assert_allclose(data.qpos, [-0.6, 2 * 0.6 + 0.5], atol=0.02)


def test_home_avoids_ranges_without_zero_and_is_a_keyframe(tmp_path: Path) -> None:
    bent = '<limit lower="0.5" upper="1.5" effort="5" velocity="2"/>'
    loaded = load_robot(write(tmp_path, two(inside=bent)))
    np.testing.assert_allclose(loaded.home, [1.0])
    assert any("in the middle of its range" in warning for warning in loaded.warnings)
    model = loaded.spec.compile()
    np.testing.assert_allclose(model.key("home").qpos, [1.0])
    np.testing.assert_allclose(model.key("home").ctrl, [1.0])
    asked = load_robot(tmp_path / "arm.urdf", home={"hinge": 0.75})
    np.testing.assert_allclose(asked.home, [0.75])
    with pytest.raises(ModelError, match=r"'hinge' is 2, outside of its range 0\.5"):
        load_robot(tmp_path / "arm.urdf", home={"hinge": 2.0})
    with pytest.raises(UnknownNameError, match="did you mean 'hinge'"):
        load_robot(tmp_path / "arm.urdf", home={"hinges": 1.0})


@pytest.mark.parametrize(
    ("moments", "told", "expected"),
    [
        # 0.1 is more than 0.02 + 0.02: the excess 0.06 is shared out by thirds.
        ((0.02, 0.02, 0.1), "triangle inequality", (0.04, 0.04, 0.08)),
        ((0.0, 0.0, 0.0), "inertia is zero", None),
        ((-0.02, 0.02, 0.02), "not positive", None),
    ],
)
def test_an_inertia_that_no_body_has_is_told_and_replaced(
    tmp_path: Path, moments: tuple[float, ...], told: str, expected: tuple[float, ...] | None
) -> None:
    loaded = load_robot(write(tmp_path, two(inertial(1.0, *moments))))
    assert any(told in warning and "rod" in warning for warning in loaded.warnings)
    found = np.sort(loaded.spec.compile().body("rod").inertia)
    if expected is None:
        radius = (3.0 / (4.0 * np.pi * 1000.0)) ** (1.0 / 3.0)  # of 1 kg of water
        expected = (0.4 * radius**2,) * 3
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_moving_link_without_a_mass_gets_that_of_its_shape_or_a_gram(tmp_path: Path) -> None:
    shape = '<collision><geometry><box size="0.1 0.1 0.1"/></geometry></collision>'
    loaded = load_robot(write(tmp_path, two(shape)))
    assert loaded.spec.compile().body("rod").mass == pytest.approx(1.0)  # a litre
    assert any("collision shapes taken at 1000 kg/m3" in w for w in loaded.warnings)
    loaded = load_robot(write(tmp_path, two("")))
    assert loaded.spec.compile().body("rod").mass == pytest.approx(1e-3)
    assert any("0.001 kg taken" in w for w in loaded.warnings)


def test_collision_meshes_become_convex_parts_and_visuals_keep_their_colour(
    tmp_path: Path,
) -> None:
    (tmp_path / "meshes").mkdir()
    bars = [trimesh.creation.box((1.0, 0.1, 0.1)), trimesh.creation.box((0.1, 1.0, 0.1))]
    bars[1].apply_translation((0.45, 0.55, 0.0))
    trimesh.util.concatenate(bars).export(tmp_path / "meshes" / "angle.stl")
    bars[0].visual.face_colors = [255, 0, 0, 255]
    bars[1].visual.face_colors = [0, 0, 255, 255]
    trimesh.Scene(bars).export(tmp_path / "meshes" / "angle.glb")
    mesh = "<geometry><mesh filename='package://arm/meshes/angle.{}' scale='.5 .5 .5'/></geometry>"
    shapes = f"<visual>{mesh.format('glb')}</visual><collision>{mesh.format('stl')}</collision>"
    path = write(tmp_path, two(inertial() + shapes))
    loaded = load_robot(path, roots=[tmp_path], cache=tmp_path / "cache")
    model = loaded.spec.compile()
    drawn, parts = model.geom_group == 2, model.geom_group == 3
    assert loaded.parts == {"rod": int(parts.sum())}
    assert parts.sum() >= 2
    np.testing.assert_allclose(sorted(model.geom_rgba[drawn].tolist()),
                               [[0, 0, 1, 1], [1, 0, 0, 1]])  # fmt: skip
    assert not model.geom_contype[drawn].any()
    assert model.body("rod").mass == 1.0  # Shapes weigh nothing.
    assert list((tmp_path / "cache" / "convex").glob("*.npz"))
    whole = load_robot(path, roots=[tmp_path], decompose=False).spec.compile()
    assert (whole.geom_group == 3).sum() == 1


def test_links_that_overlap_at_home_do_not_push_each_other(tmp_path: Path) -> None:
    ball = '<collision><geometry><sphere radius="0.3"/></geometry></collision>'
    text = robot(
        *(f'<link name="{name}">{inertial()}{ball}</link>' for name in "abcd"),
        joint("one", "a", "b"), joint("two", "b", "c"), joint("three", "c", "d"),
    )  # fmt: skip
    loaded = load_robot(write(tmp_path, text))
    # 0.2 m apart, balls of 0.3 m: neighbours are MuJoCo's business, the others are told.
    assert any("a and c, b and d" in warning for warning in loaded.warnings)
    data = settle(loaded.spec.compile(), 100)
    assert np.abs(data.qpos).max() < 1e-6


def test_a_free_base_falls_and_keeps_its_joints(tmp_path: Path) -> None:
    text = two().replace('<link name="base"/>', f'<link name="base">{inertial(5.0)}</link>')
    loaded = load_robot(write(tmp_path, text), free_base=True)
    assert [j.kind for j in loaded.joints] == ["free", "hinge"]
    model = loaded.spec.compile()
    data = settle(model, 100)
    fallen = 0.5 * 9.81 * (100 * model.opt.timestep) ** 2
    # The free base is no point mass: it also turns a little, as its links have their centre aside.
    assert data.qpos[2] == pytest.approx(-fallen, rel=0.05)
    assert abs(data.qpos[7]) < 0.01


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (two(inertial(-1.0)), "<link name='rod'>.* has a mass of -1 kg"),
        (two(inertial(0.0)), "link 'rod' moves and has a mass of zero"),
        (two(inertial(float("nan"))), "value='nan'; it must be a finite number"),
        (two(inside=""), "<joint name='hinge'>.* has no <limit>"),
        (two(inside='<limit lower="2" upper="1"/>'), "lower limit 2 above the upper 1"),
        (two(inside='<limit lower="x" upper="1"/>'), "lower='x'; it must be a finite number"),
        (two(kind="screw"), "type 'screw'; known are revolute"),
        (two().replace('xyz="0 1 0"', 'xyz="0 0 0"'), "axis 0 0 0"),
        (two().replace('child link="rod"', 'child link="rob"'), "link 'rob', which is not there"),
        (two().replace('name="rod"', 'name="base"'), "is there twice"),
        (two('<visual><geometry><mesh filename="gone.stl"/></geometry></visual>'),
         "link 'rod' needs the file gone.stl"),
        (two('<collision><geometry><box size="1 -1 1"/></geometry></collision>'),
         "<box> in line 1 of link 'rod' has size='1 -1 1'; it must be positive"),
        (two('<collision><geometry><torus/></geometry></collision>'), "is no known shape"),
        (two('<collision/>'), "has no <geometry>"),
        (robot(), "has no <link>"),
        (robot('<link name="a"/>', '<link name="b"/>'), "'a' and 'b' are both without a parent"),
        (robot('<link name="a"/>', '<link name="b"/>', joint("j", "a", "b"), joint("k", "b", "a")),
         "is part of a loop"),
        (robot('<link name="a"/>', '<link name="b"/>', '<link name="c"/>', joint("j", "a", "c"),
               joint("k", "b", "c")), "<joint name='k'>.* closes a loop"),
        (robot('<link name="a"/>', *(f'<link name="{n}">{inertial()}</link>' for n in "bc"),
               joint("j", "a", "b", inside='<limit lower="-1" upper="1"/><mimic joint="k"/>'),
               joint("k", "b", "c", inside='<limit lower="-1" upper="1"/><mimic joint="j"/>')),
         "mimics itself"),
        ("<mujoco/>", "is not URDF"),
        ("<robot", "not well-formed XML"),
        ('<!DOCTYPE r [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><robot name="&b;"/>',
         "declares entities"),
    ],
)  # fmt: skip
def test_what_no_robot_can_be_is_one_sentence_with_file_and_element(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ModelError, match=reason) as error:
        load_robot(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_ten_thousand_links_are_refused_at_once_and_many_load(tmp_path: Path) -> None:
    def chain(count: int) -> str:
        links = [f'<link name="l{i}">{inertial()}</link>' for i in range(count)]
        joints = [joint(f"j{i}", f"l{i}", f"l{i + 1}", kind="fixed") for i in range(count - 1)]
        return robot(*links, *joints)

    start = time.process_time()
    with pytest.raises(ModelError, match=f"has 10000 links; give one with at most {MAX_LINKS}"):
        load_robot(write(tmp_path, chain(10_000)))
    assert time.process_time() - start < 10.0
    assert load_robot(write(tmp_path, chain(300))).spec.compile().nbody == 301


def test_a_mesh_with_too_many_faces_or_no_numbers_names_the_mesh(tmp_path: Path) -> None:
    shape = '<collision><geometry><mesh filename="m.stl"/></geometry></collision>'
    path = write(tmp_path, two(inertial() + shape))
    mesh = tmp_path / "m.stl"
    with mesh.open("wb") as file:
        file.write(bytes(80) + struct.pack("<I", 10_000_000))
        file.truncate(84 + 50 * 10_000_000)
    with pytest.raises(ModelError, match=r"m\.stl is larger than 128 MiB"):
        load_robot(path)
    data = bytearray(trimesh.creation.box((1, 1, 1)).export(file_type="stl"))
    data[96:100] = struct.pack("<f", float("nan"))
    mesh.write_bytes(data)
    with pytest.raises(ModelError, match=r"m\.stl has a vertex that is not finite"):
        load_robot(path)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.stl",
        "{outside}/secret.stl",
        "file://{outside}/secret.stl",
        "link.stl",
        "package://arm/../../secret.stl",
    ],
)
def test_a_mesh_outside_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "outside" / "arm"
    inside.mkdir(parents=True)
    for folder in (tmp_path, outside):
        trimesh.creation.box((1, 1, 1)).export(folder / "secret.stl")
    (inside / "link.stl").symlink_to(outside / "secret.stl")
    mesh = name.format(outside=outside)
    shape = f'<collision><geometry><mesh filename="{mesh}"/></geometry></collision>'
    path = write(inside, two(inertial() + shape))
    with pytest.raises(ModelError, match="lies outside its folder"):
        load_robot(path)
    if not name.startswith("package"):
        assert load_robot(path, roots=[outside]).spec.compile().nmesh == 1


def test_a_root_that_is_no_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="root nowhere is not a folder"):
        load_robot(write(tmp_path, two()), roots=["nowhere"])
