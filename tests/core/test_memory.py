"""More worlds than memory holds are refused before the system ends the process."""

import pytest

from proveout.envs import make_task, make_vector
from proveout.envs.core import memory
from proveout.envs.core.device import resolve_device
from proveout.envs.core.errors import ConfigError


@pytest.mark.parametrize("task_id", ["proveout/Highway-v0", "proveout/Reach-v0"])
@pytest.mark.parametrize("num_envs", [10**8, 2**31 - 1])
@pytest.mark.parametrize("workers", [1, 2])
def test_too_many_worlds(task_id: str, num_envs: int, workers: int) -> None:
    with pytest.raises(ConfigError, match=r"worlds need more than \d+ GiB and cpu has"):
        make_vector(task_id, num_envs, device="cpu", workers=workers)


def test_as_many_as_the_message_says_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    task, cpu = make_task("proveout/Highway-v0"), resolve_device("cpu")
    monkeypatch.setattr(memory, "_total_bytes", lambda device: 2**30)
    most = 2**30 // memory.least_bytes(task)
    with pytest.raises(ConfigError, match=f"use at most {most}"):
        memory.check_memory(task, most + 1, cpu)
    memory.check_memory(task, most, cpu)
    monkeypatch.setattr(memory, "_total_bytes", lambda device: None)  # a system that does not tell
    memory.check_memory(task, 10**20, cpu)


def test_the_estimate_is_below_what_worlds_take() -> None:
    """It refuses what cannot be, never what could."""
    for task_id in ("proveout/Highway-v0", "proveout/Reach-v0"):
        assert memory.least_bytes(make_task(task_id)) < 4000  # measured: 4,000 and 4,600
