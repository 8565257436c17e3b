"""`proveout scenario run`: every row of a scenario file as a world, and a table of cases."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.training.cli.command import MAX_SEED, flag
from proveout.training.cli.files_first import files_and_flags

if TYPE_CHECKING:
    from proveout.assets.scenario.rows import Rows


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """Flags of `scenario run`."""

    out: Path | None = flag(None, "folder for cases.parquet")  # noqa: RUF009
    distribution: Path | None = flag(None, "of FILE's parameters; None: FILE has it")  # noqa: RUF009
    only: int | None = flag(None, "run this row alone", high=10**18)
    ego: str | None = flag(None, "entity that is tested; None: Ego, or the first")
    physics_dt: float = flag(0.02, "of a physics step", "s", high=0.1)
    most_seconds: float = flag(
        60.0, "past the last time that a condition waits for, a case is not judged", "s", high=1e5
    )
    worlds: int = flag(4096, "at a time, at most", "rows", high=10**6)
    device: str = flag("cpu", "cpu or cuda:N")
    limit: int = flag(1_000_000, "refuse a file with more", "rows", high=10**12)
    seed: int | None = flag(None, "of stochastic distributions; None: their own", high=MAX_SEED)


def run(arguments: list[str], prog: str) -> int:
    """Run a file; 0 where no case is a collision or invalid, else 1."""
    (file,), flags = files_and_flags(
        arguments, RunFlags, prog,
        "Run every row of a scenario within its constraints, each from its start to its stop "
        "trigger, the ego by IDM once its controller is active: proveout scenario run FILE --out "
        "DIR. Exit code 1 where the ego collides or a row cannot run.",
        "one file",
    )  # fmt: skip
    from proveout.assets.files.errors import ScenarioError
    from proveout.assets.scenario.rows import load_rows
    from proveout.envs.driving.storyboard.cases import run_rows
    from proveout.training.cli.arguments import UsageError

    if flags.out is None:
        raise UsageError(f"`{prog}` needs --out, a folder")
    _check(flags)
    rows = load_rows(flags.distribution or file, seed=flags.seed)
    if flags.distribution is not None and rows.scenario.path.resolve() != Path(file).resolve():
        raise ScenarioError(
            f"{flags.distribution} is of {rows.scenario.path}, not of {file}; give that one."
        )
    if flags.only is None and rows.size > flags.limit:
        raise ScenarioError(
            f"{rows.path} has {rows.size:,} rows; run some with --only, or raise --limit."
        )
    begun = time.perf_counter()
    done = [0, 0.0]

    def progress(count: int, seconds: float) -> None:
        done[0], done[1] = done[0] + count, done[1] + seconds
        took = max(time.perf_counter() - begun, 1e-9)
        print(
            f"{done[0]:,} of at most {rows.size:,} cases, {done[0] / took:.3g} cases/s, "
            f"{done[1] / took:.3g} times real time",
            file=sys.stderr,
        )

    cases = run_rows(
        rows, None if flags.only is None else [flags.only], dt=flags.physics_dt,
        most_seconds=flags.most_seconds, worlds=flags.worlds, device=flags.device, ego=flags.ego,
        progress=progress,
    )  # fmt: skip
    path = flags.out / "cases.parquet"
    write(rows, cases, path)
    print(summary(rows, cases, path))
    return int(any(case.outcome in ("collision", "invalid") for case in cases))


def _check(flags: RunFlags) -> None:
    from proveout.training.cli.arguments import UsageError
    from proveout.training.run.failures import check_output

    assert flags.out is not None
    check_output(flags.out / "cases.parquet", "--out")
    for name in ("physics_dt", "most_seconds", "worlds"):
        if not getattr(flags, name) > 0:
            raise UsageError(f"--{name.replace('_', '-')} must be above 0")
    if flags.only is not None and flags.only < 0:
        raise UsageError("--only must be a row, from 0")


def write(rows: Rows, cases: list[Any], path: Path) -> None:
    """Write cases as a Parquet file, whole or not at all."""
    import pyarrow
    import pyarrow.parquet

    from proveout.assets.files.atomic import atomic_path
    from proveout.envs.driving.storyboard.cases import columns_of

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(columns_of(rows, cases)), temporary)


def summary(rows: Rows, cases: list[Any], path: Path) -> str:
    """Return how many cases had which outcome, and why some were not judged."""
    from proveout.envs.driving.storyboard.cases import OUTCOMES

    counts = Counter(case.outcome for case in cases)
    lines = [f"{counts[outcome]:>9,}  {outcome}" for outcome in OUTCOMES if counts[outcome]]
    lines.append(f"{len(cases):>9,}  of {rows.size:,} rows of {rows.path}")
    reasons = Counter(case.reason for case in cases if case.reason)
    lines += [f"{count:>9,}  {reason}" for reason, count in reasons.most_common(5)]
    return "\n".join([*lines, f"written to {path}"])
