"""Sensors and poses of the model as the hooks of a task find them."""

# mypy: disable-error-code="index, misc"

import mujoco
import numpy as np
import pytest
import warp as wp
from toy_tasks import Boxes, BoxesConfig

from proveout.assets.files.layout import Entry, Layout
from proveout.envs.core.vector_env import WarpVectorEnv

wp.set_module_options({"enable_backward": False})


class TouchingBoxes(Boxes):
    """Observes how hard the first box presses on the floor."""

    def make_layout(self):
        return Layout(
            (*super().make_layout().entries, Entry("touch", (), "N", "force on the floor"))
        )

    def spec(self, *, visual):
        spec = super().spec(visual=visual)
        spec.body("box0").add_site(
            name="skin", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.06, 0.06, 0.06]
        )
        spec.add_sensor(
            name="touch",
            type=mujoco.mjtSensor.mjSENS_TOUCH,
            objtype=mujoco.mjtObj.mjOBJ_SITE,
            objname="skin",
        )
        return spec

    def observe(self, sim, mask, observation):
        super().observe(sim, mask, observation)
        wp.launch(
            _observe_touch,
            dim=sim.num_worlds,
            inputs=[mask, self._data.sensordata],
            outputs=[observation],
            device=sim.device,
        )


@wp.kernel
def _observe_touch(
    mask: wp.array[wp.bool],
    sensordata: wp.array2d[float],
    observation: wp.array2d[float],
):
    worldid = wp.tid()
    if mask[worldid]:
        observation[worldid, observation.shape[1] - 1] = sensordata[worldid, 0]


@pytest.mark.parametrize("physics", ["warp", "c"])
def test_an_episode_begins_without_the_forces_of_the_one_before(physics):
    config = BoxesConfig(num_boxes=1, spin=0.0)
    env = WarpVectorEnv(TouchingBoxes(config).with_physics(physics), 2, device="cpu", workers=1)
    touch = env.layout.names.index("touch") - len(env.layout.names)
    first, _ = env.reset(seed=0)
    assert not first[:, touch].any()
    push = np.zeros(env.action_space.shape, np.float32)
    while True:
        next_first, _, _, truncated, info = env.step(push)
        if truncated.all():
            break
    weight = 0.5 * 9.81  # N, of 0.5 kg at rest
    np.testing.assert_allclose(info["final_obs"][:, touch], weight, rtol=0.02)
    assert not next_first[:, touch].any()
    again, _ = env.reset(
        seed=0, options={"world_ids": np.array([0, 1]), "episodes": np.array([1, 1])}
    )
    assert np.array_equal(again, next_first), "autoreset and reset begin the episode alike"
    env.close()


class LookingBoxes(Boxes):
    """Compares the first box's pose with its joint in `control`, `evaluate` and `observe`."""

    def build(self, sim):
        super().build(sim)
        self._body = sim.engine.host_model.body("box0").id
        self._off = sim.array("looking/off", (3,))

    def _look(self, sim, hook):
        wp.launch(
            _look,
            dim=sim.num_worlds,
            inputs=[self._data.xpos, self._data.qpos, self._body, hook],
            outputs=[self._off],
            device=sim.device,
        )

    def control(self, sim):
        super().control(sim)
        self._look(sim, 0)

    def evaluate(self, sim):
        super().evaluate(sim)
        self._look(sim, 1)

    def observe(self, sim, mask, observation):
        super().observe(sim, mask, observation)
        self._look(sim, 2)


@wp.kernel
def _look(
    xpos: wp.array2d[wp.vec3],
    qpos: wp.array2d[float],
    body: int,
    hook: int,
    off: wp.array2d[float],
):
    worldid = wp.tid()
    apart = wp.abs(xpos[worldid, body][2] - qpos[worldid, 2])
    off[worldid, hook] = wp.max(off[worldid, hook], apart)


@pytest.mark.parametrize("physics", ["warp", "c"])
def test_poses_are_fresh_in_every_hook_but_reset(physics):
    task = LookingBoxes(BoxesConfig(num_boxes=1)).with_physics(physics)
    env = WarpVectorEnv(task, 4, device="cpu", workers=1, phase_spread=1.0)
    env.reset(seed=0)
    for _ in range(50):  # more than an episode of every world, one after the other
        env.step(np.zeros(env.action_space.shape, np.float32))
    assert task._off.numpy().max() < 1e-6
    env.close()
