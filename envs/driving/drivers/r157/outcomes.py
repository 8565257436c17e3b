"""Outcomes of the published scenario families on the host, case by case, in float64."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from proveout.envs.driving.drivers.r157 import constants as c
from proveout.envs.driving.drivers.r157.constants import ReferenceModel
from proveout.envs.driving.drivers.r157.families import (
    STOPPED_HALF_LENGTH,
    Presets,
    car_following,
    cut_in,
    cut_out,
)
from proveout.envs.driving.drivers.r157.models import (
    Flags,
    Floats,
    Mind,
    Seen,
    check,
    following_distance,
    react,
)

_HALF_LENGTH, _HALF_WIDTH = c.LENGTH / 2.0, c.WIDTH / 2.0


class _Run:
    """The ego's side of the runs: its trajectory, what it remembers, and whom it hit."""

    def __init__(self, model: ReferenceModel, presets: Presets, cutting_in: bool) -> None:
        self.model, self.cutting_in = model, cutting_in
        self.x, self.v = presets.ego_x.copy(), presets.ego_v.copy()
        self.wanted = presets.ego_v
        cases = self.x.shape[1]
        self.mind = Mind.blank(cases)
        self.crash_type: NDArray[np.int64] = np.zeros(cases, int)

    def step(
        self, i: int, active: Flags, x: Floats, y: Floats, v: Floats, s: Floats, half_length: Floats
    ) -> Flags:
        """Control at sample i of the active cases; whose run it ends."""
        distance = np.abs(self.x[i] - x)
        gap = distance - _HALF_LENGTH - half_length
        side = np.abs(y) - _HALF_WIDTH - _HALF_WIDTH
        before = self.v[i - 1] if i else self.v[i]
        seen = Seen(
            ~(self.x[i] > x), distance, gap, side, self.v[i], v, s,
            (self.v[i] - before) * 10.0, (_HALF_LENGTH, half_length),
        )  # fmt: skip
        with np.errstate(divide="ignore", invalid="ignore"):
            unsafe, ends = check(self.model, seen, self.mind, self.cutting_in, active)
        unsafe = unsafe & active
        free = np.where(
            self.mind.reacted,
            self.v[i],
            np.clip(self.wanted[i + 1], self.v[i] - 0.1, self.v[i] + 0.1),
        )
        speed = np.where(unsafe, react(self.model, self.v[i], self.mind, unsafe), free)
        self.v[i + 1] = np.where(active, speed, self.v[i + 1])
        self.x[i + 1] = np.where(active, self.x[i] + speed / 10.0, self.x[i + 1])
        hit = active & (side < 0.0) & (gap < 0.0) & (self.crash_type == 0)
        self.crash_type[hit] = np.where(self.x[i] > x, 1, 2)[hit]
        return ends & active


def _maxima(run: _Run, cfs: Floats, pfs: Floats, active: Flags) -> tuple[Floats, Floats]:
    mind = run.mind
    return (
        np.where(active, np.maximum(cfs, mind.cfs), cfs),
        np.where(active, np.maximum(pfs, mind.pfs), pfs),
    )


@dataclass(frozen=True)
class CutIn:
    """Outcomes, (cases,) each.

    Attributes:
        crash_type: 0 none, 1 with the ego's centre ahead, 2 the ego runs into the other.
        min_ttc: Two-dimensional time to collision [s], at most 4, its least.
        cfs, pfs: The fuzzy metrics at their greatest; 0 for other models than FSM.
    """

    crash_type: NDArray[np.int64]
    min_ttc: Floats
    cfs: Floats
    pfs: Floats


def run_cut_in(
    model: ReferenceModel, ego_v: Floats, other_v: Floats, gap: Floats, lateral: Floats
) -> CutIn:
    """Cut-in; arguments as `families.cut_in`."""
    presets = cut_in(ego_v, other_v, gap, lateral)
    run = _Run(model, presets, True)
    cfs, pfs, half = np.zeros(len(gap)), np.zeros(len(gap)), np.full(len(gap), _HALF_LENGTH)
    ended = np.zeros(len(gap), bool)
    for i in range(len(presets.x) - 1):
        active = ~ended & (i <= presets.samples - 2)
        ended |= run.step(
            i, active, presets.x[i], presets.y[i], presets.v[i], presets.lateral[i], half
        )
        cfs, pfs = _maxima(run, cfs, pfs, active)
    return CutIn(run.crash_type, _min_ttc(run, presets), cfs, pfs)


