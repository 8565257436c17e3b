"""Pictures of boxes whose size differs from world to world.

A scene has one size for all of them, so a box is drawn as eight smaller ones in its corners, which
move apart or together. They fill it as long as it is 0.7 to 1.4 times its nominal size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

from proveout.envs.core.scene_pose import ScenePose

_SHARE = 0.7  # of a piece in the nominal lengths
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)


def add_pieces(
    spec: Any, half: Sequence[float], rgba: Sequence[float], stripe: Sequence[float] | None = None
) -> None:
    """Eight mocap bodies for one box; to be called once for each box, in order.

    Args:
        spec: The visual `mujoco.MjSpec`.
        half: Nominal half lengths [m], (3,).
        rgba: Colour.
        stripe: Colour of a tape 48 mm wide over the middle of the top, along x.
    """
    drawn: dict[str, Any] = {
        "type": mujoco.mjtGeom.mjGEOM_BOX, "contype": 0, "conaffinity": 0,
    }  # fmt: skip
    piece = _SHARE * np.asarray(half)
    for corner in _CORNERS:
        body = spec.worldbody.add_body(mocap=True)
        body.add_geom(size=piece, rgba=rgba, **drawn)
        if stripe is None or corner[2] < 0.0:
            continue
        aside = -corner[1] * (half[1] - piece[1])  # of the box's middle, from that of the piece
        skin, flap = 2e-4, 0.35 * half[2]
        body.add_geom(
            size=[piece[0] + skin, 0.024, skin], pos=[0, aside, piece[2]], rgba=stripe, **drawn
        )
        body.add_geom(
            size=[skin, 0.024, flap], pos=[corner[0] * piece[0], aside, piece[2] - flap],
            rgba=stripe, **drawn,
        )  # fmt: skip


def with_pieces(engine: Any, world: int, pose: ScenePose, boxes: Sequence[str]) -> ScenePose:
    """A pose whose mocap bodies, as of `add_pieces`, show a world's boxes as large as they are.

    Args:
        engine: The articulated engine.
        world: Which one.
        pose: Its own pose of that world.
        boxes: Names that a free joint and its body's geom share, in the order of `add_pieces`.
    """
    model = engine.host_model
    sizes = engine.model.geom_size.numpy()
    places, turns = [], []
    for name in boxes:
        start, geom = model.joint(name).qposadr[0], model.geom(name).id
        half = sizes[world % len(sizes), geom]
        nominal = np.asarray(model.geom_size[geom])
        position, quat = pose.qpos[start : start + 3], pose.qpos[start + 3 : start + 7]
        matrix = np.zeros(9)
        mujoco.mju_quat2Mat(matrix, quat.astype(float))
        places.append(position + (_CORNERS * (half - _SHARE * nominal)) @ matrix.reshape(3, 3).T)
        turns.append(np.tile(quat, (len(_CORNERS), 1)))
    return ScenePose(pose.qpos, np.concatenate(places), np.concatenate(turns))
