"""A roll-out buffer of torch tensors on the device of the worlds."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.type_aliases import DictRolloutBufferSamples, RolloutBufferSamples

Tensors = torch.Tensor | dict[str, torch.Tensor]


class TensorRolloutBuffer(RolloutBuffer):
    """Keeps T steps of N worlds where they were made; stock `PPO.train` reads it as it is.

    Memory is allocated once and filled again in every roll-out. Tensors are time first,
    (T, N, ...); minibatches are drawn with NumPy's global generator in the order of the stock
    buffer, so that the same seed gives the same minibatches.

    The final observation of every step is kept until the end of the roll-out: only then is it
    known, without asking the device in between, which worlds timed out and need its value.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the arguments of the stock buffer."""
        self._data: dict[str, Any] | None = None
        super().__init__(*args, **kwargs)

    def reset(self) -> None:
        """Begin a roll-out."""
        if self._data is None:
            self._data = self._allocate()
        self.pos = 0
        self.full = False
        self.generator_ready = True  # nothing has to be flattened before minibatches are drawn

    def _allocate(self) -> dict[str, Any]:
        shape = (self.buffer_size, self.n_envs)

        def zeros(*columns: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.zeros((*shape, *columns), dtype=dtype, device=self.device)

        def like(space: spaces.Space) -> Tensors:
            if isinstance(space, spaces.Dict):
                return {name: zeros(*part.shape) for name, part in space.spaces.items()}  # type: ignore[misc]
            return zeros(*space.shape)  # type: ignore[misc]

        return {
            "observation": like(self.observation_space),
            "final_observation": like(self.observation_space),
            "action": zeros(self.action_dim),
            "reward": zeros(),
            "episode_start": zeros(),
            "value": zeros(),
            "log_prob": zeros(),
            "advantage": zeros(),
            "return": zeros(),
            "timeout": zeros(dtype=torch.bool),
        }

    @property
    def data(self) -> dict[str, Any]:
        """The tensors by name, each (T, N, ...)."""
        assert self._data is not None
        return self._data

    def keep_observation(self, observation: Tensors) -> Tensors:
        """Copy the observations before a step (N, ...); return the row that now holds them."""
        return write_row(self.data["observation"], self.pos, observation)

    def keep_decision(
        self, action: torch.Tensor, value: torch.Tensor, log_prob: torch.Tensor
    ) -> None:
        """Copy what the policy said about the row of `keep_observation`."""
        data = self.data
        data["action"][self.pos].copy_(action.reshape(self.n_envs, self.action_dim))
        data["value"][self.pos].copy_(value.reshape(self.n_envs))
        data["log_prob"][self.pos].copy_(log_prob.reshape(self.n_envs))

    def keep_outcome(
        self,
        reward: torch.Tensor,
        episode_start: torch.Tensor,
        timeout: torch.Tensor,
        final_observation: Tensors,
    ) -> None:
        """Copy what the step brought, and go on to the next row.

        Args:
            reward: (N,). episode_start: (N,), whether the kept observation began an episode.
            timeout: (N,) bool, truncated and not terminated.
            final_observation: (N, ...), read where `timeout` is set.
        """
        data = self.data
        data["reward"][self.pos].copy_(reward)
        data["episode_start"][self.pos].copy_(episode_start)
        data["timeout"][self.pos].copy_(timeout)
        write_row(data["final_observation"], self.pos, final_observation)
        self.pos += 1
        self.full = self.pos == self.buffer_size

    def bootstrap_timeouts(self, value_of: Any) -> None:
        """Add gamma times the value of the final observation to the reward of every timeout.

        Source: Pardo et al., Time Limits in Reinforcement Learning, ICML 2018, section 3.

        Args:
            value_of: Observations (M, ...) -> values (M, 1); called once, if there are timeouts.
        """
        data = self.data
        where = data["timeout"].flatten().nonzero().flatten()
        if len(where) == 0:
            return
        with torch.no_grad():
            values = value_of(select_rows(data["final_observation"], where)).flatten()
        data["reward"].view(-1).index_add_(0, where, self.gamma * values)

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: Any) -> None:
        """Generalised advantage estimation on the device (Schulman et al., 2016, equation 16).

        Args:
            last_values: Values of the observations after the last step, (N,) or (N, 1).
            dones: (N,), whether the last step ended an episode.
        """
        data = self.data
        next_value = last_values.detach().reshape(self.n_envs)
        going_on = 1.0 - torch.as_tensor(dones, device=self.device, dtype=torch.float32)
        advantage = torch.zeros(self.n_envs, device=self.device)
        for step in reversed(range(self.buffer_size)):
            delta = data["reward"][step] + self.gamma * next_value * going_on - data["value"][step]
            advantage = delta + self.gamma * self.gae_lambda * going_on * advantage
            data["advantage"][step] = advantage
            next_value = data["value"][step]
            going_on = 1.0 - data["episode_start"][step]
        torch.add(data["advantage"], data["value"], out=data["return"])

    @property
    def values(self) -> np.ndarray:  # type: ignore[override]
        """Values on the host, (T, N); read by PPO after the last epoch."""
        return self.data["value"].cpu().numpy()

    @property
    def returns(self) -> np.ndarray:  # type: ignore[override]
        """Returns on the host, (T, N)."""
        return self.data["return"].cpu().numpy()

    def get(  # type: ignore[override]
        self, batch_size: int | None = None
    ) -> Generator[RolloutBufferSamples | DictRolloutBufferSamples, None, None]:
        """Draw minibatches, the same ones as the stock buffer with the same seed."""
        assert self.full, "the roll-out is not complete"
        total = self.buffer_size * self.n_envs
        # The stock buffer numbers samples world by world, this one step by step.
        world, step = np.divmod(np.random.permutation(total), self.buffer_size)  # noqa: NPY002
        rows = torch.from_numpy(step * self.n_envs + world).to(self.device)
        size = total if batch_size is None else batch_size
        data = self.data
        for start in range(0, total, size):
            chosen = rows[start : start + size]
            observation = select_rows(data["observation"], chosen)
            is_dict = isinstance(observation, dict)
            kind = DictRolloutBufferSamples if is_dict else RolloutBufferSamples
            yield kind(
                observation,  # type: ignore[arg-type]
                select_rows(data["action"], chosen),  # type: ignore[arg-type]
                *(
                    select_rows(data[name], chosen)  # type: ignore[arg-type]
                    for name in ("value", "log_prob", "advantage", "return")
                ),
            )


def write_row(target: Tensors, row: int, source: Tensors) -> Tensors:
    if isinstance(target, dict):
        assert isinstance(source, Mapping)
        return {name: part[row].copy_(source[name]) for name, part in target.items()}
    return target[row].copy_(source)  # type: ignore[arg-type]


def select_rows(tensors: Tensors, rows: torch.Tensor) -> Tensors:
    """The rows of (T, N, ...) tensors by their number in (T * N, ...)."""
    if isinstance(tensors, dict):
        return {name: _one(part, rows) for name, part in tensors.items()}
    return _one(tensors, rows)


def _one(tensor: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return tensor.view(-1, *tensor.shape[2:]).index_select(0, rows)