def _min_ttc(run: _Run, presets: Presets) -> Floats:
    """Where a run of CC ended, the samples behind it are those of an ego that never braked."""
    least = np.full(run.x.shape[1], np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        for k in range(len(run.x)):
            ahead = presets.x[k] - run.x[k] - c.LENGTH
            closing = run.v[k] - presets.v[k]
            along = np.minimum(ahead / closing, 4.0)
            along = np.where(closing < 0.0, 4.0, along)
            along = np.where(ahead < -2.0 * c.LENGTH, 10.0, along)
            along = np.where((ahead > -2.0 * c.LENGTH) & (ahead <= 0.0), 0.0, along)
            aside = np.abs(presets.y[k]) - c.WIDTH
            towards = np.where(presets.lateral[k] == 0.0, 0.001, -presets.lateral[k])
            across = np.where(aside < 0.0, 0.0, np.minimum(aside / towards, 4.0))
            both = np.where(k < presets.samples, np.maximum(along, across), np.nan)
            least = np.fmin(least, both)
    return least


@dataclass(frozen=True)
class CutOut:
    """Outcomes, (cases,) each.

    Attributes:
        crash: Of the ego. front_crash: Of the vehicle ahead with the stopped one.
        initial_gap: Of ego and vehicle ahead [m].
        cfs, pfs: The fuzzy metrics at the first look at the stopped vehicle; 0 for other models
            than FSM.
    """

    crash: Flags
    front_crash: Flags
    initial_gap: Floats
    cfs: Floats
    pfs: Floats


def run_cut_out(model: ReferenceModel, v: Floats, front_gap: Floats, lateral: Floats) -> CutOut:
    """Cut-out behind which a vehicle stands; arguments as `families.cut_out`."""
    gap = following_distance(model, v)
    presets = cut_out(v, gap, front_gap, lateral)
    assert presets.stopped_x is not None
    run = _Run(model, presets, False)
    cases = len(v)
    front, ended, asked = (np.zeros(cases, bool) for _ in range(3))
    frozen_x, frozen_y = np.zeros(cases), np.zeros(cases)
    cfs, pfs, zero = np.zeros(cases), np.zeros(cases), np.zeros(cases)
    for i in range(len(presets.x) - 1):
        apart = np.abs(presets.stopped_x - presets.x[i]) - _HALF_LENGTH - STOPPED_HALF_LENGTH
        hit = (np.abs(presets.y[i]) - _HALF_WIDTH - _HALF_WIDTH < 0.0) & (apart < 0.0)
        new = hit & ~front & ~ended
        frozen_x, frozen_y = (
            np.where(new, presets.x[i], frozen_x),
            np.where(new, presets.y[i], frozen_y),
        )
        front |= new
        revealed = ~front & (presets.y[i] < -c.CUT_OUT_WANDER)
        run.step(
            i,
            ~ended & (front | revealed),
            np.where(front, frozen_x, presets.stopped_x),
            np.where(front, frozen_y, 0.0),
            zero,
            zero,
            np.where(front, _HALF_LENGTH, STOPPED_HALF_LENGTH),
        )
        first = revealed & ~asked & ~ended
        cfs, pfs = np.where(first, run.mind.cfs, cfs), np.where(first, run.mind.pfs, pfs)
        asked |= first
        ended |= run.v[i] == 0.0
    return CutOut(
        run.crash_type > 0, front, gap, np.where(front, 0.0, cfs), np.where(front, 0.0, pfs)
    )


@dataclass(frozen=True)
class CarFollowing:
    """Outcomes, (cases,) each.

    Attributes:
        crash: Of the ego with the vehicle ahead.
        initial_gap: Of both [m].
        speed_difference: Of ego and vehicle ahead at the crash [m/s]; 0 without one.
        cfs, pfs: The fuzzy metrics at their greatest; 0 for other models than FSM.
    """

    crash: Flags
    initial_gap: Floats
    speed_difference: Floats
    cfs: Floats
    pfs: Floats


def run_car_following(model: ReferenceModel, v: Floats, deceleration: Floats) -> CarFollowing:
    """A vehicle ahead that brakes; arguments as `families.car_following`."""
    gap = following_distance(model, v)
    presets = car_following(v, gap, deceleration)
    run = _Run(model, presets, False)
    step = partial(run.step, half_length=np.full(len(v), _HALF_LENGTH))
    ended, difference = np.zeros(len(v), bool), np.zeros(len(v))
    cfs, pfs = np.zeros(len(v)), np.zeros(len(v))
    for i in range(len(presets.x) - 1):
        active = ~ended
        step(i, active, presets.x[i], presets.y[i], presets.v[i], presets.lateral[i])
        cfs, pfs = _maxima(run, cfs, pfs, active)
        rest = run.v[i] == 0.0
        crashed = active & ~rest & (run.crash_type > 0)
        difference = np.where(crashed, run.v[i] - presets.v[i], difference)
        ended |= rest | crashed
    return CarFollowing(run.crash_type > 0, gap, difference, cfs, pfs)
