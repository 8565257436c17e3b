"""`proveout new`: what it writes is a task that keeps the contract and can be solved."""

import re
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from proveout.envs import check_vector_env, make_task, make_vector, task_class
from proveout.envs.core import registry
from proveout.training.cli.program import main
from proveout.training.new import ENGINES, task_text

ROOT = Path(__file__).parents[3]


@pytest.fixture
def written(tmp_path, capsys):
    """Writes a task by the command and registers it for the test."""
    ids = []

    def write(env_id, engine):
        path = tmp_path / f"new_{engine}.py"
        assert main(["new", env_id, "--engine", engine, "--out", str(path)]) == 0
        assert f"proveout check {env_id}" in capsys.readouterr().out
        registry.load_task_file(path)
        ids.append((env_id, f"proveout_task_{path.stem}"))
        return path

    yield write
    for env_id, module in ids:
        del registry._TASKS[env_id], gymnasium.registry[env_id], sys.modules[module]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_new_task_keeps_the_contract_and_can_be_solved(written, engine):
    env_id = f"acme/{engine.title()}-Cell-v3"
    path = written(env_id, engine)
    example = ENGINES[engine][2]
    assert not re.search(rf"\b{example}(Weights|Config|State)?\b[(:]", path.read_text())
    assert task_class(env_id).__name__ == f"{engine.title()}Cell"

    def make(num_envs=4, workers=1):
        return make_vector(env_id, num_envs, device="cpu", workers=workers)

    report = check_vector_env(make, steps=30, task=make_task(env_id))
    assert report.ok, report.table()
    env = make(16)
    expert = task_class(env_id).expert(env.config)
    observation, _ = env.reset(seed=0)
    for _ in range(env.task.max_episode_steps):
        observation, *_, info = env.step(expert.predict(observation))
    success = info["episode_statistics"]["success"][info["_episode_statistics"]]
    env.close()
    assert len(success) == 16
    assert success.mean() > 0.9
    assert np.isfinite(observation).all()


@pytest.mark.parametrize(
    ("page", "env_id", "engine"),
    [
        ("adding-a-task.md", "acme/Press-v0", "factory"),
        ("adding-a-road-task.md", "acme/Follow-v0", "driving"),
    ],
)
def test_the_example_of_a_guide_is_the_one_that_is_written(page, env_id, engine):
    guide = (ROOT / "docs" / page).read_text()
    block = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)[0]
    assert block == task_text(env_id, engine)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["new"], "which id?"),
        (["new", "press"], "'press' is no id"),
        (["new", "acme/1-v0"], "must begin with a letter"),
        (["new", "acme/Press-v0", "--engine", "flying"], "unknown engine 'flying'"),
        (["new", "acme/Press-v0", "--out", "press.txt"], "must end in .py"),
        (["new", "acme/Press-v0", "--out", "there.py"], "there.py is there already"),
    ],
)
def test_bad_input(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.py").write_text("")
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["there.py"]
