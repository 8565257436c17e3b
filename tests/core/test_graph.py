"""Recorded launches with calls on the host between them."""

import signal

import pytest
import warp as wp

from proveout.envs.core.errors import DeviceError
from proveout.envs.core.graph import Graph, on_host

wp.set_module_options({"enable_backward": False})
CPU = wp.get_device("cpu")


@wp.kernel
def _times_ten(values: wp.array[float]):
    values[0] = values[0] * 10.0


class Steps:
    """Multiplies by ten, adds on the host, multiplies by ten, subtracts on the host."""

    def __init__(self):
        self.values = wp.zeros(1, dtype=float, device=CPU)
        self.host = self.values.numpy()

    def launches(self):
        wp.launch(_times_ten, dim=1, inputs=[self.values], device=CPU)
        on_host(self.add, CPU)
        wp.launch(_times_ten, dim=1, inputs=[self.values], device=CPU)
        on_host(self.subtract, CPU)

    def add(self):
        self.host[0] += 3.0

    def subtract(self):
        self.host[0] -= 1.0


def test_calls_on_the_host_take_their_turn_in_every_replay():
    steps = Steps()
    graph = Graph(steps.launches, CPU)
    assert steps.host[0] == (0 * 10 + 3) * 10 - 1, "the first run is eager; recording runs nothing"
    for value in (1.0, 2.0):
        steps.host[0] = value
        graph.replay()
        assert steps.host[0] == (value * 10 + 3) * 10 - 1


def test_a_launch_that_fails_while_it_is_recorded_leaves_no_recording_behind():
    steps = Steps()
    runs = []

    def fails_the_second_time():
        steps.launches()
        runs.append(1)
        if len(runs) == 2:
            raise ValueError("in the recording")

    with pytest.raises(ValueError, match="in the recording"):
        Graph(fails_the_second_time, CPU)
    steps.host[0] = 0.0
    on_host(steps.add, CPU)
    assert steps.host[0] == 3.0, "at once again"
    Graph(steps.launches, CPU)


def test_an_interrupt_waits_for_the_end_of_the_replay():
    steps = Steps()
    graph = Graph(steps.launches, CPU)
    steps.host[0] = 1.0
    usual = steps.add

    def interrupted():
        signal.raise_signal(signal.SIGINT)
        usual()

    graph._parts[1] = interrupted
    with pytest.raises(KeyboardInterrupt):
        graph.replay()
    assert steps.host[0] == (1 * 10 + 3) * 10 - 1


def test_no_call_on_the_host_within_a_step_on_cuda():
    class Cuda:
        alias, is_cpu = "cuda:0", False

    with pytest.raises(DeviceError, match="cannot be part of a step on cuda:0"):
        on_host(lambda: None, Cuda())
