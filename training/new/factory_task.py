"""Press: a finger on a slide presses a spring-loaded button, and holds it down for 0.2 s."""

from dataclasses import dataclass, field
from typing import Any

import mujoco
import numpy as np
import warp as wp

from proveout.envs import Entry, Kpi, Layout, RewardWeights, Step, TaskConfig, action_rate
from proveout.envs import columns, episode_key, quantity, register, uniform
from proveout.envs.factory import Arm, ArticulatedTask, Capacities, Joint, add_studio

wp.set_module_options({"enable_backward": False})


@dataclass(frozen=True, kw_only=True)
class PressWeights(RewardWeights):  # the names of the fields are the names of the reward terms
    distance: float = quantity(-2.0, "1/m", "distance of the finger tip from the button")
    pressed: float = quantity(1.0, "1", "how far the button is down, 0 to 1")
    action_rate: float = quantity(-0.01, "1", "squared change of the action")


@dataclass(frozen=True, kw_only=True)
class PressConfig(TaskConfig):  # every field is a flag: --env.reward-weights.pressed 2
    episode_seconds: float = quantity(3.0, "s", "time after which an episode is truncated")
    hold_seconds: float = quantity(0.2, "s", "time that the button must stay down", above=0.0)
    reward_weights: PressWeights = field(default_factory=PressWeights)


FINGER = Entry("finger", (2,), "m, m/s", "height above its lowest point, speed", "world")
BUTTON = Entry("button", (2,), "cm, m/s", "height (0 is up, -1 is down), speed", "world")
TARGET = Entry("target", (1,), "m", "target height of the finger", "world")
MOVE = Entry("increment", (1,), "2 cm", "change of the finger's target", low=-1.0, high=1.0)
OBSERVATION, ACTION = Layout((FINGER, BUTTON, TARGET)), Layout((MOVE,))
KPIS = (Kpi("lowest_button", "m", "min", "lowest position of the button"),)
Obs, Term, Value = columns(OBSERVATION), columns(PressWeights), columns(KPIS)


@wp.struct
class PressState:
    held: wp.array[int]  # of each world; zero when an episode begins
    button: Joint  # the joint of this name
    finger: Joint


class Presser:
    def predict(self, observations):
        return np.full((len(observations), 1), -1.0, np.float32)


@register("acme/Press-v0")
class Press(ArticulatedTask):
    """A finger presses a button and holds it down."""

    config_class, state_class = PressConfig, PressState
    observation, action, kpis = OBSERVATION, ACTION, KPIS
    capacities = Capacities(contacts=4, constraints=20)  # proveout capacities acme/Press-v0
    presets = {"ppo": {**ArticulatedTask.presets["ppo"], "total_timesteps": 400_000}}

    @classmethod
    def expert(cls, config):
        return Presser()

    def spec(self, *, visual):
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
        if visual:  # what is only drawn
            add_studio(spec, target=(0, 0, 0.15), distance=0.8)
        return spec

    @wp.func
    def control(w: int, step: Step, arm: Arm, c: Any, s: PressState):
        low, high = arm.low[s.finger.index], arm.high[s.finger.index]
        step.command[w, 0] = wp.clamp(step.command[w, 0] + 0.02 * step.action[w, 0], low, high)

    @wp.func
    def evaluate(w: int, step: Step, arm: Arm, c: Any, s: PressState):
        button, finger = arm.qpos[w, s.button.qpos], arm.qpos[w, s.finger.qpos]
        s.held[w] = wp.where(button < -0.008, s.held[w] + 1, 0)
        held = float(s.held[w]) * c.control_dt
        # What counts is the value of `success` in the last step of an episode.
        step.success[w] = step.success[w] or held > c.hold_seconds - 0.5 * c.control_dt
        step.reward[w, Term.distance] = wp.abs(finger - button)
        step.reward[w, Term.pressed] = wp.clamp(-button / 0.01, 0.0, 1.0)
        step.reward[w, Term.action_rate] = action_rate(step, w)
        step.kpi[w, Value.lowest_button] = button

    @wp.func
    def reset(w: int, step: Step, arm: Arm, c: Any, s: PressState):
        height = uniform(episode_key(step, w, 0), 0, 0.05, 0.25)
        arm.qpos[w, s.finger.qpos] = height
        step.command[w, 0] = height

    @wp.func
    def observe(w: int, step: Step, arm: Arm, c: Any, s: PressState, obs: wp.array2d[float]):
        obs[w, Obs.finger] = arm.qpos[w, s.finger.qpos]
        obs[w, Obs.finger + 1] = arm.qvel[w, s.finger.dof]
        obs[w, Obs.button] = 100.0 * arm.qpos[w, s.button.qpos]
        obs[w, Obs.button + 1] = arm.qvel[w, s.button.dof]
        obs[w, Obs.target] = step.command[w, 0]
