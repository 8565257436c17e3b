"""Pallets, cartons, bins and belts: published dimensions, masses, and closed forms in MuJoCo C."""

from itertools import pairwise

import mujoco
import numpy as np
import pytest

from proveout.assets.files.errors import UnknownNameError
from proveout.assets.objects.belt_conveyor import belt_conveyor
from proveout.assets.objects.carton import QUARTER_MODULE, carton
from proveout.assets.objects.klt import KLT, klt
from proveout.assets.objects.pallet import (
    euro_pallet,
    euro_pallet_boards,
    quarter_pallet,
    quarter_pallet_boards,
)


def extent(model, geoms=None):
    """Lowest and highest corner of boxes of a model at rest [m]."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    chosen = range(model.ngeom) if geoms is None else geoms
    corners = [data.geom_xpos[i] + s * model.geom_size[i] for i in chosen for s in (-1, 1)]
    return np.min(corners, axis=0), np.max(corners, axis=0)


def test_a_euro_pallet_is_that_of_the_standard():
    for boards in (False, True):
        model = euro_pallet(boards=boards).compile()
        low, high = extent(model)
        np.testing.assert_allclose(low, [-0.6, -0.4, 0.0], atol=1e-9)
        np.testing.assert_allclose(high, [0.6, 0.4, 0.144], atol=1e-9)
        assert model.body("pallet").mass[0] == pytest.approx(25.0, rel=0.1)
    boards = euro_pallet_boards()
    assert len(boards) == 20
    deck = [b for b in boards if b.middle[2] == pytest.approx(0.133)]
    assert sorted(b.size[1] for b in deck) == [0.1, 0.1, 0.145, 0.145, 0.145]
    # Forks enter between the blocks: 100 mm of free height from both sides.
    blocks = [b for b in boards if b.size[2] == 0.078]
    assert len(blocks) == 9
    # Outer blocks of 100 and middle ones of 145 mm leave 227.5 mm between them.
    edges = sorted({(b.middle[1] - b.size[1] / 2, b.middle[1] + b.size[1] / 2) for b in blocks})
    gaps = [b[0] - a[1] for a, b in pairwise(edges)]
    np.testing.assert_allclose(gaps, 0.2275)


@pytest.mark.parametrize("boards", [euro_pallet_boards(), quarter_pallet_boards()])
def test_boards_of_a_pallet_touch_and_do_not_overlap(boards):
    lows = np.array([np.subtract(b.middle, np.divide(b.size, 2)) for b in boards])
    highs = np.array([np.add(b.middle, np.divide(b.size, 2)) for b in boards])
    for i in range(len(boards)):
        common = np.minimum(highs, highs[i]) - np.maximum(lows, lows[i])
        shared = common.clip(0).prod(axis=1)
        shared[i] = 0.0
        assert shared.max() < 1e-12
        assert ((common > -1e-9).all(axis=1)).sum() > 1  # it rests on others


def test_four_quarter_modules_fill_the_quarter_pallet():
    low, high = extent(quarter_pallet().compile())
    area = (high - low)[:2].prod()
    assert area == pytest.approx(4 * np.prod(QUARTER_MODULE))
    assert area == pytest.approx(1.2 * 0.8 / 4)


@pytest.mark.parametrize("kind", sorted(KLT))
def test_bins_have_their_outer_dimensions_and_hold_what_lies_in_them(kind):
    spec = klt(kind, free=False)
    low, high = extent(spec.compile())
    np.testing.assert_allclose(high - low, KLT[kind].outer, atol=1e-9)
    # A block with 2 mm of play beside it stays inside and rests on the floor.
    half = np.array([*np.subtract(KLT[kind].inner, 0.004), 0.06]) / 2
    block = spec.worldbody.add_body(name="block", pos=[0, 0, 0.06])
    block.add_freejoint()
    block.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=half, mass=1.0)
    model = spec.compile()
    data = mujoco.MjData(model)
    for _ in range(500):
        data.xfrc_applied[-1, :2] = [2.0, 1.0]
        mujoco.mj_step(model, data)
    assert data.qpos[2] == pytest.approx(0.018 + half[2], abs=1e-3)
    assert np.abs(data.qpos[:2]).max() < 0.004


def test_an_unknown_bin_is_one_sentence():
    with pytest.raises(UnknownNameError, match="6280"):
        klt("6281")


def on_ground(piece, height, friction=0.3):
    """A piece above a box of low friction, with the solver of Palletize."""
    spec = mujoco.MjSpec()
    option = spec.option
    option.timestep, option.integrator = 0.05 / 6, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone, option.impratio = mujoco.mjtCone.mjCONE_PYRAMIDAL, 10.0
    spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX, size=[5, 5, 0.1], pos=[0, 0, -0.1],
        friction=[friction, 0.005, 0.0001],
    )  # fmt: skip
    spec.attach(piece, prefix="a", frame=spec.worldbody.add_frame(pos=[0, 0, height]))
    return spec


def test_a_sliding_carton_comes_to_rest_after_v2_over_2_mu_g():
    """Within 3 %: with steps of dt it stops v dt / 2 early, 2.7 % of the way here."""
    friction, speed = 0.5, 1.5
    spec = on_ground(carton((0.29, 0.19, 0.15), 2.0, name="0", friction=friction), 0.075)
    model = spec.compile()
    data = mujoco.MjData(model)
    for _ in range(60):
        mujoco.mj_step(model, data)
    start = data.qpos[0]
    data.qvel[0] = speed
    for _ in range(120):
        mujoco.mj_step(model, data)
    way = speed**2 / (2 * friction * 9.81)
    assert data.qpos[0] - start == pytest.approx(way, rel=0.03)
    assert data.qpos[0] - start == pytest.approx(way - speed * 0.05 / 6 / 2, rel=0.003)
    assert abs(data.qvel[0]) < 1e-6


@pytest.mark.parametrize("speed", [0.1, 0.25, 0.5])
def test_a_carton_on_a_belt_takes_its_speed_exactly_and_as_friction_lets_it(speed):
    spec = mujoco.MjSpec()
    spec.option.timestep, spec.option.cone = 0.002, mujoco.mjtCone.mjCONE_ELLIPTIC
    world = spec.worldbody
    spec.attach(belt_conveyor(3.0, 0.4, 0.7, speed), prefix="b_", frame=world.add_frame())
    at = world.add_frame(pos=[-2.5, 0, 0.075])
    spec.attach(carton((0.29, 0.19, 0.15), 2.0, name="0"), prefix="carton", frame=at)
    model = spec.compile()
    data = mujoco.MjData(model)
    slips = 0
    for _ in range(1000):
        mujoco.mj_step(model, data)
        slips += data.qvel[0] < 0.98 * speed
    assert data.qvel[0] == pytest.approx(speed, abs=1e-6)
    assert abs(data.qpos[1]) < 1e-4
    # The belt's own friction of 0.6 counts, after it has come to lie on it: v / (mu g).
    assert slips * 0.002 == pytest.approx(speed / (0.6 * 9.81), abs=0.03)
