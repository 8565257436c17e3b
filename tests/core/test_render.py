"""Frames from the ray tracer: shape, content, which worlds, and what is refused."""

import dataclasses
import os
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

from proveout.envs.core.errors import RenderError
from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.envs.factory.reach import Reach, ReachConfig

SIZE = (96, 72)


@pytest.fixture(scope="module")
def env():
    made = WarpVectorEnv(
        Reach(), 4, device="cpu", workers=1, render_mode="rgb_array", render_worlds=(2, 0),
        render_size=SIZE,
    )  # fmt: skip
    made.reset(seed=1)
    yield made
    made.close()


def changed(a, b):
    """Share of the pixels that differ visibly."""
    return np.mean(np.abs(a.astype(int) - b.astype(int)).max(axis=2) > 20)


def orange(frame):
    """Mean (row, column) of the goal marker's orange pixels, and how many there are."""
    r, g, b = (frame[..., i].astype(int) for i in range(3))
    at = np.argwhere((r > 150) & (r > g + 50) & (g > b + 30))
    return at.mean(axis=0) if len(at) else None, len(at)


def test_frames_have_the_size_asked_for_and_show_something(env):
    env.reset(seed=1)
    frames = env.render()
    assert isinstance(frames, tuple)
    assert len(frames) == 2
    for frame in frames:
        assert frame.shape == (72, 96, 3)
        assert frame.dtype == np.uint8
        assert frame.std() > 10.0
        assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 100
    assert changed(*frames) > 0.005, "two worlds have two goals"
    np.testing.assert_array_equal(env.render()[0], frames[0])


def test_the_arm_moves(env):
    env.reset(seed=1)
    before = env.render()[0]
    for _ in range(15):
        env.step(np.full((4, 6), 0.7, np.float32))
    assert changed(before, env.render()[0]) > 0.02


def test_the_goal_marker_is_where_the_goal_is(env):
    """Only the goal is moved: the marker goes with it, upwards in the picture for upwards."""
    env.reset(seed=1)
    state = env.state_dict()
    places = []
    for height in (0.3, 0.6):
        state["task/goal"][:, :3] = [0.55, -0.35, height]
        env.load_state_dict(state)
        frames = env.render()
        place, count = orange(frames[0])
        assert count >= 2
        places.append(place)
    assert places[1][0] < places[0][0] - 5
    assert abs(places[1][1] - places[0][1]) < 4


def test_render_worlds_picks_worlds_also_from_workers():
    def make(workers, worlds):
        made = WarpVectorEnv(
            Reach(), 4, device="cpu", workers=workers, render_mode="rgb_array",
            render_worlds=worlds, render_size=SIZE,
        )  # fmt: skip
        made.reset(seed=3)
        for _ in range(5):
            made.step(np.full((4, 6), 0.5, np.float32))
        frames = made.render()
        made.close()
        return frames

    everything = make(1, None)
    assert len(everything) == 4
    chosen = make(2, (3, 1))
    np.testing.assert_array_equal(chosen[0], everything[3])
    np.testing.assert_array_equal(chosen[1], everything[1])


def test_rendering_changes_nothing(env):
    def run(render):
        env.reset(seed=2)
        rows = []
        for _ in range(10):
            rows.append(env.step(np.full((4, 6), 0.3, np.float32))[0])
            if render:
                env.render()
        return np.stack(rows)

    np.testing.assert_array_equal(run(True), run(False))


def test_the_single_env_renders_its_world():
    single = gymnasium.make(
        "proveout/Reach-v0", config=ReachConfig(), render_mode="rgb_array", render_size=SIZE
    )
    single.reset(seed=1)
    frame = single.render()
    assert frame.shape == (72, 96, 3)
    assert frame.std() > 10.0
    single.close()


def test_no_display_is_needed_and_a_missing_one_is_told():
    code = (
        "import gymnasium, proveout.envs\n"
        "env = gymnasium.make('proveout/Reach-v0', render_mode='rgb_array', render_size=(32, 24))\n"
        "env.reset(seed=0)\n"
        "print(env.render().std() > 5)\n"
        "env = gymnasium.make('proveout/Reach-v0', render_mode='human')\n"
        "try:\n"
        "    env.reset()\n"
        "except proveout.envs.core.errors.RenderError as error:\n"
        "    print(error)\n"
    )
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=environment
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "True", done.stderr
    assert lines[1].startswith("no window could be opened"), done.stderr
    assert "rgb_array" in lines[1]


def test_what_is_refused():
    with pytest.raises(RenderError, match="'rgb'"):
        gymnasium.make("proveout/Reach-v0", render_mode="rgb")
    with pytest.raises(RenderError, match="single environment"):
        WarpVectorEnv(Reach(), 2, device="cpu", workers=1, render_mode="human")
    env = WarpVectorEnv(
        Reach(), 1, device="cpu", workers=1, render_mode="rgb_array", render_size=(0, 10)
    )
    env.reset(seed=0)
    with pytest.raises(RenderError, match="render_size"):
        env.render()
    env.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda poses: ["somewhere"] * len(poses), "list of ScenePose.*got str"),
        (
            lambda poses: [dataclasses.replace(p, mocap_pos=np.zeros((0, 3))) for p in poses],
            r"mocap_pos of shape \(0, 3\); its scene .* 1 mocap bodies, so \(1, 3\)",
        ),
        (
            lambda poses: [dataclasses.replace(p, qpos=p.qpos[:-1]) for p in poses],
            r"qpos of shape \(5,\)",
        ),
    ],
)
def test_a_pose_that_does_not_fit_its_scene_is_told(env, monkeypatch, change, message):
    env.reset(seed=1)
    right = env.task.scene_pose
    monkeypatch.setattr(env.task, "scene_pose", lambda sim, worlds: change(right(sim, worlds)))
    with pytest.raises(RenderError, match=f"scene_pose of the task.*{message}"):
        env.render()
