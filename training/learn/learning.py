"""From worlds and a preset to a policy in policy.zip, with checkpoints on the way."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from proveout.envs.core.invalid import explained
from proveout.training.distributed.ranks import Ranks
from proveout.training.learn import checkpoint as checkpoints
from proveout.training.learn.settings import TrainConfig
from proveout.training.learn.warm_start import warm_start
from proveout.training.presets import Preset, build_algorithm
from proveout.training.run.directory import Run
from proveout.training.run.json_files import plain
from proveout.training.run.progress import Progress
from proveout.training.tasks import VectorEnvSpec, make_vector_env


def train_policy(
    run: Run,
    preset: Preset,
    settings: TrainConfig,
    spec: VectorEnvSpec,
    start: Path | None,
    signals: Any,
    ranks: Ranks,
) -> tuple[Any, str, str]:
    """Return the trained algorithm, its torch device and the digest of policy.zip, now written."""
    from stable_baselines3.common.callbacks import BaseCallback, CallbackList
    from stable_baselines3.common.logger import Logger

    from proveout.training.learn.divergence import learn
    from proveout.training.run.logger import run_logger
    from proveout.training.sb3.callbacks.adaptive_kl import AdaptiveKL
    from proveout.training.sb3.callbacks.loop import StopRequested, TrainingLoop
    from proveout.training.sb3.callbacks.normalizer import NormalizerCallback
    from proveout.training.sb3.callbacks.synchronous import Synchronous, begin_together
    from proveout.training.sb3.vec_env import SB3VecEnv

    each = f" on each of {ranks.size} ranks" if ranks.size > 1 else ""
    ranks.say(f"Making {spec.num_envs} worlds of {run.env_id}{each} ...")
    venv = SB3VecEnv(make_vector_env(spec))
    try:
        device = str(getattr(venv.env, "device", "cpu"))
        workers = getattr(venv.env, "workers", 1)
        ranks.say(
            f"On {device} with {workers} worker(s); {preset.total_timesteps} samples to train."
        )
        _warm_up(venv, settings.seed)
        model = build_algorithm(preset, venv, seed=ranks.seed(settings.seed), device=device)
        if settings.warm_start is not None and start is None:
            stop = functools.partial(_stop_if_asked, signals, ranks)
            warm_start(run, model, venv, settings, spec, stop, ranks)
        if ranks.size > 1:
            begin_together(ranks, model, venv, settings.seed)
        done, seconds = 0, 0.0
        logged: dict[str, float] = {}
        if start is not None:
            state = checkpoints.load_checkpoint(start, model, venv, ranks)
            done, seconds = model.num_timesteps, float(state["training_seconds"])
            logged = state["logged"]
            ranks.say(f"Resumed from {start} at {done} samples.")
        run.update(device=device, workers=workers)
        model.set_logger(run_logger(run.folder, done) if ranks.first else Logger(None, []))
        for name, value in logged.items():
            model.logger.record(name, value)
        total = preset.total_timesteps
        with Progress("train", total, unit="samples", start=done, shown=ranks.first) as progress:
            loop = TrainingLoop(
                venv,
                progress,
                signals,
                functools.partial(_save, run, model, venv, ranks),
                checkpoint_interval=settings.checkpoint_interval,
                seconds_before=seconds,
                ranks=ranks,
                env_id=run.env_id,
            )
            callbacks: list[BaseCallback] = [loop]
            if preset.normalize_observations:  # before checkpoints are saved
                callbacks.insert(0, NormalizerCallback(ranks.sum_))
            if ranks.size > 1:
                callbacks.insert(0, Synchronous(ranks))
            if preset.adaptive_kl is not None:
                callbacks.append(AdaptiveKL(*preset.adaptive_kl))
            if done < total:
                on_policy = hasattr(model, "rollout_buffer")
                learn(
                    model,
                    total - done,
                    callback=CallbackList(callbacks),
                    log_interval=1 if on_policy else max(4, preset.num_envs),
                    reset_num_timesteps=start is None,
                )
                seconds = loop.seconds
        model.logger.close()
        _save(run, model, venv, ranks, seconds, False)
        invalid = int(ranks.total(venv.num_invalid))
        digest = ""
        if ranks.first:
            facts = {
                "num_timesteps": model.num_timesteps,
                "training_seconds": seconds,
                "invalid_worlds": invalid,
                "preset": preset.to_plain(),
                "device": device,
                "workers": workers,
            }
            digest = run.publish_policy(checkpoints.zipped(model), plain(facts))
        if invalid:
            why = explained(venv.invalid_reasons, run.env_id)
            ranks.say(f"{invalid} invalid episodes; nothing was learnt from their last step: {why}")
        (number,) = ranks.highest(signals.received or 0)
        if number:  # in the last iteration, or while saving
            raise StopRequested(int(number))
        return model, device, digest
    finally:
        venv.close()


def _save(
    run: Run, model: Any, venv: Any, ranks: Ranks, seconds: float, stop_requested: bool
) -> None:
    from proveout.training.learn.divergence import refuse_diverged
    from proveout.training.sb3.callbacks.synchronous import check_identical

    refuse_diverged(model)
    check_identical(ranks, model)
    checkpoints.save_checkpoint(run.checkpoints, model, venv, seconds, stop_requested, ranks)


def _stop_if_asked(signals: Any, ranks: Ranks) -> None:
    """Raise if a stop was asked for during the warm start, of which nothing is kept."""
    from proveout.training.sb3.callbacks.loop import StopRequested

    (number,) = ranks.highest(signals.received or 0)
    if number:
        ranks.say("The warm start is not kept: it begins again when the run goes on.")
        raise StopRequested(int(number))


def _warm_up(venv: Any, seed: int) -> None:
    """Reset and step once, so that compiling is over before the training's clock starts."""
    import numpy as np

    venv.seed(seed)
    venv.reset()
    space = venv.action_space
    neutral = np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
    venv.step(np.repeat(neutral[None], venv.num_envs, axis=0))
    venv.drain_statistics()
