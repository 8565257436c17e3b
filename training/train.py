"""Train a policy on a task: one call, one run directory, resumable at any moment.

Under torchrun, `torchrun --nproc-per-node K -m proveout.training.train ENV ...` with the flags of
`proveout train` is one training by K ranks, see `proveout.training.distributed`.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import shlex
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from proveout.envs.core.errors import ConfigError, ProveoutError, RunError
from proveout.envs.core.invalid import explained
from proveout.training import checkpoint as checkpoints
from proveout.training.distributed import Ranks, joined
from proveout.training.evaluate import DEFAULT_EPISODES, evaluate, kpi_lines, sentence
from proveout.training.lock import working_on
from proveout.training.presets import Preset, build_algorithm, make_preset, run_preset
from proveout.training.progress import Progress, say
from proveout.training.run import (
    EVALUATION,
    MANIFEST,
    POLICY,
    VIDEO,
    Run,
    one_line,
    plain,
    provenance,
    write_json,
)
from proveout.training.tasks import (
    VectorEnvSpec,
    make_vector_env,
    run_config,
    task_class,
    task_file,
)
from proveout.training.threads import usable_threads


def _option(default: Any, unit: str, text: str) -> Any:
    return field(default=default, metadata={"unit": unit, "help": text})


_RUNS = Path("runs")
_LONGEST_ERROR = 2000


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train."""

    algo: str = _option("ppo", "", "ppo, a2c, sac, td3, tqc, tensor_ppo, tensor_sac or tensor_td3")
    total_timesteps: int | None = _option(
        None, "samples", "over all worlds and ranks; None: the preset's"
    )
    num_envs: int | None = _option(None, "worlds", "of each rank; None: the preset's")
    seed: int = _option(0, "", "of the worlds, the networks and the exploration")
    device: str = _option("auto", "", "auto, cpu or cuda:N, for worlds and networks")
    workers: int | None = _option(
        None, "processes", "of each rank's worlds on the CPU; None: the rank's share of the cores"
    )
    # Measured on two busy cores, 128-128 network: minibatch of 2048 in 11 ms with one thread, 65 ms
    # with two, as torch's threads wait for each other while the workers hold the cores.
    torch_threads: int = _option(1, "threads", "of the networks on the CPU")
    hyperparameters: tuple[str, ...] = _option(
        (), "", "key=value of the algorithm or the preset, such as learning_rate=3e-4"
    )
    checkpoint_interval: float = _option(30.0, "s", "time between two checkpoints")
    evaluation_episodes: int = _option(
        DEFAULT_EPISODES, "episodes", "of the evaluation at the end; 0: none"
    )
    video: bool = _option(True, "", "write a video at the end")
    runs: Path = _option(_RUNS, "", "folder of the run directories")  # noqa: RUF009

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed must be from 0 to {2**32 - 1}, got {self.seed}.")
        if not self.checkpoint_interval > 0.0:
            raise ConfigError(
                f"checkpoint_interval must be a positive time in seconds, "
                f"got {self.checkpoint_interval}."
            )
        if self.torch_threads < 1:
            raise ConfigError(f"torch_threads must be at least 1, got {self.torch_threads}.")
        if self.evaluation_episodes < 0:
            raise ConfigError(
                f"evaluation_episodes must not be negative, got {self.evaluation_episodes}."
            )


@dataclass(frozen=True, kw_only=True)
class ResumeConfig:
    """What may change when a run goes on; None: as it was."""

    total_timesteps: int | None = _option(None, "samples", "new end of the training")
    device: str | None = _option(None, "", "auto, cpu or cuda:N")
    workers: int | None = _option(None, "processes", "of the worlds on the CPU")


class TrainingInterrupted(Exception):
    """The training was told to stop, and saved everything first.

    Attributes:
        run: The run, which can be resumed.
        signal_number: SIGINT, SIGTERM or SIGHUP.
    """

    def __init__(self, run: Run, signal_number: int, command: str) -> None:
        """Keep them; `command` is how the run goes on."""
        super().__init__(f"Stopped; everything is saved. Go on with: {command}")
        self.run = run
        self.signal_number = signal_number


