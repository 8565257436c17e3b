"""Run directories: whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_env import ID

from proveout.assets.files.atomic import atomic_path, write_atomic
from proveout.envs.core.errors import RunError
from proveout.training.run.directory import Run


def test_files_are_whole_or_as_before(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, "old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "has no manifest.json"),
        ('{"env_id": "x", "se', "half written"),
        ("[1]", "must hold a JSON object"),
        ('{"env_id": "x", "seed": 0}', "has no 'config'"),
    ],
)
def test_half_written_runs_are_one_sentence(
    tmp_path: Path, content: str | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(RunError, match=sentence) as error:
        Run.open(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_runs_of_the_same_second_do_not_share_a_folder(tmp_path: Path) -> None:
    folders = {Run.create(tmp_path, ID, 3, {}).folder for _ in range(3)}
    assert len(folders) == 3
