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
_GENTLE = 0.03  # how fast a wafer is lifted and lowered [m/s]
# Shares of the largest acceleration; turns and extensions take more of theirs from each other.
_TURNING, _EXTENDING, _LIFTING = 0.65, 0.92, 0.9
_GAIN = 9.0  # of the last millimetres [1/s]
# The speed rises for some time before the fork moves by it [s].
_LAG = 0.03


def _ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
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
        extension, lifted = o["fork"][:, 1], 0.005 * o["seat_height"][:, 0]

        # Into a station: in line before it, in, and down or up in the right place.
        way = np.where(fetch[:, None], pick, place)
        level = np.where(fetch, pick[:, 2] - LOW, place[:, 2] + CARRY)
        aside = np.maximum(np.abs(way[:, 0]) / _STRAIGHT, np.abs(level) / _LEVEL)
        inside = _ramp(extension, CLEAR + 0.02, CLEAR + 0.07)  # there it has been in line
        straight = np.maximum(inside, 1.0 - _ramp(aside, 0.4, 1.0))
        reach = straight * way[:, 1] + (1.0 - straight) * (TURNING - extension)
        apart = np.maximum(np.abs(way[:, 1]), 0.6 * np.abs(way[:, 0]))
        there = inside * (1.0 - _ramp(apart, 0.0003, 0.0012))
        swap = np.where(fetch, CARRY - lifted + pick[:, 2], place[:, 2] + pick[:, 2] - LOW)
        height = level + there * (swap - level)
        # Out of it, at the height at which it has come free.
        back = np.where(leave, CARRY - lifted, pick[:, 2] - LOW)
        free = _ramp(np.where(leave, lifted, pick[:, 2]), 0.0010, 0.0020)
        going = fetch | deliver
        turn = np.where(going, way[:, 0], 0.0)
        reach = np.where(going, reach, free * (TURNING - extension))
        height = np.where(going, height, back)

        limit = 5.0 * o["acceleration_limit"][:, 0]
        turning, extending = np.abs(o["fork_speed"][:, :2].T)
        most = np.stack(
            [
                _TURNING * limit / extension * (1.0 - 0.6 * np.minimum(extending / 0.3, 1.0)),
                _EXTENDING * limit * (1.0 - 0.6 * np.minimum(turning, 1.0)),
                np.full_like(limit, _LIFTING * self._lift_acceleration),
            ],
            axis=1,
        )
        error = np.stack([turn, reach, height], axis=1)
        error -= _LAG * o["fork_speed"]
        speed = self._speed(error, most)
        gentle = np.where(going, self._top[2] + there * (_GENTLE - self._top[2]), _GENTLE)
        speed[:, 2] = np.clip(speed[:, 2], -gentle, gentle)
        # It does not begin to turn before it has come to rest along R.
        speed[:, 0] *= 1.0 - _ramp(extending, 0.1, 0.35)
        # No faster change than the axes shall accelerate.
        last = o["previous_action"] * np.abs(o["previous_action"]) * self._top
        speed = last + np.clip(speed - last, -most * self._dt, most * self._dt)
        share = np.clip(speed / self._top, -1.0, 1.0)
        return (np.sign(share) * np.sqrt(np.abs(share))).astype(np.float32)

    def _speed(self, error: np.ndarray, most: np.ndarray) -> np.ndarray:
        """The largest speed from which an axis stops where it shall, and less near by."""
        way = np.abs(error)
        step = most * self._dt
        braking = step * (np.sqrt(0.25 + 2.0 * 0.9 * way / (step * self._dt)) - 0.5)
        return np.sign(error) * np.minimum(np.minimum(braking, _GAIN * way), self._top)
