"""What is known of the rows of a study, and so which are still to be run."""

from __future__ import annotations

from typing import Any

import numpy as np

from proveout.training.sweep.plan import Plan, parsed
from proveout.training.sweep.stopping import SUCCESS
from proveout.training.sweep.store import SERIES, Store

_COLUMNS = ("row", "valid", "wall_seconds", SUCCESS)


class Ledger:
    """The rows of a plan, those that are done, and what a stop rule looks at of them.

    Attributes:
        stale: Rows that are there and of no row of the study any more.
    """

    def __init__(self, plan: Plan) -> None:
        """Begin with nothing known."""
        number = len(plan)
        self._plan = plan
        self._ids = plan.ids(np.arange(number))
        self._order = np.argsort(self._ids)
        self._known = np.zeros(number, bool)
        self._outcomes = tuple(plan.study.stop.widths) if plan.study.stop is not None else ()
        self._values = {name: np.full(number, np.nan) for name in self._outcomes}
        self._episode = plan.parts_of(np.arange(number))[3]
        self.stale = 0

    @classmethod
    def of(cls, plan: Plan, store: Store) -> Ledger:
        """What the folder of a sweep holds; damaged parts are set aside."""
        ledger, rule = cls(plan), plan.study.series
        lacking = np.zeros(0, np.int64)
        if rule is not None:
            recorded = [ledger._numbers(t.column("row"))[0] for t in store.whole(["row"], SERIES)]
            lacking = np.flatnonzero(rule.watched(ledger._episode))
            lacking = lacking[~np.isin(lacking, np.concatenate([[-1], *recorded]))]
        stale = []
        for table in store.whole([*_COLUMNS, *ledger._outcomes]):
            rows, here, ids = ledger._numbers(table.column("row"))
            stale.append(ids[~here])
            mine = table.take(np.flatnonzero(here))
            if rule is not None:
                valid, success, began = _endings(mine)
                due = np.isin(rows, lacking) & rule.kept(valid, success) & began
                rows, mine = rows[~due], mine.take(np.flatnonzero(~due))
            ledger.note(rows, mine)
        ledger.stale = len(np.unique(np.concatenate([np.zeros(0, np.uint64), *stale])))
        return ledger

    @classmethod
    def of_table(cls, plan: Plan, table: Any) -> Ledger:
        """What a table of `read_results` holds."""
        ledger = cls(plan)
        rows, here, _ = ledger._numbers(table.column("row"))
        ledger.note(rows, table.take(np.flatnonzero(here)))
        return ledger

    def note(self, rows: np.ndarray, table: Any) -> None:
        """Rows that are done now, by number, with their table."""
        self._known[rows] = True
        for name, values in self._values.items():
            if name in table.column_names:
                column = table.column(name).to_pylist()
                values[rows] = [np.nan if v is None else float(v) for v in column]

    def wanted(self) -> np.ndarray:
        """Rows that the study has, as far as can be told by now, (rows,) bool."""
        study = self._plan.study
        if study.stop is None:
            return np.ones(len(self._known), bool)
        shape = (-1, len(study.seeds), study.episodes)
        needed = study.stop.episodes_needed(
            self._known.reshape(shape), {k: v.reshape(shape) for k, v in self._values.items()}
        )
        return self._episode < np.repeat(needed, len(study.seeds) * study.episodes)

    def missing(self) -> np.ndarray:
        """Numbers of rows that are to be run next, in order."""
        return np.flatnonzero(self.wanted() & ~self._known)

    def there(self) -> int:
        """Rows of the study that are done."""
        return int((self.wanted() & self._known).sum())

    def _numbers(self, ids: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers of the rows that the study has; which of the ids they are; all ids."""
        given = parsed(ids.to_pylist())
        at = np.searchsorted(self._ids, given, sorter=self._order) % max(len(self._ids), 1)
        here = self._ids[self._order[at]] == given
        return self._order[at][here], here, given


def _endings(table: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether rows are valid, successes, and ever began, each (n,) bool."""
    valid = table.column("valid").to_numpy(zero_copy_only=False).astype(bool)
    success = np.zeros(len(valid), bool)
    if SUCCESS in table.column_names:
        success = np.array([bool(value) for value in table.column(SUCCESS).to_pylist()], bool)
    began = table.column("wall_seconds").to_numpy() > 0.0
    return valid, success, began
