"""Parts of a model by name, in functions of one world."""

from typing import Any

import mujoco
import numpy as np
import pytest
import warp as wp

from proveout.assets.files.layout import Entry, Layout
from proveout.envs.core.columns import columns
from proveout.envs.core.errors import ConfigError, UnknownNameError
from proveout.envs.core.hooks import Step
from proveout.envs.core.task import TaskConfig
from proveout.envs.core.vector_env import WarpVectorEnv
from proveout.envs.factory import places
from proveout.envs.factory.arm import Arm
from proveout.envs.factory.engine import Capacities
from proveout.envs.factory.places import (
    Actuator,
    Body,
    FreeBody,
    Joint,
    Mocap,
    Sensor,
    Site,
    body_pose,
    find,
    free_pose,
    free_spin,
    free_velocity,
    set_free_pose,
    site_pose,
)
from proveout.envs.factory.task import ArticulatedTask

wp.set_module_options({"enable_backward": False})

MODEL = """
<mujoco>
  <option gravity="0 0 0"/>
  <worldbody>
    <body name="cube" pos="0 0 1"><freejoint name="floating"/>
      <geom type="box" size=".1 .2 .3" mass="1"/><site name="corner" pos=".1 .2 .3"/></body>
    <body name="link" pos="1 0 0"><joint name="ball" type="ball"/><geom size=".1" mass="1"/>
      <body name="tip" pos="0 0 .5"><joint name="slide" type="slide" axis="0 0 1"/>
        <geom size=".1" mass="1"/><site name="end" pos="0 0 .1"/></body></body>
  </worldbody>
  <actuator><motor name="idle" joint="slide" gear="0"/><motor name="push" joint="slide"/></actuator>
  <sensor>
    <jointpos name="first" joint="slide"/>
    <framepos name="where" objtype="site" objname="end"/>
  </sensor>
</mujoco>"""
OBSERVATION = Layout(
    (
        Entry("pose", (7,), "m, 1", "of the cube"),
        Entry("velocity", (3,), "m/s", "of the cube"),
        Entry("spin", (3,), "rad/s", "of the cube"),
        Entry("slide", (2,), "m, m/s", "position, velocity"),
        Entry("tip", (7,), "m, 1", "pose of the body"),
        Entry("end", (7,), "m, 1", "pose of the site"),
        Entry("where", (3,), "m", "sensor"),
    )
)
Obs = columns(OBSERVATION)


@wp.struct
class PlacesState:
    cube: FreeBody
    slider: Joint
    tip: Body
    end: Site
    where: Sensor
    push: Actuator


@wp.func
def put(obs: wp.array2d[float], w: int, column: int, pose: wp.transform):
    for i in range(7):
        obs[w, column + i] = pose[i]


class Placed(ArticulatedTask):
    """Reads and writes every kind of part."""

    id = "toy/Placed-v0"
    config_class = TaskConfig
    state_class = PlacesState
    places = {"slider": "slide"}  # noqa: RUF012
    capacities = Capacities(contacts=4, constraints=16)
    observation = OBSERVATION
    action = Layout((Entry("force", (), "N", "on the slide", low=-1, high=1),))

    def spec(self, *, visual):
        return mujoco.MjSpec.from_string(MODEL)

    @wp.func
    def control(w: int, step: Step, arm: Arm, c: Any, s: PlacesState):
        step.command[w, 0] = 0.0
        step.command[w, s.push.index] = step.action[w, 0]

    @wp.func
    def evaluate(w: int, step: Step, arm: Arm, c: Any, s: PlacesState):
        step.success[w] = False

    @wp.func
    def reset(w: int, step: Step, arm: Arm, c: Any, s: PlacesState):
        turned = wp.quat_from_axis_angle(wp.vec3(0.0, 0.0, 1.0), 0.5)
        set_free_pose(arm, w, s.cube, wp.transform(wp.vec3(1.0, 2.0, 3.0), turned))
        arm.qvel[w, s.cube.dof] = 0.5
        arm.qvel[w, s.cube.dof + 3] = 2.0
        arm.qpos[w, s.slider.qpos] = 0.25

    @wp.func
    def observe(w: int, step: Step, arm: Arm, c: Any, s: PlacesState, obs: wp.array2d[float]):
        put(obs, w, Obs.pose, free_pose(arm, w, s.cube))
        velocity, spin = free_velocity(arm, w, s.cube), free_spin(arm, w, s.cube)
        for i in range(3):
            obs[w, Obs.velocity + i] = velocity[i]
            obs[w, Obs.spin + i] = spin[i]
            obs[w, Obs.where + i] = arm.sensor[w, s.where.start + i]
        obs[w, Obs.slide] = arm.qpos[w, s.slider.qpos]
        obs[w, Obs.slide + 1] = arm.qvel[w, s.slider.dof]
        put(obs, w, Obs.tip, body_pose(arm, w, s.tip))
        put(obs, w, Obs.end, site_pose(arm, w, s.end))


