"""Links whose shapes overlap at home, which is no collision of the real robot."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

_DEPTH = 2e-4  # m; closed fingers touch, and shall


def exclude_touching(spec: mujoco.MjSpec, home: NDArray[np.float64]) -> list[str]:
    """Exclude contacts between the bodies that overlap at home, and tell which.

    Neighbours are excluded by MuJoCo already; of others, hulls of real housings often overlap.

    Args:
        spec: To which the exclusions are added.
        home: Positions, shape (nq,).
    """
    model = spec.copy().compile()
    data = mujoco.MjData(model)
    data.qpos[:] = home
    mujoco.mj_forward(model, data)
    pairs = set()
    deep = data.contact.dist[: data.ncon] < -_DEPTH
    for geoms in data.contact.geom[: data.ncon][deep]:
        first, second = sorted(int(model.geom_bodyid[geom]) for geom in geoms)
        pairs.add((model.body(first).name, model.body(second).name))
    for first_name, second_name in sorted(pairs):
        spec.add_exclude(bodyname1=first_name, bodyname2=second_name)
    if not pairs:
        return []
    told = ", ".join(f"{first} and {second}" for first, second in sorted(pairs)[:3])
    more = f" and {len(pairs) - 3} more pairs" if len(pairs) > 3 else ""
    return [f"overlap at home, so do not collide: {told}{more}"]
