"""The folder of a sweep: a manifest, and rows in Parquet parts that are whole or not there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from proveout.assets.files.atomic import write_atomic
from proveout.envs.core.errors import RunError
from proveout.training.evaluation.episodes import Column
from proveout.training.rows.series import Samples, Signal
from proveout.training.run.failures import one_line
from proveout.training.run.files import cannot_write, read_bounded, refuse_other
from proveout.training.run.json_files import dump_json, read_json, write_json
from proveout.training.run.lock import LOCK
from proveout.training.sweep.plan import Plan
from proveout.training.sweep.study import Study

MANIFEST = "manifest.json"
PARTS = "parts"
SERIES = "series"
FORMAT = 1
_PART = re.compile(r"part-(\d{6})-([0-9a-f]{16})\.parquet")
_LEFTOVER = re.compile(r"\.(part-\d{6}-[0-9a-f]{16}|manifest)-[a-z0-9_]{8}\.(parquet|json)")
_MAX_PART_BYTES = 2**30


@dataclass(frozen=True)
class Part:
    """A file of rows; its name holds the hash of what is in it."""

    path: Path
    number: int
    digest: str


class Store:
    """The folder of a sweep.

    Attributes:
        folder: The directory.
        manifest: What its manifest.json says.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        """Use `create` or `open`."""
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def create(cls, folder: Path, plan: Plan) -> Store:
        """Make the folder, or give an existing one another study.

        Raises:
            RunError: It cannot be written, or is the folder of something else.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
        store = cls(folder, {})
        store.check()
        if not (folder / MANIFEST).exists():
            others = [p.name for p in folder.iterdir() if p.name not in (PARTS, SERIES, LOCK)]
            others = [name for name in others if not _LEFTOVER.fullmatch(name)]
            if others:
                raise RunError(
                    f"{folder} holds {others[0]} and no sweep; give --out a folder of its own."
                )
        else:
            store.manifest = _read_manifest(folder)
        store.manifest = {
            "format": FORMAT,
            "study": plan.study.plain(),
            "digest": plan.study.digest,
            "config": plan.config,
            "policies": dict(zip(plan.study.policies, plan.identities, strict=True)),
            "rows": len(plan),
            "state": "started",
            "sessions": store.manifest.get("sessions", []),
        }
        store.save_manifest()
        return store

    @classmethod
    def open(cls, folder: Path | str) -> Store:
        """Open the folder of a sweep.

        Raises:
            RunError: There is none, or its manifest is damaged.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise RunError(f"{folder} is not the folder of a sweep: there is no such folder.")
        store = cls(folder, {})
        store.check()
        if not (folder / MANIFEST).is_file():
            raise RunError(f"{folder} has no {MANIFEST}: it is not the folder of a sweep.")
        store.manifest = _read_manifest(folder)
        return store

    def check(self) -> None:
        """Refuse links, pipes and devices in place of what is read and written here."""
        for name in (MANIFEST, LOCK, PARTS, SERIES):
            refuse_other(self.folder / name, folder=name in (PARTS, SERIES))

    def plan(self) -> Plan:
        """The rows of the study that was run, with the config and the policies of then."""
        manifest, path = self.manifest, self.folder / MANIFEST
        try:
            study = Study.from_dict(manifest["study"])
            identities = [manifest["policies"][text] for text in study.policies]
            return Plan(study, manifest["config"], identities)
        except (KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"{path} is damaged ({one_line(error)}); run the same command again."
            ) from error

    def save_manifest(self) -> None:
        """Write the manifest."""
        write_json(self.folder / MANIFEST, self.manifest)

    def tidy(self) -> None:
        """Remove what a kill has left half written."""
        for folder in (self.folder, self.folder / PARTS, self.folder / SERIES):
            if folder.is_dir():
                for path in folder.iterdir():
                    if _LEFTOVER.fullmatch(path.name) and path.is_file():
                        path.unlink(missing_ok=True)

    def parts(self, kind: str = PARTS) -> list[Part]:
        """Files of rows, or of series, by their names, in order; whole or damaged."""
        folder = self.folder / kind
        found = []
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            match = _PART.fullmatch(path.name)
            if match and path.is_file() and not path.is_symlink():
                found.append(Part(path, int(match[1]), match[2]))
        return found

    def append(self, table: Any, kind: str = PARTS) -> None:
        """Add rows, or series, whole or not at all.

        Raises:
            RunError: They cannot be written, as on a full disk.
        """
        import pyarrow
        import pyarrow.parquet

        sink = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(table, sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
        number = max((part.number for part in self.parts(kind)), default=0) + 1
        path = self.folder / kind / f"part-{number:06d}-{_digest(data)}.parquet"
        try:
            write_atomic(path, data)
        except OSError as error:
            raise cannot_write(path, error) from error

    def read(
        self, columns: list[str] | None = None, kind: str = PARTS
    ) -> Iterator[tuple[Part, Any]]:
        """Yield every part with its table, None where it is damaged.

        Args:
            columns: Which, as far as they are there; None: all.
            kind: Rows or series.
        """
        import pyarrow
        import pyarrow.parquet

        for part in self.parts(kind):
            table = None
            data = read_bounded(part.path, _MAX_PART_BYTES)
            if _digest(data) == part.digest:
                table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(data)).read(columns)
            yield part, table

    def whole(self, columns: list[str], kind: str = PARTS) -> Iterator[Any]:
        """Yield the tables of the parts that are whole.

        A damaged one is set aside under another name, so that its rows are run again.
        """
        for part, table in self.read(columns, kind):
            if table is None:
                part.path.rename(part.path.with_suffix(".damaged"))
            else:
                yield table

    def damaged(self) -> int:
        """Parts that were found damaged and set aside."""
        folders = (self.folder / PARTS, self.folder / SERIES)
        return sum(len(list(f.glob("*.damaged"))) for f in folders if f.is_dir())