def test_places_hold_what_mujoco_says_of_the_same_state():
    task = Placed()
    env = WarpVectorEnv(task, 2, device="cpu", workers=1)
    first = task.layout.split(env.reset(seed=0)[0])
    half = [0.0, 0.0, np.sin(0.25), np.cos(0.25)]
    np.testing.assert_allclose(first["pose"][1], [1.0, 2.0, 3.0, *half], atol=1e-6)
    np.testing.assert_allclose(first["velocity"][0], [0.5, 0.0, 0.0], atol=1e-6)
    # The spin about the body's own x axis, turned with the body about z.
    np.testing.assert_allclose(
        first["spin"][0], [2.0 * np.cos(0.5), 2.0 * np.sin(0.5), 0.0], atol=1e-6
    )
    np.testing.assert_array_equal(first["slide"][0], [0.25, 0.0])
    np.testing.assert_allclose(first["tip"][0], [1.0, 0.0, 0.75, 0.0, 0.0, 0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(first["end"][0, :3], [1.0, 0.0, 0.85], atol=1e-6)
    later = env.step(np.ones((2, 1), np.float32))[0]
    parts = task.layout.split(later)
    assert (parts["slide"][:, 1] > 0.0).all()  # the force reached its actuator
    # Within the way of one physics step, as a sensor is computed before the last one.
    moved = np.abs(parts["slide"][:, 1]) * task.config.physics_dt
    assert (np.abs(parts["where"][:, 2] - parts["end"][:, 2]) <= moved + 1e-6).all()
    env.close()


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        (Joint, "slid", "unknown joint 'slid'; did you mean 'slide'"),
        (Joint, "ball", "joint 'ball' is no hinge and no slide"),
        (FreeBody, "link", "body 'link' has no free joint"),
        (FreeBody, "cub", "unknown body 'cub'; did you mean 'cube'"),
        (Body, "ti", "unknown body 'ti'; did you mean 'tip'"),
        (Site, "ende", "unknown site 'ende'; did you mean 'end'"),
        (Sensor, "wher", "unknown sensor 'wher'; did you mean 'where'"),
        (Actuator, "pusher", "unknown actuator 'pusher'; did you mean 'push'"),
        (Mocap, "tip", "body 'tip' is no mocap body: make it with `mocap=True`"),
    ],
)
def test_wrong_names_are_refused(kind, name, words):
    model = mujoco.MjModel.from_xml_string(MODEL)
    with pytest.raises((UnknownNameError, ConfigError), match=words):
        find(model, kind, name)


def test_a_wrong_name_is_told_with_task_and_field():
    class Misnamed(Placed):
        id = "toy/Misnamed-v0"
        places = {"slider": "sliide"}  # noqa: RUF012

    words = "toy/Misnamed-v0: state field 'slider': unknown joint 'sliide'; did you mean 'slide'"
    with pytest.raises(UnknownNameError, match=words):
        WarpVectorEnv(Misnamed(), 1, device="cpu", workers=1)


def test_every_kind_is_a_place():
    assert all(places.is_place(k) for k in (Joint, FreeBody, Body, Mocap, Site, Sensor, Actuator))
    assert not places.is_place(Arm)
