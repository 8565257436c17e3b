"""Replay buffer of torch tensors on the device of the worlds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, ReplayBufferSamples

from proveout.envs.core.errors import DeviceError, StateError
from proveout.training.run.progress import say
from proveout.training.sb3.errors import BridgeError
from proveout.training.sb3.tensor.rollout_buffer import Tensors, select_rows, write_row

_GIB = 1024**3
_OBSERVATIONS = ("observations", "next_observations")
_ARRAYS = (*_OBSERVATIONS, "actions", "rewards", "dones", "timeouts")


class TensorReplayBuffer(ReplayBuffer):
    """The last steps of N worlds, kept where they were made; stock `train` methods read it.

    Uniform sampling, with n-step returns if asked for. Tensors are (steps, N, ...). Samples are
    drawn with NumPy's global generator in the order of the stock buffers, so that the same seed
    gives the same minibatches as `ReplayBuffer`, `DictReplayBuffer` and `NStepReplayBuffer`.

    A step ends an episode (`dones`) by itself or by time (`timeouts` too); a timeout is
    bootstrapped, as with `handle_timeout_termination` of the stock buffers.

    Memory is stated and taken once, by `allocate` or the first `add`.

    Attributes:
        n_steps: Rewards summed up in one sample; fewer at the end of an episode and where the
            buffer ends.
        gamma: Discount factor of these sums.
    """

    observations: Tensors  # type: ignore[assignment]
    next_observations: Tensors  # type: ignore[assignment]
    actions: torch.Tensor  # type: ignore[assignment]
    rewards: torch.Tensor  # type: ignore[assignment]
    dones: torch.Tensor  # type: ignore[assignment]
    timeouts: torch.Tensor  # type: ignore[assignment]

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        device: torch.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        n_steps: int = 1,
        gamma: float = 0.99,
    ) -> None:
        """Take the arguments of the stock buffers.

        Raises:
            BridgeError: `optimize_memory_usage`, which would lose the observations at timeouts.
        """
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs)
        if optimize_memory_usage:
            raise BridgeError(
                "TensorReplayBuffer keeps the final observations of timeouts, which "
                "optimize_memory_usage=True would overwrite; leave it out and lower buffer_size."
            )
        if n_steps < 1:
            raise BridgeError(f"n_steps must be at least 1, got {n_steps}.")
        self.buffer_size = max(buffer_size // n_envs, 1)
        self.optimize_memory_usage = False
        self.handle_timeout_termination = handle_timeout_termination
        self.n_steps = n_steps
        self.gamma = gamma
        self._allocated = False
        # In float32 on the host, as the stock buffer does.
        powers = gamma ** np.arange(n_steps + 1, dtype=np.float32)
        self._powers = torch.from_numpy(powers.astype(np.float32)).to(self.device)
        self._offsets = torch.arange(n_steps, device=self.device)

    @property
    def num_transitions(self) -> int:
        """Transitions that fit, over all worlds."""
        return self.buffer_size * self.n_envs

    def allocate(self) -> None:
        """Say how much memory the buffer takes, and take it; a second call does nothing.

        Raises:
            DeviceError: The device has not that much free.
        """
        if self._allocated:
            return
        each = transition_bytes(self.observation_space, self.action_space)
        check_memory(self.num_transitions, each, available_bytes(self.device), self.device)
        say(
            f"Replay buffer: {self.num_transitions:,} transitions ({self.buffer_size} steps of "
            f"{self.n_envs} worlds), {self.num_transitions * each / _GIB:.3g} GiB on {self.device}."
        )
        for name in _OBSERVATIONS:
            setattr(self, name, self._like(self.observation_space))
        self.actions = self._empty((self.action_dim,), torch.float32)
        self.rewards = self._empty((), torch.float32)
        self.dones = self._empty((), torch.bool)
        self.timeouts = self._empty((), torch.bool)
        self._allocated = True

    def _empty(self, columns: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        # Not zeros: pages of a large buffer are then taken only as it fills.
        shape = (self.buffer_size, self.n_envs, *columns)
        return torch.empty(shape, dtype=dtype, device=self.device)

    def _like(self, space: spaces.Space) -> Tensors:
        if isinstance(space, spaces.Dict):
            return {name: self._like(part) for name, part in space.spaces.items()}  # type: ignore[misc]
        return self._empty(tuple(space.shape or ()), _torch_dtype(space))

    # Writing

    def add_tensors(
        self,
        observation: Tensors,
        next_observation: Tensors,
        action: torch.Tensor,
        reward: torch.Tensor,
        done: torch.Tensor,
        timeout: torch.Tensor,
    ) -> None:
        """Copy one step of all worlds, over the oldest one when the buffer is full.

        Args:
            observation: (N, ...). next_observation: (N, ...), before the reset of ended worlds.
            action: (N, A) in -1 to 1. reward: (N,). done: (N,) bool. timeout: (N,) bool.
        """
        self.allocate()
        row = self.pos
        write_row(self.observations, row, observation)
        write_row(self.next_observations, row, next_observation)
        self.actions[row].copy_(action.reshape(self.n_envs, self.action_dim))
        self.rewards[row].copy_(reward)
        self.dones[row].copy_(done)
        if self.handle_timeout_termination:
            self.timeouts[row].copy_(timeout)
        else:
            self.timeouts[row].fill_(False)
        self.pos += 1
        if self.pos == self.buffer_size:
            self.full = True
            self.pos = 0

    def add(self, obs: Any, next_obs: Any, action: Any, reward: Any, done: Any, infos: Any) -> None:
        """Copy one step, given as to the stock buffers (NumPy arrays and a list of infos)."""
        timeout = np.array([info.get("TimeLimit.truncated", False) for info in infos], bool)
        parts = (_tensors(part) for part in (obs, next_obs, action, reward, done, timeout))
        self.add_tensors(*parts)

    def cut(self) -> None:
        """Say that the newest step is followed by something else, for example after a reset.

        Its transitions stay as they are; n-step returns do not go beyond them.
        """
        if self.size() > 0:
            newest = (self.pos - 1) % self.buffer_size
            self.timeouts[newest].logical_or_(~self.dones[newest])
            self.dones[newest].fill_(True)

    # Sampling

    def _get_samples(  # type: ignore[override]
        self, batch_inds: np.ndarray, env: Any = None
    ) -> ReplayBufferSamples | DictReplayBufferSamples:
        """Return transitions of the steps `batch_inds`, of random worlds."""
        if env is not None:
            raise BridgeError(
                "TensorReplayBuffer does not work with VecNormalize; normalise inside the policy."
            )
        worlds = np.random.randint(0, self.n_envs, size=len(batch_inds))  # noqa: NPY002
        rows = torch.from_numpy(batch_inds * self.n_envs + worlds).to(self.device)
        last, rewards, discounts = rows, _take(self.rewards, rows), None
        if self.n_steps > 1:
            last, rewards, discounts = self._look_ahead(rows)
        dones = _take(self.dones, last) & ~_take(self.timeouts, last)
        observations = select_rows(self.observations, rows)
        kind = DictReplayBufferSamples if isinstance(observations, dict) else ReplayBufferSamples
        return kind(
            observations=observations,  # type: ignore[arg-type]
            actions=_take(self.actions, rows),
            next_observations=select_rows(self.next_observations, last),  # type: ignore[arg-type]
            dones=dones.float().unsqueeze(1),
            rewards=rewards.unsqueeze(1),
            discounts=None if discounts is None else discounts.unsqueeze(1),
        )

    def _look_ahead(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sum up to `n_steps` rewards, to the end of the episode or of the buffer.

        Source: Sutton and Barto, Reinforcement Learning (2018), equation 7.1.

        Args:
            rows: Numbers of the first transitions in (steps * N), shape (B,).

        Returns:
            For each, shape (B,): number of the last transition, discounted sum of the rewards, and
            discount of the value after them.
        """
        first = torch.div(rows, self.n_envs, rounding_mode="floor")
        steps = (first.unsqueeze(1) + self._offsets) % self.buffer_size
        path = steps * self.n_envs + (rows % self.n_envs).unsqueeze(1)
        flat = path.flatten()
        ends = (_take(self.dones, flat) | _take(self.timeouts, flat)).view_as(path)
        # What follows the newest step is older than it, or nothing yet.
        ends |= steps == (self.pos - 1) % self.buffer_size
        ended_before = ends.cumsum(dim=1) - ends.long() > 0
        rewards = _take(self.rewards, flat).view_as(path) * self._powers[:-1]
        lengths = (~ended_before).sum(dim=1)
        last = path.gather(1, (lengths - 1).unsqueeze(1)).squeeze(1)
        return last, rewards.masked_fill(ended_before, 0.0).sum(dim=1), self._powers[lengths]

    # State

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return what the buffer holds and where the next step goes, on the host."""
        state = {"position": np.array([self.pos, self.full, self.buffer_size, self.n_envs])}
        if self._allocated:
            for name, tensor in self._named_tensors():
                state[name] = tensor[: self.size()].cpu().numpy()
        return state

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            StateError: Of another kind of buffer, or of one of another size.
        """
        if "position" not in state:
            raise StateError("this is not the state of a TensorReplayBuffer.")
        pos, full, size, worlds = (int(n) for n in state["position"])
        if worlds != self.n_envs:
            raise StateError(
                f"the saved replay buffer is of {worlds} worlds, this one of {self.n_envs}."
            )
        if size != self.buffer_size:
            raise StateError(
                f"the saved replay buffer has room for {size * worlds:,} transitions, this one "
                f"for {self.num_transitions:,}; make buffer_size the same."
            )
        held = size if full else pos
        self.allocate()
        for name, tensor in self._named_tensors():
            shape = (held, *tensor.shape[1:])
            if held and (name not in state or state[name].shape != shape):
                found = state[name].shape if name in state else "nothing"
                raise StateError(
                    f"the saved replay buffer does not fit: {name} must be {shape}, is {found}."
                )
        for name, tensor in self._named_tensors():
            if held:
                tensor[:held].copy_(torch.from_numpy(np.ascontiguousarray(state[name])))
        self.pos, self.full = pos, bool(full)

    def _named_tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        for name in _ARRAYS:
            value = getattr(self, name)
            if isinstance(value, dict):
                for key, part in value.items():
                    yield f"{name}/{key}", part
            else:
                yield name, value


