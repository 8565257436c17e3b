"""Any tree of links and joints: our reader against MuJoCo's own, which reads the same file."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.assets.importer.write import write_mjcf
from proveout.assets.robot import load_robot

KINDS = ("revolute", "continuous", "prismatic", "fixed")
small = st.floats(-0.5, 0.5).map(lambda value: round(value, 4))
angle = st.floats(-3.0, 3.0).map(lambda value: round(value, 4))
triple = st.tuples(small, small, small)


@dataclass(frozen=True)
class Link:
    """What a link of a generated tree has."""

    parent: int
    kind: str
    xyz: tuple[float, float, float]
    rpy: tuple[float, float, float]
    axis: tuple[float, float, float]
    mass: float
    center: tuple[float, float, float]
    turn: tuple[float, float, float]
    moments: tuple[float, float, float]
    shape: str


@st.composite
def links(draw: st.DrawFn) -> list[Link]:
    count = draw(st.integers(1, 8))
    made = []
    for index in range(count):
        # Any three lengths give moments of a box, so the triangle inequality holds.
        x, y, z = (draw(st.floats(0.05, 0.5)) for _ in range(3))
        mass = draw(st.floats(0.05, 20.0))
        axis = draw(triple.filter(lambda v: float(np.linalg.norm(v)) > 0.1))
        made.append(
            Link(
                parent=draw(st.integers(0, index)), kind=draw(st.sampled_from(KINDS)),
                xyz=draw(triple), rpy=draw(st.tuples(angle, angle, angle)), axis=axis, mass=mass,
                center=draw(triple), turn=draw(st.tuples(angle, angle, angle)),
                moments=(mass / 12 * (y * y + z * z), mass / 12 * (x * x + z * z),
                         mass / 12 * (x * x + y * y)),
                shape=draw(st.sampled_from([
                    "", '<box size="0.1 0.2 0.3"/>', '<sphere radius="0.1"/>',
                    '<cylinder radius="0.1" length="0.3"/>'])),
            )
        )  # fmt: skip
    return made


def text_of(values: tuple[float, ...]) -> str:
    return " ".join(map(repr, values))


def urdf(tree: list[Link]) -> str:
    parts = ['<link name="link0"/>']
    for number, link in enumerate(tree, 1):
        shape = f"<geometry>{link.shape}</geometry>" if link.shape else ""
        shapes = f"<visual>{shape}</visual><collision>{shape}</collision>" if shape else ""
        ixx, iyy, izz = link.moments
        parts.append(
            f'<link name="link{number}"><inertial><origin xyz="{text_of(link.center)}" '
            f'rpy="{text_of(link.turn)}"/><mass value="{link.mass!r}"/><inertia ixx="{ixx!r}" '
            f'iyy="{iyy!r}" izz="{izz!r}" ixy="0" ixz="0" iyz="0"/></inertial>{shapes}</link>'
        )
        limit = '<limit lower="-1" upper="1.5" effort="30" velocity="2"/>'
        parts.append(
            f'<joint name="joint{number}" type="{link.kind}"><origin xyz="{text_of(link.xyz)}" '
            f'rpy="{text_of(link.rpy)}"/><parent link="link{link.parent}"/>'
            f'<child link="link{number}"/><axis xyz="{text_of(link.axis)}"/>'
            f"{limit if link.kind in ('revolute', 'prismatic') else ''}</joint>"
        )
    extension = '<mujoco><compiler fusestatic="false" discardvisual="false"/></mujoco>'
    return f'<robot name="tree">{extension}{"".join(parts)}</robot>'


def same(ours: mujoco.MjModel, theirs: mujoco.MjModel, *, rtol: float, atol: float) -> None:
    """Names, masses, inertias, and frames and gravity's torque in a random pose."""
    names = [theirs.body(i).name for i in range(theirs.nbody)]
    assert [ours.body(i).name for i in range(ours.nbody)] == names
    assert (ours.nq, ours.nv, ours.ngeom) == (theirs.nq, theirs.nv, theirs.ngeom)
    near = {"rtol": rtol, "atol": atol}
    np.testing.assert_allclose(ours.body_mass, theirs.body_mass, **near)
    np.testing.assert_allclose(ours.body_inertia, theirs.body_inertia, **near)
    np.testing.assert_allclose(ours.jnt_range, theirs.jnt_range, **near)
    pose = np.random.default_rng(0).uniform(-1.0, 1.0, ours.nq)
    data = []
    for model in (ours, theirs):
        model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
        data.append(mujoco.MjData(model))
        data[-1].qpos[:] = pose
        mujoco.mj_forward(model, data[-1])
    for field in ("xpos", "xmat", "xipos", "geom_xpos", "geom_xmat", "qfrc_bias"):
        np.testing.assert_allclose(
            getattr(data[0], field), getattr(data[1], field), **near, err_msg=field
        )


@settings(max_examples=60, deadline=None)
@given(tree=links())
def test_masses_and_kinematics_are_those_of_mujocos_own_reader(tree: list[Link]) -> None:
    text = urdf(tree)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tree.urdf")
        path.write_text(text)
        ours = load_robot(path).spec.compile()
    # The numbers go through text without loss; a tensor near the bound of the triangle inequality
    # is moved by a millionth.
    same(ours, mujoco.MjModel.from_xml_string(text), rtol=1e-5, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(tree=links())
def test_written_as_mjcf_it_is_the_same_robot(tree: list[Link]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tree.urdf")
        path.write_text(urdf(tree))
        first = load_robot(path)
        second = load_robot(write_mjcf(first, Path(folder, "out")))
    assert first.joints == second.joints
    assert first.actuators == second.actuators
    assert first.frames == second.frames
    # MuJoCo writes six significant digits: along a chain of eight links, errors of 1e-6 m and rad
    # add up, and forces of up to 1,000 N follow.
    one, two = first.spec.compile(), second.spec.compile()
    same(one, two, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(one.actuator_gainprm, two.actuator_gainprm, rtol=1e-5)
    np.testing.assert_allclose(one.actuator_biasprm, two.actuator_biasprm, rtol=1e-5)
    np.testing.assert_allclose(one.key_qpos, two.key_qpos, atol=1e-6)
    np.testing.assert_array_equal(one.exclude_signature, two.exclude_signature)
