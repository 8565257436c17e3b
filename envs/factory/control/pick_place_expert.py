"""Scripted expert of PickPlace: what to do next follows from the observation alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from proveout.assets.files.layout import Layout

# How far the tool is above the part's middle while it is not above it in line [m].
_HOVER = 0.075
# Free height under the part while it is carried [m]; the posts of the fixture are 12 mm high.
_CARRY = 0.035
# In line with the part, and with the fixture [m, rad].
_IN_LINE, _STRAIGHT = 0.003, 0.04


class PickPlaceExpert:
    """Above the part, down, close, up, above the fixture, down, open, up.

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
        size = 0.05 * o["part_size"]
        opening, squeeze = 0.05 * o["opening"][:, 0], 50.0 * o["squeeze"][:, 0]
        bottom = o["tool_position"][:, 2] + part[:, 2] - 0.5 * size[:, 2]

        aside = np.hypot(part[:, 0], part[:, 1])
        above = (aside < _IN_LINE) & (np.abs(o["part_turn"][:, 0]) < _STRAIGHT)
        away = np.hypot(goal[:, 0], goal[:, 1])
        over = (away < _IN_LINE) & (np.abs(o["goal_turn"][:, 0]) < _STRAIGHT)
        holding = (squeeze > 10.0) & (np.abs(opening - size[:, 0]) < 0.004)
        holding &= np.linalg.norm(part, axis=1) < 0.02
        placed = over & (np.abs(goal[:, 2]) < 0.0015)

        # Not holding it: over the part first, then down to it.
        way, turn = part.copy(), o["part_turn"][:, 0].copy()
        way[:, 2] += np.where(above, 0.0, _HOVER)
        grip = np.where(above & (np.abs(part[:, 2]) < 0.003), 1.0, -1.0)
        # Holding it: up, over the fixture, down.
        carried = goal.copy()
        carried[:, 2] = np.where(over, goal[:, 2], _CARRY - bottom)
        carried[:, :2] *= (over | (bottom > 0.5 * _CARRY))[:, None]
        way = np.where(holding[:, None], carried, way)
        turn = np.where(holding, o["goal_turn"][:, 0] * (bottom > 0.5 * _CARRY), turn)
        grip = np.where(holding, 1.0, grip)
        # It is there: open, and up when the fingers are clear of it.
        clear = opening > size[:, 0] + 0.006
        rise = np.zeros_like(way)
        rise[:, 2] = np.where(clear, part[:, 2] + 0.1, 0.0)
        way = np.where(placed[:, None], rise, way)
        turn = np.where(placed, 0.0, turn)
        grip = np.where(placed, -1.0, grip)

        # The target leads the tool; what it already leads by is not asked for again.
        way -= 0.05 * o["target_offset"]
        turn -= o["target_turn"][:, 0]
        largest = np.maximum(np.abs(way).max(axis=1, keepdims=True), 1e-9)
        way *= np.minimum(1.0, self._travel / largest) / self._travel
        turn = np.clip(turn / self._turn, -1.0, 1.0)
        return np.concatenate([way, turn[:, None], grip[:, None]], axis=1).astype(np.float32)
