"""What docs/adding-a-task.md says besides its first task."""

import os
import re
import subprocess
import sys

import mujoco
import numpy as np
import pytest
import warp as wp
from follow import Follow, FollowConfig
from test_documents import ROOT, blocks_of, python_blocks, section

from proveout.assets.robot import load_robot
from proveout.envs import check_vector_env, make_vector
from proveout.envs.core.errors import ConfigError, UnknownNameError
from proveout.envs.core.registry import load_task_file
from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.envs.driving.bodies import BodyParameters
from proveout.envs.factory.engine import Capacities
from proveout.envs.factory.places import find
from proveout.envs.factory.warp_engine import WarpEngine

GUIDE = "docs/adding-a-task.md"


def test_the_robot_with_a_tool_and_a_free_body_is_as_told():
    scope = {}
    exec(blocks_of(GUIDE, "Robots, tools and free bodies"), scope)
    model = scope["pushing_spec"]().compile()
    named = scope["PushState"].vars
    assert find(model, named["elbow"].type, "elbow").qpos == 2
    free = find(model, named["cube"].type, "cube")
    cube, tip = free.qpos, find(model, named["tip"].type, "tip").index
    assert (cube, free.dof) == (6, 6)
    data = mujoco.MjData(model)
    home = model.key("home").qpos
    data.qpos[:] = home
    mujoco.mj_forward(model, data)
    flange = data.site("tcp")
    np.testing.assert_allclose(
        data.site_xpos[tip] - flange.xpos, 0.12 * flange.xmat.reshape(3, 3)[:, 2], atol=1e-9
    )
    np.testing.assert_allclose(home[cube : cube + 7], [0.5, 0, 0.025, 1, 0, 0, 0])
    np.testing.assert_allclose(model.qpos0[:6], 0.0, err_msg="a reset is not to the keyframe")

    bare = scope["pushing_spec"]()
    for geom in list(bare.geoms):
        if geom.group == 2:
            bare.delete(geom)
    bare = bare.compile()
    assert bare.ngeom < model.ngeom
    np.testing.assert_array_equal(bare.body_mass, model.body_mass)
    np.testing.assert_array_equal(bare.body_inertia, model.body_inertia)

    worlds = WarpEngine(bare, 2, Capacities(contacts=32, constraints=128), wp.get_device("cpu"))
    everywhere = wp.full(2, True, dtype=wp.bool, device="cpu")
    worlds.reset(everywhere)
    for _ in range(3):
        worlds.physics()
    worlds.refresh(everywhere)
    reason = wp.zeros(2, dtype=int, device="cpu")
    worlds.guard(reason)
    assert not reason.numpy().any()
    np.testing.assert_allclose(worlds.data.qpos.numpy()[:, cube + 2], 0.025, atol=1e-3)


def test_a_tool_that_is_a_file_of_its_own_is_attached(tmp_path):
    path = tmp_path / "hook.xml"
    path.write_text(
        '<mujoco><worldbody><body name="hook"><geom size="0.02" mass="0.1"/></body></worldbody>'
        "</mujoco>"
    )
    spec, tool = load_robot("ur5e").spec, load_robot(path).spec
    (line,) = re.findall(r"`(spec\.attach\(tool.*?\))`", (ROOT / GUIDE).read_text())
    exec(line, {"spec": spec, "tool": tool})
    model = spec.compile()
    assert model.body("tool_hook").parentid[0] == model.body("wrist_3").id


def press_with(folder, name, *changes):
    """The guide's first task under another name, with changes, as a file."""
    code = python_blocks(GUIDE)[0].replace("acme/Press-v0", f"acme/{name}-v0")
    for old, new in changes:
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    path = folder / f"{name.lower()}.py"
    path.write_text(code)
    return path


def run_in_a_process_of_its_own(path, env_id):
    steps = (
        "import gymnasium, numpy as np, proveout.envs\n"
        f"envs = gymnasium.make_vec({env_id!r}, num_envs=2, device='cpu', workers=1)\n"
        "envs.reset(seed=0)\n"
        "for _ in range(3):\n"
        "    print('a step', flush=True)\n"
        "    envs.step(np.zeros((2, 1), np.float32))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", steps],
        env={**os.environ, "PROVEOUT_TASKS": str(path)},
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return told.returncode, told.stdout


