"""Scripted expert of PickPlace: what to do next follows from the observation alone.

Nothing switches at once: heights, grip and what is done next blend over millimetres and newtons, so
that a network can learn to do the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from proveout.assets.files.layout import Layout

# How far the tool is above the part's middle while it is far from above it [m].
_HOVER = 0.075
# Free height under the part while it is carried [m]; the posts of the fixture are 12 mm high.
_CARRY = 0.035
# A turn of one radian is as bad as this distance between part and fixture [m].
_TURN = 0.03


def _ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to `low`, 1 from `high` on, a line between."""
    return np.clip((x - low) / (high - low), 0.0, 1.0)


def _reached(*shares: np.ndarray) -> np.ndarray:
    """1 where all errors, as shares of what is allowed, are below two thirds; -1 from 4/3 on."""
    return np.clip(3.0 * (1.0 - np.maximum.reduce(shares)), -1.0, 1.0)


class PickPlaceExpert:
    """Down to the part, close, up, over to the fixture, down, open, up.

    Args:
        layout: Layout of the observations.
        travel: Largest way of the target in one step [m].
        turn: Largest turn of the target in one step [rad].
    """

    def __init__(self, layout: Layout, travel: float, turn: float) -> None:
        self._layout = layout
        self._travel, self._turn = travel, turn

    def predict(self, observations: np.ndarray, **_: Any) -> np.ndarray:
        """Actions, shape (N, 5), for observations, shape (N, size)."""
        o = {
            k: v.astype(np.float64) for k, v in self._layout.split(np.asarray(observations)).items()
        }
        part, goal = o["part_offset"], o["goal_offset"]
        part_turn, goal_turn = o["part_turn"][:, 0], o["goal_turn"][:, 0]
        size = 0.05 * o["part_size"]
        opening, squeeze = 0.05 * o["opening"][:, 0], 50.0 * o["squeeze"][:, 0]
        wider = opening - size[:, 0]
        bottom = o["tool_position"][:, 2] + part[:, 2] - 0.5 * size[:, 2]
        aside, away = np.hypot(part[:, 0], part[:, 1]), np.hypot(goal[:, 0], goal[:, 1])

        # To the part, through a funnel that keeps the fingers clear of it.
        way, turn = part.copy(), part_turn
        far = np.maximum(_ramp(aside, 0.004, 0.02), _ramp(np.abs(part_turn), 0.08, 0.3))
        way[:, 2] += _HOVER * far
        grip = _reached(aside / 0.005, np.abs(part[:, 2]) / 0.006, np.abs(part_turn) / 0.08)

        # With the part: up, and through a narrower funnel into the fixture.
        holding = _ramp(squeeze, 10.0, 30.0) * (np.abs(wider) < 0.005)
        holding *= np.linalg.norm(part, axis=1) < 0.025
        off = np.maximum(away, _TURN * np.abs(goal_turn))
        free = np.maximum(_ramp(bottom, 0.004, 0.014), 1.0 - _ramp(off, 0.004, 0.008))
        carried = goal * free[:, None]
        carried[:, 2] = _CARRY * _ramp(off, 0.0015, 0.0075) - bottom
        way += holding[:, None] * (carried - way)
        turn = turn + holding * (free * goal_turn - turn)
        grip += holding * (1.0 - grip)

        # It is there: open, and up when the fingers are clear of it.
        there = _reached(away / 0.004, np.abs(goal[:, 2]) / 0.0025, np.abs(goal_turn) / 0.06)
        there = np.maximum(there, 0.0)
        rise = np.zeros_like(way)
        rise[:, 2] = _ramp(wider, 0.003, 0.007) * (part[:, 2] + 0.1)
        way += there[:, None] * (rise - way)
        turn = turn * (1.0 - there)
        grip += there * (-1.0 - grip)

        # The target leads the tool; what it already leads by is not asked for again.
        way -= 0.05 * o["target_offset"]
        turn = turn - o["target_turn"][:, 0]
        largest = np.maximum(np.abs(way).max(axis=1, keepdims=True), 1e-9)
        way *= np.minimum(1.0, self._travel / largest) / self._travel
        turn = np.clip(turn / self._turn, -1.0, 1.0)
        return np.concatenate([way, turn[:, None], grip[:, None]], axis=1).astype(np.float32)