def train(
    env_id: str,
    config: Any = None,
    settings: TrainConfig | None = None,
    *,
    argv: Sequence[str] = (),
) -> Run:
    """Train from scratch.

    Args:
        env_id: Registered id.
        config: The task's config; None: its defaults.
        settings: How; None: defaults.
        argv: For the manifest.

    Returns:
        The finished run.

    Raises:
        TrainingInterrupted: on SIGINT, SIGTERM or SIGHUP, after saving.
        ProveoutError: as the message says.
    """
    from proveout.training.presets import parse_hyperparameters

    settings = settings or TrainConfig()
    task = task_class(env_id)
    config = task.config_class() if config is None else config
    overrides = parse_hyperparameters(settings.hyperparameters)
    for key in ("total_timesteps", "num_envs"):
        if getattr(settings, key) is not None:
            if key in overrides:
                raise ConfigError(f"{key} is given twice: as a flag and among --hyperparameters.")
            overrides[key] = getattr(settings, key)
    preset = make_preset(settings.algo, task.presets, overrides)
    with joined(settings.algo, settings.device) as ranks, contextlib.ExitStack() as held:
        made: Run | None = None
        if ranks.first:
            manifest = {
                "algo": settings.algo,
                "config": config.to_dict(),
                "preset": preset.to_plain(),
                "train": asdict(settings),
                "ranks": ranks.size,
                "task_file": task_file(env_id),
                **provenance(list(argv)),
            }
            made = Run.create(settings.runs, env_id, settings.seed, manifest)
            held.enter_context(working_on(made.folder))
        try:
            return _learn(ranks.share(made), config, preset, settings, None, ranks)
        except ProveoutError:
            held.close()
            if made is not None:
                made.discard_unstarted()
            raise


def resume(
    folder: Path | str, changes: ResumeConfig | None = None, *, argv: Sequence[str] = ()
) -> Run:
    """Go on with a run from its last whole checkpoint.

    Raises:
        RunError: not a run, damaged, finished already, or another process works on it.
        TrainingInterrupted: on SIGINT, SIGTERM or SIGHUP, after saving.
    """
    run = Run.open(folder)
    changes = changes or ResumeConfig()
    algo, device = run.manifest["algo"], _settings(run, changes).device
    with joined(algo, device) as ranks, contextlib.ExitStack() as held:
        last: Path | None = None
        if ranks.first:
            held.enter_context(working_on(run.folder))
            run = Run.open(folder)  # as a process that has ended meanwhile has left it
            with _storage_told(run):
                run.remove_leftovers()
                last = checkpoints.latest_checkpoint(run.checkpoints)
        run = ranks.share(run if ranks.first else None)
        last = ranks.broadcast(last)
        settings = _settings(run, changes)
        preset = run_preset(run, changes.total_timesteps)
        config = run_config(run)
        if ranks.first:
            _refuse_complete(run, preset, last)
        _say_how_it_goes_on(run, preset, last, ranks)
        step = {"from": last and last.name, "argv": list(argv), "ranks": ranks.size}
        history = [*run.manifest.get("resumed", []), step]
        run.update(preset=preset.to_plain(), resumed=history, state="started", error=None)
        return _learn(run, config, preset, settings, last, ranks)


def _refuse_complete(run: Run, preset: Preset, last: Path | None) -> None:
    """Raise RunError if a run has reached the end of its training, and all that follows."""
    if run.manifest["state"] != "complete" or not (run.folder / POLICY).is_file():
        return
    reached = run.read_policy().facts.get("num_timesteps", int(last.name) if last else 0)
    if preset.total_timesteps <= reached:
        raise RunError(
            f"{run.folder} is complete with {reached} samples; "
            "give --total-timesteps with a larger number to train on."
        )


