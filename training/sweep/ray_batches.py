"""A study on a Ray cluster: rows in batches, each a job that gives tables."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from proveout.envs.core.errors import ModelError, RunError
from proveout.training.evaluation.policy_source import NAMES, PolicySource
from proveout.training.rows.ray_cluster import RayCluster
from proveout.training.sweep.batch import Delivery, Effort, refused, run_rows, sink_for
from proveout.training.sweep.ledger import Ledger
from proveout.training.sweep.plan import Plan, identity
from proveout.training.sweep.study import Study
from proveout.training.tasks import VectorEnvSpec, make_vector_env

_FEWEST_ROWS, _MOST_ROWS = 32, 8192
_CPU_WORLDS, _GPU_WORLDS = 256, 4096
_SHARES = 4  # batches for each place: those that end early leave less to wait for
_ROWS_A_WORLD = 4


@dataclass(frozen=True)
class RowBatch:
    """Rows of one policy that run in one environment, as plain data.

    Attributes:
        study: As `Study.plain`, in JSON. config: Likewise, of the environment.
        identities: Of the policies.
        source: Where the policy is on every node.
        rows: Their numbers, (n,).
        num_envs: Worlds. device: "cpu" or "cuda". trust_pickle: As in `PolicySource`.
    """

    study: str
    config: str
    identities: tuple[str, ...]
    source: str
    rows: np.ndarray
    num_envs: int
    device: str
    trust_pickle: bool


def run_on_ray(
    plan: Plan,
    ledger: Ledger,
    address: str | None,
    machine: Any,
    accept: Callable[[Delivery, Effort, str], None],
) -> None:
    """Run what a study lacks.

    Args:
        plan: The study.
        ledger: Knows what is missing; `accept` tells it.
        address: See `RayCluster`.
        machine: See `Machine`; `num_envs` are those of a batch.
        accept: Gets rows, what they have cost, and the node that ran them.

    Raises:
        ConfigError: No cluster, or nodes with other versions.
        WorkerError: Rows that no node brings to an end.
    """
    device = "cuda" if machine.device.startswith("cuda") else "cpu"
    with RayCluster(address, device=device) as cluster:
        while len(missing := ledger.missing()):
            jobs, without = _batches(plan, missing, machine, device, cluster.places)
            for rows, reason in without:
                accept(_no_environment(plan, rows, reason), Effort(), "")
            for done in cluster.run(run_batch, jobs):
                deliveries, effort = done.value
                for delivery in deliveries:
                    accept(delivery, effort, done.node)
                    effort = Effort()


def _batches(
    plan: Plan, missing: np.ndarray, machine: Any, device: str, places: int
) -> tuple[list[RowBatch], list[tuple[np.ndarray, str]]]:
    """Batches of rows, and rows that the environment's config refuses, with the reason."""
    cells, policies = plan.parts_of(missing)[:2]
    size = int(np.clip(-(-len(missing) // (places * _SHARES)), _FEWEST_ROWS, _MOST_ROWS))
    worlds = _GPU_WORLDS if device == "cuda" else _CPU_WORLDS
    study, config = json.dumps(plan.study.plain()), json.dumps(plan.config)
    jobs, without = [], []
    for group in plan.groups():
        mine = np.isin(cells, group.cells)
        if group.config is None:
            if mine.any():
                without.append((missing[mine], group.reason))
            continue
        for number, text in enumerate(plan.study.policies):
            rows = missing[mine & (policies == number)]
            if not len(rows):
                continue
            parts = np.array_split(rows, -(-len(rows) // size))
            each = machine.num_envs or min(worlds, -(-len(parts[0]) // _ROWS_A_WORLD))
            jobs += [
                RowBatch(
                    study, config, plan.identities, _located(text), part, each, device,
                    machine.trust_pickle,
                )
                for part in parts
            ]  # fmt: skip
    return jobs, without


def _located(text: str) -> str:
    """A policy as a worker finds it, whose current folder is another."""
    return text if text in NAMES or not Path(text).exists() else str(Path(text).resolve())


def _no_environment(plan: Plan, rows: np.ndarray, reason: str) -> Delivery:
    made: list[Delivery] = []
    sink = sink_for(None, plan, made.append)
    sink.take(refused(rows, reason), np.ones(len(rows), int))
    sink.flush()
    return made[0]


@lru_cache(maxsize=2)
def _plan(study: str, config: str, identities: tuple[str, ...]) -> Plan:
    return Plan(Study.from_dict(json.loads(study)), json.loads(config), identities)


class _Kept:
    """The last environment of this process: most batches have the same."""

    key: Any = None
    env: Any = None

    @classmethod
    def take(cls, key: Any, spec: VectorEnvSpec) -> Any:
        """The environment of a spec, which is no longer kept."""
        env, same = cls.env, cls.key == key
        cls.env = cls.key = None
        if same:
            return env
        if env is not None:
            env.close()
        return make_vector_env(spec)


def run_batch(batch: RowBatch) -> tuple[list[Delivery], Effort]:
    """Run a batch on a node.

    Raises:
        RunError: The policy on this node is not that of the study.
    """
    plan = _plan(batch.study, batch.config, batch.identities)
    cell, policy = (int(part[0]) for part in plan.parts_of(batch.rows[:1])[:2])
    found = identity(batch.source, plan.study.env)
    if found != plan.identities[policy]:
        raise RunError(
            f"policy {batch.source} is another one, or not there, on a node of the Ray cluster; "
            "put it where all nodes see it under this path"
        )
    config = plan.config_of(cell)
    spec = VectorEnvSpec(
        plan.study.env, config, num_envs=batch.num_envs, device=batch.device, workers=1
    )
    made: list[Delivery] = []
    effort = Effort()
    key = (plan.study.env, repr(config), batch.num_envs, batch.device)
    try:
        env = _Kept.take(key, spec)
    except ModelError as error:
        return [_no_environment(plan, batch.rows, str(error))], effort
    try:
        sink = sink_for(env, plan, made.append)
        source = PolicySource(batch.source, batch.trust_pickle)
        env = run_rows(env, spec, source, plan, batch.rows, sink, effort)
    except BaseException:
        with contextlib.suppress(Exception):
            env.close()
        raise
    _Kept.key, _Kept.env = key, env
    return made, effort
