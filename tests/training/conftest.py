"""The fake task is registered, and torch's threads leave the cores to the other tests."""

from __future__ import annotations

import fake_env
import pytest


@pytest.fixture(autouse=True)
def _task() -> None:
    import torch

    torch.set_num_threads(1)
    fake_env.install()
