"""From a task's hyper-parameters (plain data) to networks and algorithms of Stable-Baselines3."""

from proveout.training.presets.algorithms import ALGORITHMS, PRESET_OF, algorithm_class
from proveout.training.presets.build import build_algorithm
from proveout.training.presets.checks import PresetError
from proveout.training.presets.defaults import DEFAULTS
from proveout.training.presets.policy import (
    build_policy,
    layout_of,
    policy_kwargs,
    scale_action_head,
    set_initial_std,
)
from proveout.training.presets.preset import Preset, make_preset, run_preset

__all__ = [
    "ALGORITHMS",
    "DEFAULTS",
    "PRESET_OF",
    "Preset",
    "PresetError",
    "algorithm_class",
    "build_algorithm",
    "build_policy",
    "layout_of",
    "make_preset",
    "policy_kwargs",
    "run_preset",
    "scale_action_head",
    "set_initial_std",
]
