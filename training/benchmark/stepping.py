"""How fast an environment steps, as a share of its bare physics, and how fast it trains."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from proveout.envs.core.errors import ConfigError
from proveout.training.tasks import VectorEnvSpec, make_vector_env

DEFAULT_SECONDS = 10.0
_ROUNDS = 7
_TRAINING_ITERATIONS = 3

# The keys of a result, in this order, for those who read it by program.
KEYS = (
    "device",
    "physics",
    "workers",
    "num_envs",
    "physics_steps_per_s",
    "env_steps_per_s",
    "agent_steps_per_s",
    "efficiency",
    "training_steps_per_s",
    "contacts_per_world",
    "invalid_worlds",
    "bytes_per_world",
    "compile_s",
)

_MEANING = {
    "device": "",
    "physics": "",
    "workers": "processes",
    "num_envs": "worlds",
    "physics_steps_per_s": "physics steps/s, the bare engine, all worlds",
    "env_steps_per_s": "env.step/s, all worlds",
    "agent_steps_per_s": "agents x env.step/s, all worlds",
    "efficiency": "env.step throughput / the same physics alone",
    "training_steps_per_s": "samples/s of stock PPO, learning included",
    "contacts_per_world": "contacts in the last step",
    "invalid_worlds": "while stepping with random actions",
    "bytes_per_world": "bytes of saved state",
    "compile_s": "s to make, compile and record",
}


@dataclass(frozen=True)
class _Stepping:
    """Median seconds of one control step of all worlds, and what was met on the way."""

    physics: float
    env: float
    efficiency: float
    contacts: float | None
    invalid: int


_TURN = 20  # control steps measured at a time


def benchmark(
    spec: VectorEnvSpec, *, seconds: float = DEFAULT_SECONDS, training: bool = True, seed: int = 0
) -> dict[str, Any]:
    """Measure, physics and `env.step` in turns, so that a busy machine disturbs both alike.

    Args:
        spec: The worlds. On CUDA they are stepped on torch tensors, elsewhere on NumPy arrays.
        seconds: Time for stepping; training takes as long as a few iterations need.
        training: Also measure training; else `training_steps_per_s` is None.
        seed: Of the worlds and of the random actions.

    Returns:
        `KEYS` -> figure; None where it has no meaning for this environment.
    """
    if not 0.0 < seconds < math.inf:
        raise ConfigError(f"seconds must be a positive finite time, got {seconds}.")
    began = time.perf_counter()
    env = make_vector_env(spec)
    if str(env.unwrapped.device).startswith("cuda") and spec.array_type == "numpy":
        env.close()
        return benchmark(
            replace(spec, array_type="torch"), seconds=seconds, training=training, seed=seed
        )
    try:
        env.reset(seed=seed)
        made = time.perf_counter() - began
        stepping = _measure_stepping(env, seconds, seed)
        core = env.unwrapped
        agents = getattr(core.task, "num_agents", 1)
        env_rate = env.num_envs / stepping.env
        values = {
            "device": str(core.device),
            "physics": spec.physics,
            "workers": int(core.workers),
            "num_envs": env.num_envs,
            "physics_steps_per_s": env.num_envs * core.config.decimation / stepping.physics,
            "env_steps_per_s": env_rate,
            "agent_steps_per_s": env_rate * agents if agents > 1 else None,
            "efficiency": stepping.efficiency,
            "contacts_per_world": stepping.contacts,
            "invalid_worlds": stepping.invalid,
            "bytes_per_world": int(core.bytes_per_world()),
            "compile_s": getattr(core, "compile_seconds", made),
            "training_steps_per_s": _measure_training(env, seed) if training else None,
        }
    finally:
        env.close()
    return {key: values[key] for key in KEYS}


def _measure_stepping(env: Any, seconds: float, seed: int) -> _Stepping:
    actions = _random_actions(env, seed)
    invalid, contacts = 0, None

    def steps(count: int) -> float:
        nonlocal invalid, contacts
        env.reset(seed=seed)  # bare physics has moved the worlds
        bad = []
        _synchronise(env)
        start = time.perf_counter()
        for i in range(count):
            info = env.step(actions[i % len(actions)])[4]
            bad.append(info["invalid"])
        _synchronise(env)
        elapsed = time.perf_counter() - start
        invalid += sum(int(mask.sum()) for mask in bad)
        contacts = env.unwrapped.contacts_per_world()
        return elapsed

    trial = steps(3) / 3
    # Short turns: left alone for longer, worlds come to rest, where arithmetic with denormal
    # numbers makes bare physics several times ten per cent slower than it is in use.
    rounds = max(_ROUNDS, round(seconds / (2 * _TURN * max(trial, 1e-6))))
    env.unwrapped.bare_physics(1)
    physics, env_times, ratios = [], [], []
    for turn in range(rounds):
        env_time = steps(_TURN) / _TURN
        # Bare physics goes on from where the steps have led.
        bare_time = max(env.unwrapped.bare_physics(_TURN), 1e-9) / _TURN
        if turn == 0:
            continue  # caches and clocks warm up
        physics.append(bare_time)
        env_times.append(env_time)
        ratios.append(bare_time / env_time)
    return _Stepping(
        physics=statistics.median(physics),
        env=statistics.median(env_times),
        efficiency=statistics.median(ratios),
        contacts=contacts,
        invalid=invalid,
    )


def _measure_training(env: Any, seed: int) -> float:
    """Return samples per second of stock PPO with the task's preset, after one warm iteration."""
    from proveout.training.presets import build_algorithm, make_preset
    from proveout.training.sb3.vec_env import SB3VecEnv

    core = env.unwrapped
    preset = make_preset("ppo", core.task.presets, {"num_envs": env.num_envs})
    model = build_algorithm(preset, SB3VecEnv(env), seed=seed, device=str(core.device))
    samples = model.n_steps * env.num_envs
    model.learn(samples)
    start = time.perf_counter()
    model.learn(_TRAINING_ITERATIONS * samples, reset_num_timesteps=False)
    return _TRAINING_ITERATIONS * samples / (time.perf_counter() - start)


def _random_actions(env: Any, seed: int) -> list[Any]:
    """Return a few batches of actions (N, A), drawn beforehand, on the environment's device."""
    space = env.single_action_space
    draw = np.random.default_rng(seed)
    shape = (env.num_envs, *space.shape)
    batches = [draw.uniform(space.low, space.high, shape).astype(np.float32) for _ in range(16)]
    if getattr(env.unwrapped, "array_type", "numpy") != "torch":
        return list(batches)
    import torch

    return [torch.as_tensor(batch, device=env.unwrapped.device) for batch in batches]


def _synchronise(env: Any) -> None:
    if str(env.unwrapped.device).startswith("cuda"):
        import warp as wp

        wp.synchronize_device(env.unwrapped.device)


def table(result: dict[str, Any]) -> str:
    """Return a result for people."""
    lines = []
    for key in KEYS:
        value = result[key]
        if value is None:
            text = "-"
        elif isinstance(value, float):
            text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
        else:
            text = str(value) if isinstance(value, str) else f"{value:,}"
        lines.append(f"{key:<22}{text:>16}  {_MEANING[key]}".rstrip())
    return "\n".join(lines)
