"""Puts this folder on the import path, so that tests and worker processes find `toy_tasks`."""

import signal

import pytest
import torch

# A shell without job control starts what it runs in the background with Ctrl-C ignored, which
# Python keeps and the processes of the tests would inherit.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked `gpu` where there is no CUDA device."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
