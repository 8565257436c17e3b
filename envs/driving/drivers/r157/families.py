"""Preset trajectories of the published scenario families: cut-in, cut-out and car following.

All arrays are float64, time first: (samples, cases), in steps of 0.1 s; positions are of the
centres of vehicles. A position is its origin plus the running sum of the speeds, divided by 10: in
this order the published outcomes come out to the last bit, also on the edge of a threshold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proveout.envs.core.errors import ConfigError
from proveout.envs.driving.drivers.r157.constants import GRAVITY, LENGTH, STOPPED_LENGTH

Floats = NDArray[np.float64]

SAMPLES = 350  # of a run without its lead-in: 35 s
LANE_OFFSET = 3.5  # [m] of the vehicle that cuts in, before it does
RISE = 0.15  # [m/s] of lateral speed that a sample of the lead-in adds
# Main-part samples of a cut-in with a lateral speed, by 10 times the lateral speed [m/s]; a table,
# because 35 / l is whole for some of them. So is the length of the lead-in, ceil(l / 0.15).
_MOVING = (
    0, 350, 175, 117, 88, 71, 59, 50, 44, 39, 36, 32, 30, 27, 25, 24, 22, 21,
)  # fmt: skip
_LEAD_IN = (0, 1, 2, 3, 3, 4, 5, 5, 6, 6, 7, 8, 9, 9, 10, 10, 11, 12)


@dataclass(frozen=True)
class Presets:
    """What everybody does if nobody reacts.

    Attributes:
        ego_x, ego_v: Of the ego [m], [m/s], (samples, cases).
        x, y, v, lateral: Of the other vehicle; lateral position [m] and speed [m/s], negative
            towards the ego in a cut-in.
        samples: Of each case, (cases,); what lies behind them means nothing.
        stopped_x: Of the stopped vehicle of a cut-out [m], (cases,).
    """

    ego_x: Floats
    ego_v: Floats
    x: Floats
    y: Floats
    v: Floats
    lateral: Floats
    samples: NDArray[np.int64]
    stopped_x: Floats | None = None


def _travel(origin: Floats | float, speed: Floats) -> Floats:
    return origin + np.cumsum(speed, axis=0) / 10.0


def cut_in(ego_v: Floats, other_v: Floats, gap: Floats, lateral: Floats) -> Presets:
    """A slower vehicle moves into the ego's lane with a constant lateral speed.

    Args:
        ego_v, other_v: Speeds [m/s], (cases,).
        gap: Bumper to bumper [m] where the lateral speed is reached.
        lateral: Lateral speed [m/s], tenths from 0 to 1.7.

    Raises:
        ConfigError: Another lateral speed.
    """
    tenths = np.rint(10.0 * lateral).astype(int)
    if (
        np.abs(10.0 * lateral - tenths).max(initial=0.0) > 1e-6
        or tenths.min(initial=0) < 0
        or tenths.max(initial=0) >= len(_MOVING)
    ):
        raise ConfigError("lateral speeds of a cut-in are 0, 0.1, ... 1.7 m/s; give such ones")
    speed = tenths * 0.1
    lead_in, moving = np.array(_LEAD_IN)[tenths], np.array(_MOVING)[tenths]
    longest = int(lead_in.max(initial=0))
    shape = (longest + SAMPLES + 1, len(tenths))
    x, y, ego_x, s = (np.zeros(shape) for _ in range(4))
    cases = np.arange(shape[1])
    x[lead_in, cases], y[lead_in, cases], s[lead_in, cases] = gap + LENGTH, LANE_OFFSET, -speed
    # Backwards in time, each sample by its own speed.
    for k in range(longest - 1, -1, -1):
        now = k < lead_in
        s[k, now] = -RISE * k
        x[k, now] = x[k + 1, now] - other_v[now] / 10.0
        y[k, now] = y[k + 1, now] + RISE * k / 10.0
        ego_x[k, now] = ego_x[k + 1, now] - ego_v[now] / 10.0
    steps = np.arange(1, SAMPLES + 1)[:, None]
    main = np.where(steps <= moving, -speed, 0.0)
    rows = lead_in + steps
    x[rows, cases] = _travel(gap + LENGTH, np.broadcast_to(other_v, main.shape))
    y[rows, cases] = _travel(LANE_OFFSET, main)
    s[rows, cases] = main
    ego_x[rows, cases] = _travel(0.0, np.broadcast_to(ego_v, main.shape))
    ones = np.ones(shape)
    return Presets(ego_x, ones * ego_v, x, y, ones * other_v, s, SAMPLES + 1 + lead_in)


def cut_out(v: Floats, gap: Floats, front_gap: Floats, lateral: Floats) -> Presets:
    """The vehicle ahead, as fast as the ego, leaves the lane before one that stands in it.

    Args:
        v: Speed of both [m/s], (cases,).
        gap: Between them, bumper to bumper [m].
        front_gap: Between it and the stopped vehicle [m], as published: of vehicles 4.3 m long.
        lateral: Lateral speed out of the lane [m/s], above 0.
    """
    steps = np.arange(SAMPLES)[:, None]
    moving = np.minimum(SAMPLES, np.floor(40.0 / lateral) + 1)
    s = np.where(steps < moving, -lateral, 0.0)
    speed = np.ones((SAMPLES, 1)) * v
    origin = gap + LENGTH
    y = (np.cumsum(s, axis=0) / 10.0 + 4.0) - 4.0
    return Presets(
        _travel(0.0, speed), speed, _travel(origin, speed), y, speed, s,
        np.full(len(v), SAMPLES), origin + front_gap + LENGTH,
    )  # fmt: skip


def car_following(v: Floats, gap: Floats, deceleration: Floats) -> Presets:
    """The vehicle ahead, as fast as the ego, brakes to a standstill.

    Args:
        v: Speed of both [m/s], (cases,).
        gap: Between them, bumper to bumper [m].
        deceleration: In multiples of 9.81 m/s^2, positive.
    """
    steps = np.arange(SAMPLES)[:, None]
    other = np.maximum(v - steps * (GRAVITY * deceleration) / 10.0, 0.0)
    speed = np.ones((SAMPLES, 1)) * v
    zero = np.zeros_like(other)
    return Presets(
        _travel(0.0, speed), speed, _travel(gap + LENGTH, other), zero, other, zero,
        np.full(len(v), SAMPLES),
    )  # fmt: skip


STOPPED_HALF_LENGTH = STOPPED_LENGTH / 2.0
"""Of the stopped vehicle of a cut-out [m]."""
