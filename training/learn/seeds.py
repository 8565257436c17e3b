"""The same training from several seeds, and what the seeds say together."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from proveout.envs.core.errors import ConfigError, RunError
from proveout.training.evaluation.seeds import over_seeds
from proveout.training.learn.settings import ResumeConfig, TrainConfig
from proveout.training.learn.train import TrainingInterrupted, resume, train
from proveout.training.run.files import cannot_write
from proveout.training.run.json_files import write_json
from proveout.training.run.lock import working_on
from proveout.training.run.progress import say
from proveout.training.run.seed_folder import SEEDS, SUMMARY, SeedFolder

_MOST_SEEDS = 1000
_FORMAT = 1


def parse_seeds(text: str) -> list[int]:
    """Seeds from "0..9" (both ends), "0,3,7", or both: "0..3,7".

    Raises:
        ConfigError: Something else, a seed that is given twice, or too many.
    """
    seeds: list[int] = []
    for part in text.split(","):
        low, dots, high = part.strip().partition("..")
        if not low.isdecimal() or (dots and not high.isdecimal()):
            raise ConfigError(f"seeds {text!r}: 0..9 or 0,3,7 expected")
        first, last = int(low), int(high or low)
        if not first <= last or last - first >= _MOST_SEEDS or last >= 2**32:
            raise ConfigError(
                f"seeds {text!r}: an ascending range of at most {_MOST_SEEDS} seeds below 2^32 "
                "expected"
            )
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds) or len(seeds) > _MOST_SEEDS:
        raise ConfigError(f"seeds {text!r}: give each once, and at most {_MOST_SEEDS}")
    return seeds


def train_seeds(
    env_id: str,
    config: Any,
    settings: TrainConfig,
    seeds: Sequence[int],
    *,
    argv: Sequence[str] = (),
) -> SeedFolder:
    """Train one run for each seed, one after the other, each on the whole machine.

    Args:
        env_id: Registered id.
        config: The task's config.
        settings: How; `seed` is left out.
        seeds: Of the runs.
        argv: For the manifests.

    Returns:
        The folder `runs/<env>/<time>-seeds<first>-<last>` with a run for each, and their summary.

    Raises:
        TrainingInterrupted: As in `train`; it says how all of them go on.
        ProveoutError: As the message says.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise ConfigError("several seeds do not go with torchrun, which trains one run; drop one")
    parent = Path(settings.runs) / env_id.replace("/", "-")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = parent / f"{stamp}-seeds{min(seeds)}-{max(seeds)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    manifest = {
        "format": _FORMAT,
        "env_id": env_id,
        "algo": settings.algo,
        "seeds": list(seeds),
        "config": config.to_dict(),
        "train": {**asdict(settings), "runs": str(folder)},
        "argv": list(argv),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_json(folder / SEEDS, manifest)
    return _run(SeedFolder(folder, manifest), argv)


def resume_seeds(folder: Path | str, *, argv: Sequence[str] = ()) -> SeedFolder:
    """Go on with what `train_seeds` has begun: a seed that has stopped, then those to come."""
    return _run(SeedFolder.open(folder), argv)


def _run(group: SeedFolder, argv: Sequence[str]) -> SeedFolder:
    from proveout.training.tasks import task_class

    with working_on(group.folder):
        there = group.runs()
        config = task_class(group.env_id).config_class.from_dict(group.manifest["config"])
        settings = _settings(group.manifest["train"])
        try:
            for number, seed in enumerate(group.seeds, 1):
                run = there.get(seed)
                if run is not None and run.manifest["state"] == "complete":
                    continue
                say(f"Seed {seed}, {number} of {len(group.seeds)}")
                if run is not None:
                    resume(run.folder, ResumeConfig(), argv=argv)
                else:
                    train(group.env_id, config, replace(settings, seed=seed), argv=argv)
        except TrainingInterrupted as stop:
            command = f"proveout train --resume {shlex.quote(str(group.folder))}"
            raise TrainingInterrupted(stop.run, stop.signal_number, command) from None
        told = summarise(group)
        write_json(group.folder / SUMMARY, told)
        for line in summary_lines(told):
            say(line)
    return group


def _settings(data: Mapping[str, Any]) -> TrainConfig:
    try:
        return TrainConfig(
            **{
                **data,
                "hyperparameters": tuple(data["hyperparameters"]),
                "runs": Path(data["runs"]),
            }
        )
    except (KeyError, TypeError) as error:
        raise RunError(f"'train' in {SEEDS} is damaged; train again.") from error


def summarise(group: SeedFolder) -> dict[str, Any]:
    """What the evaluations of the seeds say together, see `over_seeds`."""
    told: dict[int, dict[str, Any]] = {}
    for seed, run in sorted(group.runs().items()):
        evaluation = run.evaluation() if run.manifest["state"] == "complete" else None
        if evaluation is not None and evaluation["episodes"]:
            told[seed] = evaluation
    return {"env_id": group.env_id, "algo": group.manifest["algo"], **over_seeds(told)}


def summary_lines(told: Mapping[str, Any]) -> list[str]:
    """A summary in words: success, return and each KPI over seeds."""
    seeds = told["seeds"]
    if not seeds:
        return ["No seed has an evaluation."]
    lines = [f"Over {len(seeds)} seeds: interquartile mean (95 % interval), lowest, highest"]
    for name, figure in told["figures"].items():
        if figure["iqm"] is None:
            continue
        interval = figure["interval"]
        where = f" ({interval[0]:.4g} to {interval[1]:.4g})" if interval else ""
        unit = f" {figure['unit']}" if figure["unit"] not in ("", "1") else ""
        lines.append(
            f"  {name:<28} {figure['iqm']:.4g}{where}, {figure['lowest']:.4g}, "
            f"{figure['highest']:.4g}{unit}"
        )
    return lines
