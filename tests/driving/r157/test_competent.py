"""The regulation's competent driver: when it perceives, evaluates, reacts and brakes."""

from dataclasses import replace

import numpy as np
import pytest
import warp as wp

from proveout.envs.driving.drivers.r157.competent import (
    Competent,
    CompetentMemory,
    CompetentParameters,
    Threat,
    competent_acceleration,
)
from proveout.envs.driving.drivers.r157.control import Situation
from proveout.envs.driving.records import records

wp.set_module_options({"enable_backward": False})
DT, LENGTH, WIDTH, LANE = (wp.constant(x) for x in (0.1, 4.5, 1.8, 3.5))  # s, m
STEPS = 120
FULL, AEB = 0.774 * 9.81, 0.85 * 9.81


@wp.kernel
def _drive(
    driver: wp.array[Competent],
    start: wp.array2d[float],  # gap, v, other v, offset, lateral speed, braking, from when [s]
    revealed: bool,
    memory: CompetentMemory,
    acceleration: wp.array2d[float],
    gap: wp.array2d[float],
):
    w = wp.tid()
    distance = start[w, 0] + LENGTH
    v = start[w, 1]
    other_v = start[w, 2]
    offset = start[w, 3]
    for i in range(acceleration.shape[1]):
        threat = Threat()
        seen = Situation()
        seen.distance = distance
        seen.half_lengths = LENGTH
        seen.side = offset - WIDTH
        seen.velocity = v
        seen.other_velocity = other_v
        if offset > 0.0:
            seen.lateral = -start[w, 4]
        if float(i) * DT > start[w, 6] - 0.01 and other_v > 0.0:
            threat.braking = start[w, 5]
        threat.seen = seen
        threat.offset = offset
        threat.uncovered = offset
        threat.lane_width = LANE
        threat.revealed = revealed
        a = competent_acceleration(driver[0], threat, 0.0, DT, memory, w, 0)
        acceleration[w, i] = a
        gap[w, i] = distance - LENGTH
        v = wp.max(v + a * DT, 0.0)
        other_v = wp.max(other_v - threat.braking * DT, 0.0)
        distance += (other_v - v) * DT
        offset = wp.max(offset - start[w, 4] * DT, 0.0)


def drive(*starts, revealed=False, comfortable_braking=np.inf, **numbers):
    """Accelerations and gaps, (starts, steps); without the earlier braking of a fast approach."""
    numbers["comfortable_braking"] = comfortable_braking
    driver = records(Competent, replace(CompetentParameters(), **numbers), (1,), "cpu")
    memory = CompetentMemory()
    shape = (len(starts), 1)
    memory.phase, memory.steps, memory.reacted = (
        wp.zeros(shape, dtype=int, device="cpu") for _ in range(3)
    )
    memory.driver_braking, memory.emergency_braking = (
        wp.zeros(shape, dtype=float, device="cpu") for _ in range(2)
    )
    acceleration, gap = (
        wp.zeros((len(starts), STEPS), dtype=float, device="cpu") for _ in range(2)
    )
    rows = wp.array(np.array(starts, np.float32), dtype=float, device="cpu")
    wp.launch(
        _drive,
        dim=len(starts),
        inputs=[driver, rows, revealed, memory, acceleration, gap],
        device="cpu",
    )
    return acceleration.numpy(), gap.numpy()


def test_a_cut_in_is_seen_beyond_the_wandering_and_braked_for_after_the_delay():
    # The centre is 0.375 m off its lane's after 0.4 s at 1 m/s (offset 3.1 m < 3.125 m); 0.4 s to
    # evaluate, 0.75 s in steps of 0.1 s are eight: braking from step 4 + 4 + 8 = 16 on.
    a, _gap = drive((18.0, 20.0, 10.0, 3.5, 1.0, 0.0, 99.0), emergency_braking=0.0)
    assert not a[0, :16].any()
    ramp = FULL * np.arange(1, 7) / 6
    np.testing.assert_allclose(-a[0, 16:22], ramp, rtol=1e-5)
    braking = np.flatnonzero(a[0])
    np.testing.assert_allclose(-a[0, 22 : braking[-1] + 1], FULL, rtol=1e-5)
    # The ramp takes 2.66 m/s of the 10, the rest lasts 9.67 steps of 0.76 m/s.
    assert braking[-1] == 16 + 6 + 10 - 1
    assert not a[0, braking[-1] + 1 :].any()


