"""Gymnasium's single face: a view of one world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from proveout.envs.core.errors import BadActionError, RenderError
from proveout.envs.core.finished import Finished
from proveout.envs.core.live_page import live_page
from proveout.envs.core.task import Task
from proveout.envs.core.vector_env import WarpVectorEnv


class WarpEnv(gymnasium.Env):
    """One world of a task, on the device "cpu" unless told otherwise.

    Args:
        task: The task.
        render_mode: None, "rgb_array" (ray traced, needs no display) or "human" (MuJoCo's viewer).
        device: As for `WarpVectorEnv`.
        render_size: Width and height of a frame [pixels].

    `info` of the last step of an episode has `episode_statistics` (name -> number); every step has
    `invalid` and `invalid_reason`.
    """

    def __init__(
        self,
        task: Task,
        render_mode: str | None = None,
        *,
        device: str = "cpu",
        render_size: tuple[int, int] = (640, 480),
    ) -> None:
        if render_mode not in (None, "rgb_array", "human"):
            raise RenderError(f"render_mode is None, 'rgb_array' or 'human', got {render_mode!r}")
        self.vector_env = WarpVectorEnv(
            task,
            1,
            device=device,
            workers=1,
            render_mode="rgb_array" if render_mode == "rgb_array" else None,
            render_size=render_size,
        )
        self.task, self.config = task, task.config
        self.layout, self.statistics = task.layout, task.statistics
        self.render_mode = render_mode
        self.metadata = {
            "render_modes": ["rgb_array", "human"],
            "render_fps": 1.0 / task.config.control_dt,
        }
        self.observation_space = self.vector_env.single_observation_space
        self.action_space = self.vector_env.single_action_space
        self._next_observation: np.ndarray | None = None
        self._viewer: Any = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start a new episode; `options` as for `WarpVectorEnv.reset`."""
        super().reset(seed=seed)
        if seed is None and not options and self._next_observation is not None:
            # The world has begun its next episode in the step that ended the last one.
            observation = self._next_observation
        else:
            observation = self.vector_env.reset(seed=seed, options=options)[0][0]
        self._next_observation = None
        self._show()
        return observation, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control step; see `WarpVectorEnv.step`."""
        if self._next_observation is not None:
            raise gymnasium.error.ResetNeeded("the episode has ended: call reset()")
        values = np.asarray(action)
        if values.shape != self.action_space.shape:
            raise BadActionError(
                f"an action of shape {self.action_space.shape} expected, got {values.shape}"
            )
        observation, reward, terminated, truncated, vector_info = self.vector_env.step(
            values[np.newaxis]
        )
        finished = Finished(terminated, truncated, vector_info)
        info: dict[str, Any] = {
            "invalid": bool(finished.invalid[0]),
            "invalid_reason": int(finished.reason[0]),
        }
        result = observation[0]
        if finished.ended[0]:
            self._next_observation = observation[0]
            ending = finished.take(np.zeros(1, int))
            result = ending.final_observation[0]
            if ending.counts[0]:
                info["episode_statistics"] = ending.numbers(0)
                info["is_success"] = bool(info["episode_statistics"]["success"])
        self._show()
        return result, float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> np.ndarray | None:
        """A frame (height, width, 3) uint8; None with "human", which shows every step itself."""
        if self.render_mode == "rgb_array":
            frames = self.vector_env.render()
            return frames[0] if frames else None
        if self.render_mode is None:
            gymnasium.logger.warn(
                "render() does nothing: make the environment with render_mode='rgb_array'"
            )
        return None

    def view(self, policy: Any = None, *, seed: int = 0, port: int = 0) -> Any:
        """A live page of this world, shown inline by a notebook; needs `proveout[view]`.

        Args:
            policy: Anything with `predict`; None: actions of zero.
            seed: Of the worlds, which begin anew and belong to the page until its `close`.
            port: Of the page, on this machine alone; 0 for any that is free.

        Raises:
            RenderError: No page is installed.
        """
        return live_page(self, policy, seed=seed, port=port)

    def _show(self) -> None:
        if self.render_mode != "human":
            return
        if self._viewer is None:
            from proveout.envs.core.viewer import PassiveViewer

            self._viewer = PassiveViewer(self.vector_env.scene(), self.config.control_dt)
        self._viewer.show(self.vector_env.scene_pose([0])[0])

    def close(self) -> None:
        """Close the viewer and free the world."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None
        self.vector_env.close()
