"""`proveout benchmark`: speed, and what training costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proveout.training.cli import benchmark_training
from proveout.training.cli.command import Help, flag

HELP = Help(
    text=(
        "benchmark ENV: env.step against the same physics alone, in turns within one run, and "
        "training with stock PPO. benchmark training --env ENV: five ways to learn the same, in "
        "turns within one run: policy forward and env.step alone (the floor), stock PPO through a "
        "naive adapter and through ours, TensorPPO, and rsl_rl where it is installed."
    ),
    examples=(
        "proveout benchmark proveout/Reach-v0 --num-envs 256",
        "proveout benchmark proveout/Highway-v0 --workers 1 --no-training --json",
        "proveout benchmark training --env proveout/Reach-v0 --num-envs 4096 --json",
    ),
)


@dataclass(frozen=True, kw_only=True)
class BenchmarkFlags:
    """Flags of `benchmark`."""

    num_envs: int = flag(1024, "stepped together", "worlds")
    workers: int | None = flag(None, "on the CPU; None: all cores", "processes")
    device: str = flag("auto", "auto, cpu or cuda:N")
    physics: str = flag("warp", "warp, or c for MuJoCo C on the CPU")
    seconds: float = flag(10.0, "for physics and env.step together", "s")
    training: bool = flag(True, "also measure training with stock PPO")
    seed: int = flag(0, "of the worlds and the random actions")
    json: bool = flag(False, "print one JSON object and nothing else")


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Measure speed."""
    from proveout.training.benchmark.stepping import benchmark, table
    from proveout.training.cli.streams import quiet_stdout
    from proveout.training.cli.targets import parse_with_config, take_env
    from proveout.training.run.json_files import dump_json
    from proveout.training.tasks import VectorEnvSpec

    if arguments and arguments[0] == "training":
        return benchmark_training.run(arguments[1:], f"{prog} training", text)
    env_id, rest = take_env(arguments, prog, BenchmarkFlags)
    flags, config = parse_with_config(rest, BenchmarkFlags, prog, text, env_id, None)
    assert env_id is not None
    with quiet_stdout(flags.json) as emit:
        spec = VectorEnvSpec(
            env_id,
            config,
            num_envs=flags.num_envs,
            device=flags.device,
            workers=flags.workers,
            physics=flags.physics,
        )
        result = benchmark(spec, seconds=flags.seconds, training=flags.training, seed=flags.seed)
        emit(dump_json(result) if flags.json else table(result))
    return 0
