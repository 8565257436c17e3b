"""The parallel gripper against its published numbers and closed forms, in MuJoCo C."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from proveout.assets.robot import load_robot
from proveout.assets.robots.gripper_2f.build import FOLDER, build

# From the maker's manual, spelled out a second time.
STROKE, MASS, LENGTH, MAX_FORCE = 0.085, 0.9, 0.163, 235.0
STIFFNESS = 4000.0


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return load_robot("gripper_2f").spec.compile()


def gripper_with_a_block(half: float, offset: float = 0.0) -> mujoco.MjModel:
    """The gripper, fixed, and a block of 0.2 kg between its pads, without gravity."""
    spec = load_robot("gripper_2f").spec
    spec.option.timestep, spec.option.gravity = 0.002, [0, 0, 0]
    block = spec.worldbody.add_body(name="block", pos=[0, offset, 0.1505])
    block.add_freejoint(name="block")
    block.add_geom(name="block", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.03, half, 0.02], mass=0.2)
    return spec.compile()


def run(model: mujoco.MjModel, data: mujoco.MjData, opening: float, seconds: float) -> None:
    data.ctrl[:] = opening
    for _ in range(round(seconds / model.opt.timestep)):
        mujoco.mj_step(model, data)


def pad_force(model: mujoco.MjModel, data: mujoco.MjData, finger: str) -> float:
    """Sum of the normal forces [N] of a finger's contacts."""
    geom, total, force = model.geom(finger).id, 0.0, np.zeros(6)
    for i in range(data.ncon):
        if geom in data.contact[i].geom:
            mujoco.mj_contactForce(model, data, i, force)
            total += force[0]
    return total


def test_published_numbers(model: mujoco.MjModel) -> None:
    assert model.body_mass.sum() == pytest.approx(MASS)
    np.testing.assert_allclose(model.jnt_range, [[0.0, STROKE / 2]] * 2)
    np.testing.assert_allclose(model.actuator_forcerange, [[-MAX_FORCE, MAX_FORCE]])
    assert model.actuator_ctrlrange[0, 1] == STROKE
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    for name in ("left_finger", "right_finger"):
        geom = model.geom(name).id
        tip = data.geom_xpos[geom, 2] + model.geom_size[geom, 2]
        assert tip == pytest.approx(LENGTH)
        # Closed, each pad's face is in the middle.
        assert abs(data.geom_xpos[geom, 1]) == pytest.approx(model.geom_size[geom, 1])
    np.testing.assert_allclose(data.site("tcp").xpos, [0.0, 0.0, LENGTH - 0.0125])


@pytest.mark.parametrize("opening", [0.0, 0.03, STROKE])
def test_fingers_stay_symmetric_and_reach_their_target(
    model: mujoco.MjModel, opening: float
) -> None:
    data = mujoco.MjData(model)
    data.qpos[:] = 0.02
    run(model, data, opening, 1.0)
    np.testing.assert_allclose(data.qpos, opening / 2, atol=2e-4)
    assert data.ncon == 0


def test_opening_settles_without_overshoot(model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    largest = 0.0
    for _ in range(100):
        run(model, data, 0.04, model.opt.timestep)
        largest = max(largest, data.qpos.sum())
    assert largest < 0.0404
    assert data.qpos.sum() == pytest.approx(0.04, abs=2e-4)


@pytest.mark.parametrize("force", [20.0, 100.0, MAX_FORCE])
def test_both_pads_press_with_the_force_asked_for(force: float) -> None:
    half = 0.02
    model = gripper_with_a_block(half)
    data = mujoco.MjData(model)
    data.qpos[:2] = 0.025
    run(model, data, 2 * half - force / STIFFNESS, 1.0)
    sunk = 2 * half - data.qpos[:2].sum()
    # The pads give way a little, and the controller's error shrinks by as much.
    expected = force - STIFFNESS * sunk
    for finger in ("left_finger", "right_finger"):
        assert pad_force(model, data, finger) == pytest.approx(expected, rel=0.01)
    assert 0.0 < sunk < 2 * 0.0005  # each pad by under half a millimetre
    assert data.ncon == 8  # four corners a pad


def test_a_block_off_the_middle_is_centred() -> None:
    model = gripper_with_a_block(0.02, offset=0.008)
    data = mujoco.MjData(model)
    data.qpos[:2] = 0.0425
    run(model, data, 0.04 - 60.0 / STIFFNESS, 1.5)
    assert data.body("block").xpos[1] == pytest.approx(0.0, abs=1e-3)


def test_it_mounts_on_an_arm_whose_home_stays() -> None:
    arm = load_robot("ur5e")
    both = arm.with_tool(load_robot("gripper_2f"), prefix="gripper_")
    assert both.frames["tool"].name == "gripper_tcp"
    home, model = arm.home, both.spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.qpos[:6], home)
    flange, tcp = data.site("tcp").xpos, data.site("gripper_tcp").xpos
    np.testing.assert_allclose(tcp - flange, [0.0, 0.0, -(LENGTH - 0.0125)], atol=1e-4)
    assert data.ncon == 0


def test_shipped_files_are_what_build_writes(tmp_path: Path) -> None:
    build(tmp_path)
    assert (tmp_path / "gripper_2f.xml").read_text() == (FOLDER / "gripper_2f.xml").read_text()
    sizes = [path.stat().st_size for path in (FOLDER / "meshes").iterdir()]
    assert sizes == [path.stat().st_size for path in (tmp_path / "meshes").iterdir()]
    assert sum(sizes) < 50_000
