"""One process works on a run at a time, and what ends it ends its lock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from proveout.envs.core.errors import RunError
from proveout.training.run.lock import LOCK, working_on


def test_a_kill_and_a_fork_leave_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from proveout.training.run.lock import working_on\n"
        "with working_on(Path(sys.argv[1])):\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(60)\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    # A group of its own, so that the forked process is ended too.
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=f"process {holder.pid} "), working_on(tmp_path):
            pass
        holder.kill()
        holder.wait()
        with working_on(tmp_path):
            told = json.loads((tmp_path / LOCK).read_text())
        assert told["pid"] == os.getpid()
    finally:
        os.killpg(holder.pid, signal.SIGKILL)


def test_where_there_are_no_locks_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.warns(UserWarning, match="is not locked"), working_on(tmp_path):
        pass


def test_a_lock_that_cannot_be_taken_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("mine")
    (tmp_path / LOCK).symlink_to(tmp_path / "other")
    with pytest.raises(RunError, match="without it nothing is changed"), working_on(tmp_path):
        pass
    (tmp_path / LOCK).unlink()
    os.mkfifo(tmp_path / LOCK)
    with pytest.raises(RunError, match="not a regular file"), working_on(tmp_path):
        pass
    assert (tmp_path / "other").read_text() == "mine"
