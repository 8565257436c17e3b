"""`proveout train`: a policy, from scratch or from where a run stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proveout.training.cli.command import Help

if TYPE_CHECKING:
    from proveout.training.run.directory import Run
    from proveout.training.run.seed_folder import SeedFolder


HELP = Help(
    text=(
        "Train a policy on ENV into a new run directory, evaluate it and film it. Ctrl-C stops "
        "after saving; a run that was stopped or killed goes on with --resume RUN. --seeds 0..9 "
        "trains a run for each, and sums them up; --resume goes on with their folder too. With ENV "
        "given, --help also shows the flags of its config (--env. ...)."
    ),
    examples=(
        "proveout train proveout/Reach-v0",
        "proveout train proveout/Reach-v0 --seed 1 --num-envs 1024 --env.control-dt 0.05",
        "proveout train proveout/Reach-v0 --hyperparameters learning_rate=3e-4 n_epochs=8",
        "proveout train proveout/Reach-v0 --seeds 0..9",
        "proveout train --resume runs/proveout-Reach-v0/20250131-120000-seed0",
    ),
)


@dataclass(frozen=True, kw_only=True)
class NoFlags:
    """Flags of a training of several seeds that goes on: none."""


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Train, or go on."""
    from proveout.training.cli.arguments import UsageError, build, combine, mirror, parse
    from proveout.training.cli.targets import parse_with_config, take_env, take_value
    from proveout.training.learn.seeds import parse_seeds, resume_seeds, train_seeds
    from proveout.training.learn.settings import ResumeConfig, TrainConfig
    from proveout.training.learn.train import resume, train
    from proveout.training.run.seed_folder import is_seed_folder

    argv = ["proveout", "train", *arguments]
    if any(a == "--resume" or a.startswith("--resume=") for a in arguments):
        folder, rest = take_value(arguments, "--resume")
        if is_seed_folder(folder):
            parse(rest, combine(mirror(NoFlags, NoFlags())), prog=prog, description=text)
            return _status_of_all(resume_seeds(folder, argv=argv))
        kind = combine(mirror(ResumeConfig, ResumeConfig()))
        told = parse(rest, kind, prog=f"{prog} --resume RUN", description=text)
        return _status(resume(folder, build(ResumeConfig, told.flags), argv=argv))
    seeds = None
    if any(a.partition("=")[0] == "--seeds" for a in arguments):
        told_seeds, arguments = take_value(arguments, "--seeds", "seeds: --seeds 0..9")
        if any(a.partition("=")[0] == "--seed" for a in arguments):
            raise UsageError("--seed and --seeds do not go together; give one of them")
        seeds = parse_seeds(told_seeds)
    env_id, rest = take_env(arguments, prog, TrainConfig)
    flags, config = parse_with_config(rest, TrainConfig, prog, text, env_id, None)
    assert env_id is not None
    if seeds is not None:
        return _status_of_all(train_seeds(env_id, config, flags, seeds, argv=argv))
    return _status(train(env_id, config, flags, argv=argv))


def _status_of_all(group: SeedFolder) -> int:
    """Return 1 if no seed has a valid episode, else 0."""
    return min((_status(run) for run in group.runs().values()), default=1)


def _status(run: Run) -> int:
    """Return 1 for a finished run whose evaluation has no valid episode, else 0."""
    told = run.evaluation()
    return 0 if told is None or told["episodes"] else 1
