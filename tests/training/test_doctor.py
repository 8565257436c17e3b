"""What `doctor` finds, and what it says of it."""

from __future__ import annotations

import json

import pytest

from proveout.training.cli.program import main
from proveout.training.doctor import Finding, table


def test_doctor(capfd: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor", "--json"])
    report = json.loads(capfd.readouterr().out)
    assert status == (0 if report["ok"] else 1)
    names = {check["name"] for check in report["checks"]}
    assert {"packages", "devices", "kernel cache", "ffmpeg", "disk", "shared memory"} <= names
    assert all(check["fix"] for check in report["checks"] if check["status"] != "ok")


def test_doctor_with_something_wrong(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from proveout.training import doctor

    broken = Finding("disk", "error", "full", "free some space")
    monkeypatch.setattr(doctor, "_disk", lambda: broken)
    assert main(["doctor"]) == 1
    out = capfd.readouterr().out
    assert "ERROR    disk" in out
    assert "fix: free some space" in out
    assert "All is well" not in out
    assert "All is well" in table({"ok": True, "checks": []})


def test_doctor_tells_of_task_files_that_were_set_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from proveout.envs.core import registry
    from proveout.training.doctor import _environments

    assert _environments().status == "ok"
    monkeypatch.setitem(registry._SET_ASIDE, "a.py", "task file a.py is a folder")
    found = _environments()
    assert (found.status, found.detail.partition("; ")[2]) == ("warning", "set aside: a.py")
    assert "task file a.py is a folder" in found.fix
