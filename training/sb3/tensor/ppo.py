"""PPO whose roll-outs stay on the device of the worlds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from proveout.training.sb3.distributions import unchecked_distributions
from proveout.training.sb3.errors import BridgeError
from proveout.training.sb3.tensor.acting_graph import ActingGraph, acting_graph
from proveout.training.sb3.tensor.face import TensorFace
from proveout.training.sb3.tensor.rollout_buffer import TensorRolloutBuffer
from proveout.training.sb3.vec_env import SB3VecEnv


class TensorPPO(PPO):
    """Stock PPO with another roll-out: same arguments, parameters, callbacks, zips and results.

    Observations, rewards and ends are read where the simulation wrote them and copied once, into a
    buffer of tensors on its device. Nothing is read on the host inside a roll-out: statistics of
    finished episodes, and which worlds timed out, are fetched once at its end, and the values of
    all final observations are computed in one batch. `train` is the stock one.

    On CUDA, what happens between two observations - policy forward, sampling, clipping, the whole
    control step - is one recorded graph from the second roll-out on (`ActingGraph`). It is tried
    against the same steps without a graph before it is used; where it cannot be recorded, a warning
    says why, and policy and worlds run one after the other on the same stream.

    Callbacks that read `locals["infos"]`, `["rewards"]` or `["dones"]` in a step get them; infos
    are built only when they are read, which then costs a host read.

    The environment must be an `SB3VecEnv` straight around a `WarpVectorEnv` (or another with its
    `tensors` and `advance`): a wrapper in between would be bypassed, so it raises `BridgeError`.
    """

    # Class attributes, as zips and clones bring none of their own.
    _graph: ActingGraph | None = None
    _no_graph = False
    _rolled_out = False

    def _setup_model(self) -> None:
        # A zip of stock PPO names the stock buffer.
        self.rollout_buffer_class = TensorRolloutBuffer
        if self.env is not None:
            tensor_face(self.env)
        super()._setup_model()

    def _excluded_save_params(self) -> list[str]:
        # A zip of this class must open in stock PPO.
        graph = ["_graph", "_no_graph", "_rolled_out"]
        return [*super()._excluded_save_params(), "rollout_buffer_class", *graph]

    def _maybe_recommend_cpu(self, mlp_class_name: str = "ActorCriticPolicy") -> None:
        """Say nothing: here a GPU with an MLP is what this class is for."""

    def set_env(self, env: Any, force_reset: bool = True) -> None:
        """As in stock PPO; refuses environments whose wrappers would be bypassed."""
        super().set_env(env, force_reset=force_reset)
        assert self.env is not None
        tensor_face(self.env)

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: Any,
        n_rollout_steps: int,
    ) -> bool:
        """Fill the buffer; return False if a callback stopped it."""
        face = tensor_face(env)
        assert self._last_episode_starts is not None
        tensors = face.tensors
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        if self.use_sde:
            self.policy.reset_noise(env.num_envs)
        callback.on_rollout_start()
        face.begin_rollout(n_rollout_steps)
        episode_start = torch.as_tensor(self._last_episode_starts, device=self.device)
        low, high = self._action_bounds()
        acting = self._acting_graph(face)

        for n_steps in range(n_rollout_steps):
            if self.use_sde and self.sde_sample_freq > 0 and n_steps % self.sde_sample_freq == 0:
                self.policy.reset_noise(env.num_envs)
            obs_tensor = rollout_buffer.keep_observation(tensors["observation"])
            if acting is not None:
                told = acting()
                face.keep_statistics()
                actions, values, log_probs = told.actions, told.values, told.log_probs
                clipped_actions = told.sent
            else:
                with torch.no_grad(), unchecked_distributions():
                    actions, values, log_probs = self.policy(obs_tensor)
                clipped_actions = self._to_environment(actions, low, high)
                face.advance(clipped_actions)
            rollout_buffer.keep_decision(actions, values, log_probs)
            self.num_timesteps += env.num_envs
            rewards, dones = tensors["reward"], tensors["terminated"] | tensors["truncated"]
            new_obs, infos = tensors["observation"], face.infos()
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            rollout_buffer.keep_outcome(
                rewards,
                episode_start,
                tensors["truncated"] & ~tensors["terminated"],
                tensors["final_observation"],
            )
            episode_start = dones

        self._update_info_buffer(face.end_rollout())
        rollout_buffer.bootstrap_timeouts(self.policy.predict_values)
        with torch.no_grad():
            values = self.policy.predict_values(tensors["observation"])
        rollout_buffer.compute_returns_and_advantage(last_values=values, dones=dones)
        self._last_obs = face.host_observation()
        self._last_episode_starts = dones.cpu().numpy()
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _acting_graph(self, face: TensorFace) -> ActingGraph | None:
        """One graph for acting and stepping, from the second roll-out on; None where there is none.

        Not with gSDE, whose noise is another tensor after every draw, and not on the CPU, where
        torch records nothing.
        """
        if self.device.type != "cuda" or self.use_sde or self._no_graph:
            return None
        first = not self._rolled_out
        self._rolled_out = True
        if first:  # kernels are loaded and torch's caches filled, which a recording must not do
            return None
        if self._graph is None or not self._graph.fits(self.policy):
            low, high = self._action_bounds()
            self._graph = acting_graph(
                self.policy, face.env, lambda actions: self._to_environment(actions, low, high)
            )
            self._no_graph = self._graph is None
        return self._graph

    def train(self) -> None:
        """As in stock PPO."""
        with unchecked_distributions():
            super().train()

    def _action_bounds(self) -> tuple[Any, Any]:
        space = self.action_space
        if not isinstance(space, spaces.Box):
            raise BridgeError(f"TensorPPO needs a Box action space, got {space}.")
        return (
            torch.as_tensor(space.low, device=self.device),
            torch.as_tensor(space.high, device=self.device),
        )

    def _to_environment(
        self, actions: torch.Tensor, low: torch.Tensor, high: torch.Tensor
    ) -> torch.Tensor:
        if self.policy.squash_output:
            return low + 0.5 * (actions + 1.0) * (high - low)
        return torch.clamp(actions, low, high)

    def _update_info_buffer(self, infos: Sequence[dict[str, Any]], dones: Any = None) -> None:
        """Take over the finished episodes of a whole roll-out."""
        super()._update_info_buffer(list(infos), np.ones(len(infos), bool))


def tensor_face(env: Any) -> TensorFace:
    """The tensor face of a bridged environment.

    Raises:
        BridgeError: Another environment, or a wrapper that would be bypassed without a word.
    """
    if type(env) is not SB3VecEnv:
        raise BridgeError(
            f"this algorithm reads tensors straight from the worlds and would bypass "
            f"{type(env).__name__}; give it SB3VecEnv(envs) alone (normalise inside the policy), "
            "or use the stock algorithm."
        )
    return env.tensor_face()
