"""What is known of the code that trained."""

from __future__ import annotations

import subprocess
from pathlib import Path

from proveout.training.run.provenance import git_state


def test_git_state(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    git = ["git", "-C", str(tmp_path), *identity]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    clean = git_state(tmp_path)
    assert clean is not None
    assert (len(clean["commit"]), clean["dirty"]) == (40, False)
    (tmp_path / "new").touch()
    changed = git_state(tmp_path)
    assert changed is not None
    assert changed["dirty"] is True
