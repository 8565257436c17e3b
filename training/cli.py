"""The command `proveout`: which subcommand, and what a failure looks like.

Nothing heavy is imported until a subcommand needs it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import textwrap
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proveout.training.failures import check_readable, error_object, mendable, one_sentence
from proveout.training.streams import quiet_stdout

_HELP_WIDTH = 96


@dataclass(frozen=True)
class _Command:
    """A subcommand: its handler in `commands`, and its help."""

    usage: str
    summary: str
    text: str
    examples: tuple[str, ...]


COMMANDS = {
    "list": _Command(
        "list [--json]",
        "the environments",
        "Show the environments.",
        ("proveout list", "proveout list --json"),
    ),
    "train": _Command(
        "train ENV | --resume RUN",
        "train a policy; every field of the environment's config is a flag",
        "Train a policy on ENV into a new run directory, evaluate it and film it. Ctrl-C stops "
        "after saving; a run that was stopped or killed goes on with --resume RUN. With ENV "
        "given, --help also shows the flags of its config (--env. ...).",
        (
            "proveout train proveout/Reach-v0",
            "proveout train proveout/Reach-v0 --seed 1 --num-envs 1024 --env.control-dt 0.05",
            "proveout train proveout/Reach-v0 --hyperparameters learning_rate=3e-4 n_epochs=8",
            "proveout train --resume runs/proveout-Reach-v0/20250131-120000-seed0",
        ),
    ),
    "evaluate": _Command(
        "evaluate RUN | ENV --policy P",
        "success rate with its 95 % interval, and KPIs",
        "Run a deterministic policy for a fixed number of episodes and report success with its "
        "95 % Wilson interval, KPIs, and invalid worlds; --episodes-out also writes a row for each "
        "episode. With a target given, --help also shows "
        "the flags of the environment's config (--env. ...).",
        (
            "proveout evaluate runs/proveout-Reach-v0/20250131-120000-seed0",
            "proveout evaluate proveout/Reach-v0 --policy expert --episodes 200 --json",
            "proveout evaluate proveout/Reach-v0 --policy reach.safetensors",
            "proveout evaluate proveout/Reach-v0 --policy expert --episodes-out episodes.parquet",
        ),
    ),
    "play": _Command(
        "play RUN | ENV --policy P",
        "watch a policy: a video, or a window",
        "Roll out one world or a few, print the statistics of each episode, and write a video or "
        "open a window.",
        (
            "proveout play proveout/Highway-v0 --policy pretrained --video highway.mp4",
            "proveout play runs/proveout-Reach-v0/20250131-120000-seed0 --window",
        ),
    ),
    "benchmark": _Command(
        "benchmark ENV | training --env ENV",
        "speed, as a share of bare physics; what training costs beyond it",
        "benchmark ENV: env.step against the same physics alone, in turns within one run, and "
        "training with stock PPO. benchmark training --env ENV: five ways to learn the same, in "
        "turns within one run: policy forward and env.step alone (the floor), stock PPO through a "
        "naive adapter and through ours, TensorPPO, and rsl_rl where it is installed.",
        (
            "proveout benchmark proveout/Reach-v0 --num-envs 256",
            "proveout benchmark proveout/Highway-v0 --workers 1 --no-training --json",
            "proveout benchmark training --env proveout/Reach-v0 --num-envs 4096 --json",
        ),
    ),
    "doctor": _Command(
        "doctor [--json]",
        "what this machine has, what is wrong and the fix",
        "Check versions, devices, driver, caches, ffmpeg, disk and shared memory. Exits with 1 if "
        "something is wrong.",
        ("proveout doctor",),
    ),
    "export": _Command(
        "export RUN --out FILE",
        "a run's policy as safetensors, ONNX or TorchScript, with a card",
        "Write the finished policy of a run, from raw observation to bounded action, with a JSON "
        "card beside it that says what it observes, how it was trained and how well it does. The "
        "file is compared with the policy on 1,000 observations before it is written.",
        (
            "proveout export runs/proveout-Reach-v0/20250131-120000-seed0 --out reach.safetensors",
            "proveout export runs/proveout-Reach-v0/20250131-120000-seed0 --format onnx",
        ),
    ),
    "new": _Command(
        "new ID --engine factory|driving",
        "write a commented task to start from",
        "Write a task of one file that passes `check` and learns within a minute: a finger that "
        "presses a button, or a car that follows another. Change it to yours; "
        "docs/adding-a-task.md and docs/adding-a-road-task.md explain each part.",
        (
            "proveout new acme/Press-v0",
            "proveout new acme/Follow-v0 --engine driving --out follow.py",
        ),
    ),
    "check": _Command(
        "check ENV",
        "prove that an environment keeps its contract",
        "Run every check of proveout.envs.check_vector_env on an environment. Exits with 1 if one "
        "finds an error.",
        ("proveout check proveout/Reach-v0",),
    ),
    "capacities": _Command(
        "capacities ENV",
        "measure the room that contacts and constraints need",
        "Roll out a policy in worlds with ample room, and print the capacities to store in an "
        "articulated task's class. Random actions, the default, seldom push: measure with an "
        "expert or a trained policy as well.",
        (
            "proveout capacities proveout/Reach-v0",
            "proveout capacities proveout/Reach-v0 --policy expert",
        ),
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `proveout`; return the exit status.

    0: done. 1: `doctor` or `check` found something wrong, or no episode was valid. 2: bad input, or
    a limit of the machine, said in one sentence on standard error. 70: a fault of Proveout itself,
    with its traceback. 130 or 143: stopped by a signal, after saving. 141: nobody reads the output
    any more.

    With `--json`, standard output holds one JSON object and nothing else: the result, or
    `{"error": sentence}`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if arguments[0] == "--version":
        import importlib.metadata

        print(importlib.metadata.version("proveout"))
        return 0
    # Small networks: torch's own threads would wait for the cores that the workers hold. Before
    # torch is imported, so that evaluating and playing are covered too; training sets its own.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for_programs = "--json" in arguments and not {"-h", "--help"} & set(arguments)
    usual = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"proveout: warning: {message}\n"
    try:
        # From here on, as importing a task's file may print.
        with quiet_stdout(for_programs) as emit:
            return _run(arguments, emit if for_programs else None)
    finally:
        warnings.formatwarning = usual


def _run(arguments: list[str], emit: Callable[[str], None] | None) -> int:
    """Run a subcommand; return the exit status and tell of a failure.

    Args:
        arguments: Of the command line.
        emit: Prints a JSON object; None where none is wanted.
    """
    try:
        check_readable(arguments)
        status = _dispatch(arguments[0], arguments[1:])
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("\nproveout: stopped", file=sys.stderr)
        status, sentence = 130, "stopped"
    except BrokenPipeError:
        # The reader has gone, as in `proveout list | head`.
        _drop_output()
        return 141
    except Exception as error:
        status, sentence = _failure(error)
        if emit is None and not _can_flush():
            _drop_output()
    if emit is not None:
        with contextlib.suppress(OSError):  # standard output may be what failed
            emit(error_object(sentence))
    return status


def _can_flush() -> bool:
    try:
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _drop_output() -> None:
    """Let nothing be flushed at exit: it would fail again, with a traceback."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _dispatch(name: str, arguments: list[str]) -> int:
    if name not in COMMANDS:
        from proveout.assets.files.errors import unknown

        kind = "flag" if name.startswith("-") else "subcommand"
        raise unknown(kind, name, [*COMMANDS, "--help", "--version"])
    command = COMMANDS[name]
    examples = "\n".join(f"  {line}" for line in command.examples)
    # tyro joins the lines of a paragraph into one, unless they are indented.
    told = textwrap.indent(textwrap.fill(command.text, _HELP_WIDTH), "  ")
    text = f"{told}\n\nexamples:\n{examples}"
    commands = importlib.import_module("proveout.training.commands")
    status: int = getattr(commands, f"{name}_command")(arguments, f"proveout {name}", text)
    return status


