"""Worlds behind Gymnasium's API. Importing this registers every environment with Gymnasium."""

if __name__ == "envs":
    raise ImportError(
        "import proveout.envs, not envs: install the project (pip install -e .) and leave its "
        "folder out of the import path"
    )

from proveout.envs.core.check import check_vector_env
from proveout.envs.core.registry import (
    discover,
    make_single,
    make_task,
    make_vector,
    register,
    task_class,
    task_ids,
)
from proveout.envs.core.single import WarpEnv
from proveout.envs.core.vector_env import WarpVectorEnv

__all__ = [
    "WarpEnv",
    "WarpVectorEnv",
    "check_vector_env",
    "make_single",
    "make_task",
    "make_vector",
    "register",
    "task_class",
    "task_ids",
]

discover("proveout.envs.factory", "proveout.envs.driving")