def transition_bytes(observation_space: spaces.Space, action_space: spaces.Space) -> int:
    """Memory of one transition [byte]."""
    actions = int(np.prod(action_space.shape or ()))
    return 2 * _observation_bytes(observation_space) + 4 * actions + 4 + 1 + 1


def available_bytes(device: torch.device) -> int | None:
    """Memory that can still be taken on a device [byte]; None where nobody says."""
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        # What torch holds and has not handed out is free as well.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    known = [n for n in (_system_bytes(), _container_bytes()) if n is not None]
    return min(known) if known else None


def check_memory(
    transitions: int, each: int, available: int | None, device: torch.device | str
) -> None:
    """Refuse a replay buffer that cannot fit.

    Args:
        transitions: Of the buffer.
        each: Memory of one [byte].
        available: Free memory of the device [byte]; None: unknown, nothing is refused.
        device: For the message.

    Raises:
        DeviceError: It cannot.
    """
    required = transitions * each
    if available is not None and required > available:
        raise DeviceError(
            f"a replay buffer of {transitions:,} transitions needs {required / _GIB:.3g} GiB and "
            f"{device} has {available / _GIB:.3g} GiB free; "
            f"lower buffer_size to less than {available // each:,}."
        )


def _system_bytes() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _container_bytes() -> int | None:
    """What the memory limit of a container (cgroup v2) leaves; file caches are given back."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return max(limit - used + int(stat.get("file", 0)), 0)
    except (OSError, ValueError):  # no container, or the limit "max"
        return None


def _torch_dtype(space: spaces.Space) -> torch.dtype:
    dtype = torch.from_numpy(np.zeros(0, space.dtype)).dtype
    return torch.float32 if dtype == torch.float64 else dtype


def _observation_bytes(space: spaces.Space) -> int:
    if isinstance(space, spaces.Dict):
        return sum(_observation_bytes(part) for part in space.spaces.values())
    return int(np.prod(space.shape or ())) * _torch_dtype(space).itemsize


def _take(tensor: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The rows of a (steps, N, ...) tensor by their number in (steps * N, ...)."""
    return tensor.flatten(0, 1).index_select(0, rows)


def _tensors(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _tensors(part) for name, part in value.items()}
    return torch.as_tensor(value)
