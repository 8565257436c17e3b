"""Worlds behind Gymnasium's API. Importing this registers every environment with Gymnasium."""

if __name__ == "envs":
    raise ImportError(
        "import proveout.envs, not envs: install the project (pip install -e .) and leave its "
        "folder out of the import path"
    )

from proveout.assets.files.layout import Entry, Layout
from proveout.envs.check import check_vector_env
from proveout.envs.core.columns import columns, starts
from proveout.envs.core.errors import ConfigError
from proveout.envs.core.hooks import Step, action_rate, episode_key
from proveout.envs.core.randomize import Randomization
from proveout.envs.core.registry import (
    discover,
    make_single,
    make_task,
    make_vector,
    register,
    task_class,
    task_ids,
)
from proveout.envs.core.rng import STREAM_TASK, integer, normal, random_key, uniform
from proveout.envs.core.single import WarpEnv
from proveout.envs.core.task import (
    Kpi,
    RandomizationConfig,
    RewardWeights,
    TaskConfig,
    predicate,
    quantity,
)
from proveout.envs.core.vector_env import WarpVectorEnv

__all__ = [
    "STREAM_TASK",
    "ConfigError",
    "Entry",
    "Kpi",
    "Layout",
    "Randomization",
    "RandomizationConfig",
    "RewardWeights",
    "Step",
    "TaskConfig",
    "WarpEnv",
    "WarpVectorEnv",
    "action_rate",
    "check_vector_env",
    "columns",
    "episode_key",
    "integer",
    "make_single",
    "make_task",
    "make_vector",
    "normal",
    "predicate",
    "quantity",
    "random_key",
    "register",
    "starts",
    "task_class",
    "task_ids",
    "uniform",
]

discover("proveout.envs.factory", "proveout.envs.driving")
