"""`proveout benchmark training`: what training costs beyond worlds and networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proveout.training.cli.command import flag


@dataclass(frozen=True, kw_only=True)
class BenchmarkTrainingFlags:
    """Flags of `benchmark training`."""

    env: str | None = flag(None, "environment to train on, with its preset's network")
    num_envs: int = flag(4096, "stepped together", "worlds")
    n_steps: int = flag(16, "of all worlds in a roll-out", "steps")
    epochs: int = flag(5, "passes over the samples of a roll-out")
    minibatches: int = flag(4, "updates in a pass")
    rounds: int = flag(5, "measurements of each contestant, in turns")
    workers: int | None = flag(None, "on the CPU; None: all cores", "processes")
    device: str = flag("auto", "auto, cpu or cuda:N, for worlds and networks")
    torch_threads: int = flag(1, "of the networks on the CPU", "threads")
    seed: int = flag(0, "of the worlds and the networks")
    json: bool = flag(False, "print one JSON object and nothing else")


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Measure what training costs beyond worlds and networks."""
    from proveout.training.cli.arguments import UsageError
    from proveout.training.cli.streams import quiet_stdout
    from proveout.training.cli.targets import parse_flags
    from proveout.training.run.json_files import dump_json
    from proveout.training.tasks import VectorEnvSpec, task_class

    flags = parse_flags(arguments, BenchmarkTrainingFlags, prog, text)
    if flags.env is None:
        raise UsageError(f"which environment? {prog} --env ENV; `proveout list` shows them")
    config = task_class(flags.env).config_class()
    with quiet_stdout(flags.json) as emit:
        from proveout.training.benchmark.training import TrainingLoad, benchmark_training, table

        spec = VectorEnvSpec(
            flags.env,
            config,
            num_envs=flags.num_envs,
            device=flags.device,
            workers=flags.workers,
        )
        load = TrainingLoad(
            n_steps=flags.n_steps,
            epochs=flags.epochs,
            minibatches=flags.minibatches,
            rounds=flags.rounds,
            torch_threads=flags.torch_threads,
            seed=flags.seed,
        )
        result = benchmark_training(spec, load)
        emit(dump_json(result) if flags.json else table(result))
    return 0
