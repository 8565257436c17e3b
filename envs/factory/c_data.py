"""Those arrays of MuJoCo Warp's data that are filled when MuJoCo C steps the worlds."""

from __future__ import annotations

from typing import Any

from proveout.envs.core.errors import ModelError
from proveout.envs.factory.refresh import Frames

# Of the last physics step; MuJoCo C has them under the same names.
MEASURED = ("qacc", "qfrc_actuator", "actuator_force", "sensordata")
_FILLED = frozenset(
    {
        *MEASURED,
        *Frames.vars,  # type: ignore[attr-defined]
        *("time", "qpos", "qvel", "act", "ctrl", "qacc_warmstart", "qfrc_applied"),
        *("xfrc_applied", "eq_active", "mocap_pos", "mocap_quat", "nworld"),
        "overflow",  # of MuJoCo Warp's buffers, which are not used
    }
)


class FilledData:
    """MuJoCo Warp's data without what would stay zero.

    A task that reads, say, `data.contact` would be told of no contact for ever.

    Args:
        data: MuJoCo Warp's.
    """

    def __init__(self, data: Any) -> None:
        self._data = data

    def __getattr__(self, name: str) -> Any:
        """An array of the data.

        Raises:
            ModelError: It is one that MuJoCo C does not fill.
        """
        value = getattr(self._data, name)
        if name not in _FILLED:
            raise ModelError(
                f"data.{name} is not filled with physics 'c', and tasks read only what both "
                "engines give: use a sensor of the model, or physics 'warp'"
            )
        return value
