"""Task files of other people: none of them can end the process or disturb its output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

from proveout.envs.core import registry
from proveout.envs.core.errors import ModelError

TASK = """
from proveout.envs import register

@register({id!r})
class {name}:
    pass
"""
ENDS = {
    "exit": ("import sys\nsys.exit(0)\n", "line 2, cannot be loaded: SystemExit: 0"),
    "bye": ("raise SystemExit('bye')\n", "SystemExit: bye"),
    "interrupt": ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
    "generator": ("raise GeneratorExit\n", "GeneratorExit"),
    "stop": ("raise StopIteration(3)\n", "StopIteration: 3"),
    "deep": ("def f(): f()\nf()\n", "RecursionError"),
    "silent": (
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E\n",
        "cannot be loaded: E",
    ),
    "lines": ("raise ValueError('one\\ntwo')\n", "ValueError: one"),
    "null": ("x = 1\0\n", "null bytes"),
    "twice": (
        TASK.format(id="guest/Twice-v0", name="A") + TASK.format(id="guest/Twice-v0", name="A"),
        "task id 'guest/Twice-v0' is registered twice in one file",
    ),
    "half": (TASK.format(id="guest/Half-v0", name="A") + "raise SystemExit\n", "SystemExit"),
}


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ENDS)
def test_a_task_file_that_fails_in_whatever_way(name: str, tmp_path: Path) -> None:
    text, words = ENDS[name]
    known = registry.task_ids()
    path = write(tmp_path, f"guest_{name}", text)
    with pytest.raises(ModelError) as raised:
        registry.load_task_file(path)
    assert words in str(raised.value)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert registry.task_ids() == known
    assert not [env_id for env_id in gymnasium.registry if env_id.startswith("guest/")]
    assert f"proveout_task_guest_{name}" not in sys.modules


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    cases = {
        tmp_path / "nowhere.py": "does not exist",
        tmp_path: "is a folder",
        tmp_path / "pipe.py": "is a pipe or a device",
        tmp_path / ("x" * 5000): "cannot be read: File name too long",
        write(tmp_path, "f", "") / "g.py": "cannot be read: Not a directory",
    }
    for path, words in cases.items():
        with pytest.raises(ModelError, match=words):
            registry.load_task_file(path)


def test_the_user_s_own_interrupt_ends_the_loading(tmp_path: Path) -> None:
    path = write(tmp_path, "long", "import signal\nsignal.raise_signal(signal.SIGINT)\n")
    with pytest.raises(KeyboardInterrupt):
        registry.load_task_file(path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_task_file_prints_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.load_task_file(write(tmp_path, "guest_prints", "print('hello')\n"))
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "hello\n")
    del sys.modules["proveout_task_guest_prints"]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_list_survives_any_task_file(flags: list[str], tmp_path: Path) -> None:
    files = [write(tmp_path, name, text) for name, (text, _) in ENDS.items() if name != "null"]
    odd = write(tmp_path, "odd", TASK.format(id="guest/Odd-v0", name="Odd"))
    loud = (
        "import os, sys\nprint('hello')\nos.write(1, b'raw')\nos.system('echo shell')\n"
        "sys.stdout.close()\n"
    )
    (tmp_path / "folder.py").mkdir()
    files += [write(tmp_path, "loud", loud), odd, tmp_path / "folder.py", Path("y" * 5000)]
    told = subprocess.run(
        [sys.executable, "-m", "proveout.training.cli", "list", *flags],
        env={**os.environ, registry.TASKS_VARIABLE: os.pathsep.join(map(str, files))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert told.returncode == 0
    assert "Traceback" not in told.stderr
    if not flags:
        assert "proveout/Reach-v0  " in told.stdout
        assert f"set aside: guest/Odd-v0: {odd}: it cannot be described: " in told.stdout
        return
    result = json.loads(told.stdout)
    agents = {row["id"]: row["agents"] for row in result["environments"]}
    factory = ("Palletize", "PickPlace", "Reach", "WaferTransfer")
    one = {f"proveout/{name}-v0": 1 for name in factory}
    assert agents == {"proveout/Highway-v0": 16, **one}
    why = {entry["what"]: entry["why"] for entry in result["set_aside"]}
    aside = [*(set(files) - {odd, tmp_path / "loud.py"}), "guest/Odd-v0"]
    assert set(why) == set(map(str, aside))
    assert "SystemExit: bye" in why[str(tmp_path / "bye.py")]
    assert "hello" in told.stderr
