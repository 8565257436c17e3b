"""Rows of one policy in one environment, from the first to tables of what they gave."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from proveout.envs.core.errors import ProveoutError, WorkerError
from proveout.training.evaluation.episodes import Column, statistic_columns
from proveout.training.evaluation.policy_source import PolicySource, load_policy
from proveout.training.rows.acting import SteadyPolicy
from proveout.training.rows.series import SeriesRecorder, steps_between
from proveout.training.rows.stream import Ended, RowStream
from proveout.training.sweep.plan import Plan
from proveout.training.sweep.store import RowWriter, series_table
from proveout.training.tasks import VectorEnvSpec, make_vector_env

_ATTEMPTS = 3
_PART_SECONDS = 10.0
_PART_ROWS = 50_000


@dataclass
class Effort:
    """What rows have cost: control steps of all worlds, and seconds in policy and environment."""

    steps: int = 0
    acting: float = 0.0
    stepping: float = 0.0

    def add(self, other: Any) -> None:
        """Add that of others, or of a stream."""
        self.steps += other.steps
        self.acting += getattr(other, "acting_seconds", getattr(other, "acting", 0.0))
        self.stepping += getattr(other, "stepping_seconds", getattr(other, "stepping", 0.0))


@dataclass(frozen=True)
class Delivery:
    """Rows that are done.

    Attributes:
        rows: Their numbers, (n,).
        table: As `RowWriter` makes it.
        series: Their time series; None: there are none.
        invalid: Why rows do not count -> how many.
    """

    rows: np.ndarray
    table: Any
    series: Any = None
    invalid: Counter[str] = field(default_factory=Counter)


class RowSink:
    """Collects rows that are done, and delivers them now and then."""

    def __init__(
        self,
        plan: Plan,
        columns: tuple[Column, ...],
        deliver: Callable[[Delivery], None],
        told: Callable[[Ended], None] = lambda ended: None,
    ) -> None:
        """Begin with nothing.

        Args:
            plan: The study.
            columns: Statistics of the environment; none where there is no environment.
            deliver: Gets what is done, at least every ten seconds while rows end.
            told: Hears of rows at once.
        """
        self.recorder: SeriesRecorder | None = None
        self._plan, self._deliver, self._told = plan, deliver, told
        self._writer = RowWriter(plan, columns)
        names = [column.name for column in columns]
        self._success = names.index("success") if "success" in names else None
        self._held: list[tuple[Ended, np.ndarray]] = []
        self._count, self._last = 0, time.monotonic()

    def take(self, ended: Ended, attempts: np.ndarray) -> None:
        """Keep rows; they are delivered soon."""
        self._held.append((ended, attempts))
        self._count += len(ended)
        self._told(ended)
        if self._count >= _PART_ROWS or time.monotonic() - self._last > _PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Deliver what is held."""
        self._last = time.monotonic()
        if not self._held:
            return
        held, self._held, self._count = self._held, [], 0
        batches = [batch for batch, _ in held]
        ended: dict[str, Any] = {
            "row": np.concatenate([b.row for b in batches]),
            "valid": np.concatenate([b.valid for b in batches]),
            "reason": [reason for b in batches for reason in b.reason],
            "terminated": np.concatenate([b.terminated for b in batches]),
            "statistics": np.concatenate([b.statistics for b in batches]),
            "wall_seconds": np.concatenate([b.wall_seconds for b in batches]),
            "attempts": np.concatenate([a for _, a in held]),
        }
        self._deliver(
            Delivery(
                rows=ended["row"],
                table=self._writer.table(ended),
                series=self._series(ended),
                invalid=Counter(reason for reason in ended["reason"] if reason),
            )
        )

    def _series(self, ended: dict[str, Any]) -> Any:
        if self.recorder is None:
            return None
        success = np.zeros(len(ended["row"]), bool)
        if self._success is not None:
            success = ended["statistics"][:, self._success] > 0.5
        kept = self._plan.study.series.kept(ended["valid"], success)
        samples = self.recorder.take(ended["row"], kept)
        if not len(samples.row):
            return None
        signals, control_dt = self.recorder.signals, self.recorder.control_dt
        return series_table(self._plan, samples, signals, control_dt)


def run_rows(
    env: Any,
    spec: VectorEnvSpec,
    source: PolicySource,
    plan: Plan,
    rows: np.ndarray,
    sink: RowSink,
    effort: Effort,
) -> Any:
    """Run rows of one policy in an environment; return it, or the one that replaced it.

    Args:
        env: From `spec`.
        spec: To make it again, when one of its worker processes dies.
        source: The policy.
        plan: The study.
        rows: Numbers of rows, (n,).
        sink: Gets them as they end, and is flushed.
        effort: Is added to.

    Raises:
        PolicyError: It cannot be loaded, or cannot act here.
        WorkerError: Worker processes have died three times with the same row.
    """
    attempts: Counter[int] = Counter()
    left = rows
    while True:
        try:
            policy = load_policy(source, env)
        except ProveoutError:
            sink.flush()
            raise
        size = int(env.single_observation_space.shape[0])
        sink.recorder = _recorder(env, plan)
        stream = RowStream(env, SteadyPolicy(policy, size), plan, left, sink.recorder)
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
            effort.add(stream)
            sink.flush()


def refused(rows: np.ndarray, reason: str) -> Ended:
    """Rows that no environment takes."""
    number = len(rows)
    return Ended(
        row=rows,
        valid=np.zeros(number, bool),
        reason=[reason] * number,
        terminated=np.zeros(number, bool),
        statistics=np.zeros((number, 0), np.float32),
        wall_seconds=np.zeros(number),
    )


def sink_for(
    env: Any | None,
    plan: Plan,
    deliver: Callable[[Delivery], None],
    told: Callable[[Ended], None] = lambda ended: None,
) -> RowSink:
    """The sink of an environment, or of rows that have none."""
    return RowSink(plan, () if env is None else statistic_columns(env), deliver, told)


def _recorder(env: Any, plan: Plan) -> SeriesRecorder | None:
    rule = plan.study.series
    if rule is None:
        return None
    every = steps_between(rule.rate, env.unwrapped.config.control_dt)
    return SeriesRecorder(
        env, rule.signals, every, lambda rows: rule.watched(plan.parts_of(rows)[3])
    )
