"""MuJoCo's own interactive viewer, fed with the poses of one world."""

from __future__ import annotations

import time
import warnings
from typing import Any

import mujoco

from proveout.envs.core.errors import RenderError
from proveout.envs.core.render import write_pose
from proveout.envs.core.scene_pose import ScenePose


class PassiveViewer:
    """A window that shows one world in real time.

    Args:
        model: The scene.
        control_dt: Time between two poses [s].

    Raises:
        RenderError: There is no display.
    """

    def __init__(self, model: Any, control_dt: float) -> None:
        self._model = model
        self._data = mujoco.MjData(model)
        self._control_dt = control_dt
        self._due = time.perf_counter()
        _check_display()
        from mujoco import viewer

        self._window = viewer.launch_passive(model, self._data)

    def show(self, pose: ScenePose) -> None:
        """Draw a pose, at the speed of the simulated clock."""
        if not self._window.is_running():
            return
        with self._window.lock():
            write_pose(self._model, self._data, pose)
        self._window.sync()
        self._due = max(self._due + self._control_dt, time.perf_counter())
        time.sleep(max(0.0, self._due - time.perf_counter()))

    def close(self) -> None:
        """Close the window."""
        self._window.close()


def _check_display() -> None:
    """The viewer itself would end the process where there is no display."""
    try:
        import glfw

        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            ready = glfw.init()
        reason = str(said[-1].message) if said else "GLFW does not start"
    except ImportError as error:
        ready, reason = False, str(error)
    if not ready:
        raise RenderError(
            f"no window could be opened ({reason}); render_mode='rgb_array' needs no display"
        )
