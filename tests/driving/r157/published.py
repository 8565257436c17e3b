"""The published outcomes, where `PROVEOUT_DATA` names a folder that has them; see the README."""

import csv
import gzip
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from proveout.envs.driving.drivers.r157.constants import ReferenceModel

TABLES = Path(os.environ.get("PROVEOUT_DATA") or "nowhere") / "r157"
with_tables = pytest.mark.skipif(not TABLES.is_dir(), reason="PROVEOUT_DATA names no R157 tables")
MODELS = {
    "CC": ReferenceModel.CC,
    "Reg157": ReferenceModel.REG157,
    "RSS": ReferenceModel.RSS,
    "FSM": ReferenceModel.FSM,
}
CASES = [(model, "cut_in") for model in MODELS] + [
    (model, family) for family in ("cut_out", "car_following") for model in ("CC", "RSS", "FSM")
]


@cache
def _table(family):
    path = TABLES / (family + (".csv.gz" if family == "cut_in" else ".csv"))
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        head, *rows = csv.reader(file)
    return head, rows


def published(model, family):
    """Column -> numbers of a model's rows, NaN where there is none."""
    head, rows = _table(family)
    rows = [row for row in rows if row[0] == model]
    columns = zip(*rows, strict=True)
    return {
        name: np.array([float(text) if text else np.nan for text in column])
        for name, column in zip(head, columns, strict=True)
        if name not in ("model", "scenario")
    }