OPTIONS = 'wp.set_module_options({"enable_backward": False})'


def test_a_kernel_prints_in_every_replay(tmp_path):
    path = press_with(
        tmp_path,
        "Printing",
        (
            "        held = float(s.held[w]) * c.control_dt\n",
            "        held = float(s.held[w]) * c.control_dt\n"
            "        if w == 0:\n"
            '            wp.printf("%d %f\\n", w, finger)\n',
        ),
    )
    status, out = run_in_a_process_of_its_own(path, "acme/Printing-v0")
    assert status == 0
    for text in out.split("a step\n")[1:]:
        assert re.fullmatch(r"0 \d\.\d+\n", text), out


def test_debug_mode_and_print_launches_name_the_kernel_that_writes_elsewhere(tmp_path):
    text = section(GUIDE, "Debugging a kernel")
    options = re.search(r"wp\.set_module_options\(\{.*?\}\)", text).group()
    assert "wp.config.print_launches = True" in text
    path = press_with(
        tmp_path,
        "Beyond",
        (OPTIONS, f"{options}\nwp.config.print_launches = True"),
        ("step.kpi[w, Value.lowest_button]", "step.kpi[w, Value.lowest_button + 1]"),
    )
    status, out = run_in_a_process_of_its_own(path, "acme/Beyond-v0")
    assert status != 0
    launches = re.findall(r"^kernel: (\w+)", out, flags=re.MULTILINE)
    assert launches[-1] == "Press_evaluate"
    assert "a step" not in out


@pytest.mark.parametrize(
    ("old", "new", "hook", "words"),
    [
        ("Term.pressed]", "Term.presed]", "evaluate", "unknown column 'presed'; did you mean"),
        (
            "obs[w, Obs.target] = step.command[w, 0]",
            "obs[w, Obs.target] = step.command[w, 0] + c.decimation",
            "observe",
            "Input types must be the same",
        ),
    ],
)
def test_a_function_that_warp_cannot_translate_is_named_with_its_line(
    old, new, hook, words, tmp_path
):
    path = press_with(tmp_path, f"Wrong{hook.title()}", (old, new))
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if new in text)
    load_task_file(path)
    with pytest.raises(ConfigError, match=rf"^`{hook}` \({path.name}, line {line}\): .*{words}"):
        make_vector(f"acme/Wrong{hook.title()}-v0", 1, device="cpu", workers=1)


def follow(num_envs=3, workers=1, **config):
    return WarpVectorEnv(Follow(FollowConfig(**config)), num_envs, device="cpu", workers=workers)


def test_a_road_task_made_from_the_guide_keeps_the_contract():
    report = check_vector_env(follow, steps=40)
    assert report.ok, report.table()


def test_the_leader_slows_when_its_parameters_are_written():
    outcomes = {}
    for slow_after in (10, 100):
        envs = follow(slow_after=slow_after)
        observations, _ = envs.reset(seed=0)
        body = BodyParameters().length
        np.testing.assert_allclose(observations[:, 1], 30.0 - body, rtol=0.01)
        assert observations[2, 2] > 0.0, "world 2 starts on the bend"
        assert not observations[:2, 2].any(), "worlds 0 and 1 on the straight road"
        for _ in range(30):
            *_, info = envs.step(np.zeros((3, 1), np.float32))
        outcomes[slow_after] = info["episode_statistics"]["leader_speed"][:2]
        assert info["_episode_statistics"][:2].all()
        # The next episode begins as if nothing had been written.
        *_, info = envs.step(np.zeros((3, 1), np.float32))
        envs.close()
    assert (outcomes[10] < outcomes[100] - 1.0).all()


def test_a_road_ends_where_its_lane_has_no_successor():
    envs = follow(num_envs=2, start=390.0)
    envs.reset(seed=0)
    for _ in range(12):
        _, _, terminated, _, info = envs.step(np.zeros((2, 1), np.float32))
        if terminated.any():
            break
    assert terminated.all()
    assert info["episode_statistics"]["off_road"].all()
    envs.close()


def test_road_worlds_have_no_masses_to_randomise():
    config = FollowConfig.from_dict({"randomization": {"mass": {"high": 2.0}}})
    with pytest.raises(UnknownNameError, match=r"'body_mass'; known are .*driver_time_headway"):
        WarpVectorEnv(Follow(config), 2, device="cpu", workers=1)
