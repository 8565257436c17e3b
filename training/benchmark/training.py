"""What training costs beyond the worlds and the network: five ways to learn the same, in one run.

All contestants share one set of worlds, the network, the samples of an iteration and the number of
updates. Each is warmed up once; then rounds go through all of them, forwards and backwards in turn,
so that a busy machine disturbs them alike. Figures are medians over the rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from proveout.envs.core.errors import ConfigError
from proveout.training.bridges.rsl_rl import RslRlVecEnv, make_runner
from proveout.training.presets import Preset, build_algorithm, make_preset
from proveout.training.run.optional import MissingPackageError
from proveout.training.run.progress import Progress, say
from proveout.training.run.threads import check_threads
from proveout.training.sb3.distributions import unchecked_distributions
from proveout.training.sb3.vec_env import SB3VecEnv
from proveout.training.tasks import VectorEnvSpec, make_vector_env, task_class

FLOOR = "floor"
# In this order in a result.
CONTESTANTS = (FLOOR, "sb3_naive", "sb3_adapter", "tensor_ppo", "rsl_rl")
FIGURES = ("ms_per_step", "steps_per_s", "overhead_ms", "ms_per_iteration")

_MEANING = {
    FLOOR: "policy forward + environment step, no learning",
    "sb3_naive": "stock PPO, an info dict for every world, VecMonitor",
    "sb3_adapter": "stock PPO through SB3VecEnv",
    "tensor_ppo": "TensorPPO",
    "rsl_rl": "rsl_rl's PPO through RslRlVecEnv",
}


@dataclass(frozen=True, kw_only=True)
class TrainingLoad:
    """What is trained in an iteration, and how often it is measured.

    Attributes:
        n_steps: Steps of all worlds in a roll-out.
        epochs: Passes over its samples.
        minibatches: Updates in a pass.
        rounds: Measurements of each contestant.
        torch_threads: Of the networks on the CPU.
        seed: Of the worlds and the networks.
    """

    n_steps: int = 16
    epochs: int = 5
    minibatches: int = 4
    rounds: int = 5
    torch_threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_steps", "epochs", "minibatches", "rounds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}.")
        check_threads(self.torch_threads)


def benchmark_training(spec: VectorEnvSpec, load: TrainingLoad | None = None) -> dict[str, Any]:
    """Measure; see the module.

    Args:
        spec: The worlds; its array type and phases are chosen here.
        load: What is trained; None: the defaults.

    Returns:
        What was measured on ("device", "workers", "num_envs", "n_steps", "epochs", "minibatches",
        "torch_threads", "rounds", "invalid_worlds"), and for each of `CONTESTANTS` a dict of
        `FIGURES`, or None for rsl_rl where it is not installed:

        - ms_per_step: a step of all worlds in a roll-out [ms], with what comes once a roll-out
          (final values, advantages, statistics) spread over its steps;
        - overhead_ms: how much that is beyond the floor's of the same round, median over the rounds
          [ms];
        - ms_per_iteration: roll-out and learning [ms]; of the floor, which learns nothing, its
          roll-out;
        - steps_per_s: samples/s of the iteration.

    Raises:
        ConfigError: minibatches that do not divide the samples, or no worlds to read tensors from.
    """
    load = load or TrainingLoad()
    samples = load.n_steps * spec.num_envs
    if samples % load.minibatches:
        raise ConfigError(
            f"{load.minibatches} minibatches do not divide {load.n_steps} steps of "
            f"{spec.num_envs} worlds; use a divisor of {samples}."
        )
    preset = _preset(spec, load)
    threads = torch.get_num_threads()
    torch.set_num_threads(load.torch_threads)
    # Spread phases: episodes end in every roll-out, as they do in training.
    env = make_vector_env(replace(spec, phase_spread=1.0))
    try:
        device = str(env.unwrapped.device)
        if device.startswith("cuda"):
            env.close()
            env = make_vector_env(replace(spec, phase_spread=1.0, array_type="torch"))
        if not (hasattr(env, "tensors") and hasattr(env, "advance")):
            raise ConfigError(
                f"{type(env.unwrapped).__name__} has no tensors() and advance() to measure against."
            )
        contestants, invalid = _contestants(env, preset, load, device)
        times = _measure(contestants, load.rounds)
        head = {
            "env": spec.env_id,
            "device": device,
            "workers": int(env.unwrapped.workers),
            "num_envs": spec.num_envs,
            "n_steps": load.n_steps,
            "epochs": load.epochs,
            "minibatches": load.minibatches,
            "torch_threads": load.torch_threads,
            "rounds": load.rounds,
            "invalid_worlds": invalid(),
        }
    finally:
        env.close()
        torch.set_num_threads(threads)
    return {**head, **_figures(times, load.n_steps, samples)}


def _preset(spec: VectorEnvSpec, load: TrainingLoad) -> Preset:
    """Return the task's preset with the load's numbers, and nothing that could end an update."""
    overrides = {
        "num_envs": spec.num_envs,
        "n_steps": load.n_steps,
        "n_epochs": load.epochs,
        "batch_size": load.n_steps * spec.num_envs // load.minibatches,
        "adaptive_kl": None,
        "target_kl": None,
    }
    return make_preset("ppo", task_class(spec.env_id).presets, overrides)


@dataclass(frozen=True)
class _Turn:
    """Seconds of one iteration of a contestant."""

    rollout: float
    iteration: float


_Contestant = Callable[[], _Turn]


def _contestants(
    env: Any, preset: Preset, load: TrainingLoad, device: str
) -> tuple[dict[str, _Contestant], Callable[[], int]]:
    """Return the contestants by name, and what counts the invalid worlds of all."""

    def model(algo: str, venv: Any) -> Any:
        return build_algorithm(replace(preset, algo=algo), venv, seed=load.seed, device=device)

    tensors = SB3VecEnv(env)
    tensor_ppo = model("tensor_ppo", tensors)
    contestants: dict[str, _Contestant] = {
        # The same policy as it learns, so that the worlds go through the same motions.
        FLOOR: _Floor(env, tensor_ppo.policy, load.n_steps, device),
        "sb3_naive": _StableBaselines(env, model("ppo", VecMonitor(NaiveVecEnv(env))), device),
        "sb3_adapter": _StableBaselines(env, model("ppo", SB3VecEnv(env)), device),
        "tensor_ppo": _StableBaselines(env, tensor_ppo, device),
    }
    adapted: RslRlVecEnv | None = None
    try:
        adapted = RslRlVecEnv(env, seed=load.seed)
        contestants["rsl_rl"] = _RslRl(make_runner(adapted, preset), device)
    except MissingPackageError as error:
        say(f"rsl_rl is left out: {error}")

    def invalid() -> int:
        stepped = int(getattr(env.unwrapped, "invalid_worlds", 0))
        return stepped + tensors.num_invalid + (adapted.num_invalid if adapted else 0)

    return contestants, invalid


def _measure(contestants: dict[str, _Contestant], rounds: int) -> dict[str, list[_Turn]]:
    times: dict[str, list[_Turn]] = {name: [] for name in contestants}
    with Progress("benchmark training", (rounds + 1) * len(contestants), unit="turns") as progress:
        done = 0
        for number in range(rounds + 1):
            names = list(contestants)
            for name in names if number % 2 == 0 else reversed(names):
                turn = contestants[name]()
                if number > 0:  # the first one warms caches and allocates
                    times[name].append(turn)
                done += 1
                progress.update(done)
    return times


def _figures(
    times: dict[str, list[_Turn]], n_steps: int, samples: int
) -> dict[str, dict[str, float] | None]:
    def milliseconds(name: str, part: str) -> float:
        return 1e3 * statistics.median(getattr(turn, part) for turn in times[name])

    def overhead(name: str) -> float:
        # Against the floor of the same round: a slow minute slows both.
        pairs = zip(times[name], times[FLOOR], strict=True)
        return 1e3 * statistics.median(a.rollout - b.rollout for a, b in pairs) / n_steps

    told: dict[str, dict[str, float] | None] = {}
    for name in CONTESTANTS:
        if name not in times:
            told[name] = None
            continue
        step = milliseconds(name, "rollout") / n_steps
        iteration = milliseconds(name, "iteration")
        values = (step, 1e3 * samples / iteration, overhead(name), iteration)
        told[name] = dict(zip(FIGURES, values, strict=True))
    return told


class _Floor:
    """What no algorithm can do without: the policy's forward pass and the environment's step."""

    def __init__(self, env: Any, policy: Any, n_steps: int, device: str) -> None:
        self._env, self._policy, self._n_steps, self._device = env, policy, n_steps, device
        self._tensors = env.tensors()
        env.reset(seed=0)

    def __call__(self) -> _Turn:
        env, policy, observation = self._env, self._policy, self._tensors["observation"]
        policy.set_training_mode(False)
        began = _now(self._device)
        with torch.no_grad(), unchecked_distributions():
            for _ in range(self._n_steps):
                env.advance(policy(observation)[0])
        seconds = _now(self._device) - began
        return _Turn(seconds, seconds)


class _StableBaselines:
    """An algorithm of Stable-Baselines3, stock or not, through its own `learn`."""

    def __init__(self, env: Any, model: Any, device: str) -> None:
        self._env, self._model = env, model
        self._marks = _Marks(device)
        self._tensors = env.tensors()

    def __call__(self) -> _Turn:
        model = self._model
        if model._last_obs is not None:  # others have stepped the worlds since
            model._last_obs = self._tensors["observation"].cpu().numpy().copy()
        samples = model.n_steps * model.n_envs
        model.learn(samples, callback=self._marks, reset_num_timesteps=model._last_obs is None)
        began, stepped, ended = self._marks.times
        return _Turn(stepped - began, ended - began)


class _Marks(BaseCallback):
    """The times at which a roll-out begins and ends, and at which its samples are learnt."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = device
        self.times = [0.0, 0.0, 0.0]

    def _on_rollout_start(self) -> None:
        self.times[0] = _now(self._device)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.times[1] = _now(self._device)

    def _on_training_end(self) -> None:
        self.times[2] = _now(self._device)


