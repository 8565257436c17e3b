"""What the documents show must run as it stands there."""

import os
import re
import shutil
import sys
import textwrap
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from proveout.envs import check_vector_env, make_task, task_class, task_ids
from proveout.envs.core.registry import load_task_file
from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.envs.factory.scenery import add_pose_marker, with_marker
from proveout.policies.pretrained import pretrained
from proveout.training.cli.program import COMMANDS
from proveout.training.evaluation.policy_source import PolicySource, load_policy

ROOT = Path(__file__).parents[2]


def python_blocks(document: str) -> list[str]:
    text = (ROOT / document).read_text()
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def section(document: str, heading: str) -> str:
    (text,) = re.findall(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)",
        (ROOT / document).read_text(),
        flags=re.DOTALL | re.MULTILINE,
    )
    return text


def blocks_of(document: str, heading: str) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", section(document, heading), re.DOTALL))


def shortened(code: str, long: str, short: str) -> str:
    assert long in code
    return code.replace(long, short)


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


def test_the_marker_of_the_guide_moves(tmp_path):
    text = (ROOT / "docs/adding-a-task.md").read_text()
    (method,) = re.findall(r"( +def scene_pose.*?)\n\n", text, flags=re.DOTALL)
    scope = {"with_marker": with_marker}
    exec(textwrap.dedent(method), scope)
    held = "    held: wp.array[int]  # of each world; zero when an episode begins\n"
    code = python_blocks("docs/adding-a-task.md")[0]
    assert held in code
    code = code.replace(held, f"{held}    goal: wp.array[wp.transform]\n")
    path = tmp_path / "marked_press.py"
    path.write_text(code.replace('@register("acme/Press-v0")\n', ""))
    load_task_file(path)

    class Marked(sys.modules.pop("proveout_task_marked_press").Press):
        scene_pose = scope["scene_pose"]

        def spec(self, *, visual):
            spec = super().spec(visual=visual)
            if visual:
                add_pose_marker(spec, "goal")
            return spec

    task = Marked()
    drawn = {"render_mode": "rgb_array", "render_worlds": (0, 1)}
    envs = WarpVectorEnv(task, 2, device="cpu", workers=1, **drawn)
    envs.reset(seed=0)
    goal = envs._pool.hooks.state.arrays["goal"]
    goal.assign(np.array([[0, 0, 0.3, 0, 0, 0, 1], [0, 0, 0.3, 0, 0, 0, 1]], np.float32))
    together = envs.render()
    goal.assign(np.array([[0, 0, 0.3, 0, 0, 0, 1], [0, 0, 0.0, 0, 0, 0, 1]], np.float32))
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
    short = shortened(code, "300_000", "4_096")
    exec(compile(short, "README.md", "exec"), {"__name__": "readme"})
    assert (tmp_path / "reach.zip").is_file()
    assert "joint_position" in capsys.readouterr().out


def test_worlds_and_evaluations_in_python_run(monkeypatch, tmp_path, capsys):
    """The blocks of two sections, one after the other, as a reader would paste them."""
    monkeypatch.chdir(tmp_path)
    # Starting workers for four environments would take longer than all their steps.
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    scope = {}
    exec(shortened(blocks_of("docs/training.md", "Worlds in Python"), "512", "32"), scope)
    told = re.findall(r"damping x (\S+) to (\S+): success (\S+)", capsys.readouterr().out)
    assert [len(told), told[0][0], told[-1][1]] == [4, "0.25", "8.00"]
    statistics = scope["info"]["episode_statistics"]
    drawn = statistics["randomization/joint_damping"]
    assert np.array_equal(drawn, scope["damping"].astype(np.float32))

    exec(shortened(blocks_of("docs/training.md", "Evaluating"), "=200", "=16"), scope)
    with open("episodes.csv") as file:
        assert file.readline().rstrip().split(",") == list(scope["worst"])
    one, observations, over = scope["one"], scope["observations"], [False]
    expert = load_policy(PolicySource("expert"), one)
    while not over[0]:
        observations, _, terminated, truncated, info = one.step(expert.predict(observations))
        over = terminated | truncated
    assert info["episode_statistics"]["return"][0] == scope["worst"]["return"]
    for name in ("envs", "one"):
        scope[name].close()


def test_the_study_of_the_guide_runs(monkeypatch, tmp_path):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    (code,) = python_blocks("docs/sweeps.md")
    found: dict = {}
    exec(shortened(code, "episodes=20", "episodes=2"), found)
    assert len(found["frame"]) == found["rows"].num_rows == 3 * 2 * 2


def test_worlds_with_the_other_physics_are_made_as_told(capsys):
    (code,) = python_blocks("docs/physics.md")
    scope: dict = {}
    exec(shortened(code, "num_envs=64", "num_envs=1"), scope)
    scope["envs"].close()
    assert capsys.readouterr().out == "c\n"


def test_a_policy_file_is_loaded_as_told(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shipped = pretrained("proveout/Reach-v0")
    for suffix in (".safetensors", ".json"):
        shutil.copy(shipped.with_suffix(suffix), f"reach{suffix}")
    envs = gymnasium.make_vec("proveout/Reach-v0", num_envs=2, workers=1, device="cpu")
    observations, _ = envs.reset(seed=0)
    scope = {"envs": envs, "observations": observations}
    (code,) = [b for b in python_blocks("docs/policies.md") if "load_policy" in b]
    exec(code, scope)
    envs.close()
    assert scope["actions"].shape == envs.action_space.shape


WORKING = {
    "RecordEpisodeStatistics": {},
    "NormalizeReward": {},
    "TransformReward": {"func": lambda reward: 2.0 * reward},
    "ClipReward": {"min_reward": -1.0, "max_reward": 1.0},
    "TransformAction": {"func": lambda action: action},
    "ClipAction": {},
    "RescaleAction": {"min_action": -2.0, "max_action": 2.0},
    "DictInfoToList": {},
    "RecordVideo": {"video_folder": "films", "episode_trigger": lambda episode: True},
}
REFUSED = {
    "NormalizeObservation": {},
    "TransformObservation": {"func": lambda observation: observation},
    "RescaleObservation": {"min_obs": 0.0, "max_obs": 1.0},
    "DtypeObservation": {"dtype": np.float64},
    "ReshapeObservation": {"shape": (6, 6)},
    "FlattenObservation": {},
    "FilterObservation": {"filter_keys": ["a"]},
}


def test_wrappers_work_or_refuse_as_told(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    told = section("docs/training.md", "Worlds in Python")
    refused, working = told[told.index("Gymnasium's vector wrappers") :].split("refuse it", 1)
    assert all(f"`{name}`" in working for name in WORKING)
    assert all(f"`{name}`" in refused for name in REFUSED)
    envs = gymnasium.make_vec(
        "proveout/Reach-v0",
        num_envs=2,
        device="cpu",
        workers=1,
        config={"episode_seconds": 0.5},
        render_mode="rgb_array",
        render_size=(64, 64),
    )
    for name, arguments in REFUSED.items():
        with pytest.raises(ValueError, match="SAME_STEP"):
            getattr(gymnasium.wrappers.vector, name)(envs, **arguments)
    for name, arguments in WORKING.items():
        wrapped = getattr(gymnasium.wrappers.vector, name)(envs, **arguments)
        wrapped.reset(seed=0)
        for _ in range(11):
            observations, *_ = wrapped.step(wrapped.action_space.sample())
        assert np.isfinite(observations).all(), name
    wrapped.close()


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
