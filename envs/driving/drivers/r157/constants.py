"""Models of the reference drivers and their numbers.

Sources: UN Regulation 157, paragraph 5.2.5.2 and Annex 4 Appendix 3; the models and numbers that
the Joint Research Centre published as JRC-FSM (repository `ec-jrc/JRC-FSM`); for RSS
S. Shalev-Shwartz, S. Shammah, A. Shashua, arXiv:1708.06374; for FSM K. Mattas et al.,
Accident Analysis and Prevention 148 (2020) 105794.
"""

from enum import IntEnum


class ReferenceModel(IntEnum):
    """How a reference driver finds a situation unsafe and how it brakes."""

    CC = 0  # careful and competent human driver
    REG157 = 1  # paragraph 5.2.5.2 of the regulation
    RSS = 2  # responsibility-sensitive safety
    FSM = 3  # fuzzy safety model


GRAVITY = 9.81  # [m/s^2]
STEP = 0.1  # [s] of the published runs
LENGTH, WIDTH = 4.3, 1.9  # [m] of the vehicles there
STOPPED_LENGTH = 5.0  # [m] of the stopped vehicle of a cut-out

REACTION_TIME = 0.75  # [s] of CC, RSS and FSM
RAMP = 12.65  # [m/s^3] of their braking
FULL_BRAKING = 0.774 * 9.81  # [m/s^2], positive

CC_RELEASE = 0.4  # [m/s^2], positive: off the pedal during the reaction time
CC_CRITICAL_TIME = 2.0  # [s] to collision, and the time headway that is kept

REG_REACTION_TIME = 0.35  # [s]
REG_BRAKING = 6.0  # [m/s^2], positive, at once
REG_LATERAL_GAP = 0.5  # [m] that stands for the intrusion into the lane
REG_MARGIN = 0.1  # [s] on the time to collision of the regulation

RSS_ACCELERATION = 3.0  # [m/s^2] at most during the response time
RSS_BRAKING = 6.0  # [m/s^2], positive, of both vehicles
RSS_LATERAL_ACCELERATION = 1.0  # [m/s^2]
RSS_LATERAL_MARGIN = 0.3  # [m]

FSM_COMFORTABLE, FSM_MAXIMUM = 4.0, 6.0  # [m/s^2], positive, of the ego
FSM_LEADER = 7.0  # [m/s^2], positive, of the vehicle ahead
FSM_MARGIN, FSM_SAFE_MARGIN = 2.0, 2.0  # [m]

CUT_OUT_WANDER = 0.375  # [m] from the lane's centre after which a cut-out is seen


def reaction_steps(model: int, dt: float = STEP) -> int:
    """Steps of `dt` [s] that a model waits: its reaction time, rounded up."""
    time = REG_REACTION_TIME if model == ReferenceModel.REG157 else REACTION_TIME
    # Not one more for a quotient that is whole but for its rounding.
    return -int(-(time / dt - 1e-6) // 1)
