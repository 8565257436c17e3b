"""The observation normaliser against NumPy's mean and variance."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from gymnasium import spaces
from toy_set import LAYOUT, ROWS, draw

from proveout.policies.errors import PolicyError
from proveout.policies.normalize import (
    EPSILON,
    NormalizedExtractor,
    ObservationNormalizer,
    normalizers,
)

SET_LAYOUT = json.loads(LAYOUT.to_json())


def state(normalizer: ObservationNormalizer) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in normalizer.state_dict().items()}


def badly_scaled(count: int) -> np.ndarray:
    """Columns far from 0, tiny, constant, and ordinary."""
    noise = np.random.default_rng(0).standard_normal((count, 4))
    return (noise * [0.1, 1e-3, 0.0, 1.0] + [1000.0, 0.0, 0.5, -1.0]).astype(np.float32)


@pytest.mark.parametrize("pieces", [1, 7])
def test_the_statistics_are_numpys(pieces: int) -> None:
    data = badly_scaled(2000)
    normalizer = ObservationNormalizer(4)
    for piece in np.array_split(data, pieces):
        normalizer.update(torch.from_numpy(piece).reshape(-1, 1, 4))
    wide = data.astype(np.float64)
    np.testing.assert_allclose(normalizer.running_mean, wide.mean(0), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(normalizer.running_var, wide.var(0), rtol=2e-5, atol=1e-9)
    np.testing.assert_array_equal(normalizer.running_count, 2000.0)
    wanted = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + EPSILON)
    scaled = normalizer.normalize(torch.from_numpy(data)).numpy()
    # Differences from 1000 are known to the precision of float32, 3e-5, here over 0.1.
    np.testing.assert_allclose(scaled, np.clip(wanted, -10, 10), atol=2e-3)
    np.testing.assert_allclose(scaled[:, 1:], wanted[:, 1:], atol=1e-4)


def test_before_the_first_roll_out_nothing_is_known() -> None:
    x = torch.tensor([[0.5, -2.0, 50.0]])
    found = ObservationNormalizer(3, epsilon=1e-12).normalize(x)
    assert torch.allclose(found, torch.tensor([[0.5, -2.0, 10.0]]))


def test_ranks_that_share_sums_agree_with_one_process() -> None:
    data = torch.from_numpy(badly_scaled(3000))
    alone, first, second = (ObservationNormalizer(4) for _ in range(3))
    for roll_out in data.split(1000):
        alone.update(roll_out)
        shared = first.state_for_reduction(roll_out[:300])
        shared += second.state_for_reduction(roll_out[300:])
        first.merge(shared)
        second.merge(shared)
    for name, value in state(first).items():
        np.testing.assert_array_equal(value, state(second)[name])
        np.testing.assert_allclose(value, state(alone)[name], rtol=1e-5, atol=1e-7)


def test_numbers_that_are_not_finite_are_left_out() -> None:
    data = badly_scaled(100)
    normalizer = ObservationNormalizer(4)
    spoilt = data.copy()
    spoilt[3, 0], spoilt[7, 3] = np.nan, np.inf
    normalizer.update(torch.from_numpy(spoilt))
    np.testing.assert_array_equal(normalizer.running_count, [99, 100, 100, 99])
    kept = np.delete(data[:, 3].astype(np.float64), 7)
    assert float(normalizer.running_mean[3]) == pytest.approx(kept.mean(), rel=1e-6)
    assert float(normalizer.normalize(torch.from_numpy(spoilt))[7, 3]) == 10.0


def test_rows_of_a_set_share_statistics_and_absent_rows_do_not_count() -> None:
    data = draw(500, np.random.default_rng(1))
    normalizer = ObservationNormalizer(LAYOUT.size, SET_LAYOUT)
    normalizer.update(torch.from_numpy(data))
    things = data[:, 1:].reshape(-1, ROWS, 3).astype(np.float64)
    present = things[..., 0] > 0.5
    for feature in (1, 2):
        values = things[..., feature][present]
        mean = normalizer.running_mean[1:].reshape(ROWS, 3)[:, feature]
        var = normalizer.running_var[1:].reshape(ROWS, 3)[:, feature]
        np.testing.assert_allclose(mean, values.mean(), rtol=1e-5)
        np.testing.assert_allclose(var, values.var(), rtol=1e-5)
    scaled = normalizer.normalize(torch.from_numpy(data)).numpy()[:, 1:].reshape(-1, ROWS, 3)
    np.testing.assert_array_equal(scaled[..., 0], things[..., 0])
    assert not scaled[~present].any()
    assert scaled[present][:, 1:].std() == pytest.approx(1.0, abs=0.01)


def test_images_keep_their_own_scale() -> None:
    layout = {"entries": [{"name": "camera", "shape": [8, 8, 3], "low": 0, "high": 255}]}
    normalizer = ObservationNormalizer(192, layout)
    pixels = torch.randint(0, 256, (20, 192)).float()
    normalizer.update(pixels)
    assert torch.equal(normalizer.normalize(pixels), pixels)


def test_only_update_changes_it() -> None:
    extractor = NormalizedExtractor(spaces.Box(-1, 1, (4,)))
    before = state(extractor.normalizer)
    data = torch.from_numpy(badly_scaled(50))
    for training in (True, False):
        extractor.train(training)
        extractor(data)
    for name, value in state(extractor.normalizer).items():
        np.testing.assert_array_equal(value, before[name])
    assert not any(p.requires_grad for p in extractor.normalizer.parameters())
    assert normalizers(torch.nn.ModuleList([extractor])) == [extractor.normalizer]


def test_updates_are_in_place() -> None:
    """Targets of off-policy algorithms and recorded graphs hold the tensors themselves."""
    normalizer = ObservationNormalizer(4)
    held = dict(normalizer.named_buffers())
    addresses = {name: value.data_ptr() for name, value in held.items()}
    normalizer.update(torch.from_numpy(badly_scaled(10)))
    assert addresses == {name: value.data_ptr() for name, value in normalizer.named_buffers()}


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(PolicyError, match="describes 16 numbers"):
        NormalizedExtractor(spaces.Box(-1, 1, (4,)), SET_LAYOUT)
    with pytest.raises(PolicyError, match="flat Box"):
        NormalizedExtractor(spaces.Dict({"a": spaces.Box(-1, 1, (4,))}))
    with pytest.raises(PolicyError, match="'layout' with one"):
        NormalizedExtractor(spaces.Box(-1, 1, (4,)), inner="layout")