def test_a_wandering_neighbour_is_no_risk():
    # It moves 0.3 m towards the ego and stays there: offset 3.2 m.
    a, _gap = drive((5.0, 30.0, 10.0, 3.5, 0.0, 0.0, 99.0), (5.0, 30.0, 10.0, 3.2, 0.0, 0.0, 99.0))
    assert not a.any()


def test_a_cut_in_far_ahead_is_not_critical_before_two_seconds():
    # 50 m at 10 m/s: 2 s are left after 3 s (step 30), long after the evaluation; eight steps.
    a, gap = drive((50.0, 20.0, 10.0, 3.5, 1.0, 0.0, 99.0), emergency_braking=0.0)
    assert np.flatnonzero(a[0])[0] in (38, 39)  # 20 m are reached up to the rounding of float32
    assert gap[0].min() > 0.0


def test_hard_braking_ahead_within_the_headway():
    # 20 m/s with 30 m of gap (1.5 s). It brakes with 6 m/s2 from 1 s on: 4 and 8 steps later.
    # With 4 m/s2 that is no risk until 2 s to collision are left.
    a, _gap = drive(
        (30.0, 20.0, 20.0, 0.0, 0.0, 6.0, 1.0),
        (30.0, 20.0, 20.0, 0.0, 0.0, 4.0, 1.0),
        emergency_braking=0.0,
    )
    assert np.flatnonzero(a[0])[0] == 10 + 4 + 8
    assert np.flatnonzero(a[1])[0] > 10 + 4 + 8
    # 50 m (2.5 s) are no headway of 2 s at first.
    far, _gap = drive((50.0, 20.0, 20.0, 0.0, 0.0, 6.0, 1.0), emergency_braking=0.0)
    assert np.flatnonzero(far[0])[0] > 10 + 4 + 8


def test_what_is_revealed_counts_by_headway():
    # Standing, 58 m ahead at 20 m/s: 2.9 s. Evaluated after 0.4 s; at step 9 there are 40 m left.
    starts = (58.0, 20.0, 0.0, 0.0, 0.0, 0.0, 99.0)
    seen, gap = drive(starts, revealed=True, emergency_braking=0.0)
    assert np.flatnonzero(seen[0])[0] == 9 + 8
    # By time to collision it is the same here, but for the four steps of evaluation.
    other, _gap = drive(starts, emergency_braking=0.0)
    assert np.flatnonzero(other[0])[0] == 9 + 4 + 8
    # 40 m less 16 m of delay are too few for 20 m/s, which need 26 m at full braking.
    assert gap[0].min() < 0.0
    # The system takes 2 m off: at 1.5 s the driver brakes already, and both together reach 0.85 g.
    _seen, helped = drive(starts, revealed=True)
    assert helped[0].min() > gap[0].min() + 1.0


@pytest.mark.parametrize("offset", [0.05, 0.2])
def test_the_emergency_system_acts_on_a_whole_overlap_alone(offset):
    # 14 m at 10 m/s are 1.4 s: the system brakes at once, with its ramp, without any reaction.
    a, _gap = drive((14.0, 20.0, 10.0, offset, 0.0, 0.0, 99.0))
    if offset > 0.1:
        assert not a[0, :12].any()
    else:
        np.testing.assert_allclose(-a[0, :6], AEB * np.arange(1, 7) / 6, rtol=1e-5)
        np.testing.assert_allclose(-a[0, 6:10], AEB, rtol=1e-5)


def test_a_fast_approach_in_the_lane_is_braked_for_in_time():
    # 20 m/s against 0: 0.75 + 0.3 + 20 / 8 = 3.55 s, 71 m. From 100 m on that is after 1.45 s (step
    # 15), then 0.4 s of evaluation and 0.8 s of delay; 20 m/s need 26 m and 6 m for the rise.
    start = (100.0, 20.0, 0.0, 0.0, 0.0, 0.0, 99.0)
    a, gap = drive(start, comfortable_braking=4.0, emergency_braking=0.0)
    assert np.flatnonzero(a[0])[0] == 15 + 4 + 8
    assert gap[0].min() > 10.0
    # At 2 s, as for a cut-in, it would be too late.
    _a, gap = drive(start, emergency_braking=0.0)
    assert gap[0].min() < 0.0
