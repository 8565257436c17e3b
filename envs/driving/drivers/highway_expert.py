"""Scripted expert of Highway: follow with IDM, change lanes where that helps and is safe."""

from __future__ import annotations

from typing import Any

import numpy as np

from proveout.assets.files.layout import Layout

# Scales of the observation entries, see `Highway.make_layout`.
_SPEED, _GAP, _RELATIVE, _HEADING = 30.0, 100.0, 10.0, 0.1
_LANE_WIDTH = 3.5  # m
_HEADWAY, _STANDSTILL = 0.9, 3.0  # s, m: gap that is kept to the leader
_ACCELERATION, _DECELERATION = 2.0, 2.5  # m/s2
_ADVANTAGE = 12.0  # m: a lane must promise this much more room


class HighwayExpert:
    """Decides from the observation alone, without memory.

    Longitudinally the Intelligent Driver Model (Treiber, Hennecke, Helbing, Phys. Rev. E 62, 2000);
    laterally a lane change in the spirit of MOBIL (Kesting, Treiber, Helbing, TRR 1999, 2007): an
    incentive (more room ahead) under a safety condition (no braking forced on the follower).

    Args:
        layout: Layout of the observations.
        config: The task's `HighwayConfig`.
    """

    def __init__(self, layout: Layout, config: Any) -> None:
        self._layout = layout
        self._config = config

    def predict(self, observations: np.ndarray, **_: Any) -> np.ndarray:
        """Actions, shape (N, 2), for observations, shape (N, size)."""
        entries = self._layout.split(np.asarray(observations, dtype=np.float64))
        speed = _SPEED * entries["speed"][:, 0]
        offset = entries["lane_offset"][:, 0]
        heading = _HEADING * entries["heading"][:, 0]
        leader_gap = _GAP * entries["leader_gap"]
        leader_speed = _RELATIVE * entries["leader_speed"]
        aside = self._lane_change(entries, speed, offset, heading, leader_gap, leader_speed)
        # While changing, the leader of the new lane counts too.
        follow = [self._idm(speed, leader_gap[:, 0], leader_speed[:, 0])]
        for side, sign in ((1, 1), (2, -1)):
            ahead = self._idm(speed, leader_gap[:, side], leader_speed[:, side])
            follow.append(np.where(aside == sign, ahead, np.inf))
        acceleration = np.minimum.reduce(follow)
        push = np.where(
            acceleration > 0,
            acceleration / self._config.max_acceleration,
            acceleration / self._config.max_braking,
        )
        preview = np.maximum(speed * 1.1, 6.0)
        error = offset - aside * _LANE_WIDTH
        curvature = entries["curvature"][:, 0] / 1000.0 - 2.0 / preview * (
            np.clip(0.5 * error / preview, -0.1, 0.1) + np.sin(heading)
        )
        turn = curvature * speed**2 / self._config.max_lateral_acceleration
        return np.clip(np.stack([push, turn], axis=1), -1.0, 1.0).astype(np.float32)

    def _idm(self, speed: np.ndarray, gap: np.ndarray, relative: np.ndarray) -> np.ndarray:
        """IDM acceleration [m/s2] towards a top speed that suffices to beat the driver replaced."""
        closing = speed * -relative / (2.0 * np.sqrt(_ACCELERATION * _DECELERATION))
        wanted = _STANDSTILL + np.maximum(0.0, speed * _HEADWAY + closing)
        interaction = np.where(gap < _GAP, wanted / np.maximum(gap, 0.5), 0.0)
        free = (speed / self._config.desired_speed) ** 4
        return _ACCELERATION * (1.0 - free - interaction**2)

    def _lane_change(
        self,
        entries: dict[str, np.ndarray],
        speed: np.ndarray,
        offset: np.ndarray,
        heading: np.ndarray,
        leader_gap: np.ndarray,
        leader_speed: np.ndarray,
    ) -> np.ndarray:
        """+1 to go left, -1 to go right, 0 to keep the lane; shape (N,)."""
        follower_gap = _GAP * entries["follower_gap"]
        follower_speed = _RELATIVE * entries["follower_speed"]
        # Room ahead in the near future: gap now and after 4 s at the present speeds.
        room = leader_gap + 4.0 * np.minimum(leader_speed, 0.0)
        chosen = np.zeros(len(speed))
        best = room[:, 0] + _ADVANTAGE
        for side, sign in ((1, 1), (2, -1)):
            under_way = (sign * offset > 0.4) & (sign * heading > 0.0)
            settled = np.abs(offset) < 0.4
            safe_ahead = leader_gap[:, side] > 5.0 + 0.35 * speed - 1.5 * leader_speed[:, side]
            safe_behind = follower_gap[:, side] > 6.0 + 2.5 * np.maximum(
                follower_speed[:, side], 0.0
            )
            there = entries["has_lane"][:, side - 1] > 0.5
            worth = (room[:, side] > best) & settled
            go = there & ((worth & safe_ahead & safe_behind) | (under_way & safe_behind))
            chosen = np.where(go, sign, chosen)
            best = np.where(go, room[:, side], best)
        return chosen
