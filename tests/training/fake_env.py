"""A point that moves to a goal: a small NumPy environment with the face of `WarpVectorEnv`.

It serves fast tests of training, and as a task of the command line: with the variable
PROVEOUT_TASKS naming this file it is registered as "fake/Point-v0".
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from proveout.assets.files.layout import Entry, Layout
from proveout.envs.core.invalid import Invalid
from proveout.envs.core.task import Kpi, RewardWeights, TaskConfig, quantity

ID = "fake/Point-v0"
# Half the side of the square that the point must not leave [m].
_WALL = 2.0


@dataclass(frozen=True, kw_only=True)
class PointWeights(RewardWeights):
    """Weights of the reward terms."""

    distance: float = quantity(-1.0, "1/m", "distance to the goal")
    effort: float = quantity(-0.01, "1", "squared action")


@dataclass(frozen=True, kw_only=True)
class PointConfig(TaskConfig):
    """A point's config."""

    control_dt: float = quantity(0.1, "s", "time between two actions")
    episode_seconds: float = quantity(2.0, "s", "time after which an episode is truncated")
    tolerance: float = quantity(0.2, "m", "success within this distance of the goal")
    invalid_world: int = quantity(-1, "1", "this world is invalid after the fifth step")
    all_invalid: bool = quantity(False, "1", "every world is invalid after the fifth step")
    step_seconds: float = quantity(0.0, "s", "time that a step takes, to test interruptions")
    reward_weights: PointWeights = PointWeights()


class PointExpert:
    """Straight to the goal."""

    def predict(self, observation: np.ndarray) -> np.ndarray:
        """Return actions (N, 2)."""
        return np.clip(observation[:, 4:6] * 5.0, -1.0, 1.0).astype(np.float32)


class PointTask:
    """The task's face as training sees it."""

    id: ClassVar[str] = ID
    config_class = PointConfig
    num_agents = 1
    kpis = (
        Kpi("final_distance", "m", "last", "distance to the goal at the end"),
        Kpi("undefined", "s", "min", "never defined"),
    )
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "ppo": {
            "num_envs": 32,
            "total_timesteps": 12_288,
            "n_steps": 16,
            "batch_size": 256,
            "n_epochs": 5,
            "learning_rate": 3e-3,
            "gamma": 0.9,
            "adaptive_kl": 0.01,
            "policy_kwargs": {
                "net_arch": [32, 32],
                "activation_fn": "elu",
                "log_std_init": -0.5,
                "ortho_init": False,
                "action_head_scale": 0.05,
            },
        }
    }

    def __init__(self, config: PointConfig | None) -> None:
        self.config = config or PointConfig()
        self.layout = Layout(
            (
                Entry("position", (2,), "m", "where the point is"),
                Entry("goal", (2,), "m", "where it should be"),
                Entry("to_goal", (2,), "m", "goal minus position"),
            )
        )
        self.action_layout = Layout(
            (Entry("velocity", (2,), "m/s", "velocity", low=-1.0, high=1.0),)
        )

    @classmethod
    def expert(cls, config: PointConfig) -> PointExpert:
        """Return the scripted policy."""
        return PointExpert()


