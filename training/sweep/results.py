"""What a sweep has found, as one table."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from proveout.envs.core.errors import RunError
from proveout.training.sweep.plan import parsed
from proveout.training.sweep.store import Store


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
    _, first = np.unique(np.concatenate(places), return_index=True)
    return whole.take(pyarrow.array(first))