def series_table(plan: Plan, samples: Samples, signals: list[Signal], control_dt: float) -> Any:
    """Samples as a table: row (id), step, time [s], and a column for each signal."""
    import pyarrow

    from proveout.training.sweep.plan import shown

    times = samples.step * control_dt
    ids = pyarrow.array(shown(plan.ids(samples.row))).dictionary_encode()
    about = [
        ("row", ids, "", "id of the row"),
        ("step", pyarrow.array(samples.step), "1", "control steps since the episode began"),
        ("time", pyarrow.array(times), "s", "since the episode began"),
    ]
    about += [
        (signal.name, pyarrow.array(samples.values[:, i]), signal.unit, signal.text)
        for i, signal in enumerate(signals)
    ]
    fields = [
        pyarrow.field(name, array.type, metadata={"unit": unit, "description": text})
        for name, array, unit, text in about
    ]
    return pyarrow.Table.from_arrays([one[1] for one in about], schema=pyarrow.schema(fields))


class RowWriter:
    """Turns rows of a plan into tables.

    Args:
        plan: The study.
        columns: Statistics of the environment, in their order.
    """

    def __init__(self, plan: Plan, columns: tuple[Column, ...]) -> None:
        """Choose the statistics to keep."""
        self._plan = plan
        task_kpis = {column.name for column in columns} - _without_kpis(columns)
        dropped = task_kpis - set(plan.study.kpis) if plan.study.kpis else set()
        self._columns = [(i, c) for i, c in enumerate(columns) if c.name not in dropped]

    def table(self, ended: Mapping[str, Any]) -> Any:
        """A table of rows.

        Args:
            ended: row (n,), valid (n,), reason [n], terminated (n,), statistics (n, S),
                wall_seconds (n,), attempts (n,).
        """
        import pyarrow

        from proveout.training.sweep.plan import shown

        plan, rows, valid = self._plan, ended["row"], ended["valid"]
        cell, policy, seed, episode = plan.parts_of(rows)
        fields: list[Any] = []
        arrays: list[Any] = []

        def add(name: str, array: Any, unit: str, text: str) -> None:
            about = {"unit": unit, "description": text}
            fields.append(pyarrow.field(name, array.type, metadata=about))
            arrays.append(array)

        add("row", pyarrow.array(shown(plan.ids(rows))), "", "id of the row, by what it is")
        add("cell", pyarrow.array(shown(plan.cell_ids[cell])), "", "id of its point of the space")
        names = np.array(plan.study.policies, object)[policy]
        add("policy", pyarrow.array(names, pyarrow.string()), "", "which policy acted")
        add("seed", pyarrow.array(np.array(plan.study.seeds, np.uint64)[seed]), "", "of the worlds")
        add("world", pyarrow.array(plan.world_ids(cell)), "", "number of the world")
        add("episode", pyarrow.array(episode.astype(np.int32)), "", "number of the episode")
        for name, values in plan.columns.items():
            picked = [values[c] for c in cell]
            role = plan.roles[name]
            add(f"parameter/{name}", _parameter_array(values, picked), role.unit, role.text)
        add("valid", pyarrow.array(valid), "", "whether the row counts")
        add("reason", pyarrow.array(ended["reason"], pyarrow.string(), mask=valid), "", "why not")
        add(
            "attempts", pyarrow.array(ended["attempts"].astype(np.int32)), "1", "times it was begun"
        )
        add("wall_seconds", pyarrow.array(ended["wall_seconds"]), "s", "beside the other rows")
        early = pyarrow.array(ended["terminated"], mask=~valid)
        add("terminated", early, "", "whether it ended before its time")
        for index, column in self._columns:
            values = ended["statistics"][:, index]
            filled = valid & np.isfinite(values)
            made = np.where(filled, values, 0).astype(column.dtype)
            add(column.name, pyarrow.array(made, mask=~filled), column.unit, column.text)
        about = {"env_id": plan.study.env, "study": dump_json(plan.study.plain())}
        return pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields, metadata=about))


def _without_kpis(columns: tuple[Column, ...]) -> set[str]:
    kept = {"return", "length", "success"}
    return kept | {c.name for c in columns if "/" in c.name}


def _parameter_array(values: list[Any], picked: list[Any]) -> Any:
    import pyarrow

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return pyarrow.array([None if v is None else float(v) for v in picked], pyarrow.float64())
    if kinds == {bool}:
        return pyarrow.array(picked, pyarrow.bool_())
    texts = [None if v is None else v if isinstance(v, str) else json.dumps(v) for v in picked]
    return pyarrow.array(texts, pyarrow.string())


def _read_manifest(folder: Path) -> dict[str, Any]:
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise RunError(
            f"{folder / MANIFEST} has format {manifest.get('format')!r}, {FORMAT} expected: it is "
            "of another version, or not of a sweep."
        )
    return manifest


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
