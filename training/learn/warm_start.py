"""A training that begins as a clone of the task's scripted expert, not from nothing.

First the expert acts and the policy learns to do the same (behaviour cloning). Then, in many short
rounds, the policy acts as well, with the noise that it will explore with, and the expert says what
it would have done: the policy learns from all that was said so far. Source: Ross, Gordon and
Bagnell, A Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning,
AISTATS 2011 (DAgger). At last the clone acts alone once more, and the value function learns what it
earned.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from proveout.envs.core.errors import ConfigError
from proveout.training.distributed.ranks import Ranks
from proveout.training.evaluation.evaluate import evaluate
from proveout.training.evaluation.policy_source import expert
from proveout.training.evaluation.statistics import sentence
from proveout.training.learn.clone import Clone
from proveout.training.learn.divergence import refuse_diverged
from proveout.training.learn.settings import TrainConfig
from proveout.training.presets import PRESET_OF
from proveout.training.run.directory import Run
from proveout.training.run.json_files import plain
from proveout.training.run.progress import Progress
from proveout.training.tasks import VectorEnvSpec

# Algorithms whose policy is a Gaussian around a mean action, with a value function.
_GAUSSIAN = ("ppo", "a2c")
# Share of the learning rate that is left for PPO at the least.
_LEAST_RATE = 0.02
_EPISODES = 200


def check_warm_start(settings: TrainConfig, env_id: str, task: Any, config: Any) -> None:
    """Refuse a warm start that cannot be.

    Raises:
        ConfigError: the algorithm has no Gaussian policy, or the task no expert; or numbers of a
            warm start without one.
    """
    if settings.warm_start is None:
        plain = type(settings)
        for name in ("warm_start_samples", "warm_start_rounds"):
            if getattr(settings, name) != getattr(plain, name):
                raise ConfigError(f"{name} is of a warm start; add --warm-start expert.")
        return
    if PRESET_OF.get(settings.algo, settings.algo) not in _GAUSSIAN:
        raise ConfigError(
            f"--warm-start needs an algorithm with a Gaussian policy, which {settings.algo} has "
            "not; use --algo ppo, tensor_ppo or a2c."
        )
    if task.expert(config) is None:
        raise ConfigError(f"{env_id} has no scripted expert; leave --warm-start out.")


def warm_start(
    run: Run,
    model: Any,
    venv: Any,
    settings: TrainConfig,
    spec: VectorEnvSpec,
    stop: Callable[[], None],
    ranks: Ranks,
) -> None:
    """Let an algorithm that has learnt nothing yet begin as a clone of the expert.

    The manifest's `warm_start` tells how far it came: `samples`, `rounds`, `error` (root mean
    square of the difference of the actions, as a share of half their range, on states that were not
    learnt from), `seconds`, and of a short evaluation `success_rate`, `success_interval` and
    `episodes`. Every rank of several clones for itself; the first one's clone is everybody's.

    Args:
        run: Whose manifest is written.
        model: `PPO`, `TensorPPO` or `A2C`, changed in place: weights, observation statistics,
            exploration; its learning rate goes down with the exploration, if it is a number.
        venv: Its `SB3VecEnv`; afterwards it waits for a reset, as before.
        settings: How.
        spec: Of the worlds.
        stop: Called often; raises when the training is to stop.
        ranks: Those that train together.

    Raises:
        DivergedError: the networks went to infinity.
    """
    began = time.monotonic()
    model.set_random_seed(settings.seed)
    clone = Clone(model, venv, expert(venv.env), settings.seed, stop)
    # A step for each round, one of the expert before, and one for the value function.
    steps = max(
        math.ceil(settings.warm_start_samples / venv.num_envs), settings.warm_start_rounds + 2
    )
    samples = steps * venv.num_envs
    with Progress("warm start", samples, unit="samples", shown=ranks.first) as progress:
        try:
            clone.learn(steps, settings.warm_start_rounds, progress)
        except ValueError:  # torch's, of a distribution of NaN
            refuse_diverged(model)
            raise
    refuse_diverged(model)
    if isinstance(model.learning_rate, float | int):
        # The divergence of a step is measured in the variance: on PickPlace 0.15 at a rate of 7e-5,
        # 0.03 at 2e-5.
        factor = max(_LEAST_RATE, min(1.0, clone.narrowed) ** 2)
        model.learning_rate = ranks.broadcast(model.learning_rate * factor)
        model._setup_lr_schedule()
    model.set_random_seed(ranks.seed(settings.seed))
    venv.drain_statistics()
    facts: dict[str, Any] = {
        "expert": settings.warm_start,
        "samples": samples,
        "rounds": settings.warm_start_rounds,
        "error": clone.error,
        "seconds": time.monotonic() - began,
    }
    ranks.say(
        f"Cloned the expert from {samples} samples: its actions are met within {clone.error:.3f} "
        "of half their range (root mean square)."
    )
    episodes = min(_EPISODES, settings.evaluation_episodes)
    if ranks.first and episodes:
        result = evaluate(
            model.policy,
            replace(
                spec, num_envs=0, workers=settings.workers, array_type="numpy", phase_spread=0.0
            ),
            episodes=episodes,
            seed=settings.seed + 2_000_003,  # neither the training's nor the last evaluation's
        )
        facts.update({k: result[k] for k in ("success_rate", "success_interval", "episodes")})
        ranks.say(f"The clone without exploration: {sentence(result)}")
    stop()
    run.update(warm_start=plain(facts))
