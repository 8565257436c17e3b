"""`proveout view`: what it serves, and what it refuses in one sentence."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from proveout.training.cli.program import main

pytest.importorskip("viser")

REACH = "proveout/Reach-v0"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["view"], "which environment?"),
        (["view", "runs/nothing-here"], "neither a run directory"),
        (["view", "./nothing-here"], "nothing-here"),
        (["view", "proveout/Raech-v0"], "did you mean 'proveout/Reach-v0'"),
        (["view", REACH, "--policy", "exprt"], "did you mean 'expert'"),
        (["view", REACH, "--port", "70000"], "--port must be at most 65535"),
        (["view", REACH, "--host", "203.0.113.7"], "no address of this machine"),
        (["view", REACH, "--record", "."], "--record . is a folder"),
        (["view", REACH, "--record", "x.html", "--episodes", "0"], "at least 1"),
        (["view", REACH, "--num-envs", "1", "--record", "x.html", "--episodes", "9999"],
         "more than 20000 frames"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(capsys, arguments: list[str], told: str) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("proveout: error:") == 1
    assert "Traceback" not in error
    assert not Path("x.html").exists()


def test_a_port_that_is_taken(capsys) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["view", REACH, "--port", str(port)]) == 2
    assert f"port {port} of 127.0.0.1 is taken; give another" in capsys.readouterr().err


def test_without_the_extra(capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    assert main(["view", REACH]) == 2
    assert "viser is not installed; run: pip install 'proveout[view]'" in capsys.readouterr().err


def test_it_serves_until_it_is_interrupted() -> None:
    command = [sys.executable, "-m", "proveout.training.cli", "view", REACH, "--num-envs", "2"]
    process = subprocess.Popen(
        [*command, "--port", "0", "--policy", "none"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.fullmatch(r"Page: (http://127\.0\.0\.1:\d+) \(Ctrl-C ends it\)\n", line)
        assert match, line
        with urllib.request.urlopen(match[1], timeout=30) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Traceback" not in error
    finally:
        process.kill()
        process.wait()
