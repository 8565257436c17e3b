"""`proveout tune`: hyper-parameters for a task."""

from __future__ import annotations

from collections.abc import Sequence

from proveout.training.cli.command import Help

HELP = Help(
    text=(
        "Search hyper-parameters of an algorithm for ENV with Optuna. The preset is the first "
        "trial; trials that lag behind are given up early; at the end the best and the preset are "
        "trained with fresh seeds and compared. The same command goes on after a stop, and with a "
        "larger --trials. With ENV given, --help also shows the flags of its config (--env. ...)."
    ),
    examples=(
        "proveout tune proveout/Reach-v0 --trials 30",
        "proveout tune proveout/Reach-v0 --algo tensor_sac --total-timesteps 200000 --looks 2",
        "proveout tune proveout/PickPlace-v0 --objective cycle_time:min --engine ray",
        "proveout tune proveout/Reach-v0 --storage postgresql://user@host/optuna",
    ),
)


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Search, or go on."""
    from proveout.training.cli.targets import parse_with_config, take_env
    from proveout.training.learn.tune import TuneConfig, sentence, tune

    env_id, rest = take_env(arguments, prog, TuneConfig)
    settings, config = parse_with_config(rest, TuneConfig, prog, text, env_id, None)
    assert env_id is not None
    told = tune(env_id, config, settings, argv=["proveout", "tune", *arguments])
    print(f"{sentence(told)}\nSearch: {told['folder']}")
    return 0
