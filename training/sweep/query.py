"""SQL over the rows of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from proveout.envs.core.errors import ConfigError
from proveout.training.run.failures import one_line
from proveout.training.run.optional import optional_module
from proveout.training.sweep.results import read_results, read_series
from proveout.training.sweep.store import SERIES, Store


def query(folder: Path | str, sql: str) -> Any:
    """Return what one reading SQL statement gives, as a `pyarrow.Table`.

    Args:
        folder: Of the sweep.
        sql: Of DuckDB; the table is called `rows`, that of kept time series `series`.

    Raises:
        ConfigError: No statement, several, one that writes, or one that DuckDB refuses.
        MissingPackageError: DuckDB is not installed.
        RunError: No sweep, or one without a row.
    """
    duckdb = optional_module("duckdb", "sweep", "duckdb")
    connection = duckdb.connect(":memory:")
    try:
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise ConfigError(
                "one statement that reads is expected, such as: select policy, avg(success::int) "
                "from rows group by policy"
            )
        connection.register("rows", read_results(folder))
        if Store.open(folder).parts(SERIES):
            connection.register("series", read_series(folder))
        # A select can read files, and functions of extensions can write them.
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        return connection.sql(sql).to_arrow_table()
    except duckdb.Error as error:
        raise ConfigError(f"DuckDB refuses the query: {one_line(error)}") from error
    finally:
        connection.close()
