"""What docs/opendrive.md shows must run, and the tests that it names must be there."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/opendrive.md").read_text()


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests/assets/opendrive"))
    from xodr_text import crossing

    header = '<header revMajor="1" revMinor="8" name="town"/>'
    (tmp_path / "town.xodr").write_text(f"<OpenDRIVE>{header}{''.join(crossing())}</OpenDRIVE>")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    names: dict = {}
    exec(block, names)
    assert names["route"].length > 80.0
    assert names["town"].warnings == ()
    sys.modules.pop("xodr_text", None)


def test_the_tests_of_the_table_are_there():
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 15
    there = {
        name
        for path in (ROOT / "tests/assets/opendrive").glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), flags=re.MULTILINE)
    }
    assert named <= there
