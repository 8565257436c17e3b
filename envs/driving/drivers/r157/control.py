"""The published reference drivers as functions of one agent, in float32.

The models of `models`, one agent at a time. A driver's memory lies in arrays, one entry for each
world and agent.
"""

import warp as wp

from proveout.envs.driving.drivers.r157 import constants as c
from proveout.envs.driving.drivers.r157.constants import ReferenceModel
from proveout.envs.driving.metrics.fuzzy import critical_fuzzy_metric, proactive_fuzzy_metric
from proveout.envs.driving.metrics.rss import rss_lateral_distance, rss_longitudinal_distance

wp.set_module_options({"enable_backward": False})

_CC = wp.constant(int(ReferenceModel.CC))
_REG157 = wp.constant(int(ReferenceModel.REG157))
_RSS = wp.constant(int(ReferenceModel.RSS))
_FSM = wp.constant(int(ReferenceModel.FSM))

_REACTION_TIME, _REG_REACTION_TIME = wp.constant(c.REACTION_TIME), wp.constant(c.REG_REACTION_TIME)
_RAMP, _FULL_BRAKING = wp.constant(c.RAMP), wp.constant(c.FULL_BRAKING)
_RELEASE, _CRITICAL_TIME = wp.constant(c.CC_RELEASE), wp.constant(c.CC_CRITICAL_TIME)
_REG_BRAKING, _REG_MARGIN = wp.constant(c.REG_BRAKING), wp.constant(c.REG_MARGIN)
_REG_LATERAL_GAP = wp.constant(c.REG_LATERAL_GAP)
_RSS_ACCELERATION, _RSS_BRAKING = wp.constant(c.RSS_ACCELERATION), wp.constant(c.RSS_BRAKING)
_RSS_LATERAL_ACCELERATION = wp.constant(c.RSS_LATERAL_ACCELERATION)
_RSS_LATERAL_MARGIN = wp.constant(c.RSS_LATERAL_MARGIN)
_COMFORTABLE, _MAXIMUM = wp.constant(c.FSM_COMFORTABLE), wp.constant(c.FSM_MAXIMUM)
# A quotient that is whole but for its rounding counts as whole.
_ROUNDING = wp.constant(1.0e-4)
# Without a reaction the ego goes back to its wanted speed with at most this [m/s^2].
_FREE_ACCELERATION = wp.constant(1.0)


@wp.struct
class Situation:
    """What a driver sees of one other agent."""

    distance: float  # of the centres along the road [m], positive where the other is ahead
    half_lengths: float  # sum of both [m]
    side: float  # between the sides [m], negative where they overlap
    velocity: float  # of the ego [m/s]
    other_velocity: float  # [m/s]
    lateral: float  # lateral speed of the other [m/s], negative towards the ego
    acceleration: float  # of the ego over the last step [m/s^2]


@wp.struct
class ReferenceMemory:
    """What reference drivers remember, (worlds, agents) each; zero at the start."""

    reacted: wp.array2d[int]  # 1 once a situation was unsafe
    waited: wp.array2d[int]  # steps of the reaction time
    braking: wp.array2d[float]  # [m/s^2], positive
    cfs: wp.array2d[float]  # critical fuzzy metric
    pfs: wp.array2d[float]  # proactive fuzzy metric


@wp.func
def gap_of(seen: Situation) -> float:
    """Bumper to bumper along the road [m], negative where they overlap."""
    return wp.abs(seen.distance) - seen.half_lengths


@wp.func
def careful_check(seen: Situation) -> int:
    """CC in a cut-in: 0 safe, 1 unsafe, 2 safe for good: beside it, and late enough to stop."""
    if seen.distance < 0.0 or seen.side > 0.0:
        return 0
    closing = seen.velocity - seen.other_velocity
    if wp.abs(gap_of(seen)) > _CRITICAL_TIME * wp.abs(closing):
        return 2
    return 1


@wp.func
def regulation_check(seen: Situation) -> bool:
    """REG157 in a cut-in, paragraph 5.2.5.2: whether it is unsafe."""
    if seen.distance < 0.0 or seen.side > _REG_LATERAL_GAP:
        return False
    closing = seen.velocity - seen.other_velocity
    limit = closing / (2.0 * _REG_BRAKING) + _REG_REACTION_TIME + _REG_MARGIN
    return not wp.abs(gap_of(seen)) > limit * wp.abs(closing)


