"""JSON of a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from proveout.training.run.json_files import write_json


def test_json_has_no_numbers_that_are_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": float("nan"), "b": (np.float32(1.5), np.int64(2)), "c": np.inf})
    assert json.loads(path.read_text()) == {"a": None, "b": [1.5, 2], "c": None}
