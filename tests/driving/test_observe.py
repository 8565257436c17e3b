import numpy as np
import warp as wp
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.envs.driving.agents import AgentArrays
from proveout.envs.driving.observe import nearest, observe_nearest

wp.set_module_options({"enable_backward": False})


@wp.kernel
def _scaled(agents: AgentArrays, out: wp.array2d[float]):
    nearest(agents, wp.tid(), 0, 2, 50.0, 0.02, 0.1, wp.tid(), 3, out)


def _agents(x, y, heading, velocity, active):
    agents = AgentArrays()
    for name, value in (
        ("centre_x", x),
        ("centre_y", y),
        ("cos_heading", np.cos(heading)),
        ("sin_heading", np.sin(heading)),
        ("velocity", velocity),
    ):
        setattr(agents, name, wp.array(np.asarray(value, np.float32), dtype=float, device="cpu"))
    agents.active = wp.array(np.asarray(active, bool), dtype=wp.bool, device="cpu")
    return agents


def _expected(x, y, heading, velocity, active, agent, count, max_distance):
    rows = np.zeros((count, 7))
    distance = np.hypot(x - x[agent], y - y[agent])
    order = [
        j
        for j in np.argsort(distance, kind="stable")
        if j != agent and active[j] and distance[j] <= max_distance
    ]
    c, s = np.cos(heading[agent]), np.sin(heading[agent])
    rotation = np.array([[c, s], [-s, c]])
    for row, j in zip(rows, order, strict=False):
        v = velocity[j] * np.array([np.cos(heading[j]), np.sin(heading[j])])
        own = velocity[agent] * np.array([c, s])
        turn = heading[j] - heading[agent]
        row[:] = [
            1.0,
            *(rotation @ (x[j] - x[agent], y[j] - y[agent])),
            *(rotation @ (v - own)),
            np.cos(turn),
            np.sin(turn),
        ]
    return rows


@given(seed=st.integers(0, 2**32 - 1), agents=st.integers(1, 20), count=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_rows_equal_a_sort(seed, agents, count):
    rng = np.random.default_rng(seed)
    # Whole metres, so that distances tie often and exactly.
    x, y = rng.integers(-6, 7, (2, agents)).astype(float) * 10.0
    heading, velocity = rng.uniform(-3, 3, agents), rng.uniform(0, 30, agents)
    active = rng.random(agents) < 0.8
    agent = int(rng.integers(agents))
    rows = wp.zeros((1, 7 * count), dtype=float, device="cpu")
    state = _agents([x], [y], [heading], [velocity], [active])
    observe_nearest(state, agent, count, 75.0, rows)
    expected = _expected(x, y, heading, velocity, active, agent, count, 75.0)
    np.testing.assert_allclose(rows.numpy().reshape(count, 7), expected, atol=2e-5)


def test_by_hand_with_scales_and_offset():
    # Ego looks north at 10 m/s; one car 20 m ahead, east-going at 5 m/s.
    state = _agents([[0.0, 0.0]], [[0.0, 20.0]], [[np.pi / 2, 0.0]], [[10.0, 5.0]], [[True, True]])
    out = wp.full((1, 20), -7.0, dtype=float, device="cpu")
    wp.launch(_scaled, dim=1, inputs=[state, out], device="cpu")
    expected = [-7] * 3 + [1, 0.4, 0, -1.0, -0.5, 0, -1] + [0] * 7 + [-7] * 3
    np.testing.assert_allclose(out.numpy()[0], expected, atol=1e-6)
