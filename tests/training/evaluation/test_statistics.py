"""Success rates with their intervals."""

from __future__ import annotations

import pytest

from proveout.training.evaluation.statistics import evaluation_worlds, wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # Newcombe, Two-sided confidence intervals for the single proportion (1998), table I, row 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson_interval(trials - successes, trials)
    assert mirrored == pytest.approx((1.0 - high, 1.0 - low), abs=5e-5)


def test_worlds_divide_the_episodes_where_possible() -> None:
    assert evaluation_worlds(1000) == 500
    assert evaluation_worlds(64) == 64
    assert evaluation_worlds(997) == 512
    assert evaluation_worlds(1) == 1
