"""What the documents show must run as it stands there."""

import re
import sys
import textwrap
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from proveout.envs import check_vector_env, make_task, task_class, task_ids
from proveout.envs.core.registry import load_task_file
from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.envs.core.worlds import ScenePose
from proveout.envs.factory.scenery import add_pose_marker
from proveout.training.cli import COMMANDS

ROOT = Path(__file__).parents[2]


def python_blocks(document: str) -> list[str]:
    text = (ROOT / document).read_text()
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def press(tmp_path_factory):
    """The task of docs/adding-a-task.md, loaded from a file as a user would write it."""
    path = tmp_path_factory.mktemp("task") / "press.py"
    path.write_text(python_blocks("docs/adding-a-task.md")[0])
    load_task_file(path)
    yield task_class("acme/Press-v0")
    from proveout.envs.core import registry

    del registry._TASKS["acme/Press-v0"]
    del gymnasium.registry["acme/Press-v0"]
    del sys.modules["proveout_task_press"]


def test_the_task_of_the_guide_keeps_the_contract(press):
    def make(num_envs: int = 4, workers: int = 1) -> WarpVectorEnv:
        return WarpVectorEnv(make_task(press.id), num_envs, device="cpu", workers=workers)

    report = check_vector_env(make, steps=70)
    assert report.ok, report.table()


def test_the_task_of_the_guide_can_be_solved_and_failed(press):
    envs = WarpVectorEnv(make_task(press.id), 8, device="cpu", workers=1)
    outcomes = {}
    for name, action in (("press", -1.0), ("stay", 0.0)):
        envs.reset(seed=0)
        for _ in range(60):
            *_, info = envs.step(np.full((8, 1), action, np.float32))
        assert info["_episode_statistics"].all()
        outcomes[name] = info["episode_statistics"]["success"]
    envs.close()
    assert outcomes["press"].all()
    assert not outcomes["stay"].any()


def test_the_marker_of_the_guide_moves(press):
    text = (ROOT / "docs/adding-a-task.md").read_text()
    (method,) = re.findall(r"( +def scene_pose.*?)\n\n", text, flags=re.DOTALL)
    scope = {"np": np, "ScenePose": ScenePose}
    exec(textwrap.dedent(method), scope)

    class Marked(press):
        scene_pose = scope["scene_pose"]

        def spec(self, *, visual):
            spec = super().spec(visual=visual)
            if visual:
                add_pose_marker(spec, "goal")
            return spec

        def build(self, sim):
            super().build(sim)
            self._goal = sim.array("push/goal", (3,))

    task = Marked()
    drawn = {"render_mode": "rgb_array", "render_worlds": (0, 1)}
    envs = WarpVectorEnv(task, 2, device="cpu", workers=1, **drawn)
    envs.reset(seed=0)
    task._goal.assign(np.array([[0.0, 0.0, 0.3], [0.0, 0.0, 0.3]], np.float32))
    together = envs.render()
    task._goal.assign(np.array([[0.0, 0.0, 0.3], [0.0, 0.0, 0.0]], np.float32))
    apart = envs.render()
    envs.close()
    assert np.array_equal(together[0], apart[0])
    assert not np.array_equal(together[1], apart[1])


def test_the_capacities_of_the_guide_are_enough(press):
    from proveout.envs.factory.capacity import measure_capacities

    measured = measure_capacities(make_task(press.id), num_worlds=8, episodes=1)
    assert measured.contacts <= press.capacities.contacts
    assert measured.constraints <= press.capacities.constraints


def test_the_example_of_the_readme_runs(monkeypatch, tmp_path, capsys):
    (code,) = python_blocks("README.md")
    monkeypatch.chdir(tmp_path)
    short = code.replace("300_000", "4_096")
    assert short != code
    exec(compile(short, "README.md", "exec"), {"__name__": "readme"})
    assert (tmp_path / "reach.zip").is_file()
    assert "joint_position" in capsys.readouterr().out


def test_the_readme_names_every_environment_and_command():
    text = (ROOT / "README.md").read_text()
    for env_id in task_ids():
        if env_id.startswith("proveout/"):
            assert f"`{env_id}`" in text
    for command in COMMANDS:
        assert f"proveout {command}" in text, command


def test_links_between_documents_lead_somewhere():
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"
