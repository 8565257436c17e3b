"""A toy with a set: follow the present row whose weight is the largest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from proveout.assets.files.layout import Entry, Layout

ROWS = 5
LAYOUT = Layout(
    (
        Entry("sign", (1,), "1", "-1 or 1, what the answer is multiplied by"),
        Entry("things", (ROWS, 3), "1", "present, weight, value", set=True),
    )
)


def draw(count: int, generator: np.random.Generator) -> np.ndarray:
    """Return observations (count, O), at least one row present in each."""
    sign = generator.choice([-1.0, 1.0], (count, 1))
    things = generator.uniform(-1.0, 1.0, (count, ROWS, 3))
    things[..., 0] = generator.integers(0, 2, (count, ROWS))
    things[np.arange(count), generator.integers(0, ROWS, count), 0] = 1.0
    things *= things[..., :1]
    return np.concatenate([sign, things.reshape(count, -1)], axis=1).astype(np.float32)


def answer(observation: np.ndarray) -> np.ndarray:
    """Return the right action (N, 1)."""
    things = observation[:, 1:].reshape(-1, ROWS, 3)
    weight = np.where(things[..., 0] > 0.5, things[..., 1], -np.inf)
    value = things[np.arange(len(things)), weight.argmax(axis=1), 2]
    return (observation[:, 0] * value)[:, None]


class SetEnv(VectorEnv):
    """N questions at once; each step asks a new one, an episode has eight."""

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.layout = LAYOUT
        self.task = SimpleNamespace(id="toy/Set-v0", layout=LAYOUT)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = LAYOUT.space()
        action = Layout((Entry("answer", (1,), "1", "value", low=-1.0, high=1.0),))
        self.single_action_space = action.space()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._generator = np.random.default_rng(0)
        self._step = 0

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Begin."""
        self._generator = np.random.default_rng(seed)
        self._step = 0
        self._asked = draw(self.num_envs, self._generator)
        return self._asked, {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Judge the answers (N, 1) and ask again."""
        reward = -((np.clip(actions, -1, 1) - answer(self._asked)) ** 2)[:, 0].astype(np.float32)
        self._step += 1
        self._asked = draw(self.num_envs, self._generator)
        over = np.full(self.num_envs, self._step % 8 == 0)
        info = {"final_obs": self._asked.copy(), "_final_obs": over}
        return self._asked, reward, over.copy(), np.zeros(self.num_envs, bool), info
