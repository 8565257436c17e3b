"""What a sweep has found, as one table."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from proveout.envs.core.errors import RunError
from proveout.training.sweep.ledger import Ledger
from proveout.training.sweep.plan import parsed
from proveout.training.sweep.store import SERIES, Store


def read_results(folder: Path | str, *, stale: bool = False) -> Any:
    """Return the rows of a sweep as a `pyarrow.Table`; `.to_pandas()` makes a DataFrame of it.

    Args:
        folder: Of the sweep.
        stale: Those that are of no row of the study any more, instead of those that are.

    Returns:
        The rows in the study's order, whatever the order in which they were done. Columns have
        their unit and meaning as metadata.

    Raises:
        RunError: No sweep, or one without a row.
    """
    store = Store.open(folder)
    plan = store.plan()
    expected = plan.ids(np.arange(len(plan)))
    order = np.argsort(expected)
    places, tables = [], []
    import pyarrow

    for part, table in store.read():
        if table is None:
            warnings.warn(f"{part.path} is damaged and left out; resume to redo it", stacklevel=2)
            continue
        ids = parsed(table.column("row").to_pylist())
        at = np.searchsorted(expected, ids, sorter=order) % max(len(expected), 1)
        here = expected[order[at]] == ids
        kept = np.flatnonzero(here != stale)
        places.append(order[at][kept] if not stale else ids[kept])
        tables.append(table.take(pyarrow.array(kept)))
    if not tables:
        raise RunError(f"{store.folder} holds no rows yet.")
    # Parts of an earlier study may lack a parameter, or have it as another type.
    whole = pyarrow.concat_tables(tables, promote_options="permissive" if stale else "default")
    numbers, first = np.unique(np.concatenate(places), return_index=True)
    whole = whole.take(pyarrow.array(first))
    if stale or plan.study.stop is None:
        return whole
    # Rows that were run before the study had its stop rule, and that it spares.
    ledger = Ledger.of_table(plan, whole)
    return whole.take(pyarrow.array(np.flatnonzero(ledger.wanted()[numbers])))


def read_series(folder: Path | str) -> Any:
    """Return the time series that a sweep has kept, as a `pyarrow.Table`.

    Args:
        folder: Of the sweep.

    Returns:
        `row` (its id, as in `read_results`), `step`, `time` [s] and a column for each signal, in
        the study's order of rows, then in that of time. Columns have unit and meaning as metadata.

    Raises:
        RunError: No sweep, or one that keeps no series.
    """
    store = Store.open(folder)
    ids = read_results(folder).column("row").to_pylist()
    place = {one: i for i, one in enumerate(ids)}
    import pyarrow
    import pyarrow.compute

    tables = []
    for part, table in store.read(kind=SERIES):
        if table is None:
            warnings.warn(f"{part.path} is damaged and left out; resume to redo it", stacklevel=2)
            continue
        own = pyarrow.compute.cast(table.column("row"), pyarrow.string())
        tables.append(table.set_column(0, table.schema.field("row").with_type(own.type), own))
    if not tables:
        raise RunError(
            f"{store.folder} holds no time series; a study keeps some with [series], see "
            "`proveout sweep init`."
        )
    whole = pyarrow.concat_tables(tables, promote_options="permissive")
    at = np.array([place.get(one, -1) for one in whole.column("row").to_pylist()])
    step = whole.column("step").to_numpy()
    here = np.flatnonzero(at >= 0)
    pairs = np.stack([at[here], step[here]], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)  # a row that was run twice counts once
    return whole.take(pyarrow.array(here[first]))
