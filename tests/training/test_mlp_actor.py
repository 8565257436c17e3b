"""Policy files: the same actions as the policy they came from, and nothing else is accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_env import PointTask, PointVectorEnv

from proveout.policies import card
from proveout.policies.actor import Actor, load_actor, save_actor
from proveout.policies.actor_network import Network
from proveout.policies.errors import PolicyError
from proveout.policies.pretrained import pretrained
from proveout.training.evaluation.policy_source import PolicySource, load_policy
from proveout.training.presets import DEFAULTS, build_algorithm, make_preset
from proveout.training.sb3.vec_env import SB3VecEnv


def model(algo: str) -> Any:
    presets = {"ppo": PointTask.presets["ppo"]} if algo == "ppo" else {algo: DEFAULTS[algo]}
    overrides: dict[str, Any] = {"num_envs": 2, "policy_kwargs": {"action_head_scale": 3.0}}
    if algo not in ("ppo", "a2c"):
        overrides["buffer_size"] = 100
    else:
        overrides["n_steps"] = 128
    venv = SB3VecEnv(PointVectorEnv(2))
    return build_algorithm(make_preset(algo, presets, overrides), venv, seed=0)


def small_network() -> Network:
    draw = np.random.default_rng(0)
    return Network(
        weights=(
            draw.normal(size=(8, 6)).astype(np.float32),
            draw.normal(size=(2, 8)).astype(np.float32),
        ),
        biases=(np.zeros(8, np.float32), np.full(2, 0.5, np.float32)),
        activation="relu",
        output="clip",
        low=np.array([-1.0, -2.0], np.float32),
        high=np.array([1.0, 2.0], np.float32),
    )


@pytest.mark.parametrize("algo", ["ppo", "a2c", "sac", "td3", "tqc"])
def test_a_file_predicts_what_the_policy_predicts(algo: str, tmp_path: Path) -> None:
    trained = model(algo)
    save_actor(trained.policy, tmp_path / "a.safetensors", {"env_id": "x"})
    loaded = load_actor(tmp_path / "a.safetensors")
    observation = np.random.default_rng(1).normal(size=(1000, 6)).astype(np.float32) * 2.0
    expected = trained.predict(observation, deterministic=True)[0]
    np.testing.assert_allclose(loaded.predict(observation), expected, atol=1e-5)
    np.testing.assert_allclose(loaded.predict(observation[0]), expected[0], atol=1e-5)
    assert loaded.card["env_id"] == "x"
    assert expected.std() > 0.05


def test_the_network_is_what_it_says() -> None:
    """One observation by hand: relu between the layers, clipping at the end."""
    network = small_network()
    x = np.linspace(-1.0, 1.0, 6, dtype=np.float32)
    hidden = np.maximum(network.weights[0] @ x, 0.0)
    by_hand = np.clip(network.weights[1] @ hidden + 0.5, [-1.0, -2.0], [1.0, 2.0])
    np.testing.assert_allclose(Actor(network, {}).predict(x), by_hand, rtol=1e-5)
    assert network.sizes == [6, 8, 2]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "p.safetensors"
    layout = json.loads(PointTask(None).layout.to_json())
    save_actor(small_network(), path, {"observation": layout})
    return path


def change_card(path: Path, **changes: Any) -> None:
    card_path = path.with_suffix(".json")
    card = json.loads(card_path.read_text())
    for key, value in changes.items():
        target, name = (card["network"], key[8:]) if key.startswith("network_") else (card, key)
        target[name] = value
    card_path.write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "not the card of a policy"),
        ({"version": 99}, "version 99"),
        ({"network": None}, "no 'network'"),
        ({"network_sizes": [6, 8]}, "action_low must be 8"),
        ({"network_sizes": [6, 9, 2]}, "expected float32"),
        ({"network_sizes": [6, 10**12, 2]}, "expected float32"),
        ({"network_sizes": [6, 8, 8, 2]}, "layers.1.weight"),
        ({"network_sizes": [6, True, 2]}, "positive integers"),
        ({"network_sizes": [4] * 1000}, "2 to 64"),
        ({"network_activation": "exec"}, "activation"),
        ({"network_output": "sign"}, "output"),
        ({"network_action_low": [-1.0]}, "action_low must be 2"),
        ({"network_action_high": ["a", 1.0]}, "action_high must be 2"),
        ({"weights_sha256": "0" * 64}, "checksums differ"),
    ],
)
def test_bad_cards_are_one_sentence(saved: Path, changes: dict[str, Any], message: str) -> None:
    change_card(saved, **changes)
    with pytest.raises(PolicyError, match=message) as error:
        load_actor(saved)
    assert "\n" not in str(error.value)
    assert str(saved.parent) in str(error.value)


def test_a_file_of_version_one_is_read(saved: Path) -> None:
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    expected = load_actor(saved).predict(x)
    card_path = saved.with_suffix(".json")
    written = json.loads(card_path.read_text())
    del written["network"]["features"]
    card_path.write_text(json.dumps({**written, "format": "proveout-mlp-actor", "version": 1}))
    np.testing.assert_array_equal(load_actor(saved).predict(x), expected)
    card_path.write_text(json.dumps({**written, "format": "proveout-mlp-actor", "version": 2}))
    with pytest.raises(PolicyError, match="version 2"):
        load_actor(saved)


def test_damaged_files_are_one_sentence(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved.read_bytes()
    for broken in (data[:-10], data[:20], b"", b"\xff" * 200, data + b"x"):
        saved.write_bytes(broken)
        with pytest.raises(PolicyError) as error:
            load_actor(saved)
        assert "\n" not in str(error.value)
    saved.write_bytes(data)
    monkeypatch.setattr(card, "MAX_WEIGHTS_BYTES", 100)
    with pytest.raises(PolicyError, match="too large"):
        load_actor(saved)
    saved.with_suffix(".json").write_text("[" * 100_000)
    with pytest.raises(PolicyError, match="not valid JSON"):
        load_actor(saved)
    saved.with_suffix(".json").unlink()
    with pytest.raises(PolicyError, match="does not exist"):
        load_actor(saved)
    with pytest.raises(PolicyError, match=r"must end in \.safetensors"):
        load_actor(saved.with_suffix(".pt"))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    network = small_network()
    network.weights[0][0, 0] = np.nan
    save_actor(network, tmp_path / "p.safetensors", {})
    with pytest.raises(PolicyError, match="not finite"):
        load_actor(tmp_path / "p.safetensors")


def test_a_policy_that_does_not_fit_names_the_entries(saved: Path) -> None:
    env = PointVectorEnv(1)
    policy = load_policy(PolicySource(str(saved)), env)
    assert isinstance(policy, Actor)
    layout = json.loads(PointTask(None).layout.to_json())
    layout["entries"][1]["name"] = "target"
    layout["entries"][2]["unit"] = "cm"
    change_card(saved, observation=layout)
    with pytest.raises(PolicyError) as error:
        load_policy(PolicySource(str(saved)), env)
    for part in ("'target'", "'goal'", "'to_goal' has unit", "fake/Point-v0"):
        assert part in str(error.value)


def test_a_policy_without_layout_must_have_the_sizes(tmp_path: Path) -> None:
    network = small_network()
    wider = Network(
        weights=(np.zeros((8, 7), np.float32), network.weights[1]),
        biases=network.biases,
        activation="relu",
        output="clip",
        low=network.low,
        high=network.high,
    )
    save_actor(wider, tmp_path / "p.safetensors", {})
    with pytest.raises(PolicyError, match="takes 7 numbers"):
        load_policy(PolicySource(str(tmp_path / "p.safetensors")), PointVectorEnv(1))


def test_pickles_need_trust(tmp_path: Path) -> None:
    trained = model("ppo")
    path = tmp_path / "m.zip"
    trained.save(path)
    env = PointVectorEnv(1)
    with pytest.raises(PolicyError, match="--trust-pickle"):
        load_policy(PolicySource(str(path)), env)
    policy = load_policy(PolicySource(str(path), trust_pickle=True), env)
    observation = np.ones((3, 6), np.float32)
    np.testing.assert_array_equal(
        policy.predict(observation, deterministic=True)[0],  # type: ignore[call-arg]
        trained.predict(observation, deterministic=True)[0],
    )
    path.write_bytes(b"no zip")
    with pytest.raises(PolicyError, match="cannot be loaded"):
        load_policy(PolicySource(str(path), trust_pickle=True), env)


def test_unknown_sources_name_the_nearest() -> None:
    env = PointVectorEnv(1)
    with pytest.raises(PolicyError, match="did you mean 'expert'"):
        load_policy(PolicySource("exprt"), env)
    with pytest.raises(PolicyError, match="does not exist"):
        load_policy(PolicySource("nothing.safetensors"), env)
    with pytest.raises(PolicyError, match="train one with"):
        pretrained("fake/Point-v0")
