"""Suction cups: when one seals, and how fast and how deep it is evacuated."""

import numpy as np
import pytest
import warp as wp

from proveout.envs.factory.control.vacuum import holding_force, next_vacuum, seals, vec4b

HALF = (0.145, 0.095, 0.075)


@wp.kernel
def _seals_kernel(
    cup: wp.array[wp.transform], box: wp.transform, half: wp.vec3, sealed: wp.array[wp.bool]
):
    i = wp.tid()
    sealed[i] = seals(cup[i], box, half)


@wp.kernel
def _vacuum_kernel(
    closed: wp.array[wp.bool], on: bool, leakage: float, dt: float, vacuum: wp.array[wp.vec4],
    force: wp.array[float],
):  # fmt: skip
    both = vec4b()
    for k in range(4):
        both[k] = closed[k]
    vacuum[0] = next_vacuum(vacuum[0], both, on, leakage, dt)
    for k in range(4):
        force[k] = holding_force(vacuum[0][k])


def about(axis, angle):
    return wp.quat_from_axis_angle(wp.vec3(*axis), float(angle))


DOWN = about((1, 0, 0), np.pi)


def sealed(*cups, box=None):
    """Of cups (position, rotation) relative to the box, which is somewhere and askew."""
    box = wp.transform(wp.vec3(0.4, -0.2, 0.3), about((0.6, 0.0, 0.8), 0.7)) if box is None else box
    poses = [box * wp.transform(wp.vec3(*at), turn) for at, turn in cups]
    device = "cpu"
    out = wp.zeros(len(poses), dtype=wp.bool, device=device)
    wp.launch(
        _seals_kernel, dim=len(poses),
        inputs=[wp.array(poses, dtype=wp.transform, device=device), box, wp.vec3(*HALF)],
        outputs=[out], device=device,
    )  # fmt: skip
    return out.numpy().tolist()


def test_a_cup_seals_with_its_whole_lip_near_and_flat_on_one_face():
    top = HALF[2]
    cases = [
        ((0.0, 0.0, top), DOWN, True),
        ((0.0, 0.0, top + 0.0029), DOWN, True),
        ((0.0, 0.0, top - 0.0029), DOWN, True),
        ((0.0, 0.0, top + 0.0031), DOWN, False),
        ((0.0, 0.0, top - 0.0031), DOWN, False),
        # The lip of 20 mm ends at the edge, or beyond.
        ((0.1249, 0.0749, top), DOWN, True),
        ((0.1251, 0.0, top), DOWN, False),
        ((0.0, -0.0751, top), DOWN, False),
        # Flat within 0.12 rad.
        ((0.0, 0.0, top), about((1, 0, 0), np.pi - 0.11), True),
        ((0.0, 0.0, top), about((0, 1, 0), np.pi + 0.13), False),
        # From below, from a side, and looking away.
        ((0.0, 0.0, -top), about((1, 0, 0), 0.0), True),
        ((HALF[0], 0.0, 0.0), about((0, 1, 0), -np.pi / 2), True),
        ((0.0, 0.0, top), about((1, 0, 0), 0.0), False),
    ]
    found = sealed(*[(at, turn) for at, turn, _ in cases])
    assert found == [expected for _, _, expected in cases]


def test_evacuation_and_venting_are_exponential():
    """30 kPa / (1 + leak) with a time constant of 80 ms / (1 + leak), and 40 ms to vent."""
    device = "cpu"
    vacuum = wp.zeros(1, dtype=wp.vec4, device=device)
    force = wp.zeros(4, dtype=float, device=device)
    closed = wp.array([True, True, False, True], dtype=wp.bool, device=device)

    def step(on, leakage, times):
        for _ in range(times):
            wp.launch(
                _vacuum_kernel, dim=1, inputs=[closed, on, leakage, 0.05],
                outputs=[vacuum, force], device=device,
            )  # fmt: skip
        return vacuum.numpy()[0]

    reached = 30_000.0 * (1 - np.exp(-0.1 / 0.08))
    np.testing.assert_allclose(step(True, 0.0, 2), [reached, reached, 0.0, reached], rtol=1e-5)
    np.testing.assert_allclose(step(True, 1.0, 40)[[0, 1, 3]], 15_000.0, rtol=1e-4)
    assert force.numpy()[0] == pytest.approx(15_000.0 * np.pi * 0.02**2, rel=1e-4)
    left = step(False, 1.0, 2)
    np.testing.assert_allclose(left[0], 15_000.0 * np.exp(-0.1 / 0.04), rtol=1e-4)
