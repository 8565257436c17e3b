"""The competent driver of UN Regulation 157, Annex 4 Appendix 3.

Other than the published model CC it knows what the regulation writes down: a vehicle may wander in
its lane without being a risk, a risk takes time to be evaluated, and an emergency braking system
helps once the other is wholly in the way. Verdicts ask this driver whether a case is avoidable.

    idle -> evaluating -> reacting -> braking -> idle

Ours, where our source leaves the regulation open: the driver releases the brake once the gap no
longer closes, and then begins anew, but from its first decision to brake on it does not accelerate,
as the published models do not; a vehicle in the way counts, too, by the time to collision of a
cut-in, or sooner, where a fast approach leaves no time for comfortable braking after the delay; the
emergency system acts below 1.5 s to collision, and its braking is added to the driver's, as in
esmini's R157 controller.
"""

# A struct made at run time is a variable to the checker.
# mypy: disable-error-code="valid-type,attr-defined"

from dataclasses import dataclass
from enum import IntEnum

import warp as wp

from proveout.envs.driving.drivers.r157.control import Situation, gap_of
from proveout.envs.driving.records import record

wp.set_module_options({"enable_backward": False})


class Phase(IntEnum):
    """What the driver is about."""

    IDLE = 0
    EVALUATING = 1
    REACTING = 2
    BRAKING = 3


@dataclass(frozen=True, kw_only=True)
class CompetentParameters:
    """The driver's numbers; the defaults are those of Annex 4 Appendix 3, but for the named."""

    wander: float = 0.375  # [m] from the centre of a lane that is no change of it
    evaluation_time: float = 0.4  # [s]
    critical_time: float = 2.0  # [s] to collision
    comfortable_braking: float = 4.0  # [m/s^2], positive: of an approach in the lane; ours
    critical_headway: float = 2.0  # [s] to one that brakes or is revealed in the lane
    leader_braking: float = 5.0  # [m/s^2], positive: harder than this is a risk
    delay: float = 0.75  # [s] from the decision to the first braking
    braking: float = 0.774 * 9.81  # [m/s^2], positive
    rise_time: float = 0.6  # [s] to full braking, of driver and emergency system
    emergency_braking: float = 0.85 * 9.81  # [m/s^2], positive; 0 for a car without the system
    emergency_time: float = 1.5  # [s] to collision; esmini's number
    emergency_overlap: float = 0.1  # [m] that may be missing from a whole overlap; esmini's number


Competent = record(CompetentParameters)
"""`CompetentParameters` for kernels."""


@wp.struct
class Threat:
    """What the driver knows of the one that matters."""

    seen: Situation
    offset: float  # between the centres across the road [m], without a sign
    lane_width: float  # [m]
    uncovered: float  # offset less what a whole overlap allows: half the difference of widths [m]
    braking: float  # of the other [m/s^2], positive
    revealed: wp.bool  # it stood behind one that has left the lane


@wp.struct
class CompetentMemory:
    """What competent drivers remember, (worlds, agents) each; zero at the start."""

    phase: wp.array2d[int]  # a `Phase`
    steps: wp.array2d[int]  # in this phase
    reacted: wp.array2d[int]  # 1 once it has decided to brake
    driver_braking: wp.array2d[float]  # [m/s^2], positive
    emergency_braking: wp.array2d[float]  # [m/s^2], positive


_IDLE, _EVALUATING = wp.constant(int(Phase.IDLE)), wp.constant(int(Phase.EVALUATING))
_REACTING, _BRAKING = wp.constant(int(Phase.REACTING)), wp.constant(int(Phase.BRAKING))
_ROUNDING = wp.constant(1.0e-4)  # a quotient that is whole but for its rounding counts as whole


@wp.func
def _within(gap: float, closing: float, time: float) -> bool:
    """Whether the gap closes within a time [s]."""
    return closing > 0.0 and gap <= time * closing


@wp.func
def _soon(driver: Competent, threat: Threat) -> bool:
    """Whether it is within the critical time; in the way, also within the time that delay, rise and
    comfortable braking need."""
    seen = threat.seen
    closing = seen.velocity - seen.other_velocity
    time = float(driver.critical_time)
    if seen.side < 0.0:
        needed = driver.delay + 0.5 * driver.rise_time
        time = wp.max(time, needed + closing / (2.0 * driver.comfortable_braking))
    return _within(gap_of(seen), closing, time)


