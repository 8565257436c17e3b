"""What TensorSAC and TensorTD3 share: roll-outs that stay on the device of the worlds."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, VectorizedActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.save_util import open_path
from stable_baselines3.common.type_aliases import RolloutReturn, TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import VecEnv

from proveout.envs.core.errors import StateError
from proveout.training.sb3.distributions import unchecked_distributions
from proveout.training.sb3.errors import BridgeError
from proveout.training.sb3.tensor.face import TensorFace
from proveout.training.sb3.tensor.ppo import tensor_face
from proveout.training.sb3.tensor.replay_buffer import TensorReplayBuffer
from proveout.training.sb3.tensor.rollout_buffer import Tensors

# Steps whose statistics are fetched together.
STATISTICS_INTERVAL = 16
# Buffers whose work `TensorReplayBuffer` does.
_STOCK_BUFFERS = (ReplayBuffer, DictReplayBuffer, NStepReplayBuffer)


class TensorOffPolicy(OffPolicyAlgorithm):
    """A stock off-policy algorithm with another roll-out; put it before the algorithm's class.

    Observations, rewards and ends are read where the simulation wrote them and copied once, into a
    replay buffer of tensors on its device. Nothing is read on the host in a step: statistics of
    finished episodes are fetched every `STATISTICS_INTERVAL` steps, before anything is saved and at
    the end of `learn`; so episodes are counted, and logs written, up to that many steps later than
    with the stock algorithm. `train` is the stock one.

    Same seeds give the same actions, samples and parameters as the stock algorithm. Random actions
    of the first `learning_starts` samples are drawn for all worlds at once, from the same generator
    in the same order; so is Gaussian action noise (`NormalActionNoise`).

    Callbacks that read `locals["infos"]`, `["rewards"]` or `["dones"]` in a step get them; infos
    are built only when they are read, which then costs a host read.

    Zips open in the stock algorithm and the other way round. `save_replay_buffer` writes arrays
    without pickle, whatever the name of the file.

    Raises:
        BridgeError: An environment that is not an `SB3VecEnv` straight around a `WarpVectorEnv`
            (or another with its `tensors` and `advance`), or is on another device than the
            networks; `train_freq` in episodes; noise with a memory; a replay buffer of another
            kind; `optimize_memory_usage`.
        DeviceError: The replay buffer does not fit the device.
    """

    replay_buffer: TensorReplayBuffer | None
    _moved = False
    _batch: _StatisticsBatch | None = None
    _dumped_at: int | None = None

    @property
    def _last_obs(self) -> Any:
        """Current observations on the host; fetched when somebody asks after a step."""
        if self._moved:
            self._last_obs = tensor_face(self.env).host_observation()
        return self.__dict__.get("_last_obs")

    @_last_obs.setter
    def _last_obs(self, value: Any) -> None:
        self.__dict__["_last_obs"] = value
        self._moved = False

    # Setting up

    def _setup_model(self) -> None:
        name = type(self).__name__
        given = self.replay_buffer_class
        if given is not None and given not in (*_STOCK_BUFFERS, TensorReplayBuffer):
            raise BridgeError(
                f"{name} has a replay buffer of its own and cannot use "
                f"{getattr(given, '__name__', given)}; "
                "leave replay_buffer_class out, or use the stock algorithm."
            )
        kwargs = dict(self.replay_buffer_kwargs)
        # As a zip of a stock algorithm with n-step returns has them.
        n_steps = kwargs.pop("n_steps", self.n_steps)
        if kwargs.pop("gamma", self.gamma) != self.gamma:
            raise BridgeError(f"{name} takes one gamma; leave it out of replay_buffer_kwargs.")
        self.replay_buffer_kwargs = kwargs
        if self.action_noise is not None:
            _GaussianNoise(self.action_noise, self.n_envs)
        if self.replay_buffer is None:
            self.replay_buffer = TensorReplayBuffer(
                self.buffer_size,
                self.observation_space,
                self.action_space,
                device=self.device,
                n_envs=self.n_envs,
                optimize_memory_usage=self.optimize_memory_usage,
                n_steps=n_steps,
                gamma=self.gamma,
                **kwargs,
            )
        if self.env is not None:
            self._check_device(self.env)
            self.replay_buffer.allocate()
        self.replay_buffer_class = TensorReplayBuffer
        self.n_steps = 1  # the stock method warns that only a buffer of its own can do more
        super()._setup_model()
        self.n_steps = n_steps
        if self.train_freq.unit != TrainFrequencyUnit.STEP:  # type: ignore[union-attr]
            raise BridgeError(
                f"{name} does not read the ends of episodes on the host; "
                "give train_freq in steps, not in episodes."
            )

    def _check_device(self, env: Any) -> None:
        worlds = tensor_face(env).tensors["reward"].device
        if not same_device(worlds, self.device):
            raise BridgeError(
                f"the worlds are on {worlds} and the networks on {self.device}; "
                f"give {type(self).__name__} device='{worlds}'."
            )

    def set_env(self, env: Any, force_reset: bool = True) -> None:
        """As in the stock algorithm; refuses environments whose wrappers would be bypassed."""
        super().set_env(env, force_reset=force_reset)
        assert self.env is not None
        self._check_device(self.env)
        self._batch = None

    def _setup_learn(self, total_timesteps: int, *args: Any, **kwargs: Any) -> Any:
        done = self.num_timesteps
        held = self._last_obs
        result = super()._setup_learn(total_timesteps, *args, **kwargs)
        if self.replay_buffer is not None and (held is None or self.num_timesteps < done):
            self.replay_buffer.cut()  # the worlds were reset
        return result

    # Roll-out

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: TrainFreq,
        replay_buffer: Any,
        action_noise: ActionNoise | None = None,
        learning_starts: int = 0,
        log_interval: int | None = None,
    ) -> RolloutReturn:
        """Step `train_freq` times; as in the stock algorithm, but episodes are counted later."""
        face = tensor_face(env)
        tensors = face.tensors
        batch = self._statistics_batch(face)
        self.policy.set_training_mode(False)
        num_collected_steps, num_collected_episodes = 0, 0
        if self.use_sde:
            self._reset_sde(env.num_envs)
        callback.on_rollout_start()
        while num_collected_steps < train_freq.frequency:
            freq = self.sde_sample_freq
            if self.use_sde and freq > 0 and num_collected_steps % freq == 0:
                self._reset_sde(env.num_envs)
            # The step overwrites it.
            observation = _copy(tensors["observation"])
            actions, buffer_actions = self._choose_actions(
                observation, learning_starts, action_noise, env.num_envs
            )
            batch.begin_step()
            face.advance(actions)
            self._moved = True
            self.num_timesteps += env.num_envs
            num_collected_steps += 1
            rewards, dones = tensors["reward"], tensors["terminated"] | tensors["truncated"]
            new_obs, infos = tensors["observation"], face.infos()
            batch.end_step(dones)
            callback.update_locals(locals())
            if not callback.on_step():
                self._synchronise()
                return RolloutReturn(num_collected_steps * env.num_envs, 0, continue_training=False)
            replay_buffer.add_tensors(
                observation,
                _where(dones, tensors["final_observation"], new_obs),
                buffer_actions,
                rewards,
                dones,
                tensors["truncated"] & ~tensors["terminated"],
            )
            self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
            self._on_step()
            # Counted from the beginning of training, so that a resumed one logs at the same steps.
            if batch.full or self.num_timesteps // env.num_envs % STATISTICS_INTERVAL == 0:
                num_collected_episodes += self._fetch_statistics()
                self._dump_if_due(log_interval)
        if self.num_timesteps >= self._total_timesteps:
            self._synchronise()
            self._dump_if_due(log_interval)
        callback.on_rollout_end()
        return RolloutReturn(
            num_collected_steps * env.num_envs, num_collected_episodes, continue_training=True
        )

    def _choose_actions(
        self,
        observation: Tensors,
        learning_starts: int,
        action_noise: ActionNoise | None,
        num_envs: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return actions for the worlds and, scaled to -1 to 1, for the buffer; each (N, A).

        The same arithmetic, step by step, as the stock `_sample_action` does in NumPy.
        """
        space = self.action_space
        assert isinstance(space, spaces.Box)
        low = torch.as_tensor(space.low, device=self.device)
        high = torch.as_tensor(space.high, device=self.device)
        warm_up = self.num_timesteps < learning_starts
        if warm_up and not (self.use_sde and self.use_sde_at_warmup):
            drawn = random_actions(space, num_envs)
            unscaled = torch.from_numpy(drawn).to(self.device)
        else:
            with torch.no_grad(), unchecked_distributions():
                said = self.policy._predict(observation, deterministic=False)
            said = said.reshape(num_envs, *space.shape)
            if self.policy.squash_output:
                unscaled = low + (0.5 * (said + 1.0) * (high - low))
            else:
                unscaled = torch.clamp(said, low, high)
        scaled = 2.0 * ((unscaled - low) / (high - low)) - 1.0
        if action_noise is not None:
            noise = torch.from_numpy(self._gaussian(action_noise, num_envs).draw())
            scaled = torch.clamp(scaled + noise.to(self.device).view_as(scaled), -1.0, 1.0)
        return low + (0.5 * (scaled + 1.0) * (high - low)), scaled

    def _gaussian(self, action_noise: ActionNoise, num_envs: int) -> _GaussianNoise:
        batch = self._batch
        assert batch is not None
        if batch.noise is None or batch.noise.of is not action_noise:
            batch.noise = _GaussianNoise(action_noise, num_envs)
        return batch.noise

    def _reset_sde(self, num_envs: int) -> None:
        with unchecked_distributions():
            self.actor.reset_noise(num_envs)  # type: ignore[operator]

    def train(self, gradient_steps: int, batch_size: int) -> None:
        """As in the stock algorithm."""
        with unchecked_distributions():
            super().train(gradient_steps=gradient_steps, batch_size=batch_size)

    # Statistics

    def _statistics_batch(self, face: TensorFace) -> _StatisticsBatch:
        if self._batch is None or self._batch.face is not face:
            self._batch = _StatisticsBatch(face)
        if self._dumped_at is None or self._dumped_at > self._episode_num:
            self._dumped_at = self._episode_num
        return self._batch

    def _fetch_statistics(self) -> int:
        """Take over what the worlds told since the last time; return the number of episodes."""
        if self._batch is None:
            return 0
        infos, ended = self._batch.fetch()
        self._episode_num += ended
        self._update_info_buffer(infos)
        return ended

    def _dump_if_due(self, log_interval: int | None) -> None:
        if log_interval is None or self._dumped_at is None:
            return
        if self._episode_num // log_interval > self._dumped_at // log_interval:
            self.dump_logs()
        self._dumped_at = self._episode_num

    def _update_info_buffer(self, infos: Sequence[dict[str, Any]], dones: Any = None) -> None:
        """Take over finished episodes."""
        super()._update_info_buffer(list(infos), np.ones(len(infos), bool))

    def _synchronise(self) -> None:
        """Bring to the host what is told later than in the stock algorithm."""
        self._fetch_statistics()
        self._last_obs  # noqa: B018  a property that fetches

    # Saving

    def save(self, *args: Any, **kwargs: Any) -> None:
        """As in the stock algorithm; statistics and observations are fetched first."""
        self._synchronise()
        super().save(*args, **kwargs)

    def _excluded_save_params(self) -> list[str]:
        # A zip of this class must open in the stock algorithm.
        own = ["replay_buffer_class", "_moved", "_batch", "_dumped_at"]
        return [*super()._excluded_save_params(), *own]

    def save_replay_buffer(self, path: Any) -> None:
        """Write the replay buffer as NumPy arrays, without pickle.

        Args:
            path: File (its suffix is ".npz" if it has none), or a binary stream.
        """
        assert self.replay_buffer is not None
        file = open_path(path, "w", self.verbose, suffix="npz")
        state: dict[str, Any] = self.replay_buffer.state_dict()
        np.savez(file, **state)
        if file is not path:
            file.close()

    def load_replay_buffer(self, path: Any, truncate_last_traj: bool = True) -> None:
        """Read what `save_replay_buffer` wrote into the replay buffer.

        Args:
            path: File or binary stream.
            truncate_last_traj: Without a meaning here; as in the stock algorithm.

        Raises:
            StateError: Damaged, of another kind, or of a buffer of another size.
        """
        assert self.replay_buffer is not None
        file = open_path(path, "r", self.verbose, suffix="npz")
        try:
            with np.load(file, allow_pickle=False) as arrays:
                state = {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, KeyError, EOFError, AttributeError,
                zipfile.BadZipFile, pickle.UnpicklingError) as error:  # fmt: skip
            raise StateError(
                f"{path} is damaged, or not a replay buffer saved by {type(self).__name__}."
            ) from error
        finally:
            if file is not path:
                file.close()
        self.replay_buffer.load_state_dict(state)


