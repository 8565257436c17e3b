"""Press: a finger on a vertical slide presses a spring-loaded button and holds it down.

Ends: only by time. Success: the button is down for 0.2 s.
"""

from dataclasses import dataclass, field
from typing import Any

import mujoco
import numpy as np
import warp as wp

from proveout.envs import (
    STREAM_TASK,
    Entry,
    Kpi,
    Layout,
    RewardWeights,
    Step,
    TaskConfig,
    action_rate,
    columns,
    quantity,
    random_key,
    register,
    uniform,
)
from proveout.envs.factory.arm import Arm
from proveout.envs.factory.engine import Capacities
from proveout.envs.factory.scenery import add_studio
from proveout.envs.factory.task import ArticulatedTask

wp.set_module_options({"enable_backward": False})

STREAM = wp.constant(STREAM_TASK)
BUTTON, FINGER = wp.constant(0), wp.constant(1)  # joints, in the order of the model


@dataclass(frozen=True, kw_only=True)
class PressWeights(RewardWeights):
    """The names of the fields are the names of the reward terms."""

    distance: float = quantity(-2.0, "1/m", "distance of the finger tip from the button")
    pressed: float = quantity(1.0, "1", "how far the button is down, 0 to 1")
    action_rate: float = quantity(-0.01, "1", "squared change of the action")


@dataclass(frozen=True, kw_only=True)
class PressConfig(TaskConfig):
    """Every field is a flag: --env.hold-seconds 0.5, --env.reward-weights.pressed 2."""

    control_dt: float = quantity(0.05, "s", "time between two actions")
    decimation: int = quantity(5, "1", "physics steps in one control step")
    episode_seconds: float = quantity(3.0, "s", "time after which an episode is truncated")
    hold_seconds: float = quantity(0.2, "s", "time that the button must stay down", above=0.0)
    reward_weights: PressWeights = field(default_factory=PressWeights)


OBSERVATION = Layout(
    (
        Entry("finger", (2,), "m, m/s", "height above its lowest point, speed", "world"),
        Entry("button", (2,), "cm, m/s", "height (0 is up, -1 is down), speed", "world"),
        Entry("target", (1,), "m", "target height of the finger", "world"),
    )
)
ACTION = Layout(
    (Entry("increment", (1,), "2 cm", "change of the finger's target", low=-1.0, high=1.0),)
)
KPIS = (Kpi("lowest_button", "m", "min", "lowest position of the button"),)
Obs, Term, Value = columns(OBSERVATION), columns(PressWeights), columns(KPIS)


@wp.struct
class PressState:
    """What a world keeps from step to step; zero when an episode begins."""

    held: wp.array[int]


class Presser:
    """The scripted policy of `--policy expert`: always down."""

    def predict(self, observations):
        return np.full((len(observations), 1), -1.0, np.float32)


@register("acme/Press-v0")
class Press(ArticulatedTask):
    """A finger presses a button and holds it down."""

    config_class = PressConfig
    state_class = PressState
    capacities = Capacities(contacts=4, constraints=20)  # proveout capacities acme/Press-v0
    presets = {
        "ppo": {
            "num_envs": 256,
            "total_timesteps": 400_000,
            "n_steps": 16,
            "batch_size": 1024,
            "n_epochs": 5,
            "learning_rate": 1e-3,
            "gamma": 0.97,
            "policy_kwargs": {"net_arch": [64, 64], "activation_fn": "elu"},
        }
    }
    observation, action, kpis = OBSERVATION, ACTION, KPIS

    @classmethod
    def expert(cls, config):
        return Presser()

    def spec(self, *, visual):
        """The same joints with and without what is only drawn."""
        spec = mujoco.MjSpec.from_string("""
          <mujoco>
            <option integrator="implicitfast"/>
            <default><joint type="slide" axis="0 0 1"/></default>
            <worldbody>
              <body name="button" pos="0 0 0.1">
                <joint name="button" range="-0.01 0" limited="true" stiffness="300" damping="2"/>
                <geom type="cylinder" size="0.03 0.02" mass="0.05" rgba="0.85 0.15 0.12 1"/>
              </body>
              <body name="finger" pos="0 0 0.14">
                <joint name="finger" range="-0.05 0.3" limited="true" damping="5"/>
                <geom size="0.02" mass="0.5" rgba="0.3 0.32 0.35 1"/>
              </body>
            </worldbody>
            <actuator><position name="finger" joint="finger" kp="400" kv="40"/></actuator>
          </mujoco>""")
        if visual:
            add_studio(spec, target=(0, 0, 0.15), distance=0.8)
        return spec

    @wp.func
    def control(w: int, step: Step, arm: Arm, c: Any, s: PressState):
        target = step.command[w, 0] + 0.02 * step.action[w, 0]
        step.command[w, 0] = wp.clamp(target, arm.low[FINGER], arm.high[FINGER])

    @wp.func
    def evaluate(w: int, step: Step, arm: Arm, c: Any, s: PressState):
        button, finger = arm.qpos[w, BUTTON], arm.qpos[w, FINGER]
        s.held[w] = wp.where(button < -0.008, s.held[w] + 1, 0)
        # What counts is the value of `success` in the last step of an episode.
        held = float(s.held[w]) * c.control_dt
        step.success[w] = step.success[w] or held > c.hold_seconds - 0.5 * c.control_dt
        step.reward[w, Term.distance] = wp.abs(finger - button)
        step.reward[w, Term.pressed] = wp.clamp(-button / 0.01, 0.0, 1.0)
        step.reward[w, Term.action_rate] = action_rate(step, w)
        step.kpi[w, Value.lowest_button] = button

    @wp.func
    def reset(w: int, step: Step, arm: Arm, c: Any, s: PressState):
        key = random_key(step.seed[w], step.world_id[w], step.episode[w], STREAM)
        height = uniform(key, 0, 0.05, 0.25)
        arm.qpos[w, FINGER] = height
        step.command[w, 0] = height

    @wp.func
    def observe(w: int, step: Step, arm: Arm, c: Any, s: PressState, obs: wp.array2d[float]):
        obs[w, Obs.finger] = arm.qpos[w, FINGER]
        obs[w, Obs.finger + 1] = arm.qvel[w, FINGER]
        obs[w, Obs.button] = 100.0 * arm.qpos[w, BUTTON]
        obs[w, Obs.button + 1] = arm.qvel[w, BUTTON]
        obs[w, Obs.target] = step.command[w, 0]
