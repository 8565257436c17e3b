"""The command `proveout`: which subcommand, and what a failure looks like.

Nothing heavy is imported until a subcommand needs it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from proveout.training.cli.streams import quiet_stdout
from proveout.training.run.failures import check_readable, error_object, mendable, one_sentence

_HELP_WIDTH = 96
# Subcommand -> usage and summary, in the order of the overview. The rest of each is a file of its
# own, with `HELP` and `run`.
COMMANDS = {
    "list": ("list [--json]", "the environments"),
    "train": (
        "train ENV | --resume RUN",
        "train a policy; every field of the environment's config is a flag",
    ),
    "tune": ("tune ENV", "search hyper-parameters, and compare the best with the preset"),
    "evaluate": ("evaluate RUN | ENV --policy P", "success rate with its 95 % interval, and KPIs"),
    "sweep": (
        "sweep ENV --vary NAME=LOW:HIGH:COUNT | STUDY.toml",
        "a policy over a space of parameters, one world a row; init, replay, report, query",
    ),
    "report": ("report RUN", "one HTML file: curves, evaluation, video, manifest"),
    "runs": ("runs [--diff A B]", "list, compare, tag and prune runs and studies; cards"),
    "play": ("play RUN | ENV --policy P", "watch a policy: a video, or a window"),
    "view": (
        "view RUN | ENV",
        "a live page in the browser: watch, ask and change running worlds",
    ),
    "benchmark": (
        "benchmark ENV | training --env ENV",
        "speed, as a share of bare physics; what training costs beyond it",
    ),
    "doctor": ("doctor [--json]", "what this machine has, what is wrong and the fix"),
    "export": (
        "export RUN --out FILE",
        "a run's policy as safetensors, ONNX or TorchScript, with a card",
    ),
    "new": ("new ID --engine factory|driving", "write a commented task to start from"),
    "check": ("check ENV", "prove that an environment keeps its contract"),
    "assets": (
        "assets inspect|convert|survey ...",
        "look into the file of a robot or a map, write clean MJCF, try many",
    ),
    "scenario": (
        "scenario count|inspect|convert|survey|run ...",
        "OpenSCENARIO: count rows, look into a file, write a row, try many, run rows",
    ),
    "capacities": ("capacities ENV", "measure the room that contacts and constraints need"),
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
    import textwrap

    command: Any = importlib.import_module(f"proveout.training.cli.{name}")
    examples = "\n".join(f"  {line}" for line in command.HELP.examples)
    # tyro joins the lines of a paragraph into one, unless they are indented.
    told = textwrap.indent(textwrap.fill(command.HELP.text, _HELP_WIDTH), "  ")
    text = f"{told}\n\nexamples:\n{examples}"
    status: int = command.run(arguments, f"proveout {name}", text)
    return status


def _failure(error: Exception) -> tuple[int, str]:
    """Print an error; return the exit status and the sentence.

    One that a user can mend is a line, any other keeps its traceback.
    """
    train = sys.modules.get("proveout.training.learn.train")
    if train is not None and isinstance(error, train.TrainingInterrupted):
        if _speaks(error):
            print(f"\n{error}", file=sys.stderr)
        return 128 + int(error.signal_number), str(error)
    sentence = mendable(error)
    if sentence is not None:
        if _speaks(error):
            print(f"proveout: error: {sentence}", file=sys.stderr)
        return 2, sentence
    import traceback

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
    distributed = sys.modules.get("proveout.training.distributed.ranks")
    return distributed is not None and isinstance(error, distributed.RankError)


def _overview() -> str:
    width = max(len(usage) for usage, _ in COMMANDS.values())
    lines = [f"  {usage:<{width}}  {summary}" for usage, summary in COMMANDS.values()]
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