class _RslRl:
    """rsl_rl's runner, which writes nothing; advantages belong to the roll-out, as in SB3."""

    def __init__(self, runner: Any, device: str) -> None:
        self._runner, self._device = runner, device
        self._stepped = 0.0
        compute_returns = runner.alg.compute_returns

        def marked(observation: Any) -> None:
            compute_returns(observation)
            self._stepped = _now(device)

        runner.alg.compute_returns = marked

    def __call__(self) -> _Turn:
        # Its users have torch's argument checks off.
        with unchecked_distributions():
            began = _now(self._device)
            self._runner.learn(1)
            ended = _now(self._device)
        return _Turn(self._stepped - began, ended - began)


class NaiveVecEnv(VecEnv):
    """A vector environment for Stable-Baselines3 as it is usually written: a dict for every world.

    What people meet who write their own; the benchmark compares with it. Use `SB3VecEnv`.
    """

    def __init__(self, env: VectorEnv) -> None:
        self.env: Any = env
        self._actions: Any = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> np.ndarray:
        """Reset all worlds."""
        observation, _ = self.env.reset(seed=self._seeds[0])
        self._reset_seeds()
        return _numpy(observation)

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step, and describe every world."""
        actions = self._actions
        if getattr(self.env.unwrapped, "array_type", "numpy") == "torch":
            actions = torch.as_tensor(actions, device=self.env.unwrapped.device)
        observation, reward, terminated, truncated, info = self.env.step(actions)
        rewards, ended, cut = _numpy(reward), _numpy(terminated), _numpy(truncated)
        final, dones = _numpy(info["final_obs"]), ended | cut
        infos: list[dict[str, Any]] = []
        for world in range(self.num_envs):
            told: dict[str, Any] = {"TimeLimit.truncated": bool(cut[world] and not ended[world])}
            if dones[world]:
                told["terminal_observation"] = final[world]
            infos.append(told)
        return _numpy(observation), rewards, dones, infos

    def close(self) -> None:
        """Do nothing: the worlds belong to the benchmark."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of the vector environment for each world."""
        return [getattr(self.env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the vector environment."""
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the vector environment once."""
        value = getattr(self.env, method_name)(*args, **kwargs)
        return [value for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Say no."""
        return [False for _ in self._get_indices(indices)]


def _numpy(array: Any) -> np.ndarray:
    return array.cpu().numpy() if hasattr(array, "cpu") else array


def _now(device: str) -> float:
    """Return the time [s] at which all work on the device is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter()


def table(result: dict[str, Any]) -> str:
    """Return a result for people."""
    lines = [
        f"{result['env']}: {result['num_envs']} worlds x {result['n_steps']} steps, "
        f"{result['epochs']} epochs x {result['minibatches']} minibatches, on {result['device']}, "
        f"{result['workers']} worker(s), {result['torch_threads']} torch thread(s)",
        _row("", ["ms/step", "beyond floor", "ms/iteration", "samples/s"]),
    ]
    for name in CONTESTANTS:
        values = result[name]
        if values is None:
            lines.append(_row(name, ["-"] * 4) + "  not installed")
            continue
        floor = result[FLOOR]["ms_per_step"]
        share = f"{values['overhead_ms']:.2f} ({values['overhead_ms'] / floor:.0%})"
        cells = [
            f"{values['ms_per_step']:.2f}",
            "-" if name == FLOOR else share,
            f"{values['ms_per_iteration']:.0f}",
            f"{values['steps_per_s']:,.0f}",
        ]
        lines.append(f"{_row(name, cells)}  {_MEANING[name]}")
    if result["invalid_worlds"]:
        lines.append(f"{result['invalid_worlds']} invalid worlds on the way")
    return "\n".join(lines)


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:<12}" + "".join(f"{cell:>16}" for cell in cells)
