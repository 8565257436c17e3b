"""The logger of a run: TensorBoard events and progress.csv, both continued by a resumed run."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from stable_baselines3.common.logger import CSVOutputFormat, Logger, TensorBoardOutputFormat

from proveout.training.run.directory import PROGRESS

_STEPS = "time/total_timesteps"


def run_logger(folder: Path, first_step: int = 0) -> Logger:
    """Return the logger of a run directory.

    Args:
        folder: The run directory.
        first_step: Samples at the checkpoint that is resumed; later rows of progress.csv are
            dropped, as they will be measured again.
    """
    path = folder / PROGRESS
    rows = _rows_until(path, first_step)
    # Written beside and moved, so that a kill meanwhile loses no row; the handle stays valid.
    temporary = path.with_suffix(".csv.new")
    table = CSVOutputFormat(str(temporary))
    for row in rows:
        table.write({k: v for k, v in row.items() if k and v != ""}, {})
    os.replace(temporary, path)
    return Logger(str(folder), [TensorBoardOutputFormat(str(folder)), table])


def _rows_until(path: Path, last_step: int) -> list[dict[str, float]]:
    """Return the whole rows of progress.csv up to a number of samples."""
    if not path.is_file():
        return []
    rows: list[dict[str, float]] = []
    with path.open(newline="") as file:
        for text in csv.DictReader(file):
            try:
                row = {key: float(value) for key, value in text.items() if value}
            except (TypeError, ValueError):  # the last line, cut off by a kill
                continue
            if row.get(_STEPS, float("inf")) <= last_step:
                rows.append(row)
    return rows
