import numpy as np
import pytest
import warp as wp

from proveout.assets.files.errors import UnknownNameError
from proveout.assets.road import motorway
from proveout.envs.core.errors import ConfigError
from proveout.envs.driving.agents import AgentArrays
from proveout.envs.driving.stages import STAGES, Stages

wp.set_module_options({"enable_backward": False})


def test_stages_run_in_order_and_what_is_added_runs_last_in_its_own():
    stages, seen = Stages(), []
    for name in reversed(STAGES):
        stages.add(name, lambda first, name=name: seen.append((name, first)))
    stages.add("storyboard", lambda first: seen.append(("more", first)))
    stages.run(True)
    stages.run(False)
    names = ["storyboard", "more", "decide", "move", "locate", "collide", "measure"]
    assert seen == [(name, True) for name in names] + [(name, False) for name in names]
    assert [name for name, _launch in stages] == [n if n != "more" else "storyboard" for n in names]


def test_a_stage_that_is_not_there_is_refused():
    with pytest.raises(UnknownNameError, match=r"stage of a physics step.*did you mean 'decide'"):
        Stages().add("decides", lambda first: None)


def test_the_engine_runs_its_own_stages(placed):
    worlds = placed(motorway(1, 500.0), [[0]], [[100.0]], [[20.0]])
    assert [name for name, _launch in worlds.stages] == ["decide", "move", "locate", "collide"]


@wp.kernel
def _brake(acceleration: wp.array2d[float]):
    w = wp.tid()
    acceleration[w, 0] = -2.0 * float(w)


@wp.kernel
def _closest(agents: AgentArrays, out: wp.array[float]):
    w = wp.tid()
    out[w] = wp.min(out[w], wp.abs(agents.x[w, 1] - agents.x[w, 0]))


def test_a_storyboard_is_heard_in_its_step_and_a_metric_sees_its_end(placed):
    worlds = placed(
        motorway(2, 500.0), [[0, 1]] * 2, [[100.0, 130.0]] * 2, [[20.0, 20.0]] * 2, num_learners=2
    )
    closest = wp.full(2, np.inf, dtype=float, device="cpu")
    worlds.stages.add(
        "storyboard",
        lambda first: wp.launch(
            _brake, dim=2, outputs=[worlds.commands.acceleration], device="cpu"
        ),
    )
    worlds.stages.add(
        "measure",
        lambda first: wp.launch(
            _closest, dim=2, inputs=[worlds.agents], outputs=[closest], device="cpu"
        ),
    )
    with wp.ScopedCapture(device="cpu") as capture:
        worlds.physics()
    for _ in range(20):  # 1 s
        wp.capture_launch(capture.graph)
    # World 1 brakes agent 0 by 2 m/s2: it falls behind by 1 m.
    np.testing.assert_allclose(worlds.agents.velocity.numpy()[:, 0], [20.0, 18.0], atol=1e-4)
    np.testing.assert_allclose(closest.numpy(), [30.0, 30.0 + 0.5 * 2.0 * 0.05**2], atol=1e-3)
    np.testing.assert_allclose(worlds.agents.s.numpy()[:, 0], [120.0, 119.0], atol=1e-3)


@wp.struct
class Passed:
    count: wp.array[int]
    distance: wp.array2d[float]


@wp.kernel
def _remember(agents: AgentArrays, passed: Passed):
    w = wp.tid()
    passed.count[w] = passed.count[w] + 1
    passed.distance[w, 1] = agents.s[w, 0]


def test_what_a_stage_keeps_is_saved_and_begins_anew_with_an_episode(placed):
    worlds = placed(motorway(1, 500.0), [[0]] * 2, [[100.0]] * 2, [[20.0]] * 2)
    passed = worlds.keep("passed", Passed, {"distance": 2})
    worlds.stages.add(
        "measure",
        lambda first: wp.launch(_remember, 2, [worlds.agents], [passed], device="cpu"),
    )
    for _ in range(3):
        worlds.physics(first=True)
    state = worlds.state()
    np.testing.assert_array_equal(state["passed/count"].numpy(), [3, 3])
    np.testing.assert_allclose(
        state["passed/distance"].numpy()[:, 1], worlds.agents.s.numpy()[:, 0]
    )
    worlds.reset(wp.array([True, False], dtype=wp.bool, device="cpu"))
    np.testing.assert_array_equal(state["passed/count"].numpy(), [0, 3])
    with pytest.raises(ConfigError, match="'passed' is kept twice"):
        worlds.keep("passed", Passed, {"distance": 2})