def _failure(error: Exception) -> tuple[int, str]:
    """Print an error; return the exit status and the sentence.

    One that a user can mend is a line, any other keeps its traceback.
    """
    train = sys.modules.get("proveout.training.train")
    if train is not None and isinstance(error, train.TrainingInterrupted):
        if _speaks(error):
            print(f"\n{error}", file=sys.stderr)
        return 128 + int(error.signal_number), str(error)
    sentence = mendable(error)
    if sentence is not None:
        if _speaks(error):
            print(f"proveout: error: {sentence}", file=sys.stderr)
        return 2, sentence
    traceback.print_exception(error)
    sentence = one_sentence(f"{type(error).__name__}: {error}")
    print(
        "proveout: error: this is a fault of Proveout, not of what you gave it; please report it "
        "with the lines above, the command and what `proveout doctor` says",
        file=sys.stderr,
    )
    return 70, f"{sentence} (a fault of Proveout; the traceback is on standard error)"


def _speaks(error: Exception) -> bool:
    """Whether this process tells of an error: of the ranks of torchrun that all meet it, one."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("LOCAL_RANK", "0") == "0":
        return True
    distributed = sys.modules.get("proveout.training.distributed")
    return distributed is not None and isinstance(error, distributed.RankError)


def _overview() -> str:
    width = max(len(command.usage) for command in COMMANDS.values())
    lines = [f"  {c.usage:<{width}}  {c.summary}" for c in COMMANDS.values()]
    return "\n".join(
        [
            "Train physical-AI policies in GPU-parallel worlds, and prove them out.",
            "",
            "usage: proveout COMMAND ...",
            "",
            *lines,
            "",
            "examples:",
            "  proveout train proveout/Reach-v0",
            "  proveout play proveout/Highway-v0 --policy pretrained --video highway.mp4",
            "",
            "proveout COMMAND --help explains each; proveout --version.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
