"""The rows of a study: what each is, how it is called, and in which environment it runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from proveout.envs.core.errors import ConfigError, ProveoutError, unknown
from proveout.policies.pretrained import pretrained
from proveout.training.evaluation.policy_source import NAMES
from proveout.training.rows.stream import Starts
from proveout.training.run.directory import Run
from proveout.training.run.files import read_bounded
from proveout.training.run.json_files import plain
from proveout.training.sweep.fields import Role, config_for, roles
from proveout.training.sweep.study import Study
from proveout.training.tasks import task_class

_MAX_POLICY_BYTES = 2 * 2**30
_INT31 = np.uint64(2**31 - 1)


@dataclass(frozen=True)
class Group:
    """Cells that run in the same environment.

    Attributes:
        config: Of the environment; None: it refuses these cells.
        reason: Why it does.
        cells: Their numbers, (n,).
    """

    config: Any
    reason: str
    cells: np.ndarray


class Plan:
    """A study with its rows.

    A row's number counts cells, then policies, then seeds, then episodes. Its id is made of what
    it is, so that a study that grows keeps its rows.

    Attributes:
        study: The study.
        config: The whole config of the environment, plain data.
        identities: What tells each policy from others: the SHA-256 of its file, or its name.
        columns: Name of a parameter -> its values, one a cell; None where it does not exist.
        cell_ids: (cells,) uint64.
    """

    def __init__(self, study: Study, config: Mapping[str, Any], identities: Sequence[str]) -> None:
        """Make the cells.

        Args:
            study: The study.
            config: The whole config, as `to_dict` gives it.
            identities: Of the policies.

        Raises:
            ConfigError, UnknownNameError: A parameter or KPI that is not there.
        """
        cls = task_class(study.env)
        self.study, self.config = study, plain(config)
        self.identities = tuple(identities)
        self._base = cls.config_class.from_dict(config)
        task = cls(self._base)
        self.roles: dict[str, Role] = roles(task, (p.name for p in study.space.parameters))
        known = [kpi.name for kpi in task.kpis]
        for kpi in study.kpis:
            if kpi not in known:
                raise unknown("KPI", kpi, known)
        outcomes = ["success", "return", "length", *known]
        for name in study.stop.widths if study.stop is not None else ():
            if name not in outcomes:
                raise unknown("outcome of stop", name, outcomes)
        self.columns = {
            name: [_rounded(v, self.roles[name]) for v in values]
            for name, values in study.space.columns().items()
        }
        self._refuse_text()
        self.cells = max(len(next(iter(self.columns.values()), [None])), 0)
        self._hash_cells()
        self._per_cell = len(study.policies) * len(study.seeds) * study.episodes

    def _refuse_text(self) -> None:
        for name, values in self.columns.items():
            if self.roles[name].kind != "structural":
                for value in values:
                    if isinstance(value, bool | str):
                        raise ConfigError(f"parameter {name} takes numbers, got {value!r}")

    def _hash_cells(self) -> None:
        about = {
            "env": self.study.env,
            "config": self.config,
            "kpis": sorted(self.study.kpis),
            "same_starts": self.study.same_starts,
        }
        prefix = hashlib.blake2b(json.dumps(about, sort_keys=True).encode()).digest()
        names = list(self.columns)
        ids, starts = np.zeros(self.cells, np.uint64), np.zeros(self.cells, np.uint64)
        for cell in range(self.cells):
            # An integer and the float of the same value are the same row.
            values = {name: _same(self.columns[name][cell]) for name in names}
            text = json.dumps(values, sort_keys=True).encode()
            ids[cell] = _hash64(prefix, text)
            starts[cell] = _hash64(self.study.env.encode(), text)
        self.cell_ids = ids
        self._start_ids = np.zeros_like(starts) if self.study.same_starts else starts

    @classmethod
    def of(cls, study: Study) -> Plan:
        """The plan of a study, with the config and the policies as they are here and now.

        Raises:
            ConfigError, UnknownNameError: As the environment says.
            PolicyError, RunError: A policy is not there.
        """
        config_class = task_class(study.env).config_class
        config = config_class.from_dict(study.config).to_dict()
        return cls(study, config, [identity(text, study.env) for text in study.policies])

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.cells * self._per_cell

    def parts_of(self, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """Cell, policy, seed and episode of rows, each (n,): numbers, not values."""
        study = self.study
        rest, episode = np.divmod(rows, study.episodes)
        rest, seed = np.divmod(rest, len(study.seeds))
        cell, policy = np.divmod(rest, len(study.policies))
        return cell, policy, seed, episode

    def ids(self, rows: np.ndarray) -> np.ndarray:
        """Ids of rows, (n,) uint64; `shown` writes them."""
        cell, policy, seed, episode = self.parts_of(rows)
        policies = np.array([_hash64(one.encode()) for one in self.identities], np.uint64)
        seeds = np.array(self.study.seeds, np.uint64)
        mixed = _mix(self.cell_ids[cell] ^ _mix(policies[policy]))
        mixed = _mix(mixed ^ _mix(seeds[seed] + np.uint64(1)))
        return _mix(mixed ^ _mix(episode.astype(np.uint64) + np.uint64(2)))

    def world_ids(self, cells: np.ndarray) -> np.ndarray:
        """What keys the random numbers of cells, besides seed and episode, (n,) int32."""
        return (_mix(self._start_ids[cells]) & _INT31).astype(np.int32)

    def groups(self) -> list[Group]:
        """Cells by the environment that they run in, in order."""
        structural = [name for name, role in self.roles.items() if role.kind == "structural"]
        found: dict[tuple[Any, ...], list[int]] = {}
        for cell in range(self.cells):
            key = tuple(repr(self.columns[name][cell]) for name in structural)
            found.setdefault(key, []).append(cell)
        return [self._group(structural, np.array(cells)) for cells in found.values()]

    def _group(self, structural: list[str], cells: np.ndarray) -> Group:
        given = {name: self.columns[name][cells[0]] for name in structural}
        given = {name: value for name, value in given.items() if value is not None}
        drawn = {
            name: [float(v) for v in set(self.columns[name]) if v is not None]
            for name, role in self.roles.items()
            if role.kind == "randomization"
        }
        try:
            config = config_for(self._base, given, drawn)
            task_class(self.study.env)(config)
        except ProveoutError as error:
            return Group(None, str(error), cells)
        return Group(config, "", cells)

    def config_of(self, cell: int) -> Any:
        """The config of the environment in which a cell runs."""
        structural = [name for name, role in self.roles.items() if role.kind == "structural"]
        group = self._group(structural, np.array([cell]))
        if group.config is None:
            raise ConfigError(f"the environment refuses this cell: {group.reason}")
        return group.config

    def starts(self, rows: np.ndarray) -> Starts:
        """How rows begin."""
        cell, _, seed, episode = self.parts_of(rows)
        config: dict[str, np.ndarray] = {}
        parameters: dict[str, np.ndarray] = {}
        for name, role in self.roles.items():
            if role.kind == "structural":
                continue
            missing = np.nan if role.neutral is None else role.neutral
            values = [self.columns[name][c] for c in cell]
            row = np.array([missing if v is None else float(v) for v in values], np.float64)
            (config if role.kind == "number" else parameters)[name] = row
        return Starts(
            seed=np.array(self.study.seeds, np.uint64)[seed],
            world_id=self.world_ids(cell),
            episode=episode.astype(np.int32),
            kind=cell,
            config=config,
            parameters=parameters,
        )

    def cell_text(self, cell: int) -> str:
        """A cell in words: "max_increment 0.05, joint_damping 1"."""
        told = [(name, values[cell]) for name, values in self.columns.items()]
        return ", ".join(f"{n} {_figure(v)}" for n, v in told if v is not None) or "the only cell"


def identity(text: str, env_id: str) -> str:
    """What tells a policy from others: the SHA-256 of its file, or its name.

    Raises:
        PolicyError, RunError: It is not there.
    """
    if text == "pretrained":
        return _file_digest(pretrained(env_id))
    if text in NAMES:
        return text
    path = Path(text)
    if path.is_dir():
        return Run.open(path).read_policy().digest
    if path.is_file():
        return _file_digest(path)
    return text  # not there: loading it says so, with the nearest name


def shown(ids: np.ndarray) -> list[str]:
    """Ids as they are written: sixteen hexadecimal digits."""
    return [f"{one:016x}" for one in ids.tolist()]


def parsed(texts: Iterable[str]) -> np.ndarray:
    """Ids from what `shown` wrote, (n,) uint64.

    Raises:
        ConfigError: Not sixteen hexadecimal digits.
    """
    ids = []
    for text in texts:
        try:
            ids.append(int(text, 16))
        except ValueError:
            ids.append(-1)
        if len(text) != 16 or ids[-1] < 0:
            raise ConfigError(f"row {text!r}: sixteen hexadecimal digits expected")
    return np.array(ids, np.uint64)


def _file_digest(path: Path) -> str:
    return hashlib.sha256(read_bounded(path, _MAX_POLICY_BYTES)).hexdigest()


def _figure(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _rounded(value: Any, role: Role) -> Any:
    return round(value) if role.whole and isinstance(value, float) else value


def _same(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _hash64(*parts: bytes) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return int.from_bytes(digest.digest(), "little")


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), (n,) uint64."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