def _say_how_it_goes_on(run: Run, preset: Preset, last: Path | None, ranks: Ranks) -> None:
    """Say what is not as one may expect of a run that goes on."""
    planned = run.manifest["preset"].get("total_timesteps", preset.total_timesteps)
    if last is None:
        ranks.say(f"{run.folder} has no checkpoint yet; it starts from the beginning.")
    if preset.total_timesteps < planned:
        ranks.say(f"The training is cut short: {preset.total_timesteps} samples, not {planned}.")
    if last is not None and preset.total_timesteps <= int(last.name):
        ranks.say(
            f"{int(last.name)} samples are trained already: nothing is added, the policy is saved "
            "and measured as it is."
        )


def _settings(run: Run, changes: ResumeConfig) -> TrainConfig:
    """Return the settings in a manifest, with what changes now."""
    data: Mapping[str, Any] = run.manifest["train"]
    interval = data.get("checkpoint_interval", TrainConfig.checkpoint_interval)
    try:
        settings = TrainConfig(
            **{
                **data,
                "hyperparameters": tuple(data["hyperparameters"]),
                # JSON has no infinity.
                "checkpoint_interval": math.inf if interval is None else interval,
                "runs": Path(data["runs"]),
            }
        )
    except (KeyError, TypeError, ConfigError) as error:
        raise RunError(
            f"{run.folder / MANIFEST}: 'train' is damaged or of another release "
            f"({one_line(error)}); train again."
        ) from error
    if changes.device is not None:
        settings = replace(settings, device=changes.device)
    if changes.workers is not None:
        settings = replace(settings, workers=changes.workers)
    return settings


@contextlib.contextmanager
def _storage_told(run: Run) -> Iterator[None]:
    """Tell of a full disk and the like in one sentence.

    What writes into a run of its own accord, such as TensorBoard, has no sentence for it.
    """
    usual = threading.excepthook

    def without_curves(told: threading.ExceptHookArgs) -> None:
        # TensorBoard's writer raises again what its thread has met, on this thread.
        if not (
            isinstance(told.exc_value, OSError)
            and type(told.thread).__module__.startswith("tensorboard.")
        ):
            usual(told)

    threading.excepthook = without_curves
    try:
        yield
    except OSError as error:
        # A pipe or connection that breaks is told by who holds its other end.
        if isinstance(error, ConnectionError) or error.errno is None:
            raise
        where = error.filename or run.folder
        raise RunError(
            f"{where} cannot be read or written ({error.strerror}): make room, or mend it; what "
            f"was saved is whole, go on with: {Ranks().resume_command(run.folder)}"
        ) from error
    finally:
        threading.excepthook = usual


def _learn(
    run: Run,
    config: Any,
    preset: Preset,
    settings: TrainConfig,
    start: Path | None,
    ranks: Ranks,
) -> Run:
    """Train and save together; evaluate and film on the first rank."""
    from proveout.training.sb3.loop import StopRequested, StopSignals

    device = ranks.device(settings.device)
    spec = VectorEnvSpec(
        run.env_id,
        config,
        num_envs=preset.num_envs,
        device=device,
        workers=ranks.workers(settings.workers, preset.num_envs, device),
        # All worlds timing out together would cost one batch-1 value forward each, in one step.
        phase_spread=1.0,
        # Where the actions are made on the worlds' own device, they stay there.
        array_type="torch" if settings.algo.startswith("tensor_") else "numpy",
    )
    import torch

    ranks.say(f"Run directory: {run.folder}")
    torch.set_num_threads(usable_threads(settings.torch_threads))
    with StopSignals(shown=ranks.first) as signals:
        try:
            with _storage_told(run):
                policy, device, digest = _train_policy(
                    run, preset, settings, spec, start, signals, ranks
                )
        except StopRequested as stop:
            run.update(state="interrupted")
            ranks.leave()  # a rank that ended now would end the one that still writes
            command = ranks.resume_command(run.folder)
            raise TrainingInterrupted(run, stop.signal_number, command) from None
        except Exception as error:
            with contextlib.suppress(RunError):  # the disk may be what failed
                run.update(state="failed", error=one_line(error)[:_LONGEST_ERROR])
            raise
        ranks.leave()
    if not ranks.first:
        return run
    spec = replace(spec, phase_spread=0.0, workers=settings.workers, array_type="numpy")
    with _storage_told(run):
        return _finish(run, policy, digest, spec, settings, device)


