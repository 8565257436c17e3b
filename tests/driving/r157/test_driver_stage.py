"""Reference drivers at the wheel of an agent of a road world."""

import numpy as np
import pytest

from proveout.assets.road import motorway
from proveout.envs.core.errors import ConfigError
from proveout.envs.driving.drivers.r157.competent import CompetentParameters
from proveout.envs.driving.drivers.r157.constants import ReferenceModel
from proveout.envs.driving.drivers.r157.stage import add_reference_driver

DRIVERS = [*ReferenceModel, CompetentParameters()]


def run(worlds, seconds):
    """Speed, acceleration, collision and offset of agent 0, (steps, worlds) each."""
    out = []
    for _ in range(round(seconds / worlds.physics_dt)):
        worlds.physics()
        worlds.refresh(worlds._all)
        out.append(
            [
                getattr(worlds.agents, name).numpy()[:, 0].copy()
                for name in ("velocity", "acceleration", "collided", "d")
            ]
        )
    return tuple(np.array(column) for column in zip(*out, strict=True))


def build(placed, driver, gaps, speeds, others, lanes=(0, 0), **more):
    """Agent 0 at 100 m, agent 1 so far ahead from bumper to bumper, both driven by command."""
    n = len(gaps)
    s = np.stack([np.full(n, 100.0), 100.0 + 4.508 + np.asarray(gaps, float)], 1)
    worlds = placed(
        motorway(2, 1500.0), np.tile(lanes, (n, 1)), s,
        np.stack([speeds, others], 1), dt=0.1, num_learners=2, **more,
    )  # fmt: skip
    desired = np.stack([speeds, others], 1).astype(np.float32)
    worlds.drivers.set("desired_speed", np.maximum(desired, 0.1))
    add_reference_driver(worlds, 0, driver)
    return worlds


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda d: getattr(d, "name", "competent"))
def test_stops_for_one_that_stands_in_time_and_not_without(placed, driver):
    # At 15 m/s all of them stop within 15^2 / (2 * 6) + 0.8 * 15 + what the ramp costs < 40 m, and
    # none sees a reason beyond; 5 m suffice for nobody. 30 m/s faster on a free lane is no reason.
    worlds = build(placed, driver, [120.0, 4.0, 900.0], [15.0, 15.0, 30.0], [0.0, 0.0, 30.0])
    v, _a, hit, d = run(worlds, 12.0)
    assert hit[:, 1].any()
    assert not hit[:, 2].any()
    np.testing.assert_allclose(v[:, 2], 30.0, atol=1e-3)
    assert np.abs(d[:, 2]).max() < 1e-3
    assert not hit[:, 0].any()
    # RSS rolls on where the gap is safe at a walk.
    assert v[-1, 0] < (0.3 if driver == ReferenceModel.RSS else 1e-3)


def test_one_in_the_lane_beside_is_no_reason(placed):
    for driver in DRIVERS:
        worlds = build(placed, driver, [20.0], [20.0], [5.0], lanes=(0, 1))
        v, *_ = run(worlds, 3.0)
        np.testing.assert_allclose(v, 20.0, atol=1e-3)


def test_careful_driver_waits_and_ramps_as_published(placed):
    # 2 s at 15 m/s are 30 m: from 31 m on one step later. 0.4 m/s2 for eight steps, then the ramp.
    worlds = build(placed, ReferenceModel.CC, [31.0], [15.0], [0.0])
    _v, a, *_ = run(worlds, 2.2)
    np.testing.assert_allclose(a[0], 0.0, atol=1e-5)
    np.testing.assert_allclose(a[1:9, 0], -0.4, atol=1e-4)
    ramp = [1.665, 2.930, 4.195, 5.460, 6.725, 7.59294, 7.59294]
    np.testing.assert_allclose(-a[9:16, 0], ramp, atol=1e-4)


def test_competent_driver_waits_and_ramps_as_written(placed):
    # Within 2 s at once: 0.4 s of evaluation and 0.8 s of delay, then full braking within 0.6 s;
    # the emergency system below 22.5 m would join.
    driver = CompetentParameters(emergency_braking=0.0)
    worlds = build(placed, driver, [29.0], [15.0], [0.0])
    _v, a, *_ = run(worlds, 2.0)
    np.testing.assert_allclose(a[:12], 0.0, atol=1e-5)
    ramp = 0.774 * 9.81 * np.minimum(np.arange(1, 9) / 6, 1.0)
    np.testing.assert_allclose(-a[12:20, 0], ramp, atol=1e-4)


def test_what_a_driver_remembers_begins_anew_with_an_episode(placed):
    worlds = build(placed, ReferenceModel.CC, [20.0, 20.0], [15.0, 15.0], [0.0, 0.0])
    run(worlds, 1.0)
    waited = worlds.state()["reference driver 0/waited"]
    assert (waited.numpy() == 8).all()
    mask = worlds._all.numpy()
    mask[1] = False
    worlds._all.assign(mask)
    worlds.reset(worlds._all)
    assert waited.numpy().ravel().tolist() == [0, 8]


def test_bad_agents_are_named(placed):
    worlds = build(placed, ReferenceModel.RSS, [20.0], [15.0], [0.0])
    with pytest.raises(ConfigError, match="agent 2: worlds have 2; give one from 0 to 1"):
        add_reference_driver(worlds, 2, ReferenceModel.RSS)
    with pytest.raises(ConfigError, match="kept twice"):
        add_reference_driver(worlds, 0, ReferenceModel.RSS)


def test_what_a_cut_out_reveals_is_braked_for_sooner(placed):
    # One stands 60 m ahead. In world 0 another, 10 m ahead and as fast, leaves the lane after
    # 0.5 s; in world 1 it never was in it. 2 s, 30 m, are left after 2 s: by then the driver of
    # world 0 has evaluated what was revealed, that of world 1 begins to.
    s = np.array([[100.0, 114.508, 164.508]] * 2)
    worlds = placed(
        motorway(2, 1500.0), [[0, 0, 0], [0, 1, 0]], s, [[15.0, 15.0, 0.0]] * 2, dt=0.1,
        num_learners=3,
    )  # fmt: skip
    worlds.drivers.set("desired_speed", 15.0)
    driver = CompetentParameters(emergency_braking=0.0, comfortable_braking=np.inf)
    add_reference_driver(worlds, 0, driver)
    _v, before, *_ = run(worlds, 0.5)
    lane, y = worlds.agents.lane.numpy().copy(), worlds.agents.y.numpy().copy()
    lane[0, 1], y[0, 1] = 1, y[1, 1]
    worlds.agents.lane.assign(lane)
    worlds.agents.y.assign(y)
    worlds.refresh(worlds._all)
    _v, after, *_ = run(worlds, 3.5)
    a = np.concatenate([before, after])
    first = [int(np.flatnonzero(a[:, w] < -0.5)[0]) for w in range(2)]
    assert first[1] - first[0] == 4
    assert first[0] in (20 + 8, 21 + 8)  # 30 m are reached up to the rounding of float32
