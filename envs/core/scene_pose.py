"""Where everything in a world's scene is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ScenePose:
    """Where everything in one world's scene is, for a renderer.

    Attributes:
        qpos: Generalised positions of the scene's model, shape (nq,).
        mocap_pos: Mocap body positions [m], shape (nmocap, 3).
        mocap_quat: Mocap body orientations (w, x, y, z), shape (nmocap, 4).
    """

    qpos: np.ndarray
    mocap_pos: np.ndarray
    mocap_quat: np.ndarray
