"""A table of episodes, one row each, from which any of them can be run again."""

from __future__ import annotations

import csv
import dataclasses
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from proveout.assets.files.atomic import atomic_path
from proveout.envs.core.errors import ConfigError
from proveout.envs.core.invalid import Invalid
from proveout.training.run.json_files import dump_json

SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        name: Its name in files; for a statistic that of `info["episode_statistics"]`.
        unit: SI unit, "1" for a pure number, "" where there is none.
        text: What it means.
        dtype: NumPy type of its values.
    """

    name: str
    unit: str
    text: str
    dtype: Any


_KEYS = (
    Column("seed", "", "seed of the worlds", np.uint64),
    Column("world", "", "number of the world", np.int32),
    Column("episode", "", "number of the episode within the world", np.int32),
    Column("valid", "", "whether the episode counts", np.bool_),
    Column("reason", "", "why an episode does not count", np.str_),
    Column("terminated", "", "whether it ended before its time", np.bool_),
)
_OUTCOMES: dict[str, tuple[str, Any]] = {
    "return": ("sum of the rewards", np.float32),
    "length": ("control steps", np.int32),
    "success": ("whether the task was solved", np.bool_),
}


def statistic_columns(env: Any) -> tuple[Column, ...]:
    """Return the columns of an environment's episode statistics, in their order.

    Args:
        env: Vector environment of a task.

    Raises:
        ConfigError: Two columns of the table would have the same name.
    """
    task = env.unwrapped.task
    kpis = {kpi.name: kpi for kpi in task.kpis}
    weights = {
        field.name: field.metadata for field in dataclasses.fields(task.config.reward_weights)
    }
    columns = []
    for name, unit in env.unwrapped.statistics:
        kind, _, rest = name.partition("/")
        text: str = ""
        dtype: Any = np.float32
        if name in _OUTCOMES:
            text, dtype = _OUTCOMES[name]
        elif name in kpis:
            text = f"{kpis[name].description} ({kpis[name].reduce} over the episode)"
        elif kind == "reward":
            # Its mean has the unit of the raw term: that which the weight takes away.
            unit = _inverse(weights[rest].get("unit", "1"))
            text = f"{weights[rest].get('help', rest)}, mean over the episode"
        elif kind == "randomization":
            text = "drawn for this episode"
        columns.append(Column(name, unit, text, dtype))
    counts = Counter(column.name for column in (*_KEYS, *columns))
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise ConfigError(
            f"{task.id}: two columns of the table of episodes are called {twice[0]!r}; give the "
            "KPI another name"
        )
    return tuple(columns)


def _inverse(unit: str) -> str:
    top, _, bottom = unit.partition("/")
    bottom = bottom or "1"
    return bottom if top == "1" else f"{bottom}/{top}"


@dataclass(frozen=True)
class Episodes:
    """E episodes of a policy, in the order of their worlds.

    An episode runs again in an environment of one world with the same config, by
    `reset(seed=seed, options={"world_ids": [world], "episodes": [episode]})` and the same actions.

    Attributes:
        env_id: Registered id.
        config: Of the environment, plain data.
        seed: Of all worlds.
        world: Number of the world, shape (E,).
        episode: Number of the episode within its world, shape (E,).
        valid: Whether the episode counts as a result, shape (E,).
        reason: Why not: bits of `proveout.envs.core.invalid`, shape (E,).
        terminated: Whether it ended before its time, shape (E,).
        statistics: Episode statistics, float32, shape (E, S); of an episode that is not valid,
            only what was drawn for it means anything.
        columns: Of the statistics, S of them.
    """

    env_id: str
    config: dict[str, Any]
    seed: int
    world: np.ndarray
    episode: np.ndarray
    valid: np.ndarray
    reason: np.ndarray
    terminated: np.ndarray
    statistics: np.ndarray
    columns: tuple[Column, ...]

    def __len__(self) -> int:
        """Return the number of episodes, valid or not."""
        return len(self.world)

    def statistic(self, name: str) -> np.ndarray:
        """Return one statistic of the valid episodes, float64."""
        names = [column.name for column in self.columns]
        return self.statistics[self.valid, names.index(name)].astype(np.float64)

    def rows(self) -> list[dict[str, Any]]:
        """Return a dict for each episode: column name -> value, None where it is empty."""
        names = [column.name for column, *_ in self._filled_columns()]
        return [dict(zip(names, values, strict=True)) for values in self._value_rows(plain=True)]

    def write(self, path: Path | str) -> None:
        """Write the table, whole or not at all.

        Args:
            path: Ends in .csv, for plain names and empty cells; or in .parquet, where columns have
                their unit and meaning as metadata, and the table has `env_id` and `config` (JSON).

        Raises:
            ConfigError: It cannot be written there.
        """
        path = Path(path)
        check_path(path)
        try:
            with atomic_path(path) as temporary:
                if path.suffix == ".csv":
                    self._write_csv(temporary)
                else:
                    self._write_parquet(temporary)
        except OSError as error:
            raise _unwritable(path, error) from error

    def _filled_columns(self) -> Iterator[tuple[Column, np.ndarray, np.ndarray]]:
        """Yield every column with its values and where it has any, each of shape (E,)."""
        everywhere, valid = np.ones(len(self), bool), self.valid
        words = {bits: Invalid(int(bits)).words if bits else "" for bits in np.unique(self.reason)}
        keys = {
            "seed": (np.full(len(self), self.seed), everywhere),
            "world": (self.world, everywhere),
            "episode": (self.episode, everywhere),
            "valid": (valid, everywhere),
            "reason": (np.array([words[bits] for bits in self.reason], object), ~valid),
            "terminated": (self.terminated, valid),
        }
        for column in _KEYS:
            values, filled = keys[column.name]
            yield column, values if column.dtype is np.str_ else values.astype(column.dtype), filled
        for column, values in zip(self.columns, self.statistics.T, strict=True):
            drawn = column.name.startswith("randomization/")
            filled = (everywhere if drawn else valid) & np.isfinite(values)
            yield column, np.where(filled, values, 0).astype(column.dtype), filled

    def _value_rows(self, *, plain: bool) -> Iterator[tuple[Any, ...]]:
        """Yield the values of each row, None where there are none.

        Args:
            plain: Python's own numbers; else NumPy's, whose text is the shortest that gives a
                float32 back.
        """
        lists = []
        for column, values, filled in self._filled_columns():
            exact = plain or column.dtype is not np.float32
            present = values.tolist() if exact else list(values)
            lists.append([v if f else None for v, f in zip(present, filled, strict=True)])
        return zip(*lists, strict=True)

    def _write_csv(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([column.name for column, *_ in self._filled_columns()])
            writer.writerows(self._value_rows(plain=False))

    def _write_parquet(self, path: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        fields, arrays = [], []
        for column, values, filled in self._filled_columns():
            kind = pyarrow.string() if column.dtype is np.str_ else None
            array = pyarrow.array(values, type=kind, mask=~filled)
            about = {"unit": column.unit, "description": column.text}
            fields.append(pyarrow.field(column.name, array.type, metadata=about))
            arrays.append(array)
        about = {"env_id": self.env_id, "config": dump_json(self.config)}
        schema = pyarrow.schema(fields, metadata=about)
        pyarrow.parquet.write_table(pyarrow.Table.from_arrays(arrays, schema=schema), path)


def check_path(path: Path) -> None:
    """Refuse a path to which a table of episodes cannot be written; makes its folder.

    Raises:
        ConfigError: Another suffix, a folder, or a place where nothing can be written.
    """
    try:
        if path.is_dir():
            raise ConfigError(
                f"{path} is a folder; name a file in it, such as {path / 'episodes.csv'}."
            )
        if path.suffix not in SUFFIXES:
            raise ConfigError(f"{path}: a table of episodes ends in {' or '.join(SUFFIXES)}.")
        path.parent.mkdir(parents=True, exist_ok=True)
        # A trial says more than permissions, which mean nothing to root and on some file systems.
        with tempfile.NamedTemporaryFile(
            prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
        ):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"the table of episodes cannot be written to {path} ({error.strerror or error}); give a "
        "file in a folder that can be written."
    )
