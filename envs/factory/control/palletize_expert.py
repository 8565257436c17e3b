"""Scripted expert of Palletize: what to do next follows from the observation alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from proveout.assets.files.layout import Layout

# How far the lips stay above lids while the tool travels, and cartons above those that stand [m].
_HOVER, _CLEAR = 0.05, 0.03
# In line with a carton that stands, and with a place [m, rad].
_IN_LINE, _STRAIGHT = 0.008, 0.03
_ABOVE, _OVER = 0.02, 0.004
# The last centimetres down are aslant, from so far aside, so that nothing touches those that stand.
_ASIDE, _ASLANT = 0.010, 0.04
# How far the arm is behind its target [s].
_LAG = 0.08
# Nearer than this to what will be touched, the way of a step is a share of what is left [m].
_GENTLE = 0.08


class PalletizeExpert:
    """Above the carton, down, suck, up, above its place, down, vent, up.

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
        lid, goal = o["carton_offset"], o["goal_offset"]
        carton_turn, goal_turn = o["carton_turn"][:, 0], o["goal_turn"][:, 0]
        height, bottom = 0.2 * o["carton_size"][:, 2], -goal[:, 2]
        vacuum = o["vacuum"].mean(axis=1)

        # Where cartons stand already: beside the second and fourth along x, the last two along y.
        turn_of = np.round(4 * o["placed"][:, 0])
        beside = np.stack([turn_of % 2 == 1, turn_of >= 2, 0 * turn_of], axis=1)
        goal -= _ASIDE * beside * np.clip((bottom - 0.002) / _ASLANT, 0.0, 1.0)[:, None]
        aside, away = np.hypot(lid[:, 0], lid[:, 1]), np.hypot(goal[:, 0], goal[:, 1])
        waits = np.linalg.norm(o["carton_velocity"], axis=1) < 0.02
        above = (aside < _IN_LINE) & (np.abs(carton_turn) < _STRAIGHT) & waits
        lifted = bottom > height + 0.5 * _CLEAR
        # What is missing is corrected on the way down.
        over = (away < _ABOVE) & (np.abs(goal_turn) < 2 * _STRAIGHT)
        holding = (vacuum > 0.1) & (np.abs(lid[:, 2]) < 0.01) & (aside < 0.05)
        placed = (away < 1.5 * _OVER) & (np.abs(bottom) < 0.002)
        grip = vacuum > 0.8 * o["vacuum"].max(axis=1).clip(0.05)

        # Not holding it: up, over it, down to it.
        way, turn = lid.copy(), carton_turn.copy()
        free = lid[:, 2] < -0.6 * _HOVER
        way[:, :2] *= (free | above)[:, None]
        way[:, 2] += np.where(above, -0.002, _HOVER)
        suck = above & (lid[:, 2] > -0.02)
        # Holding it: up, over its place, down.
        carried = goal.copy()
        carried[:, 2] = np.where(over, goal[:, 2] - 0.001, height + _CLEAR - bottom)
        carried[:, :2] *= (lifted | over)[:, None]
        ready = grip | (bottom > 0.005)  # all cups have it before it is lifted
        carried *= ready[:, None]
        way = np.where(holding[:, None], carried, way)
        turn = np.where(holding, goal_turn * (lifted | over), turn)
        suck |= holding
        # It is there: vent, and up when the cups have let go.
        rise = np.zeros_like(way)
        rise[:, 2] = np.where(vacuum < 0.05, _HOVER + lid[:, 2], 0.0)
        way = np.where(placed[:, None], rise, way)
        turn = np.where(placed, 0.0, turn)
        suck &= ~placed

        # Slower near what will be touched.
        touch = np.where(holding, np.where(over, np.abs(bottom), 1.0), np.abs(lid[:, 2]))
        gentle = np.clip(touch / _GENTLE, 0.15, 1.0)
        # The target leads the tool; what it already leads by is not asked for again. An arm that
        # sags under a carton stays behind at rest too, so there the lead is that of the speed.
        lead = 0.1 * o["target_offset"]
        moving = _LAG * o["carton_velocity"] * [1.0, 1.0, 0.0] + lead * [0.0, 0.0, 1.0]
        way -= np.where(holding[:, None], moving, lead)
        way[:, :2] *= np.where(holding, 0.7, 1.0)[:, None]
        turn -= o["target_turn"][:, 0]
        way[:, 2] = np.clip(way[:, 2], -self._travel * gentle, None)
        largest = np.maximum(np.abs(way).max(axis=1, keepdims=True), 1e-9)
        way *= np.minimum(1.0, self._travel / largest) / self._travel
        turn = np.clip(turn / self._turn, -1.0, 1.0)
        valve = np.where(suck, 1.0, -1.0)
        return np.concatenate([way, turn[:, None], valve[:, None]], axis=1).astype(np.float32)
