"""The moving point with the tensor face of `WarpVectorEnv`, for fast tests of tensor algorithms.

With the variable PROVEOUT_TASKS naming this file it is registered as "fake/TensorPoint-v0".
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

sys.path.insert(0, str(Path(__file__).parent))

from fake_env import PointTask, PointVectorEnv

ID = "fake/TensorPoint-v0"


class TensorPointTask(PointTask):
    """The same task under another id."""

    id = ID
    presets = {}  # noqa: RUF012


class TensorPointVectorEnv(PointVectorEnv):
    """N points whose arrays can be read as tensors, which each step overwrites."""

    def __init__(self, num_envs: int = 1, *, named: bool = False, **kwargs: Any) -> None:
        """Make them; `named`: observations are a dict of two entries."""
        super().__init__(num_envs, **kwargs)
        self.named = named
        if named:
            box = self.single_observation_space
            self.single_observation_space = spaces.Dict(
                {
                    "state": spaces.Box(box.low[:4], box.high[:4]),
                    "to_goal": spaces.Box(box.low[4:], box.high[4:]),
                }
            )
            self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._buffers: dict[str, Any] = {
            "observation": self._empty(),
            "final_observation": self._empty(),
            "reward": torch.zeros(num_envs),
            "terminated": torch.zeros(num_envs, dtype=torch.bool),
            "truncated": torch.zeros(num_envs, dtype=torch.bool),
            "invalid_reason": torch.zeros(num_envs, dtype=torch.int32),
            "statistics": torch.zeros(num_envs, len(self.statistics)),
            "statistics_mask": torch.zeros(num_envs, dtype=torch.bool),
        }

    def _empty(self) -> Any:
        if self.named:
            return {
                "state": torch.zeros(self.num_envs, 4),
                "to_goal": torch.zeros(self.num_envs, 2),
            }
        return torch.zeros(self.num_envs, 6)

    def _split(self, observation: np.ndarray) -> Any:
        if self.named:
            return {"state": observation[:, :4].copy(), "to_goal": observation[:, 4:].copy()}
        return observation

    def tensors(self) -> dict[str, Any]:
        """The arrays of a step."""
        return self._buffers

    def advance(self, actions: torch.Tensor) -> None:
        """A step read through `tensors`."""
        assert actions.dtype == torch.float32
        self.step(actions.numpy())

    def step(self, actions: Any) -> Any:
        """A step, whose results `tensors` holds too."""
        observation, reward, terminated, truncated, info = super().step(actions)
        observation, final = self._split(observation), self._split(info["final_obs"])
        info["final_obs"] = final
        statistics = np.stack(list(info["episode_statistics"].values()), axis=1)
        told = {
            "observation": observation,
            "final_observation": final,
            "reward": reward,
            "terminated": terminated,
            "truncated": truncated,
            "invalid_reason": info["invalid_reason"],
            "statistics": statistics,
            "statistics_mask": info["_episode_statistics"],
        }
        for name, value in told.items():
            _fill(self._buffers[name], value)
        return observation, reward, terminated, truncated, info

    def reset(self, **kwargs: Any) -> Any:
        """Start new episodes."""
        observation, info = super().reset(**kwargs)
        observation = self._split(observation)
        _fill(self._buffers["observation"], observation)
        return observation, info

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Restore the state."""
        super().load_state_dict(state)
        _fill(self._buffers["observation"], self._split(self._observe()))


def _fill(target: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        for name, part in value.items():
            _fill(target[name], part)
    else:
        target.copy_(torch.from_numpy(np.ascontiguousarray(value)))


def make_tensor_point(**kwargs: Any) -> TensorPointVectorEnv:
    """Gymnasium's vector entry point."""
    return TensorPointVectorEnv(**kwargs)


def install() -> None:
    """Register the task, where it is not registered yet."""
    from proveout.envs.core import registry

    if ID not in gymnasium.registry:
        gymnasium.register(ID, vector_entry_point=make_tensor_point)
    if ID not in registry.task_ids():
        registry.register(ID)(TensorPointTask)  # type: ignore[arg-type]


if os.environ.get("PROVEOUT_TASKS", "").endswith("tensor_env.py"):
    install()
