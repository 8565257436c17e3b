"""The host's reference drivers: hand-computed cases, and the published outcomes."""

import numpy as np
import pytest
from published import CASES, MODELS, published, with_tables

from proveout.envs.driving.drivers.r157 import models
from proveout.envs.driving.drivers.r157.constants import ReferenceModel, reaction_steps
from proveout.envs.driving.drivers.r157.families import cut_in
from proveout.envs.driving.drivers.r157.outcomes import (
    run_car_following,
    run_cut_in,
    run_cut_out,
)

# The tables are rounded to 1e-6.
ROUNDED = 1e-6


def one(*numbers):
    return [np.array([number], float) for number in numbers]


@with_tables
@pytest.mark.parametrize(("model", "family"), CASES)
def test_published_outcomes(model, family):
    table, kind = published(model, family), MODELS[model]
    v = table["ego_kmh"] / 3.6
    if family == "cut_in":
        out = run_cut_in(kind, v, table["other_kmh"] / 3.6, table["gap_m"], table["lat_mps"])
        np.testing.assert_array_equal(out.crash_type, table["crash_type"])
        np.testing.assert_array_equal(out.crash_type > 0, table["crash"] > 0)
        np.testing.assert_allclose(out.min_ttc, table["min_ttc_s"], rtol=0, atol=ROUNDED)
    elif family == "cut_out":
        out = run_cut_out(kind, v, table["front_gap_m"], table["lat_mps"])
        np.testing.assert_array_equal(out.crash, table["crash"] > 0)
        np.testing.assert_array_equal(out.front_crash, table["crash_front"] > 0)
    else:
        out = run_car_following(kind, v, table["lead_decel_g"])
        np.testing.assert_array_equal(out.crash, table["crash"] > 0)
        difference = table["speed_diff_mps"]
        np.testing.assert_allclose(out.speed_difference, difference, rtol=0, atol=ROUNDED)
    if family != "cut_in":
        gap = table["initial_gap_m"]
        np.testing.assert_allclose(out.initial_gap, gap, rtol=0, atol=ROUNDED)
    if model == "FSM":
        when = "first" if family == "cut_out" else "max"
        np.testing.assert_allclose(out.cfs, table[f"cfs_{when}"], rtol=0, atol=ROUNDED)
        np.testing.assert_allclose(out.pfs, table[f"pfs_{when}"], rtol=0, atol=ROUNDED)


def test_following_distances_by_hand():
    # 20 m/s: 2 s; 15 + 0.84375 + 22.25^2 / 12 - 15.5^2 / 12 + 1.6875; 15 + 50 - 28.571429 + 4.
    expected = {
        ReferenceModel.CC: 40.0,
        ReferenceModel.REG157: 40.0,
        ReferenceModel.RSS: 38.765625,
        ReferenceModel.FSM: 40.428571,
    }
    for model, gap in expected.items():
        np.testing.assert_allclose(models.following_distance(model, *one(20.0)), gap, atol=1e-6)


@pytest.mark.parametrize(
    ("lateral", "distance"), [(0.0, 0.8625), (0.5, 1.7375), (1.0, 2.8625), (-1.0, 2.8625)]
)
def test_rss_lateral_by_hand(lateral, distance):
    np.testing.assert_allclose(models.rss_lateral(*one(lateral)), distance, rtol=1e-12)


def test_fuzzy_metrics_by_hand():
    # 20 m/s behind 10 m/s: safe 15 + 50 - 50/7 + 2 = 59.857143, unsafe 15 + 33.333333 - 50/7 =
    # 41.190476; a gap of 52 m leaves 50 m.
    got = models.proactive_metric(*one(52.0, 20.0, 10.0))
    np.testing.assert_allclose(got, (50 - 59.857143) / (41.190476 - 59.857143), atol=1e-6)
    # Critical, no acceleration: 7.5 + 12.5 = 20 safe, 7.5 + 8.333333 unsafe; 18 m is 0.48 between.
    got = models.critical_metric(*one(18.0, 20.0, 10.0, 0.0))
    np.testing.assert_allclose(got, 0.48, atol=1e-9)


def test_reaction_times_are_rounded_up_to_steps():
    assert [reaction_steps(m) for m in (ReferenceModel.CC, ReferenceModel.REG157)] == [8, 4]
    assert [reaction_steps(ReferenceModel.CC, dt) for dt in (0.05, 0.01, 0.25)] == [15, 75, 3]


