"""The published reference drivers on the host: float64, many cases at once, no graph, no device.

What the kernels of `control` do in float32 is held against these. The order of the operations is
part of the models: some published outcomes lie on the edge of a threshold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proveout.envs.driving.drivers.r157 import constants as c
from proveout.envs.driving.drivers.r157.constants import ReferenceModel

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Seen:
    """What a driver sees at a sample, (cases,) each.

    Attributes:
        behind: Whether the ego's centre is not ahead of the other's.
        distance: Of the centres along the road, without a sign [m].
        gap: Bumper to bumper along the road [m], negative where they overlap.
        side: Between the sides [m], negative where they overlap.
        v, other_v: Speeds [m/s].
        lateral: Lateral speed of the other [m/s], negative towards the ego.
        acceleration: Of the ego over the last step [m/s^2].
        half_lengths: Of the ego and of the other [m].
    """

    behind: Flags
    distance: Floats
    gap: Floats
    side: Floats
    v: Floats
    other_v: Floats
    lateral: Floats
    acceleration: Floats
    half_lengths: tuple[float, Floats]


@dataclass
class Mind:
    """What a driver remembers, (cases,) each; zero at the start."""

    reacted: Flags
    waited: NDArray[np.int64]  # steps of the reaction time
    braking: Floats  # [m/s^2], positive
    cfs: Floats  # critical fuzzy metric
    pfs: Floats  # proactive fuzzy metric

    @classmethod
    def blank(cls, cases: int) -> "Mind":
        """At the start of a run."""
        zero = np.zeros(cases)
        return cls(np.zeros(cases, bool), np.zeros(cases, int), zero, zero.copy(), zero.copy())


def following_distance(model: ReferenceModel, v: Floats) -> Floats:
    """Gap that the model keeps behind a vehicle as fast [m], for speeds [m/s]."""
    if model == ReferenceModel.RSS:
        rho, a, beta = c.REACTION_TIME, c.RSS_ACCELERATION, c.RSS_BRAKING
        return (
            v * rho
            + a * rho**2 / 2.0
            + (v + rho * a) ** 2 / (2.0 * beta)
            - np.maximum(v - rho * beta, 0.0) ** 2 / (2.0 * beta)
            + beta * rho**2 / 2.0
        )
    if model == ReferenceModel.FSM:
        return (
            v * c.REACTION_TIME
            + v**2 / (2.0 * c.FSM_COMFORTABLE)
            - v**2 / (2.0 * c.FSM_LEADER)
            + c.FSM_MARGIN
            + c.FSM_SAFE_MARGIN
        )
    return c.CC_CRITICAL_TIME * v


def proactive_metric(gap: Floats, v: Floats, other_v: Floats) -> Floats:
    """Proactive fuzzy metric: 0 safe, 1 unsafe; how far comfortable braking is from enough."""
    reaction = v * c.REACTION_TIME
    leader = other_v**2 / (2.0 * c.FSM_LEADER)
    safe = reaction + v**2 / (2.0 * c.FSM_COMFORTABLE) - leader + c.FSM_SAFE_MARGIN
    unsafe = reaction + v**2 / (2.0 * c.FSM_MAXIMUM) - leader
    room = gap - c.FSM_MARGIN
    return np.where(room > safe, 0.0, np.where(room < unsafe, 1.0, (room - safe) / (unsafe - safe)))


def critical_metric(gap: Floats, v: Floats, other_v: Floats, acceleration: Floats) -> Floats:
    """Critical fuzzy metric: 0 safe, 1 unsafe, if the other keeps its speed."""
    kept = np.maximum(acceleration, -c.FSM_COMFORTABLE)
    after = v + c.REACTION_TIME * kept
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = (v - other_v) ** 2 / np.abs(2.0 * acceleration)
    during = (v + kept * c.REACTION_TIME / 2.0 - other_v) * c.REACTION_TIME
    excess = (v + kept * c.REACTION_TIME - other_v) ** 2
    safe = during + excess / (2.0 * c.FSM_COMFORTABLE)
    unsafe = during + excess / (2.0 * c.FSM_MAXIMUM)
    between = (gap - safe) / (unsafe - safe)
    faster = np.where(gap > safe, 0.0, np.where(gap < unsafe, 1.0, between))
    return np.where(
        v <= other_v, 0.0, np.where(after < other_v, np.where(gap < needed, 1.0, 0.0), faster)
    )


def rss_longitudinal(v: Floats, other_v: Floats) -> Floats:
    """Safe longitudinal distance [m] of RSS with the published numbers; may be negative."""
    rho, a, beta = c.REACTION_TIME, c.RSS_ACCELERATION, c.RSS_BRAKING
    own = (v + rho * a) ** 2 / (2.0 * beta)
    return v * rho + a * rho**2 / 2.0 + own - other_v**2 / (2.0 * beta)


def rss_lateral(lateral: Floats) -> Floats:
    """Safe lateral distance [m] of RSS to one with a lateral speed, the ego having none."""
    rho, a = c.REACTION_TIME, c.RSS_LATERAL_ACCELERATION
    q = np.abs(lateral)
    during = np.abs((2.0 * q + a * rho) * rho / 2.0)
    return c.RSS_LATERAL_MARGIN + during + (q + a * rho) ** 2 / (2.0 * a)


def check(
    model: ReferenceModel, seen: Seen, mind: Mind, cutting_in: bool, active: Flags
) -> tuple[Flags, Flags]:
    """Whether each case is unsafe, and whether its run ends with this step (CC alone).

    CC and REG157 outside a cut-in find every situation unsafe. The metrics of FSM go to `mind`.
    """
    closing = seen.v - seen.other_v
    ends = np.zeros(len(closing), bool)
    if model == ReferenceModel.RSS:
        near = seen.gap < rss_longitudinal(seen.v, seen.other_v)
        return seen.behind & near & (seen.side < rss_lateral(seen.lateral)), ends
    if model == ReferenceModel.FSM:
        towards = -seen.lateral
        first, second = seen.half_lengths
        passed = (seen.distance + first + second) / closing
        apart = (towards <= 0.0) | (seen.side / towards > passed + 0.1)
        asked = active & seen.behind & ~((seen.side > 0.0) & apart)
        cfs = critical_metric(seen.gap, seen.v, seen.other_v, seen.acceleration)
        pfs = proactive_metric(seen.gap, seen.v, seen.other_v)
        if cutting_in:
            mind.cfs, mind.pfs = np.zeros_like(cfs), np.zeros_like(pfs)
        mind.cfs = np.where(asked, cfs, mind.cfs)
        mind.pfs = np.where(asked, pfs, mind.pfs)
        return asked & (mind.cfs + mind.pfs != 0.0), ends
    if not cutting_in:
        return ~ends, ends
    if model == ReferenceModel.CC:
        beside = seen.behind & ~(seen.side > 0.0)
        late = np.abs(np.abs(seen.gap) / closing) > c.CC_CRITICAL_TIME
        return beside & ~late, beside & late
    limit = closing / (2.0 * c.REG_BRAKING) + c.REG_REACTION_TIME + c.REG_MARGIN
    early = np.abs(seen.gap / closing) > limit
    return seen.behind & ~(seen.side > c.REG_LATERAL_GAP) & ~early, ends


def react(model: ReferenceModel, v: Floats, mind: Mind, unsafe: Flags) -> Floats:
    """Speed of the next sample [m/s] where unsafe; `mind` takes note."""
    waiting = unsafe & (mind.waited < c.reaction_steps(model))
    braking = unsafe & ~waiting
    mind.waited = mind.waited + waiting
    mind.reacted = mind.reacted | unsafe
    if model == ReferenceModel.REG157:
        return np.where(waiting, v, np.maximum(v - c.REG_BRAKING / 10.0, 0.0))
    wanted = np.minimum(mind.braking + c.RAMP / 10.0, c.FULL_BRAKING)
    if model == ReferenceModel.FSM:
        between = c.FSM_MAXIMUM - c.FSM_COMFORTABLE
        target = np.where(
            mind.cfs > 0.0, c.FSM_COMFORTABLE + between * mind.cfs, c.FSM_COMFORTABLE * mind.pfs
        )
        wanted = np.minimum(wanted, target)
    mind.braking = np.where(braking, wanted, mind.braking)
    slower = np.maximum(v - mind.braking / 10.0, 0.0)
    if model != ReferenceModel.CC:
        return np.where(waiting, v, slower)
    mind.braking = np.where(waiting, c.CC_RELEASE, mind.braking)
    return np.where(waiting, v - c.CC_RELEASE / 10.0, slower)
