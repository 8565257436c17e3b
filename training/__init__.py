"""Runs, training and evaluation: what users need, imported when it is asked for."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proveout.training.evaluation.evaluate import evaluate, evaluate_episodes
    from proveout.training.evaluation.play import play
    from proveout.training.evaluation.policy_source import PolicySource, load_policy
    from proveout.training.learn.settings import ResumeConfig, TrainConfig
    from proveout.training.learn.train import resume, train
    from proveout.training.presets.build import build_algorithm
    from proveout.training.presets.preset import Preset, make_preset
    from proveout.training.run.directory import Run
    from proveout.training.tasks import VectorEnvSpec, make_vector_env

__all__ = [
    "PolicySource",
    "Preset",
    "ResumeConfig",
    "Run",
    "TrainConfig",
    "VectorEnvSpec",
    "build_algorithm",
    "evaluate",
    "evaluate_episodes",
    "load_policy",
    "make_preset",
    "make_vector_env",
    "play",
    "resume",
    "train",
]

_ROOMS = {
    "PolicySource": "evaluation.policy_source",
    "Preset": "presets.preset",
    "ResumeConfig": "learn.settings",
    "Run": "run.directory",
    "TrainConfig": "learn.settings",
    "VectorEnvSpec": "tasks",
    "build_algorithm": "presets.build",
    "evaluate": "evaluation.evaluate",
    "evaluate_episodes": "evaluation.evaluate",
    "load_policy": "evaluation.policy_source",
    "make_preset": "presets.preset",
    "make_vector_env": "tasks",
    "play": "evaluation.play",
    "resume": "learn.train",
    "train": "learn.train",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return __all__
