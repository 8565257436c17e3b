"""Puts this folder on the import path, so that tests and worker processes find `toy_tasks`."""

import pytest
import torch


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked `gpu` where there is no CUDA device."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