@wp.func
def perceives_risk(driver: Competent, threat: Threat) -> bool:
    """Whether there is something to evaluate: a change into the own lane, hard braking, one that is
    revealed, or a gap in the own lane that closes within the critical time."""
    seen = threat.seen
    if seen.distance < 0.0:
        return False
    closing = seen.velocity - seen.other_velocity
    soon = _soon(driver, threat)
    if threat.offset <= driver.wander:
        return threat.braking > driver.leader_braking or soon or (threat.revealed and closing > 0.0)
    moves_in = seen.lateral < 0.0 and threat.offset < threat.lane_width - driver.wander
    return moves_in or (seen.side < 0.0 and soon)


@wp.func
def is_critical(driver: Competent, threat: Threat) -> bool:
    """Whether a perceived risk is one: by the time to collision, and in the own lane by the time
    headway to one that brakes hard or is revealed."""
    seen = threat.seen
    gap = gap_of(seen)
    closing = seen.velocity - seen.other_velocity
    if _soon(driver, threat):
        return True
    if threat.offset > driver.wander or gap > driver.critical_headway * seen.velocity:
        return False
    return threat.braking > driver.leader_braking or (threat.revealed and closing > 0.0)


@wp.func
def _lasts(memory: CompetentMemory, world: int, agent: int, time: float, dt: float) -> bool:
    """Whether the phase has not yet lasted a time [s]."""
    return memory.steps[world, agent] < int(wp.ceil(time / dt - _ROUNDING))


@wp.func
def _enter(memory: CompetentMemory, world: int, agent: int, phase: int):
    memory.phase[world, agent] = phase
    memory.steps[world, agent] = 0


@wp.func
def competent_acceleration(
    driver: Competent,
    threat: Threat,
    free: float,
    dt: float,
    memory: CompetentMemory,
    world: int,
    agent: int,
) -> float:
    """Acceleration [m/s^2] over the next step.

    Args:
        driver: Numbers.
        threat: The one that matters; at an infinite distance if there is none.
        free: Acceleration without a risk [m/s^2].
        dt: Of the step [s].
        memory: Of the drivers.
        world: Index. agent: Index.
    """
    seen = threat.seen
    closing = seen.velocity - seen.other_velocity
    # A phase may end before its first step: none of them takes one by itself.
    if memory.phase[world, agent] == _BRAKING and closing <= 0.0:
        memory.driver_braking[world, agent] = 0.0
        _enter(memory, world, agent, _IDLE)
    if memory.phase[world, agent] <= _EVALUATING:
        if not perceives_risk(driver, threat):
            _enter(memory, world, agent, _IDLE)
        elif memory.phase[world, agent] == _IDLE:
            _enter(memory, world, agent, _EVALUATING)
    if memory.phase[world, agent] == _EVALUATING:
        if not _lasts(memory, world, agent, driver.evaluation_time, dt):
            if is_critical(driver, threat):
                _enter(memory, world, agent, _REACTING)
                memory.reacted[world, agent] = 1
    if memory.phase[world, agent] == _REACTING:
        if not _lasts(memory, world, agent, driver.delay, dt):
            _enter(memory, world, agent, _BRAKING)
    memory.steps[world, agent] += 1

    phase = memory.phase[world, agent]
    if phase == _BRAKING:
        memory.driver_braking[world, agent] = wp.min(
            memory.driver_braking[world, agent] + driver.braking * dt / driver.rise_time,
            driver.braking,
        )
    covered = threat.uncovered <= driver.emergency_overlap
    if covered and seen.distance >= 0.0 and _within(gap_of(seen), closing, driver.emergency_time):
        memory.emergency_braking[world, agent] = wp.min(
            memory.emergency_braking[world, agent]
            + driver.emergency_braking * dt / driver.rise_time,
            driver.emergency_braking,
        )
    elif closing <= 0.0 or not covered:
        memory.emergency_braking[world, agent] = 0.0
    most = driver.braking
    if memory.emergency_braking[world, agent] > 0.0:
        most = wp.max(driver.braking, driver.emergency_braking)
    braking = wp.min(
        memory.driver_braking[world, agent] + memory.emergency_braking[world, agent], most
    )
    if braking > 0.0:
        return -braking
    if memory.reacted[world, agent] != 0:
        return wp.min(free, 0.0)
    return free
