"""Wafer, FOUP and load lock: true dimensions, and what lies where it shall, in MuJoCo C."""

import mujoco
import numpy as np
import pytest

from proveout.assets.objects import foup, load_lock, wafer

# MuJoCo's own softness lets a wafer sink into its crowns by so much [m].
SINKS = 2e-4


def scene(piece, seat):
    """A piece at the origin, and a wafer one millimetre above a seat of it."""
    spec = mujoco.MjSpec()
    spec.option.timestep = 0.002
    spec.attach(piece, frame=spec.worldbody.add_frame(), prefix="piece/")
    frame = spec.worldbody.add_frame(pos=np.add(seat, [0.0, 0.0, 0.5 * wafer.THICKNESS + 0.001]))
    spec.attach(wafer.wafer(), frame=frame, prefix="disc/")
    model = spec.compile()
    return model, mujoco.MjData(model)


def touched(model, data):
    return {
        model.geom(geom).name.removeprefix("piece/") for pair in data.contact.geom for geom in pair
    } - {"disc/wafer"}


def test_a_wafer_weighs_128_grams():
    """Its plan times its thickness times the density of silicon; SEMI M1: 300 mm, 0.775 mm."""
    model = wafer.wafer().compile()
    assert pytest.approx(2329.0 * np.pi * 0.15**2 * 0.775e-3, rel=1e-6) == wafer.MASS
    assert model.body("wafer").mass[0] == pytest.approx(wafer.MASS, rel=1e-6)
    assert round(1000.0 * wafer.MASS) == 128
    # A thin disc: m r^2 / 2 about its axis, half of it about a diameter.
    disc = 0.5 * wafer.MASS * 0.15**2
    np.testing.assert_allclose(model.body("wafer").inertia, [disc / 2, disc / 2, disc], rtol=1e-4)


def test_a_foup_has_25_seats_10_mm_apart_and_no_other():
    heights = [foup.seat_height(slot) for slot in range(25)]
    np.testing.assert_allclose(np.diff(heights), 0.010, atol=1e-12)
    for slot in (-1, 25):
        with pytest.raises(ValueError, match="0 to 24 expected"):
            foup.seat_height(slot)


@pytest.mark.parametrize("slot", [0, 7, 24])
def test_a_wafer_lies_on_the_four_crowns_of_its_slot_and_touches_nothing_else(slot):
    height = foup.seat_height(slot)
    model, data = scene(foup.foup(), [0.0, 0.0, height])
    mujoco.mj_step(model, data, nstep=500)
    np.testing.assert_allclose(data.qpos[:3], [0, 0, height + 0.5 * wafer.THICKNESS], atol=SINKS)
    assert np.abs(data.qvel).max() < 1e-4
    assert touched(model, data) == {f"slot{slot}_crown{i}" for i in range(4)}


def test_the_walls_of_a_foup_stop_a_wafer_4_mm_beside_its_seat():
    model, data = scene(foup.foup((3,)), [0.0, 0.0, foup.seat_height(3)])
    model.geom_friction[:, 0] = 0.2
    mujoco.mj_step(model, data, nstep=200)
    data.xfrc_applied[model.body("disc/wafer").id, 1] = 0.5  # friction is 0.25 N
    mujoco.mj_step(model, data, nstep=400)
    # One soft contact gives way by under a millimetre.
    assert 0.0 < data.qpos[1] - (foup.SIDE - wafer.RADIUS) < 1e-3
    assert "slot3_guide3" in touched(model, data)


def test_a_wafer_lies_on_the_three_pins_of_a_load_lock():
    model, data = scene(load_lock.load_lock(), [0.0, 0.0, 0.0])
    mujoco.mj_step(model, data, nstep=500)
    np.testing.assert_allclose(data.qpos[:3], [0, 0, 0.5 * wafer.THICKNESS], atol=SINKS)
    assert touched(model, data) == {"pin0", "pin1", "pin2"}


def test_what_is_drawn_of_a_foup_and_a_lock_leaves_room_for_wafers():
    """No drawn box or shaft reaches into a lying wafer."""
    for piece, seats in (
        (foup.foup(), [foup.seat_height(slot) for slot in range(foup.SLOTS)]),
        (load_lock.load_lock(), [0.0]),
    ):
        model = piece.compile()
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        drawn = np.flatnonzero(model.geom_group == 2)
        for height in seats:
            for geom in drawn:
                middle, half = data.geom_xpos[geom], model.geom_size[geom]
                if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CYLINDER:
                    half = np.array([half[0], half[0], half[1]])
                low, high = middle - half, middle + half
                level = low[2] < height + wafer.THICKNESS and high[2] > height + 1e-9
                nearest = np.clip(0.0, low[:2], high[:2])
                assert not (level and np.linalg.norm(nearest) < wafer.RADIUS), (height, geom)
