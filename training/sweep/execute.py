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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from proveout.envs.core.device import resolve_device
from proveout.envs.core.errors import ConfigError, ModelError, RunError, unknown
from proveout.training.evaluation.policy_source import PolicySource
from proveout.training.evaluation.statistics import evaluation_worlds
from proveout.training.rows.stream import Ended
from proveout.training.run.cost import CostMeter
from proveout.training.run.lock import working_on
from proveout.training.run.progress import Progress, say
from proveout.training.run.provenance import provenance
from proveout.training.sweep.batch import Delivery, Effort, refused, run_rows, sink_for
from proveout.training.sweep.ledger import Ledger
from proveout.training.sweep.plan import Group, Plan
from proveout.training.sweep.store import SERIES, Store
from proveout.training.sweep.study import Study
from proveout.training.tasks import VectorEnvSpec, make_vector_env

DEFAULT_LIMIT = 1_000_000
MOST_WORLDS = 1024
IN_PROCESS, RAY = "in-process", "ray"
ENGINES = (IN_PROCESS, RAY)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """On what a study runs; changes no bit of it on the CPU.

    Attributes:
        num_envs: Worlds; 0: chosen here.
        device: "auto", "cpu" or "cuda:N".
        workers: Processes on the CPU; None: all cores. Of "in-process".
        trust_pickle: As in `PolicySource`.
        engine: "in-process", or "ray" for batches on the nodes of a Ray cluster; there, `device`
            "auto" is the CPU.
        address: Of a cluster that runs, see `RayCluster`; None: one of this machine's cores.
    """

    num_envs: int = 0
    device: str = "auto"
    workers: int | None = None
    trust_pickle: bool = False
    engine: str = IN_PROCESS
    address: str | None = None

    def __post_init__(self) -> None:
        """Check what goes together.

        Raises:
            ConfigError, UnknownNameError: As the message says.
        """
        if self.engine not in ENGINES:
            raise unknown("engine", str(self.engine), ENGINES)
        if self.address is not None and self.engine != RAY:
            raise ConfigError("an address belongs to the engine ray; give --engine ray")
        if self.workers is not None and self.engine == RAY:
            raise ConfigError("workers are of the engine in-process; Ray has its own")


@dataclass
class _Session:
    """What this call has done, and where it goes."""

    store: Store
    ledger: Ledger
    rows: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    effort: Effort = field(default_factory=Effort)
    nodes: Counter[str] = field(default_factory=Counter)

    def accept(self, delivery: Delivery) -> None:
        """Write rows; their series first, as a row that is there counts as done."""
        if delivery.series is not None:
            self.store.append(delivery.series, SERIES)
        self.store.append(delivery.table)
        self.ledger.note(delivery.rows, delivery.table)
        self.rows += len(delivery.rows)


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
        JSON data: `folder`, `rows` of the study, `done_before`, `run` now, `spared` by the stop
        rule, `invalid` of those that were run, `invalid_reasons`, `stale`,
        `damaged_parts`, `seconds`, `rows_per_s`, `steps_per_s`, `acting_seconds`,
        `stepping_seconds`.

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
    ledger = Ledger.of(plan, store)
    damaged, there = store.damaged(), ledger.there()
    if shown:
        _tell_what_is_there(store, plan, before, there, ledger.stale, damaged)
    about = provenance(sys.argv)
    store.manifest["sessions"] = [*store.manifest["sessions"], about]
    store.save_manifest()
    session, began = _Session(store, ledger), time.monotonic()
    here = "cpu" if machine.engine == RAY else machine.device
    meter = CostMeter(resolve_device(here).alias)
    state = "interrupted"
    try:
        with (
            meter,
            _ending_signals(),
            Progress("sweep", len(plan), unit="rows", start=there, shown=shown) as progress,
        ):
            if machine.engine == RAY:
                _run_there(plan, ledger, machine, session, progress)
            else:
                _run_here(plan, ledger, machine, session, progress)
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
        about["engine"] = machine.engine
        if machine.engine == IN_PROCESS:  # other nodes are not measured
            about["cost"] = meter.told(session.effort.steps)
        if session.nodes:
            about["nodes"] = dict(session.nodes)
        store.manifest["state"] = state
        with contextlib.suppress(RunError) if state != "complete" else contextlib.nullcontext():
            store.save_manifest()
    effort = session.effort
    return {
        "folder": str(store.folder),
        "rows": len(plan),
        "done_before": there,
        "run": session.rows,
        "spared": int((~ledger.wanted()).sum()),
        "invalid": sum(session.invalid.values()),
        "invalid_reasons": dict(session.invalid.most_common()),
        "stale": ledger.stale,
        "damaged_parts": damaged,
        "seconds": seconds,
        "rows_per_s": session.rows / max(seconds, 1e-9),
        "steps_per_s": effort.steps / max(effort.stepping + effort.acting, 1e-9),
        "acting_seconds": effort.acting,
        "stepping_seconds": effort.stepping,
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


def _run_here(
    plan: Plan, ledger: Ledger, machine: Machine, session: _Session, progress: Progress
) -> None:
    """Run what is missing in this process and its workers, one environment after the other."""

    def told(ended: Ended) -> None:
        session.invalid.update(reason for reason in ended.reason if reason)
        progress.update(progress.done + len(ended), {"invalid": str(sum(session.invalid.values()))})

    for group in plan.groups():
        _run_group(plan, group, ledger, machine, session, told)
        progress.expect(int(ledger.wanted().sum()))


def _run_there(
    plan: Plan, ledger: Ledger, machine: Machine, session: _Session, progress: Progress
) -> None:
    """Run what is missing on a Ray cluster."""
    from proveout.training.sweep.ray_batches import run_on_ray

    def accept(delivery: Delivery, effort: Effort, node: str) -> None:
        session.accept(delivery)
        session.invalid.update(delivery.invalid)
        session.effort.add(effort)
        if node:
            session.nodes[node] += len(delivery.rows)
        progress.update(
            progress.done + len(delivery.rows), {"invalid": str(sum(session.invalid.values()))}
        )
        if plan.study.stop is not None:
            progress.expect(int(ledger.wanted().sum()))

    run_on_ray(plan, ledger, machine.address, machine, accept)


def _run_group(
    plan: Plan,
    group: Group,
    ledger: Ledger,
    machine: Machine,
    session: _Session,
    told: Callable[[Ended], None],
) -> None:
    def missing(policy: int | None = None) -> np.ndarray:
        rows = ledger.missing()
        cells, policies = plan.parts_of(rows)[:2]
        mine = np.isin(cells, group.cells)
        return rows[mine if policy is None else mine & (policies == policy)]

    rows = missing()
    if not len(rows):
        return
    worlds = machine.num_envs or evaluation_worlds(len(rows), MOST_WORLDS)
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
    sink = sink_for(env, plan, session.accept, told)
    try:
        if env is None:
            while len(rows):
                sink.take(refused(rows, reason), np.ones(len(rows), int))
                sink.flush()
                rows = missing()
            return
        for number, text in enumerate(plan.study.policies):
            # One round, or as many as a stop rule asks for.
            while len(rows := missing(number)):
                source = PolicySource(text, machine.trust_pickle)
                env = run_rows(env, spec, source, plan, rows, sink, session.effort)
    finally:
        if env is not None:
            env.close()


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
