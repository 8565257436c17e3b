"""Scripted expert of WaferTransfer: what to do next follows from the observation alone.

What it does changes little where the observation does, so that a network can learn to do the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from proveout.assets.files.layout import Layout
from proveout.envs.factory.control.wafer_way import CARRY, CLEAR, LOW, TURNING

# In line: turn [rad] and height [m] with which the fork goes in; all the way at two fifths.
_STRAIGHT, _LEVEL = 0.006, 0.0016
# How far from its place a wafer is lifted, and lowered, without delay [m]; not at all at 3 times.
_NEAR = 0.0015, 0.0005
# An action asks for so much more turning than there is as the largest acceleration makes in [s].
_RISE = 0.05
_GENTLE = 0.03  # how fast a wafer is lifted and lowered [m/s]
# Shares of the largest acceleration; turns and extensions take more of theirs from each other.
_TURNING, _EXTENDING, _LIFTING = 0.5, 0.65, 0.7
_GAIN = 9.0  # of the last millimetres [1/s]
# The speed rises for some time before the fork moves by it [s].
_LAG = 0.03


def _ramp(x: np.ndarray, low: Any, high: Any) -> np.ndarray:
    """0 up to `low`, 1 from `high` on, a line between."""
    return np.clip((x - low) / (high - low), 0.0, 1.0)


class WaferExpert:
    """Below the wafer, up, out; round to the lock, in, down, out.

    Args:
        layout: Layout of the observations.
        config: Of the task: the speeds that actions are shares of, and its control step.
    """

    def __init__(self, layout: Layout, config: Any) -> None:
        self._layout, self._dt = layout, config.control_dt
        self._top = np.array(
            [config.max_turn_speed, config.max_extension_speed, config.max_lift_speed]
        )
        self._lift_acceleration = config.max_lift_acceleration

    def predict(self, observations: np.ndarray, **_: Any) -> np.ndarray:
        """Actions, shape (N, 3), for observations, shape (N, size)."""
        o = {
            k: v.astype(np.float64) for k, v in self._layout.split(np.asarray(observations)).items()
        }
        fetch, leave, deliver, _withdraw = (o["stage"][:, i] > 0.5 for i in range(4))
        pick, place = o["pick"], o["place"]
        # Worlds that have not begun are seen as zeros.
        extension = np.maximum(o["fork"][:, 1], 0.1)
        limit = np.maximum(5.0 * o["acceleration_limit"][:, 0], 1e-3)
        lifted = 0.005 * o["seat_height"][:, 0]

        going = fetch | deliver
        turning, extending = np.abs(o["fork_speed"][:, :2].T)
        rates = (
            _TURNING * limit / extension * (1.0 - 0.6 * np.minimum(extending / 0.3, 1.0)),
            _EXTENDING * limit * (1.0 - 0.6 * np.minimum(turning, 1.0)),
            np.full_like(limit, _LIFTING * self._lift_acceleration),
        )

        def move(axis: int, way: np.ndarray, most: Any = np.inf) -> np.ndarray:
            """The action that closes a distance along an axis, at so much speed at the most."""
            way = way - _LAG * o["fork_speed"][:, axis]
            speed = np.clip(self._speed(axis, way, rates[axis]), -most, most)
            share = np.clip(speed / self._top[axis], -1.0, 1.0)
            return np.sign(share) * np.sqrt(np.abs(share))

        # Actions are blended, not distances: roots of small shares are large.
        # Into a station: in line before it, in, and down or up in the right place.
        way = np.where(fetch[:, None], pick, place)
        level = np.where(fetch, pick[:, 2] - LOW, place[:, 2] + CARRY)
        aside = np.maximum(np.abs(way[:, 0]) / _STRAIGHT, np.abs(level) / _LEVEL)
        inside = _ramp(extension, CLEAR + 0.02, CLEAR + 0.07)  # there it has been in line
        straight = np.maximum(inside, 1.0 - _ramp(aside, 0.4, 1.0))
        home = move(1, TURNING - extension)
        reach = straight * move(1, way[:, 1]) + (1.0 - straight) * home
        # There: within a tolerance, a finer one for the pins, or halfway on the last move.
        apart = np.maximum(np.abs(way[:, 1]), 0.6 * np.abs(way[:, 0]))
        near = np.where(fetch, *_NEAR)
        done = np.where(fetch, LOW - pick[:, 2], CARRY + place[:, 2])
        begun = _ramp(done, 0.0008, 0.0016) * (1.0 - _ramp(apart, 4.0 * near, 6.0 * near))
        there = inside * np.maximum(1.0 - _ramp(apart, near, 3.0 * near), begun)
        swap = np.where(fetch, CARRY - lifted + pick[:, 2], place[:, 2] + pick[:, 2] - LOW)
        height = there * move(2, swap, _GENTLE) + (1.0 - there) * move(2, level)
        # Out of it, at the height at which it has come free.
        back = np.where(leave, CARRY - lifted, pick[:, 2] - LOW)
        free = _ramp(np.where(leave, lifted, pick[:, 2]), 0.0010, 0.0020)
        # It does not begin to turn before it has come to rest along R.
        still = 1.0 - _ramp(extending, 0.03, 0.2)
        # The drive would turn with all its acceleration, more than a wafer that is lifted bears.
        soft = turning + _RISE * limit / extension
        return np.stack(
            [
                still * move(0, np.where(going, way[:, 0], 0.0), soft),
                np.where(going, reach, free * home),
                np.where(going, height, move(2, back, _GENTLE)),
            ],
            axis=1,
        ).astype(np.float32)

    def _speed(self, axis: int, distance: np.ndarray, most: np.ndarray) -> np.ndarray:
        """The largest speed from which an axis stops where it shall, and less near by."""
        way = np.abs(distance)
        step = most * self._dt
        braking = step * (np.sqrt(0.25 + 2.0 * 0.9 * way / (step * self._dt)) - 0.5)
        return np.sign(distance) * np.minimum(np.minimum(braking, _GAIN * way), self._top[axis])