class _StatisticsBatch:
    """Statistics of the steps since the last fetch.

    Attributes:
        face: Of the worlds.
        noise: The action noise of the roll-out, taken apart; None: not used yet.
    """

    def __init__(self, face: TensorFace) -> None:
        self.face = face
        self.noise: _GaussianNoise | None = None
        self._steps = 0
        device = face.tensors["reward"].device
        self._ended = torch.zeros((), dtype=torch.int64, device=device)

    @property
    def full(self) -> bool:
        """Whether there is no room for another step."""
        return self._steps == STATISTICS_INTERVAL

    def begin_step(self) -> None:
        """Make room; only now, as the infos of the step before may be read until here."""
        if self._steps == 0:
            self.face.begin_rollout(STATISTICS_INTERVAL)
            self._ended.zero_()

    def end_step(self, dones: torch.Tensor) -> None:
        """Count the episodes that ended."""
        self._ended += dones.sum()
        self._steps += 1

    def fetch(self) -> tuple[list[dict[str, Any]], int]:
        """Return infos of the episodes that count, and the number of all that ended."""
        if self._steps == 0:
            return [], 0
        self._steps = 0
        return self.face.end_rollout(), int(self._ended)


class _GaussianNoise:
    """The noises of all worlds, drawn at once: the numbers that one by one would give.

    Attributes:
        of: The noise of Stable-Baselines3.

    Raises:
        BridgeError: Not Gaussian without a memory.
    """

    def __init__(self, noise: ActionNoise, num_envs: int) -> None:
        self.of = noise
        each = noise.noises if isinstance(noise, VectorizedActionNoise) else [noise] * num_envs
        odd = next((n for n in each if type(n) is not NormalActionNoise), None)
        if odd is not None:
            raise BridgeError(
                f"{type(odd).__name__} would have to be reset in each world that ends, which is "
                "not known on the host; use NormalActionNoise, or the stock algorithm."
            )
        self._mean = np.stack([np.asarray(n._mu) for n in each])  # type: ignore[attr-defined]
        self._sigma = np.stack([np.asarray(n._sigma) for n in each])  # type: ignore[attr-defined]

    def draw(self) -> np.ndarray:
        """Noise (N, A), float32, from NumPy's global generator."""
        return np.random.normal(self._mean, self._sigma).astype(np.float32)  # noqa: NPY002


def random_actions(space: spaces.Box, num: int) -> np.ndarray:
    """Draw actions (num, ...) uniformly: those that `space.sample()`, num times, would give."""
    size = (num, *space.shape)
    return space.np_random.uniform(space.low, space.high, size).astype(np.float32)


def same_device(one: torch.device, other: torch.device) -> bool:
    """Say whether two names are of one device; without a number it is the current one."""
    if one.type != other.type:
        return False
    if one.type == "cpu" or one.index == other.index:
        return True
    if one.index is not None and other.index is not None:
        return False
    return torch.cuda.current_device() in (one.index, other.index)


def _copy(tensors: Tensors) -> Tensors:
    if isinstance(tensors, dict):
        return {name: part.clone() for name, part in tensors.items()}
    return tensors.clone()


def _where(mask: torch.Tensor, one: Tensors, other: Tensors) -> Tensors:
    """Rows of `one` (N, ...) where the mask (N,) is set, else of `other`."""
    if isinstance(one, dict):
        assert isinstance(other, dict)
        return {name: _where(mask, part, other[name]) for name, part in one.items()}  # type: ignore[misc]
    assert isinstance(other, torch.Tensor)
    return torch.where(mask.view(-1, *(1,) * (one.dim() - 1)), one, other)
