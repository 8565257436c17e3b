"""Encoders: what they must not notice, what they must, and that they learn."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import FlattenExtractor
from toy_set import LAYOUT, SetEnv, answer, draw

from proveout.envs import make_task
from proveout.policies.errors import PolicyError
from proveout.policies.networks import (
    NETWORKS,
    ImageEncoder,
    LayoutEncoder,
    LayoutExtractor,
    SetEncoder,
    features_extractor_for,
)
from proveout.policies.normalize import NormalizedExtractor
from proveout.policies.parts import read_parts
from proveout.training.presets import build_algorithm, build_policy, make_preset
from proveout.training.sb3.vec_env import SB3VecEnv

LIDAR = {"name": "front_lidar", "shape": [37], "low": 0.0, "high": 20.0}
CAMERA = {"name": "camera", "shape": [16, 24, 3], "low": 0.0, "high": 255.0}
SPEED = {"name": "speed", "shape": [2]}


@pytest.fixture(scope="module")
def highway() -> dict[str, Any]:
    return json.loads(make_task("proveout/Highway-v0").layout.to_json())


def highway_observations(layout: dict[str, Any], count: int) -> tuple[torch.Tensor, slice, Any]:
    """Return observations, where the set lies, and its shape."""
    part = next(part for part in read_parts(layout) if part.kind == "set")
    draws = np.random.default_rng(0)
    size = read_parts(layout)[-1].stop
    rows = torch.from_numpy(draws.standard_normal((count, size)).astype(np.float32))
    here = slice(part.start, part.stop)
    things = rows[:, here].reshape(count, *part.shape)
    things[..., 0] = torch.from_numpy(draws.integers(0, 2, things.shape[:2])).float()
    things *= things[..., :1]
    rows[:, here] = things.reshape(count, -1)
    return rows, here, part.shape


def warmed_up(layout: dict[str, Any], normalize: bool) -> torch.nn.Module:
    torch.manual_seed(0)
    observations, _, _ = highway_observations(layout, 200)
    space = spaces.Box(-np.inf, np.inf, observations.shape[1:])
    if not normalize:
        return LayoutExtractor(space, layout)
    extractor = NormalizedExtractor(space, layout, inner="layout")
    extractor.normalizer.update(3.0 * observations + 1.0)
    return extractor


@pytest.mark.parametrize("normalize", [False, True])
def test_the_order_of_a_set_does_not_matter(highway: dict[str, Any], normalize: bool) -> None:
    extractor = warmed_up(highway, normalize)
    observations, here, shape = highway_observations(highway, 64)
    expected = extractor(observations)
    for seed in range(3):
        order = torch.from_numpy(np.random.default_rng(seed).permutation(shape[0]))
        mixed = observations.clone()
        mixed[:, here] = observations[:, here].unflatten(1, shape)[:, order].flatten(1)
        assert not torch.equal(mixed, observations)
        assert torch.allclose(extractor(mixed), expected, atol=1e-6)


@pytest.mark.parametrize("normalize", [False, True])
def test_absent_rows_change_nothing(highway: dict[str, Any], normalize: bool) -> None:
    extractor = warmed_up(highway, normalize)
    observations, here, shape = highway_observations(highway, 64)
    spoilt = observations.clone()
    things = spoilt[:, here].unflatten(1, shape)
    absent = things[..., 0] < 0.5
    for junk in (7.0, float("nan"), float("inf")):
        things[..., 1:][absent] = junk
        assert torch.equal(extractor(spoilt), extractor(observations))
    # And a present one does change something.
    things = observations[:, here].unflatten(1, shape)
    things[..., 1:][~absent] += 1.0
    features = extractor(observations)
    assert (features[:, -32:] - extractor(spoilt)[:, -32:]).abs().max() > 1e-3


def test_an_absent_row_is_the_same_as_none() -> None:
    encoder = SetEncoder(3, 2, 8)
    rows, context = torch.randn(5, 4, 3), torch.randn(5, 2)
    rows[..., 0] = 1.0
    longer = torch.cat([rows, torch.zeros(5, 6, 3)], dim=1)
    assert torch.allclose(encoder(longer, context), encoder(rows, context), atol=1e-6)


def test_an_empty_set_is_safe(highway: dict[str, Any]) -> None:
    extractor = warmed_up(highway, False)
    observations, here, _ = highway_observations(highway, 8)
    observations[:, here] = 0.0
    features = extractor(observations)
    assert torch.isfinite(features).all()
    features.square().sum().backward()
    for parameter in extractor.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("entries", [[SPEED, LIDAR], [CAMERA, SPEED], "highway"])
def test_gradients_reach_every_parameter(highway: dict[str, Any], entries: Any) -> None:
    layout = highway if entries == "highway" else {"entries": entries}
    encoder = LayoutEncoder(layout, ["set", "scan", "image"])
    torch.manual_seed(0)
    size = read_parts(layout)[-1].stop
    observations = torch.rand(16, size) * 2.0
    head = torch.randn(encoder.features)
    (encoder(observations) @ head).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        if name.endswith("nobody"):
            continue  # starts at zero behind maps without bias, still has a gradient
        assert parameter.grad.abs().max() > 0.0, name


def test_what_each_entry_is() -> None:
    entries = [
        SPEED,
        LIDAR,
        CAMERA,
        {"name": "depth", "shape": [9, 12]},
        {"name": "cars", "shape": [4, 5], "set": True},
        {"name": "scan/rear", "shape": [16, 2]},
        {"name": "joint_position", "shape": [29]},
        {"name": "scanner_temperature", "shape": [10]},
        {"name": "lidar", "shape": [3]},
        {"name": "inertia", "shape": [3, 3]},
    ]
    kinds = [part.kind for part in read_parts({"entries": entries})]
    assert kinds == [
        *("flat", "scan", "image", "image", "set", "scan", "flat", "flat", "flat", "flat"),
    ]


@pytest.mark.parametrize(
    ("entries", "network", "kinds"),
    [
        ([SPEED], "auto", None),
        ([SPEED], "mlp", None),
        ([SPEED, LIDAR], "mlp", None),
        ([SPEED, LIDAR], "auto", ["set", "scan", "image"]),
        ([SPEED, LIDAR], "lidar", ["scan"]),
        ([SPEED, CAMERA], "image", ["image"]),
    ],
)
def test_choice(entries: list[Any], network: str, kinds: list[str] | None) -> None:
    layout = {"entries": entries}
    extractor, kwargs = features_extractor_for(layout, network)
    assert json.loads(json.dumps(kwargs)) == kwargs  # plain data
    if kinds is None:
        assert (extractor, kwargs) == (FlattenExtractor, {})
        return
    assert extractor is LayoutExtractor
    assert kwargs["kinds"] == kinds
    size = read_parts(layout)[-1].stop
    made = extractor(spaces.Box(-1, 1, (size,)), **kwargs)
    assert made(torch.zeros(3, size)).shape == (3, 2 + 64) == (3, made.features_dim)


def test_a_network_without_its_entry_is_one_sentence() -> None:
    with pytest.raises(PolicyError, match=r"needs an entry that is a set, .*\(speed\)"):
        features_extractor_for({"entries": [SPEED]}, "set")
    with pytest.raises(PolicyError, match="describes 2 numbers"):
        LayoutExtractor(spaces.Box(-1, 1, (3,)), {"entries": [SPEED]})


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"entries": []},
        {"entries": [{"shape": [1]}]},
        {"entries": [{"name": "a", "shape": [10**9, 10**9]}]},
        {"entries": [{"name": "a", "shape": [True]}]},
        {"entries": [{"name": "a", "shape": [-1]}]},
        {"entries": [{"name": "a", "shape": [4], "set": True}]},
        {"entries": [{"name": "a", "shape": [4], "low": "x"}]},
        {"entries": [{"name": str(i), "shape": [10**6]} for i in range(20)]},
    ],
)
def test_bad_layouts_are_refused(layout: Any) -> None:
    with pytest.raises(PolicyError):
        read_parts(layout)


def test_images_are_scaled_and_channels_found() -> None:
    torch.manual_seed(0)
    last = LayoutEncoder({"entries": [CAMERA]}, ["image"])
    torch.manual_seed(0)
    first = LayoutEncoder({"entries": [{**CAMERA, "shape": [3, 16, 24]}]}, ["image"])
    image = torch.rand(2, 16, 24, 3) * 255.0
    found = last(image.flatten(1))
    assert torch.allclose(found, first(image.permute(0, 3, 1, 2).flatten(1)), atol=1e-6)
    torch.manual_seed(0)
    bare = ImageEncoder(16, 24, 3, 64)
    assert torch.allclose(found, bare(image.permute(0, 3, 1, 2) / 255.0), atol=1e-5)


def test_a_scan_sees_neighbours() -> None:
    """Convolution: the same pattern elsewhere gives the same features, elsewhere."""
    encoder = LayoutEncoder({"entries": [{**LIDAR, "shape": [120]}]}, ["scan"]).encoders[0]
    x = torch.zeros(2, 120, 1)
    x[0, 48:51], x[1, 56:59] = 1.0, 1.0  # the convolutions' steps together are 8 rays
    one, other = encoder.convolutions(x.transpose(1, 2))
    assert torch.allclose(one[:, 3:10], other[:, 4:11], atol=1e-6)
    assert not torch.allclose(one[:, 3:10], other[:, 3:10], atol=1e-3)


def test_learns_what_a_set_says() -> None:
    """Regression on the toy: far better than the best answer that ignores the set, which is 0."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    encoder = LayoutEncoder(json.loads(LAYOUT.to_json()), ["set"])
    model = torch.nn.Sequential(
        encoder, torch.nn.Linear(encoder.features, 32), torch.nn.ELU(), torch.nn.Linear(32, 1)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(400):
        x = draw(128, generator)
        loss = (model(torch.from_numpy(x)) - torch.from_numpy(answer(x))).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x = draw(2000, generator)
    with torch.no_grad():
        error = (model(torch.from_numpy(x)).numpy() - answer(x)) ** 2
    assert error.mean() < 0.4 * (answer(x) ** 2).mean()


def test_ppo_with_a_set_policy_improves_and_its_zip_opens(tmp_path: Any) -> None:
    overrides = {
        **{"num_envs": 64, "n_steps": 16, "batch_size": 256, "network": "set"},
        **{"normalize_observations": True, "learning_rate": 3e-3, "gamma": 0.0},
        "policy_kwargs": {"net_arch": [32]},
    }
    preset = make_preset("ppo", {}, {**overrides, "adaptive_kl": None})
    model = build_algorithm(preset, SB3VecEnv(SetEnv(64)), seed=0, device="cpu")
    model.learn(25 * 1024)
    x = draw(2000, np.random.default_rng(5))
    error = (model.predict(x, deterministic=True)[0] - answer(x)) ** 2
    # Three seeds: 0.03 to 0.16; a perceptron with the same samples: 0.65.
    assert error.mean() < 0.35 * (answer(x) ** 2).mean()
    # A stock algorithm opens the zip; and plain data alone rebuilds the policy.
    model.save(tmp_path / "m.zip")
    loaded = PPO.load(tmp_path / "m.zip", device="cpu")
    expected = model.predict(x, deterministic=True)[0]
    np.testing.assert_array_equal(loaded.predict(x, deterministic=True)[0], expected)
    plain = json.loads(json.dumps(preset.to_plain()))
    again = make_preset("ppo", {"ppo": plain})
    spaces_of = (model.observation_space, model.action_space)
    policy = build_policy(again, *spaces_of, layout=json.loads(LAYOUT.to_json()))
    policy.load_state_dict(model.policy.state_dict())
    np.testing.assert_array_equal(policy.predict(x, deterministic=True)[0], expected)


def test_presets_refuse_unknown_networks() -> None:
    from proveout.assets.files.errors import UnknownNameError
    from proveout.training.presets import PresetError
    from proveout.training.presets.preset import _NETWORKS

    assert set(_NETWORKS) == set(NETWORKS)
    with pytest.raises(UnknownNameError, match="did you mean 'lidar'"):
        make_preset("ppo", {}, {"network": "lidr"})
    with pytest.raises(PresetError, match="True or False"):
        make_preset("ppo", {}, {"normalize_observations": "yes"})
    for normalize, network in itertools.product((False, True), ("mlp", "auto")):
        changes = {"normalize_observations": normalize, "network": network}
        told = make_preset("ppo", {}, changes).to_plain()
        assert {key: told[key] for key in changes} == changes