def test_careful_driver_brakes_as_written():
    # 20 km/h with 0.4 m/s2 off the pedal for eight steps, then 1.665, 2.930, ... 7.59294 m/s2.
    mind, v = models.Mind.blank(1), np.array([20.0])
    unsafe = np.array([True])
    speeds = []
    for _ in range(15):
        v = models.react(ReferenceModel.CC, v, mind, unsafe)
        speeds.append(float(v[0]))
    np.testing.assert_allclose(speeds[:8], 20.0 - 0.04 * np.arange(1, 9), rtol=1e-12)
    braking = -10.0 * np.diff(speeds[7:])
    expected = [1.665, 2.930, 4.195, 5.460, 6.725, 7.59294, 7.59294]
    np.testing.assert_allclose(braking, expected, rtol=1e-9)


def test_lead_in_meets_the_reference_point():
    # 0.9 m/s: six samples of 0, 0.15, ... 0.75 m/s before it, which move 0.225 m.
    presets = cut_in(*one(20.0, 10.0, 30.0, 0.9))
    lateral = [0, -0.15, -0.3, -0.45, -0.6, -0.75, -0.9, -0.9]
    np.testing.assert_allclose(presets.lateral[:8, 0], lateral, atol=1e-12)
    np.testing.assert_allclose(presets.y[[0, 6, 7], 0], [3.725, 3.5, 3.41], atol=1e-12)
    np.testing.assert_allclose(presets.x[[0, 6, 7], 0], [28.3, 34.3, 35.3], atol=1e-12)
    np.testing.assert_allclose(presets.ego_x[[0, 6, 7], 0], [-12.0, 0.0, 2.0], atol=1e-12)
    assert presets.samples[0] == 357
    with pytest.raises(ValueError, match="give such ones"):
        cut_in(*one(20.0, 10.0, 30.0, 0.95))


def test_nobody_cuts_in_without_lateral_speed():
    # The ego passes after 3 s, in its own lane.
    for model in ReferenceModel:
        out = run_cut_in(model, *one(20.0, 10.0, 30.0, 0.0))
        assert out.crash_type[0] == 0
        assert out.min_ttc[0] == 4.0  # the sides never meet, and 4 s is the most that is told


def test_a_cut_in_that_leaves_no_time_hits():
    # 119 m at 27.8 m/s are gone after 4.3 s, long before the sides meet after 16 s at 0.1 m/s: the
    # ego has passed by then, unless it brakes for what will never be in its way.
    for model in ReferenceModel:
        out = run_cut_in(model, *one(110 / 3.6, 10 / 3.6, 119.0, 0.1))
        assert out.crash_type[0] == 0, "passed long before the sides meet"
    # At 1.7 m/s the sides meet after 1 s; 30.6 - 2.8 = 27.8 m/s makes 28.3 m of a gap of 31 m,
    # and nobody brakes away the rest within 0.1 s.
    for model in (ReferenceModel.CC, ReferenceModel.REG157):
        out = run_cut_in(model, *one(110 / 3.6, 10 / 3.6, 31.0, 1.7))
        assert out.crash_type[0] == 2


def test_careful_driver_follows_without_crash():
    v, c = np.meshgrid(np.arange(3.0, 36.0, 3.0), np.array([0.05, 0.5, 0.95]))
    out = run_car_following(ReferenceModel.CC, v.ravel(), c.ravel())
    assert not out.crash.any()
    assert not out.speed_difference.any()


def test_cut_out_by_hand():
    # 10 km/h and 0.1 m/s: the lead needs 19 s to leave, 2 m ahead of it stands a vehicle.
    out = run_cut_out(ReferenceModel.CC, *one(10 / 3.6, 2.0, 0.1))
    assert out.front_crash[0]
    assert not out.crash[0]
    # 130 km/h, 2.9 m/s: seen after 0.2 s, 147 - 0.35 m behind a lead that keeps 72.2 m:
    # 36.1 m/s need 0.8 s and more than 36.1^2 / 15.2 = 86 m: enough.
    out = run_cut_out(ReferenceModel.CC, *one(130 / 3.6, 147.0, 2.9))
    assert not out.front_crash[0]
    assert not out.crash[0]
