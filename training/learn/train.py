"""Train a policy on a task: one call, one run directory, resumable at any moment.

Several ranks that torchrun starts train together, see `proveout.training.distributed`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from proveout.envs.core.device import resolve_device
from proveout.envs.core.errors import ConfigError, ProveoutError, RunError
from proveout.training.distributed.joining import joined
from proveout.training.distributed.ranks import Ranks
from proveout.training.learn import checkpoint as checkpoints
from proveout.training.learn.finish import finish
from proveout.training.learn.hyperparameters import parse_hyperparameters
from proveout.training.learn.learning import train_policy
from proveout.training.learn.settings import ResumeConfig, TrainConfig, settings_of
from proveout.training.learn.warm_start import check_warm_start
from proveout.training.presets import Preset, make_preset, run_preset
from proveout.training.run.cost import CostMeter
from proveout.training.run.directory import POLICY, Run
from proveout.training.run.failures import one_line
from proveout.training.run.lock import working_on
from proveout.training.run.provenance import provenance
from proveout.training.run.threads import usable_threads
from proveout.training.tasks import VectorEnvSpec, run_config, task_class, task_file

_LONGEST_ERROR = 2000


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
    check_warm_start(settings, env_id, task, config)
    with joined(settings.algo, settings.worlds_device) as ranks, contextlib.ExitStack() as held:
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
    algo, device = run.manifest["algo"], settings_of(run, changes).worlds_device
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
        settings = settings_of(run, changes)
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


def _costs(run: Run, meter: CostMeter, steps: int) -> list[dict[str, Any]]:
    """What the sessions of a run have cost, with the one that ends now."""
    return [*run.manifest.get("cost", []), meter.told(max(steps, 0))]


def _learn(
    run: Run,
    config: Any,
    preset: Preset,
    settings: TrainConfig,
    start: Path | None,
    ranks: Ranks,
) -> Run:
    """Train and save together; evaluate and film on the first rank."""
    from proveout.training.sb3.callbacks.loop import StopRequested, StopSignals

    device = ranks.device(settings.worlds_device)
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
        physics=settings.physics,
    )
    import torch

    ranks.say(f"Run directory: {run.folder}")
    torch.set_num_threads(usable_threads(settings.torch_threads))
    with StopSignals(shown=ranks.first) as signals:
        meter = CostMeter(resolve_device(device, settings.physics).alias)
        first = int(start.name) if start is not None else 0
        try:
            with _storage_told(run), meter:
                policy, device, digest = train_policy(
                    run, preset, settings, spec, start, signals, ranks
                )
            reached = run.manifest["policies"][digest]["num_timesteps"] if ranks.first else 0
        except StopRequested as stop:
            last = checkpoints.latest_checkpoint(run.checkpoints) if ranks.first else None
            steps = int(last.name) - first if last is not None else 0
            run.update(state="interrupted", cost=_costs(run, meter, steps))
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
    run.update(cost=_costs(run, meter, reached - first))
    spec = replace(spec, phase_spread=0.0, workers=settings.workers, array_type="numpy")
    with _storage_told(run):
        return finish(run, policy, digest, spec, settings, device)
