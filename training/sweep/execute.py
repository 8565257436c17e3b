"""Running a study: only what is missing, kept as it comes, whatever ends the process."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from proveout.envs.core.errors import (
    ConfigError,
    ModelError,
    ProveoutError,
    RunError,
    WorkerError,
)
from proveout.training.evaluation.episodes import statistic_columns
from proveout.training.evaluation.policy_source import PolicySource, load_policy
from proveout.training.evaluation.statistics import evaluation_worlds
from proveout.training.rows.acting import SteadyPolicy
from proveout.training.rows.stream import Ended, RowStream
from proveout.training.run.lock import working_on
from proveout.training.run.progress import Progress, say
from proveout.training.run.provenance import provenance
from proveout.training.sweep.plan import Group, Plan
from proveout.training.sweep.store import RowWriter, Store
from proveout.training.sweep.study import Study
from proveout.training.tasks import VectorEnvSpec, make_vector_env

DEFAULT_LIMIT = 1_000_000
_MOST_WORLDS = 1024
_ATTEMPTS = 3
_PART_SECONDS = 10.0
_PART_ROWS = 50_000


@dataclass(frozen=True, kw_only=True)
class Machine:
    """On what a study runs; changes no bit of it on the CPU.

    Attributes:
        num_envs: Worlds; 0: chosen here.
        device: "auto", "cpu" or "cuda:N".
        workers: Processes on the CPU; None: all cores.
        trust_pickle: As in `PolicySource`.
    """

    num_envs: int = 0
    device: str = "auto"
    workers: int | None = None
    trust_pickle: bool = False


@dataclass
class _Session:
    """What one process has done."""

    rows: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    acting: float = 0.0
    stepping: float = 0.0


def run_study(
    study: Study,
    out: Path | str | None = None,
    *,
    machine: Machine | None = None,
    limit: int = DEFAULT_LIMIT,
    shown: bool = False,
) -> dict[str, Any]:
    """Run the rows of a study that are not there yet.

    Args:
        study: The study.
        out: Folder of the sweep; None: one in runs/sweeps by the study's content, so that the same
            study goes on where it was.
        machine: On what; None: chosen here.
        limit: Most rows.
        shown: Tell progress on standard error.

    Returns:
        JSON data: `folder`, `rows` of the study, `done_before`, `run` now, `invalid` of these,
        `invalid_reasons`, `stale`, `damaged_parts`, `seconds`, `rows_per_s`, `steps_per_s`,
        `acting_seconds`, `stepping_seconds`.

    Raises:
        ConfigError: Too many rows; or as the environment says.
        PolicyError, RunError, UnknownNameError: See `load_policy`, `Store` and `Plan`.
        KeyboardInterrupt: Stopped; what was done is kept.
    """
    check_count(study, limit)
    plan = Plan.of(study)
    folder = Path(out) if out is not None else default_folder(study)
    machine = machine or Machine()
    with contextlib.ExitStack() as stack:
        folder_known = (folder / "manifest.json").exists()
        if folder_known:
            Store.open(folder)
        else:
            Store.create(folder, plan)
        stack.enter_context(working_on(folder))
        before = Store.open(folder).manifest
        store = Store.create(folder, plan)
        store.tidy()
        return _run(store, plan, before, machine, shown)


def check_count(study: Study, limit: int) -> None:
    """Refuse a study of more rows than a limit, before any is made.

    Raises:
        ConfigError: It has more.
    """
    rows = study.count()
    if rows > limit:
        told = f"{rows:,}" if rows < 10**15 else f"{rows:.2e}"
        raise ConfigError(
            f"the study has {told} rows ({study.space.count():,} points x {len(study.policies)} "
            f"policies x {len(study.seeds)} seeds x {study.episodes:,} episodes), more than "
            f"{limit:,}; give fewer values, draw points instead of a grid, or raise --limit"
        )


def default_folder(study: Study) -> Path:
    """Where a study goes that is given no folder."""
    return Path("runs") / "sweeps" / f"{study.env.replace('/', '-')}-{study.digest[:8]}"


def _run(
    store: Store, plan: Plan, before: dict[str, Any], machine: Machine, shown: bool
) -> dict[str, Any]:
    done = store.done()
    damaged = store.damaged()
    ids = plan.ids(np.arange(len(plan)))
    missing = np.flatnonzero(~np.isin(ids, done))
    stale = int((~np.isin(done, ids)).sum())
    if shown:
        _tell_what_is_there(store, plan, before, len(plan) - len(missing), stale, damaged)
    about = provenance(sys.argv)
    store.manifest["sessions"] = [*store.manifest["sessions"], about]
    store.save_manifest()
    session, began = _Session(), time.monotonic()
    state = "interrupted"
    try:
        with (
            _ending_signals(),
            Progress(
                "sweep", len(plan), unit="rows", start=len(plan) - len(missing), shown=shown
            ) as progress,
        ):
            for group in plan.groups():
                _run_group(store, plan, group, missing, machine, session, progress)
        state = "complete"
    except (KeyboardInterrupt, SystemExit):
        if shown:
            say(
                f"{session.rows} rows of this session are kept; go on with: proveout sweep "
                f"--resume {shlex.quote(str(store.folder))}"
            )
        raise
    finally:
        seconds = time.monotonic() - began
        about["rows"], about["seconds"] = session.rows, seconds
        store.manifest["state"] = state
        with contextlib.suppress(RunError) if state != "complete" else contextlib.nullcontext():
            store.save_manifest()
    return {
        "folder": str(store.folder),
        "rows": len(plan),
        "done_before": len(plan) - len(missing),
        "run": session.rows,
        "invalid": sum(session.invalid.values()),
        "invalid_reasons": dict(session.invalid.most_common()),
        "stale": stale,
        "damaged_parts": damaged,
        "seconds": seconds,
        "rows_per_s": session.rows / max(seconds, 1e-9),
        "steps_per_s": session.steps / max(session.stepping + session.acting, 1e-9),
        "acting_seconds": session.acting,
        "stepping_seconds": session.stepping,
    }


def _tell_what_is_there(
    store: Store, plan: Plan, before: dict[str, Any], there: int, stale: int, damaged: int
) -> None:
    if there:
        say(f"{there} of {len(plan)} rows are there; the others are run.")
    if damaged:
        say(f"{damaged} damaged part(s) were set aside; their rows are run again.")
    if stale:
        old, new = before.get("study", {}), plan.study.plain()
        changed = sorted(k for k in {*old, *new} if old.get(k) != new.get(k))
        told = ", ".join(changed) or "the environment's config or a policy"
        say(
            f"{stale} rows are stale: the study has changed ({told}) and has them no more. They "
            "are kept and left out: read_results(folder, stale=True) shows them."
        )
    sessions = store.manifest["sessions"]
    if there and sessions and sessions[-1].get("packages") != provenance([])["packages"]:
        say("The rows that are there were made with other versions of packages; see manifest.json.")


def _run_group(
    store: Store,
    plan: Plan,
    group: Group,
    missing: np.ndarray,
    machine: Machine,
    session: _Session,
    progress: Progress,
) -> None:
    rows = missing[np.isin(plan.parts_of(missing)[0], group.cells)]
    if not len(rows):
        return
    worlds = machine.num_envs or evaluation_worlds(len(rows), _MOST_WORLDS)
    spec = VectorEnvSpec(
        plan.study.env, group.config, num_envs=worlds, device=machine.device,
        workers=machine.workers,
    )  # fmt: skip
    reason, env = group.reason, None
    if group.config is not None:
        try:
            env = make_vector_env(spec)
        except ModelError as error:  # such as a robot that cannot be read
            reason = str(error)
    if env is None:
        sink = _Sink(store, RowWriter(plan, ()), session, progress)
        sink.take(_refused(rows, reason), np.ones(len(rows), int))
        sink.flush()
        return
    try:
        sink = _Sink(store, RowWriter(plan, statistic_columns(env)), session, progress)
        policies = plan.parts_of(rows)[1]
        for number, text in enumerate(plan.study.policies):
            mine = rows[policies == number]
            if len(mine):
                source = PolicySource(text, machine.trust_pickle)
                env = _run_policy(env, spec, source, plan, mine, sink, session)
    finally:
        env.close()


def _run_policy(
    env: Any,
    spec: VectorEnvSpec,
    source: PolicySource,
    plan: Plan,
    rows: np.ndarray,
    sink: _Sink,
    session: _Session,
) -> Any:
    """Run the rows of one policy in an environment; return it, or the one that replaced it."""
    attempts: Counter[int] = Counter()
    left = rows
    while True:
        try:
            policy = load_policy(source, env)
        except ProveoutError:
            sink.flush()
            raise
        size = int(env.single_observation_space.shape[0])
        stream = RowStream(env, SteadyPolicy(policy, size), plan, left)
        ended: list[np.ndarray] = [np.zeros(0, np.int64)]
        try:
            for batch in stream:
                ended.append(batch.row)
                sink.take(batch, np.array([1 + attempts[int(row)] for row in batch.row]))
            return env
        except WorkerError:
            attempts.update(stream.in_flight().tolist())
            if max(attempts.values(), default=_ATTEMPTS) >= _ATTEMPTS:
                raise
            left = left[~np.isin(left, np.concatenate(ended))]
            env.close()
            env = make_vector_env(spec)
        finally:
            session.steps += stream.steps
            session.acting += stream.acting_seconds
            session.stepping += stream.stepping_seconds
            sink.flush()


def _refused(rows: np.ndarray, reason: str) -> Ended:
    number = len(rows)
    return Ended(
        row=rows,
        valid=np.zeros(number, bool),
        reason=[reason] * number,
        terminated=np.zeros(number, bool),
        statistics=np.zeros((number, 0), np.float32),
        wall_seconds=np.zeros(number),
    )


class _Sink:
    """Collects rows that are done, and writes a part now and then."""

    def __init__(
        self, store: Store, writer: RowWriter, session: _Session, progress: Progress
    ) -> None:
        self._store, self._writer, self._session = store, writer, session
        self._progress = progress
        self._held: list[tuple[Ended, np.ndarray]] = []
        self._count, self._last = 0, time.monotonic()

    def take(self, ended: Ended, attempts: np.ndarray) -> None:
        """Keep rows; they reach the disk soon."""
        self._held.append((ended, attempts))
        self._count += len(ended)
        self._session.rows += len(ended)
        self._session.invalid.update(reason for reason in ended.reason if reason)
        self._progress.update(
            self._progress.done + len(ended),
            {"invalid": str(sum(self._session.invalid.values()))},
        )
        if self._count >= _PART_ROWS or time.monotonic() - self._last > _PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        self._last = time.monotonic()
        if not self._held:
            return
        held, self._held, self._count = self._held, [], 0
        batches = [batch for batch, _ in held]
        self._store.append(
            self._writer.table(
                {
                    "row": np.concatenate([b.row for b in batches]),
                    "valid": np.concatenate([b.valid for b in batches]),
                    "reason": [reason for b in batches for reason in b.reason],
                    "terminated": np.concatenate([b.terminated for b in batches]),
                    "statistics": np.concatenate([b.statistics for b in batches]),
                    "wall_seconds": np.concatenate([b.wall_seconds for b in batches]),
                    "attempts": np.concatenate([a for _, a in held]),
                }
            )
        )


@contextlib.contextmanager
def _ending_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the sweep as Ctrl-C does, with the exit status of a signal."""
    received: list[int] = []
    ending = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    previous = {}

    def note(number: int, frame: Any) -> None:
        received.append(number)
        os.kill(os.getpid(), signal.SIGINT)

    if threading.current_thread() is threading.main_thread():
        for number in ending:
            if signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, note)
    try:
        yield
    except KeyboardInterrupt:
        if received:
            raise SystemExit(128 + received[0]) from None
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