def _train_policy(
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

    from proveout.training.divergence import learn
    from proveout.training.logs import run_logger
    from proveout.training.sb3.adaptive_kl import AdaptiveKL
    from proveout.training.sb3.loop import StopRequested, TrainingLoop
    from proveout.training.sb3.normalizer_callback import NormalizerCallback
    from proveout.training.sb3.synchronous import Synchronous, begin_together
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
    from proveout.training.divergence import refuse_diverged
    from proveout.training.sb3.synchronous import check_identical

    refuse_diverged(model)
    check_identical(ranks, model)
    checkpoints.save_checkpoint(run.checkpoints, model, venv, seconds, stop_requested, ranks)


def _warm_up(venv: Any, seed: int) -> None:
    """Reset and step once, so that compiling is over before the training's clock starts."""
    import numpy as np

    venv.seed(seed)
    venv.reset()
    space = venv.action_space
    neutral = np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
    venv.step(np.repeat(neutral[None], venv.num_envs, axis=0))
    venv.drain_statistics()


def _finish(
    run: Run, policy: Any, digest: str, spec: VectorEnvSpec, settings: TrainConfig, device: str
) -> Run:
    """Evaluate and film the finished policy."""
    facts = run.manifest["policies"][digest]
    say(f"Trained {facts['num_timesteps']} samples in {facts['training_seconds']:.1f} s.")
    try:
        _evaluate_and_film(run, policy, digest, spec, settings, device)
    except KeyboardInterrupt:
        say(
            f"\nStopped; the policy is trained and saved: {run.folder / POLICY}\n"
            f"Measure: proveout evaluate {shlex.quote(str(run.folder))}\n"
            f"Finish:  {Ranks().resume_command(run.folder)}"
        )
        raise
    run.update(state="complete")
    say(
        f"Policy: {run.folder / POLICY}\n"
        f"Watch:  proveout play {shlex.quote(str(run.folder))} --video out.mp4\n"
        f"Curves: tensorboard --logdir {shlex.quote(str(settings.runs))}"
    )
    return run


def _evaluate_and_film(
    run: Run, policy: Any, digest: str, spec: VectorEnvSpec, settings: TrainConfig, device: str
) -> None:
    # Another seed than the training's: these start states were never seen.
    seed = settings.seed + 1_000_003
    if settings.evaluation_episodes > 0:
        say(
            f"Evaluating without exploration, from start states of another seed ({seed}); the "
            "success shown while training is that of exploring actions."
        )
        result = evaluate(
            policy,
            replace(spec, num_envs=0),
            episodes=settings.evaluation_episodes,
            seed=seed,
            policy_device=device,
            shown=True,
        )
        result.update(policy=POLICY, policy_sha256=digest)
        write_json(run.folder / EVALUATION, result)
        say("\n".join([sentence(result), *kpi_lines(result)]))
    if settings.video:
        _film(run, policy, spec, seed)


def _film(run: Run, policy: Any, spec: VectorEnvSpec, seed: int) -> None:
    """Write the run's video; a machine that cannot render keeps its trained policy."""
    from proveout.envs.core.errors import RenderError
    from proveout.training.play import play

    path = run.folder / VIDEO
    try:
        play(policy, replace(spec, num_envs=1, workers=None), video=path, episodes=3, seed=seed)
    except RenderError as error:
        say(f"No video: {error}")
        return
    say(f"Video:  {path}")


if __name__ == "__main__":
    from proveout.training.cli import main

    if int(os.environ.get("LOCAL_RANK", "0")) > 0:
        # Help and warnings are the same on all ranks.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        warnings.simplefilter("ignore")
    sys.exit(main(["train", *sys.argv[1:]]))
