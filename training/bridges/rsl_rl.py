"""Our vector environments for rsl_rl (on PyPI: rsl-rl-lib), which is imported when it is used.

    env = RslRlVecEnv(make_vector("proveout/Reach-v0", 4096, array_type="torch", phase_spread=1.0))
    runner = make_runner(env, make_preset("ppo", env.env.task.presets, {"num_envs": 4096}))
    runner.learn(100)

Written for the `VecEnv` of rsl_rl 5: observations are a `TensorDict` of groups.
"""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Mapping
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from proveout.envs.core.finished import Finished
from proveout.training.run.optional import optional_module
from proveout.training.sb3.errors import BridgeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proveout.training.presets import Preset

# The group of a flat observation; rsl_rl takes it for actor and critic where nothing else is said.
GROUP = "policy"
# Names in presets -> names in rsl_rl.
_ACTIVATIONS = {
    "elu": "elu",
    "gelu": "gelu",
    "leaky_relu": "lrelu",
    "mish": "mish",
    "relu": "relu",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "swish",
    "tanh": "tanh",
}
# PPO's arguments in Stable-Baselines3 -> in rsl_rl, with SB3's defaults.
_ARGUMENTS: dict[str, tuple[str, Any]] = {
    "n_epochs": ("num_learning_epochs", 10),
    "clip_range": ("clip_param", 0.2),
    "gamma": ("gamma", 0.99),
    "gae_lambda": ("lam", 0.95),
    "vf_coef": ("value_loss_coef", 0.5),
    "ent_coef": ("entropy_coef", 0.0),
    "learning_rate": ("learning_rate", 3e-4),
    "max_grad_norm": ("max_grad_norm", 0.5),
    "normalize_advantage": ("normalize_advantage_per_mini_batch", True),
}
_TAKEN = {*_ARGUMENTS, "n_steps", "batch_size", "policy"}
_POLICY_TAKEN = {"net_arch", "activation_fn", "log_std_init", "ortho_init", "action_head_scale"}


