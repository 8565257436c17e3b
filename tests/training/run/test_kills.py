"""Whatever a kill leaves, a policy, what is known of it and what was measured belong together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_killed_at_every_step_of_saving_evaluating_and_exporting(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed_runs.py")
    told = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=300
    )
    assert told.returncode == 0, told.stderr[-5000:]
    assert int(told.stdout) >= 20