@wp.func
def rss_check(seen: Situation) -> bool:
    """RSS: whether both distances are below the safe ones."""
    if seen.distance < 0.0:
        return False
    along = rss_longitudinal_distance(
        seen.velocity,
        seen.other_velocity,
        _REACTION_TIME,
        _RSS_ACCELERATION,
        _RSS_BRAKING,
        _RSS_BRAKING,
    )
    across = rss_lateral_distance(
        seen.lateral, _REACTION_TIME, _RSS_LATERAL_ACCELERATION, _RSS_LATERAL_MARGIN
    )
    return gap_of(seen) < along and seen.side < across


@wp.func
def fuzzy_asked(seen: Situation) -> bool:
    """FSM: whether the paths meet, so that its metrics are computed."""
    if seen.distance < 0.0:
        return False
    if seen.side > 0.0:
        towards = -seen.lateral
        if towards <= 0.0:
            return False
        closing = seen.velocity - seen.other_velocity
        # Time until the ego has passed the other completely.
        passed = (wp.abs(seen.distance) + seen.half_lengths) / closing
        if closing == 0.0:
            passed = wp.inf
        return not seen.side / towards > passed + 0.1
    return True


@wp.func
def reaction_speed(
    model: int, velocity: float, dt: float, memory: ReferenceMemory, world: int, agent: int
) -> float:
    """Speed [m/s] after an unsafe step of `dt` [s]: wait for the reaction time, then brake."""
    memory.reacted[world, agent] = 1
    time = float(_REACTION_TIME)
    if model == _REG157:
        time = _REG_REACTION_TIME
    if memory.waited[world, agent] < int(wp.ceil(time / dt - _ROUNDING)):
        memory.waited[world, agent] += 1
        if model == _CC:
            memory.braking[world, agent] = _RELEASE
            return velocity - _RELEASE * dt
        return velocity
    if model == _REG157:
        return wp.max(velocity - _REG_BRAKING * dt, 0.0)
    braking = wp.min(memory.braking[world, agent] + _RAMP * dt, _FULL_BRAKING)
    if model == _FSM:
        cfs = memory.cfs[world, agent]
        wanted = _COMFORTABLE * memory.pfs[world, agent]
        if cfs > 0.0:
            wanted = _COMFORTABLE + (_MAXIMUM - _COMFORTABLE) * cfs
        braking = wp.min(braking, wanted)
    memory.braking[world, agent] = braking
    return wp.max(velocity - braking * dt, 0.0)


@wp.func
def check_situation(
    model: int,
    seen: Situation,
    cutting_in: bool,
    memory: ReferenceMemory,
    world: int,
    agent: int,
) -> int:
    """0 safe, 1 unsafe, 2 safe for good (CC alone); the metrics of FSM go to `memory`.

    Args:
        model: A `ReferenceModel`.
        seen: The situation.
        cutting_in: Whether the other comes from a lane beside; if not, CC and REG157 find every
            situation unsafe, and FSM keeps its metrics where it computes none.
        memory: Of the drivers.
        world: Index. agent: Index.
    """
    if model == _RSS:
        return wp.where(rss_check(seen), 1, 0)
    if model == _FSM:
        if cutting_in:
            memory.cfs[world, agent] = 0.0
            memory.pfs[world, agent] = 0.0
        if not fuzzy_asked(seen):
            return 0
        gap = gap_of(seen)
        cfs = critical_fuzzy_metric(gap, seen.velocity, seen.other_velocity, seen.acceleration)
        pfs = proactive_fuzzy_metric(gap, seen.velocity, seen.other_velocity)
        memory.cfs[world, agent] = cfs
        memory.pfs[world, agent] = pfs
        return wp.where(cfs + pfs != 0.0, 1, 0)
    if not cutting_in:
        return 1
    if model == _CC:
        return careful_check(seen)
    return wp.where(regulation_check(seen), 1, 0)


@wp.func
def next_speed(
    model: int,
    velocity: float,
    wanted: float,
    unsafe: bool,
    dt: float,
    memory: ReferenceMemory,
    world: int,
    agent: int,
) -> float:
    """Speed [m/s] after a step: reacts where unsafe; if it ever has, it coasts from then on.

    Args:
        model: A `ReferenceModel`.
        velocity: Of the ego [m/s]. wanted: While nothing was unsafe [m/s].
        unsafe: What `check_situation` found.
        dt: Of the step [s].
        memory: Of the drivers.
        world: Index. agent: Index.
    """
    if unsafe:
        return reaction_speed(model, velocity, dt, memory, world, agent)
    if memory.reacted[world, agent] != 0:
        return velocity
    change = _FREE_ACCELERATION * dt
    return wp.clamp(wanted, velocity - change, velocity + change)