class RslRlVecEnv:
    """Worlds of one vector environment as an `rsl_rl.env.VecEnv`.

    With an environment that has `tensors()` and `advance()` (a `WarpVectorEnv` without a wrapper)
    a step is read where the simulation wrote it; any other vector environment is stepped through
    its arrays.

    `extras` of a step has `time_outs` (N,) bool: truncated and not terminated; and, every
    `statistics_interval` steps, `log`: "episode/<statistic>" -> the values of the episodes that
    ended since and count, which the runner averages. Nothing else is read on the host.

    An invalid world is a time-out with reward 0. rsl_rl bootstraps time-outs with the value of the
    observation before the step, so that next to nothing is learnt from it.

    Actions are clipped to the action space by the environment.

    Attributes:
        env: The vector environment.
        num_envs: N. num_actions: numbers of an action.
        max_episode_length: Control steps of an episode.
        device: Torch device of all data.
        cfg: The task's config as a plain dict, for rsl_rl's loggers.
        num_episodes, num_invalid: Ended episodes that count, and invalid worlds, as far as
            they have been fetched.
    """

    def __init__(
        self, env: VectorEnv, *, seed: int | None = None, statistics_interval: int = 16
    ) -> None:
        """Take over an environment and reset it.

        Args:
            env: Autoreset mode SAME_STEP, Box actions. On CUDA make it with array_type="torch".
            seed: Of the worlds.
            statistics_interval: Steps whose statistics are fetched together.

        Raises:
            MissingPackageError: rsl_rl is not installed.
            BridgeError: not such an environment.
        """
        interface = _imported("rsl_rl.env").VecEnv
        interface.register(type(self))  # the class cannot inherit what may not be there
        self._tensor_dict = _imported("tensordict").TensorDict
        if not isinstance(env, VectorEnv):
            raise BridgeError(
                f"{type(env).__name__} is not a gymnasium.vector.VectorEnv; make it with "
                "gymnasium.make_vec."
            )
        if env.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
            raise BridgeError(
                f"{type(env.unwrapped).__name__} has autoreset mode "
                f"{env.metadata.get('autoreset_mode')}; rsl_rl needs AutoresetMode.SAME_STEP."
            )
        shape = env.single_action_space.shape
        if shape is None or len(shape) != 1:
            raise BridgeError(f"rsl_rl needs a flat Box of actions, got {env.single_action_space}.")
        core: Any = env.unwrapped
        self.env: Any = env
        self.num_envs = env.num_envs
        self.num_actions = int(shape[0])
        self.device = torch.device(str(getattr(core, "device", "cpu")))
        config: Any = getattr(core, "config", None)
        self.cfg: dict[str, Any] = {} if config is None else config.to_dict()
        self.max_episode_length = int(getattr(config, "max_episode_steps", 0)) or sys.maxsize
        self.num_episodes = 0
        self.num_invalid = 0
        self._names = [name for name, _ in getattr(core, "statistics", ())]
        self._log = _EpisodeLog(statistics_interval)
        wrapped = isinstance(env, VectorWrapper)
        has_face = not wrapped and hasattr(env, "tensors") and hasattr(env, "advance")
        face: Any = core if has_face else None
        self._tensors: dict[str, Any] | None = None if face is None else face.tensors()
        if self._tensors is not None:
            self._finished = Finished.of_tensors(self._tensors, self._names)
        self._observation: Any = None
        self._length = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self.reset(seed)

    def reset(self, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Start new episodes in all worlds; return observations and an empty dict."""
        observation, _ = self.env.reset(seed=seed)
        self._observation = self._groups(observation)
        self._length = self._elapsed()
        return self._observation, {}

    def get_observations(self) -> Any:
        """Return the current observations, a `TensorDict` of one group, or of a Dict's entries."""
        if self._tensors is not None:  # others may have stepped the same worlds
            self._observation = self._groups(self._tensors["observation"])
        return self._observation

    def step(self, actions: torch.Tensor) -> tuple[Any, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Step all worlds.

        Args:
            actions: (N, num_actions) float32 on the device.

        Returns:
            Observations, rewards (N,), dones (N,) of 0 and 1, and extras. No later step overwrites
            any of them: rsl_rl keeps an observation until after the next step.
        """
        observation, reward, finished = self._advance(actions)
        dones = finished.ended.long()
        self._length = (self._length + 1) * (1 - dones)
        extras: dict[str, Any] = {"time_outs": finished.timed_out}
        if self._log.add(finished):
            extras["log"] = self._statistics()
        self._observation = self._groups(observation)
        return self._observation, reward.clone(), dones, extras

    def _advance(self, actions: torch.Tensor) -> tuple[Any, torch.Tensor, Finished]:
        """Step; return observations, rewards, and who finished, in tensors."""
        tensors = self._tensors
        if tensors is not None:
            self.env.advance(actions)
            return tensors["observation"], tensors["reward"], self._finished
        torch_arrays = getattr(self.env.unwrapped, "array_type", "numpy") == "torch"
        given = actions if torch_arrays else actions.cpu().numpy()
        observation, reward, terminated, truncated, info = self.env.step(given)
        table: torch.Tensor | None = None
        told: dict[str, Any] = {
            name: self._tensor(info[name]) for name in ("invalid", "invalid_reason") if name in info
        }
        if "episode_statistics" in info:
            statistics = info["episode_statistics"]
            columns = [self._tensor(statistics[name]).float() for name in self._names]
            table = torch.stack(columns, dim=1)
            told["episode_statistics"] = statistics
            told["_episode_statistics"] = self._tensor(info["_episode_statistics"]).bool()
        over, out = self._tensor(terminated).bool(), self._tensor(truncated).bool()
        return observation, self._tensor(reward).float(), Finished(over, out, told, table)

    def _statistics(self) -> dict[str, torch.Tensor]:
        """Fetch what has ended since the last time."""
        rows, invalid = self._log.take()
        self.num_episodes += len(rows)
        self.num_invalid += invalid
        told = {}
        for column, name in enumerate(self._names):
            values = rows[:, column]
            values = values[np.isfinite(values)]
            if len(values):
                told[f"episode/{name}"] = torch.from_numpy(values)
        return told

    @property
    def episode_length_buf(self) -> torch.Tensor:
        """Control steps since each episode began, (N,) int64.

        Setting it moves the worlds' clocks, as `learn(init_at_random_ep_len=True)` does to spread
        the ends of the first episodes, which then do not count in the statistics. Making the
        environment with phase_spread=1.0 has the same effect.
        """
        return self._length

    @episode_length_buf.setter
    def episode_length_buf(self, steps: torch.Tensor) -> None:
        state = self.env.state_dict() if hasattr(self.env, "state_dict") else {}
        if _ELAPSED not in state:
            raise BridgeError(
                f"the clocks of {type(self.env.unwrapped).__name__} cannot be set; "
                "call learn with init_at_random_ep_len=False."
            )
        elapsed = steps.clamp(0, self.max_episode_length - 1).cpu().numpy()
        state[_ELAPSED] = elapsed.astype(state[_ELAPSED].dtype)
        state[_PARTIAL] = state[_PARTIAL] | (elapsed > 0)
        self.env.load_state_dict(state)
        self._length = torch.as_tensor(elapsed, device=self.device).long()

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def _elapsed(self) -> torch.Tensor:
        state = self.env.state_dict() if hasattr(self.env, "state_dict") else {}
        elapsed = state.get(_ELAPSED, np.zeros(self.num_envs, np.int32))
        return torch.as_tensor(elapsed, device=self.device).long()

    def _groups(self, observation: Any) -> Any:
        """Return a `TensorDict` of copies."""
        named = observation if isinstance(observation, Mapping) else {GROUP: observation}
        return self._tensor_dict(
            {name: self._tensor(part).clone() for name, part in named.items()},
            batch_size=[self.num_envs],
            device=self.device,
        )

    def _tensor(self, array: Any) -> torch.Tensor:
        return torch.as_tensor(array, device=self.device)


# The clocks of the worlds in `WarpVectorEnv.state_dict`.
_ELAPSED, _PARTIAL = "exchange/elapsed", "core/partial"


class _EpisodeLog:
    """Statistics of the last steps, on their device until they are taken."""

    def __init__(self, steps: int) -> None:
        self._steps = max(1, steps)
        self._rows = 0
        self._kept: dict[str, torch.Tensor] = {}

    def add(self, finished: Finished) -> bool:
        """Copy the statistics of a step; return whether it is time to take them."""
        if finished.table is None:
            return False
        parts = {
            "statistics": finished.table,
            "counts": finished.counts,
            "invalid": finished.invalid,
        }
        for name, part in parts.items():
            if name not in self._kept:
                # The runner steps in inference mode, whose tensors cannot be written outside it.
                with torch.inference_mode(False):
                    self._kept[name] = part.new_zeros((self._steps, *part.shape))
            self._kept[name][self._rows].copy_(part)
        self._rows += 1
        return self._rows == self._steps

    def take(self) -> tuple[np.ndarray, int]:
        """Return the rows of the episodes that count, in order, and the number of invalid ones."""
        kept = {name: part[: self._rows] for name, part in self._kept.items()}
        self._rows = 0
        return kept["statistics"][kept["counts"]].cpu().numpy(), int(kept["invalid"].sum())


def runner_config(preset: Preset, *, save_interval: int = 50) -> dict[str, Any]:
    """Return the `train_cfg` of `OnPolicyRunner` for a preset of PPO.

    Same networks, discount, losses, samples and updates as `TensorPPO` with that preset. What
    stays rsl_rl's own: its initial weights, its bootstrap of time-outs, Adam's epsilon, one
    permutation of the samples for all epochs, and the gradient norms of actor and critic clipped
    apart.

    Args:
        preset: See `make_preset`.
        save_interval: Iterations between two model files.

    Raises:
        BridgeError: a hyper-parameter or a network that rsl_rl does not have.
    """
    algorithm, policy = dict(preset.algorithm), dict(preset.policy)
    for name in ("use_sde", "target_kl", "clip_range_vf"):
        if not algorithm.pop(name, None):
            continue
        raise BridgeError(f"rsl_rl's PPO has no {name}; leave it out of the preset.")
    odd = [*(set(algorithm) - _TAKEN), *(set(policy) - _POLICY_TAKEN)]
    if preset.algo not in ("ppo", "tensor_ppo"):
        raise BridgeError(f"rsl_rl trains with PPO; a preset of {preset.algo} cannot be used.")
    if odd:
        raise BridgeError(f"rsl_rl's PPO has no {sorted(odd)[0]}; leave it out of the preset.")
    if preset.network != "mlp":
        raise BridgeError(f"rsl_rl has no network '{preset.network}'; use network 'mlp'.")
    activation = str(policy.get("activation_fn", "tanh"))
    if activation not in _ACTIVATIONS:
        raise BridgeError(f"rsl_rl has no activation '{activation}'.")
    layers = policy.get("net_arch", [64, 64])
    widths = layers if isinstance(layers, Mapping) else {"pi": layers, "vf": layers}
    steps = algorithm.get("n_steps", 2048)
    minibatches = round(steps * preset.num_envs / algorithm.get("batch_size", 64))
    model = {
        "class_name": "rsl_rl.models:MLPModel",
        "activation": _ACTIVATIONS[activation],
        "obs_normalization": preset.normalize_observations,
    }
    ppo: dict[str, Any] = {"class_name": "rsl_rl.algorithms:PPO", "schedule": "fixed"}
    for name, (theirs, default) in _ARGUMENTS.items():
        ppo[theirs] = algorithm.get(name, default)
    ppo["num_mini_batches"] = max(1, minibatches)
    ppo["use_clipped_value_loss"] = False
    if preset.adaptive_kl is not None:
        # rsl_rl adapts outside half and double of one figure.
        ppo.update(schedule="adaptive", desired_kl=math.sqrt(math.prod(preset.adaptive_kl)))
    return {
        "num_steps_per_env": steps,
        "save_interval": save_interval,
        "obs_groups": {"actor": [GROUP], "critic": [GROUP]},
        "actor": {
            **model,
            "hidden_dims": list(widths["pi"]),
            "distribution_cfg": {
                "class_name": "rsl_rl.modules.distribution:GaussianDistribution",
                "init_std": math.exp(policy.get("log_std_init", 0.0)),
                "std_type": "log",
            },
        },
        "critic": {**model, "hidden_dims": list(widths["vf"])},
        "algorithm": ppo,
    }


def make_runner(env: RslRlVecEnv, preset: Preset, *, log_dir: str | None = None) -> Any:
    """Return an `rsl_rl.runners.OnPolicyRunner` with a preset's settings.

    Args:
        env: The worlds; their device is the networks', too.
        preset: Its `num_envs` is that of `env`.
        log_dir: Where rsl_rl writes its models and events; None: nowhere.

    Raises:
        BridgeError: as `runner_config`; or the numbers of worlds differ.
    """
    if preset.num_envs != env.num_envs:
        raise BridgeError(
            f"the preset is for {preset.num_envs} worlds and the environment has {env.num_envs}; "
            "give make_preset the override num_envs."
        )
    runner_class = _imported("rsl_rl.runners").OnPolicyRunner
    # It prints both networks, which nobody asked for.
    with redirect_stdout(io.StringIO()), _own_distribution_checks():
        runner = runner_class(env, runner_config(preset), log_dir=log_dir, device=str(env.device))
    scale = preset.policy.get("action_head_scale")
    if scale is not None:
        head = [m for m in runner.alg.actor.mlp if isinstance(m, torch.nn.Linear)][-1]
        with torch.no_grad():
            head.weight.mul_(float(scale))
            head.bias.mul_(float(scale))
    return runner


@contextmanager
def _own_distribution_checks() -> Iterator[None]:
    """Take back that rsl_rl switches torch's argument checks off for the whole process."""
    distribution = torch.distributions.Distribution
    before = distribution._validate_args
    try:
        yield
    finally:
        distribution.set_default_validate_args(before)


def _imported(module: str) -> Any:
    return optional_module(module, "rsl-rl", "rsl-rl-lib")
