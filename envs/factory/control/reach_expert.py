"""Scripted expert of Reach: damped least-squares inverse kinematics from the observation alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from proveout.assets.files.layout import Layout
from proveout.assets.robots.ur5e.parameters import CHAIN


class ReachExpert:
    """Moves the joint targets along the damped pseudo-inverse of the Jacobian.

    Source: Wampler, "Manipulator inverse kinematic solutions based on vector formulations and
    damped least-squares methods", IEEE Trans. SMC 16(1), 1986.

    Args:
        layout: Layout of the observations.
        max_increment: Largest change of a joint target in one step [rad].
        damping: Damping factor of the least squares.
    """

    def __init__(self, layout: Layout, max_increment: float, damping: float = 0.05) -> None:
        self._layout = layout
        self._max_increment = max_increment
        self._damping = damping

    def predict(self, observations: np.ndarray, **_: Any) -> np.ndarray:
        """Actions, shape (N, 6), for observations, shape (N, size)."""
        entries = self._layout.split(np.asarray(observations))
        angles = entries["joint_position"].astype(np.float64)
        jacobian = _jacobian(angles)
        error = np.concatenate([entries["goal_offset"], entries["goal_rotation"]], axis=1)
        square = jacobian @ jacobian.transpose(0, 2, 1) + self._damping**2 * np.eye(6)
        solved = np.linalg.solve(square, error[..., None])[..., 0]
        change = np.einsum("nji,nj->ni", jacobian, solved)
        # The targets lead the angles; what they already lead by is not asked for again.
        wanted = change - entries["joint_target_offset"]
        largest = np.abs(wanted).max(axis=1, keepdims=True)
        scale = np.minimum(1.0, self._max_increment / np.maximum(largest, 1e-9))
        return (wanted * scale / self._max_increment).astype(np.float32)


def _jacobian(angles: np.ndarray) -> np.ndarray:
    """Geometric Jacobian of the tcp in the base frame, shape (N, 6, 6), from the DH chain."""
    count = len(angles)
    pose = np.tile(np.eye(4), (count, 1, 1))
    axes, origins = [], []
    for link, angle in zip(CHAIN, angles.T, strict=True):
        axes.append(pose[:, :3, 2].copy())
        origins.append(pose[:, :3, 3].copy())
        c, s = np.cos(angle), np.sin(angle)
        ca, sa = np.cos(link.alpha), np.sin(link.alpha)
        step = np.zeros((count, 4, 4))
        step[:, 0] = np.stack([c, -s * ca, s * sa, link.a * c], axis=1)
        step[:, 1] = np.stack([s, c * ca, -c * sa, link.a * s], axis=1)
        step[:, 2] = [0.0, sa, ca, link.d]
        step[:, 3, 3] = 1.0
        pose = pose @ step
    tip = pose[:, :3, 3]
    columns = [
        np.concatenate([np.cross(axis, tip - origin), axis], axis=1)
        for axis, origin in zip(axes, origins, strict=True)
    ]
    return np.stack(columns, axis=2)