class PointVectorEnv(VectorEnv):
    """N points, array by array."""

    def __init__(
        self,
        num_envs: int = 1,
        config: PointConfig | None = None,
        device: str = "auto",
        workers: int | None = None,
        array_type: str = "numpy",
        phase_spread: float = 0.0,
        render_mode: str | None = None,
        render_worlds: tuple[int, ...] = (0,),
    ) -> None:
        self.task = PointTask(config)
        self.config = self.task.config
        self.layout = self.task.layout
        self.num_envs = num_envs
        self.device = "cpu"
        self.workers = workers or 1
        self.array_type = array_type
        self.compile_seconds = 0.0
        self.render_mode = render_mode
        self.render_worlds = render_worlds
        self.metadata = {
            "autoreset_mode": AutoresetMode.SAME_STEP,
            "render_fps": 10.0,
            "render_modes": ["rgb_array"],
        }
        self.single_observation_space = self.layout.space()
        self.single_action_space = self.task.action_layout.space()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.statistics = (
            ("return", "1"),
            ("length", "steps"),
            ("success", "1"),
            ("reward/distance", "1/step"),
            ("reward/effort", "1/step"),
            ("final_distance", "m"),
            ("undefined", "s"),
        )
        self.max_steps = self.config.max_episode_steps
        self._phase_spread = phase_spread
        self._seed = 0
        self._world_id = np.arange(num_envs)
        self._episode = np.zeros(num_envs, np.int64)
        self._step = np.zeros(num_envs, np.int64)
        self._counts = np.ones(num_envs, bool)
        self._position = np.zeros((num_envs, 2), np.float32)
        self._goal = np.zeros((num_envs, 2), np.float32)
        self._sums = np.zeros((num_envs, 3))

    def _begin(self, worlds: np.ndarray) -> None:
        for world in worlds:
            numbers = [self._seed, self._world_id[world], self._episode[world]]
            draw = np.random.default_rng(numbers)
            self._position[world] = draw.uniform(-1.0, 1.0, 2)
            self._goal[world] = draw.uniform(-1.0, 1.0, 2)
        self._step[worlds] = 0
        self._counts[worlds] = True
        self._sums[worlds] = 0.0

    def _observe(self) -> np.ndarray:
        return np.concatenate([self._position, self._goal, self._goal - self._position], axis=1)

    def _out(self, array: np.ndarray) -> Any:
        if self.array_type == "torch":
            import torch

            return torch.from_numpy(array.copy())
        return array

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Start new episodes."""
        if seed is not None:
            self._seed = int(seed)
            self._episode[:] = 0
            self._world_id[:] = np.arange(self.num_envs)
        else:
            self._episode += 1
        if options and "world_ids" in options:
            self._world_id[:] = options["world_ids"]
        self._begin(np.arange(self.num_envs))
        if self._phase_spread:
            spread = self._phase_spread * self.max_steps
            self._step[:] = np.arange(self.num_envs) * spread / self.num_envs
            self._counts = self._step == 0
        return self._out(self._observe()), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Move every point."""
        if self.config.step_seconds:
            time.sleep(self.config.step_seconds)
        actions = np.clip(np.asarray(actions, np.float32), -1.0, 1.0)
        assert actions.shape == (self.num_envs, 2)
        self._position = self._position + self.config.control_dt * actions
        self._step += 1
        distance = np.linalg.norm(self._goal - self._position, axis=1)
        terms = np.stack([distance, (actions**2).sum(axis=1)], axis=1)
        weights = self.config.reward_weights
        reward = (terms @ [weights.distance, weights.effort]).astype(np.float32)
        terminated: Any = (np.abs(self._position) > _WALL).any(axis=1)
        truncated: Any = (self._step >= self.max_steps) & ~terminated
        chosen = np.arange(self.num_envs) == self.config.invalid_world
        invalid = (chosen | self.config.all_invalid) & (self._step == 5)
        self._position[invalid] = np.nan
        reward[invalid] = np.nan
        terminated[invalid], truncated[invalid] = False, True
        self._sums += np.concatenate([reward[:, None], terms], axis=1)
        done: Any = terminated | truncated
        final = self._observe()
        length = self._step.astype(np.float32)
        steps = np.maximum(self._step, 1)
        statistics = {
            "return": self._sums[:, 0].astype(np.float32),
            "length": length,
            "success": (distance < self.config.tolerance).astype(np.float32),
            "reward/distance": (self._sums[:, 1] / steps).astype(np.float32),
            "reward/effort": (self._sums[:, 2] / steps).astype(np.float32),
            "final_distance": distance.astype(np.float32),
            "undefined": np.full(self.num_envs, np.nan, np.float32),
        }
        counted = done & ~invalid & self._counts
        ended = np.flatnonzero(done)
        self._episode[ended] += 1
        self._begin(ended)
        info = {
            "final_obs": self._out(final),
            "_final_obs": self._out(done),
            "episode_statistics": {k: self._out(v.copy()) for k, v in statistics.items()},
            "_episode_statistics": self._out(counted),
            "invalid": self._out(invalid),
            "invalid_reason": self._out(
                np.where(invalid, Invalid.CONTACT_LOST, 0).astype(np.int32)
            ),
        }
        arrays = (self._observe(), reward, terminated, truncated)
        observation, reward, terminated, truncated = (self._out(array) for array in arrays)
        return observation, reward, terminated, truncated, info

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return all that determines the future."""
        state = {name: getattr(self, f"_{name}").copy() for name in _STATE}
        return {**state, "seed": np.full(self.num_envs, self._seed)}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Restore it."""
        for name in _STATE:
            getattr(self, f"_{name}")[:] = state[name]
        self._seed = int(state["seed"][0])

    def render(self) -> tuple[np.ndarray, ...]:
        """Return a dark square with a bright point for each rendered world."""
        frames = []
        for world in self.render_worlds:
            frame = np.full((33, 35, 3), 20, np.uint8)
            x, y = np.clip((self._position[world] / _WALL + 1.0) * 16.0, 0, 32).astype(int)
            frame[y, x] = 255
            frames.append(frame)
        return tuple(frames)

    def bare_physics(self, repeats: int) -> float:
        """Return the seconds of moving alone."""
        began = time.perf_counter()
        for _ in range(repeats * self.config.decimation):
            self._position = self._position + 0.0
        return time.perf_counter() - began

    def contacts_per_world(self) -> float | None:
        """No contacts here."""
        return None

    def bytes_per_world(self) -> int:
        """Return the size of a world's state [byte]."""
        return sum(v.nbytes for v in self.state_dict().values()) // self.num_envs


_STATE = ("world_id", "episode", "step", "counts", "position", "goal", "sums")


def make_point(**kwargs: Any) -> PointVectorEnv:
    """Gymnasium's vector entry point."""
    return PointVectorEnv(**kwargs)


def install() -> None:
    """Register the task, where it is not registered yet."""
    from proveout.envs.core import registry

    if ID not in gymnasium.registry:
        gymnasium.register(ID, vector_entry_point=make_point)
    if ID not in registry.task_ids():
        registry.register(ID)(PointTask)  # type: ignore[arg-type]


if os.environ.get("PROVEOUT_TASKS", "").endswith("fake_env.py"):
    install()
