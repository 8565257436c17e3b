"""A search for hyper-parameters: trials that can be given up early, and a fair last comparison."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from proveout.assets.files.errors import unknown
from proveout.envs.core.errors import ConfigError, ProveoutError, RunError
from proveout.training.evaluation.seeds import difference_of_means
from proveout.training.learn.hyperparameters import parse_hyperparameters
from proveout.training.learn.settings import ResumeConfig, TrainConfig
from proveout.training.learn.train import resume, train
from proveout.training.presets import make_preset
from proveout.training.presets.algorithms import PRESET_OF
from proveout.training.presets.search import (
    SEARCH,
    Among,
    assignments,
    own_values,
    search_space,
)
from proveout.training.run.directory import Run
from proveout.training.run.failures import one_line
from proveout.training.run.files import cannot_write
from proveout.training.run.json_files import write_json
from proveout.training.run.optional import optional_module
from proveout.training.run.progress import say
from proveout.training.run.provenance import provenance
from proveout.training.tasks import task_class

RESULT = "tune.json"
_JOURNAL = "journal.log"
# Of the last comparison: seeds that no trial had.
_FRESH_SEED = 1_000_000
_ENGINES = ("in-process", "ray")
_RUNS = Path("runs")


def _option(default: Any, unit: str, text: str, **bounds: float) -> Any:
    return field(default=default, metadata={"unit": unit, "help": text, **bounds})


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """How to search."""

    algo: str = _option("ppo", "", "ppo, a2c, sac, td3, tqc, tensor_ppo, tensor_sac or tensor_td3")
    trials: int = _option(20, "trials", "in all; a search that goes on counts its own", low=1,
                          high=100_000)  # fmt: skip
    total_timesteps: int | None = _option(None, "samples", "of a trial; None: the preset's")
    num_envs: int | None = _option(None, "worlds", "None: the preset's")
    looks: int = _option(4, "times", "that a trial is measured, and may be given up; 1: at the end",
                         low=1, high=100)  # fmt: skip
    objective: str = _option("success", "", "success, return, or a KPI as NAME:max or NAME:min")
    evaluation_episodes: int = _option(200, "episodes", "of each look", low=1)
    final_seeds: int = _option(
        3, "seeds", "with which the best and the preset are trained and compared; 0: not",
        low=0, high=100,
    )  # fmt: skip
    final_episodes: int = _option(1000, "episodes", "of each of these", low=1, high=10**9)
    seed: int = _option(0, "", "of the search and of the first trial")
    device: str = _option("auto", "", "auto, cpu or cuda:N")
    workers: int | None = _option(None, "processes", "on the CPU; None: all cores")
    engine: str = _option("in-process", "", "in-process; ray: trials side by side on a Ray cluster")
    address: str | None = _option(None, "", "of a cluster: auto, HOST:PORT; None: these cores")
    name: str | None = _option(None, "", "of the search; None: tune-ALGO")
    storage: str | None = _option(
        None, "", "database of Optuna, such as postgresql://...; None: a journal file"
    )
    runs: Path = _option(_RUNS, "", "folder of the run directories")  # noqa: RUF009

    def __post_init__(self) -> None:
        """Check it.

        Raises:
            ConfigError, UnknownNameError: As the message says.
        """
        if PRESET_OF.get(self.algo, self.algo) not in SEARCH:
            raise unknown("algorithm to tune", self.algo, [*SEARCH, *PRESET_OF])
        if self.engine not in _ENGINES:
            raise unknown("engine", self.engine, _ENGINES)
        if self.address is not None and self.engine != "ray":
            raise ConfigError("an address belongs to the engine ray; give --engine ray")
        objective_of(self.objective)


def objective_of(text: str) -> Callable[[Mapping[str, Any]], float | None]:
    """What of an evaluation is to be large.

    Raises:
        ConfigError: The text says nothing of the kind.
    """
    if text in ("success", "return"):
        key = "success_rate" if text == "success" else "return_mean"
        return lambda told: told[key]
    name, sign, good = text.rpartition(":")
    if not sign or good not in ("min", "max"):
        raise ConfigError(f"objective {text!r}: success, return, NAME:max or NAME:min expected")
    factor = 1.0 if good == "max" else -1.0

    def value(told: Mapping[str, Any]) -> float | None:
        if name not in told["kpis"]:
            raise unknown("KPI", name, told["kpis"])
        mean = told["kpis"][name]["mean"]
        return None if mean is None else factor * mean

    return value


def tune(
    env_id: str, config: Any, settings: TuneConfig, *, argv: Sequence[str] = ()
) -> dict[str, Any]:
    """Search, or go on searching; the same call goes on where it was.

    Args:
        env_id: Registered id.
        config: The task's config.
        settings: How.
        argv: For the manifests.

    Returns:
        JSON data, in tune.json too: `folder`, `trials` by state, `best` (`number`, `value`,
        `hyperparameters`, `run`), `comparison` (None without final seeds): `preset` and `best` (a
        value for each seed), `difference`, `interval` (95 %, Welch's t over seeds), `better`.

    Raises:
        MissingPackageError: Optuna is not installed.
        RunError: Every trial has failed; the last error is told.
        TrainingInterrupted: As in `train`; the search goes on with the same command.
    """
    optuna = optional_module("optuna", "tune", "optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name = settings.name or f"tune-{settings.algo}"
    folder = Path(settings.runs) / env_id.replace("/", "-") / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    job = _Job(env_id, json.dumps(config.to_dict()), settings, str(folder), name, tuple(argv))
    study = job.study()
    if not study.trials:
        # The preset is the first trial, so that the search knows what is to be beaten.
        study.enqueue_trial(own_values(_preset(env_id, settings)))
    ended = sum(trial.state.is_finished() for trial in study.trials)
    left = max(0, settings.trials - ended)
    say(f"Search: {folder}, {left} of {settings.trials} trials to run")
    # Each draws from a stream of its own, in whichever process it runs.
    jobs = [replace(job, draw=ended + number) for number in range(left)]
    if settings.engine == "ray":
        from proveout.training.rows.ray_cluster import RayCluster

        with RayCluster(settings.address, device=settings.device) as cluster:
            for done in cluster.run(run_trial, jobs):
                _tell(study, done.value)
    else:
        for one in jobs:
            _tell(study, run_trial(one))
    told = _result(job, study)
    write_json(folder / RESULT, told)
    return told


@dataclass(frozen=True)
class _Job:
    """A search, as plain data that another process understands."""

    env_id: str
    config: str
    settings: TuneConfig
    folder: str
    name: str
    argv: tuple[str, ...]
    draw: int = 0

    def study(self) -> Any:
        """The search as Optuna knows it."""
        optuna = optional_module("optuna", "tune", "optuna")
        settings = self.settings
        if settings.storage is None:
            from optuna.storages import JournalStorage
            from optuna.storages.journal import JournalFileBackend

            storage: Any = JournalStorage(JournalFileBackend(str(Path(self.folder) / _JOURNAL)))
        else:
            storage = settings.storage
        try:
            return optuna.create_study(
                storage=storage,
                study_name=f"{self.env_id}/{self.name}",
                direction="maximize",
                load_if_exists=True,
                sampler=optuna.samplers.TPESampler(seed=(settings.seed + self.draw) % 2**32),
                pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
            )
        except Exception as error:  # of whatever database it is
            raise ConfigError(
                f"--storage {settings.storage} cannot be used: {one_line(error)}"
            ) from error

    def task_config(self) -> Any:
        """The task's config."""
        return task_class(self.env_id).config_class.from_dict(json.loads(self.config))


def run_trial(job: _Job) -> int:
    """Run one trial, to its end or until it is given up; return its number."""
    optuna = optional_module("optuna", "tune", "optuna")
    logging.getLogger("optuna").setLevel(logging.WARNING)

    numbers = []

    def objective(trial: Any) -> float:
        numbers.append(trial.number)
        chosen = {
            name: _suggested(trial, name, where)
            for name, where in search_space(_preset(job.env_id, job.settings)).items()
        }
        return _measured(job, trial, assignments(chosen), optuna.TrialPruned)

    study = job.study()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.optimize(objective, n_trials=1, catch=())
    return int(numbers[0])


def _suggested(trial: Any, name: str, where: Any) -> Any:
    if isinstance(where, Among):
        return trial.suggest_categorical(name, list(where.values))
    if where.whole:
        return trial.suggest_int(name, int(where.low), int(where.high), log=where.log)
    return trial.suggest_float(name, where.low, where.high, log=where.log)


def _measured(job: _Job, trial: Any, told: tuple[str, ...], pruned: type[Exception]) -> float:
    """Train in as many legs as there are looks; return what the last one measures."""
    settings, value_of = job.settings, objective_of(job.settings.objective)
    total = _preset(job.env_id, settings).total_timesteps
    trial.set_user_attr("hyperparameters", list(told))
    how = _train_settings(job, told, settings.seed + trial.number)
    run: Run | None = None
    value: float | None = None
    try:
        for look in range(1, settings.looks + 1):
            budget = max(1, total * look // settings.looks)
            if run is None:
                how = replace(how, total_timesteps=budget)
                run = train(job.env_id, job.task_config(), how, argv=job.argv)
                trial.set_user_attr("run", str(run.folder))
            elif run.read_policy().facts["num_timesteps"] < budget:
                run = resume(run.folder, ResumeConfig(total_timesteps=budget), argv=job.argv)
            value = value_of(run.evaluation() or {"success_rate": None, "return_mean": None})
            if value is None:
                raise RunError("no episode of the evaluation is valid")
            trial.report(value, budget)
            if look < settings.looks and trial.should_prune():
                raise pruned
    except ProveoutError as error:
        trial.set_user_attr("error", one_line(error))
        raise pruned from error
    finally:
        if run is not None:  # hundreds of megabytes each, where there is a replay buffer
            shutil.rmtree(run.checkpoints, ignore_errors=True)
    assert value is not None
    return value


def _train_settings(job: _Job, told: tuple[str, ...], seed: int) -> TrainConfig:
    settings = job.settings
    workers = 1 if settings.engine == "ray" else settings.workers
    return TrainConfig(
        algo=settings.algo,
        num_envs=settings.num_envs,
        seed=seed % 2**32,
        device=settings.device,
        workers=workers,
        hyperparameters=told,
        evaluation_episodes=settings.evaluation_episodes,
        video=False,
        runs=Path(job.folder) / "trials",
    )


def _preset(env_id: str, settings: TuneConfig, told: Sequence[str] = ()) -> Any:
    overrides = parse_hyperparameters(told)
    for key in ("total_timesteps", "num_envs"):
        if getattr(settings, key) is not None:
            overrides[key] = getattr(settings, key)
    return make_preset(settings.algo, task_class(env_id).presets, overrides)


def _tell(study: Any, number: int) -> None:
    trial = study.trials[number]
    ended = trial.user_attrs.get("error") or trial.state.name.lower()
    value = f"{trial.value:.4g}" if trial.value is not None and ended == "complete" else ended
    best = ""
    with contextlib.suppress(ValueError):
        best = f"; best so far {study.best_value:.4g} (trial {study.best_trial.number})"
    say(f"Trial {trial.number}: {value}{best}")


def _result(job: _Job, study: Any) -> dict[str, Any]:
    states: dict[str, int] = {}
    for trial in study.trials:
        states[trial.state.name.lower()] = states.get(trial.state.name.lower(), 0) + 1
    if not states.get("complete"):
        errors = [
            trial.user_attrs["error"] for trial in study.trials if "error" in trial.user_attrs
        ]
        why = errors[-1] if errors else "all were given up"
        raise RunError(f"no trial of {job.folder} has come to its end: {why}")
    best = study.best_trial
    told: dict[str, Any] = {
        "folder": job.folder,
        "env_id": job.env_id,
        "objective": job.settings.objective,
        "trials": states,
        "best": {
            "number": best.number,
            "value": best.value,
            "hyperparameters": best.user_attrs["hyperparameters"],
            "run": best.user_attrs.get("run"),
        },
        "settings": {**asdict(job.settings), "runs": str(job.settings.runs)},
        **provenance(list(job.argv)),
    }
    told["comparison"] = _compared(job, tuple(best.user_attrs["hyperparameters"]))
    return told


def _compared(job: _Job, told: tuple[str, ...]) -> dict[str, Any] | None:
    """Train the preset and the best with seeds that no trial had, and compare them."""
    settings, value_of = job.settings, objective_of(job.settings.objective)
    if not settings.final_seeds:
        return None
    say(f"The preset and the best, each with {settings.final_seeds} fresh seeds")
    values: dict[str, list[float]] = {"preset": [], "best": []}
    runs: dict[str, list[str]] = {"preset": [], "best": []}
    for name, assigned in (("preset", ()), ("best", told)):
        for number in range(settings.final_seeds):
            how = replace(
                _train_settings(job, assigned, _FRESH_SEED + number),
                total_timesteps=settings.total_timesteps,
                evaluation_episodes=settings.final_episodes,
                runs=Path(job.folder) / name,
            )
            run = train(job.env_id, job.task_config(), how, argv=job.argv)
            value = value_of(run.evaluation() or {"success_rate": None, "return_mean": None})
            values[name].append(np.nan if value is None else value)
            runs[name].append(str(run.folder))
    difference, interval = difference_of_means(values["best"], values["preset"])
    return {
        **values,
        "runs": runs,
        "difference": difference,
        "interval": interval,
        "better": bool(interval is not None and interval[0] > 0.0),
    }


def sentence(told: Mapping[str, Any]) -> str:
    """A search in words."""
    best, compared = told["best"], told["comparison"]
    states = ", ".join(f"{n} {state}" for state, n in sorted(told["trials"].items()))
    lines = [
        f"Best of {sum(told['trials'].values())} trials ({states}): trial {best['number']} with "
        f"{told['objective']} {best['value']:.4g}, chosen for it, so that it flatters",
        f"  --hyperparameters {' '.join(best['hyperparameters'])}",
    ]
    if compared is not None:
        seeds, interval = len(compared["best"]), compared["interval"]
        means = {name: float(np.mean(compared[name])) for name in ("best", "preset")}
        figures = f"{means['best']:.4g} against {means['preset']:.4g} over {seeds} fresh seeds each"
        where = (
            f"a difference of {compared['difference']:+.4g} ({interval[0]:+.4g} to "
            f"{interval[1]:+.4g})"
            if interval is not None
            else f"a difference of {compared['difference']:+.4g}, without an interval"
        )
        verdict = "beats" if compared["better"] else "is not shown to beat"
        lines.append(f"It {verdict} the preset: {figures}, {where}.")
    return "\n".join(lines)
