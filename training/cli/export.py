"""`proveout export`: a run's policy as a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proveout.training.cli.command import Help, flag

HELP = Help(
    text=(
        "Write the finished policy of a run, from raw observation to bounded action, with a JSON "
        "card beside it that says what it observes, how it was trained and how well it does. The "
        "file is compared with the policy on 1,000 observations before it is written."
    ),
    examples=(
        "proveout export runs/proveout-Reach-v0/20250131-120000-seed0 --out reach.safetensors",
        "proveout export runs/proveout-Reach-v0/20250131-120000-seed0 --format onnx",
    ),
)


@dataclass(frozen=True, kw_only=True)
class ExportFlags:
    """Flags of `export`."""

    format: str | None = flag(
        None, "safetensors, onnx or torchscript; None: by the suffix of --out, or safetensors"
    )
    out: Path | None = flag(  # noqa: RUF009
        None, "file to write, the card goes beside it; None: policy.safetensors, .onnx or .pt"
    )


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Write a policy file."""
    from proveout.training.cli.arguments import UsageError
    from proveout.training.cli.targets import parse_flags, take_target
    from proveout.training.export import export
    from proveout.training.run.directory import Run
    from proveout.training.run.failures import check_output

    target, rest = take_target(arguments, ExportFlags)
    flags = parse_flags(rest, ExportFlags, f"{prog} RUN", text)
    if target is None:
        raise UsageError(f"which run? {prog} RUN --format safetensors|onnx|torchscript --out FILE")
    if flags.out is not None:
        check_output(flags.out, "--out")
    written = export(Run.open(target), flags.out, flags.format)
    print(
        f"Policy: {written.path}\nCard:   {written.card}\n"
        f"Check:  {written.difference:.2g} is the largest difference from predict on "
        f"{written.observations} observations"
    )
    return 0
