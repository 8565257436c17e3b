"""Exported policies: the same actions in every format, and nothing damaged is accepted."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_env import ID, PointTask, PointVectorEnv

from proveout.policies import card as cards
from proveout.policies import deploy
from proveout.policies.actor import load_actor
from proveout.policies.deploy import OnnxActor, load_onnx
from proveout.policies.errors import PolicyError
from proveout.policies.graph import sample_observations
from proveout.policies.normalize import normalizers
from proveout.training import export as exporting
from proveout.training.cli.program import main
from proveout.training.evaluation.policy_source import PolicySource, load_policy
from proveout.training.export import save_policy
from proveout.training.presets import build_algorithm, make_preset
from proveout.training.sb3.vec_env import SB3VecEnv

SMALL = {"ppo": {"n_steps": 64}, "a2c": {"n_steps": 64}}
LAYOUT = json.loads(PointTask(None).layout.to_json())
CARD = {"observation": LAYOUT, "action": json.loads(PointTask(None).action_layout.to_json())}


def needs_onnx() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)


def policy(algo: str, **changes: Any) -> Any:
    """Return an untrained policy whose actions reach their bounds, its normaliser filled."""
    overrides: dict[str, Any] = {"num_envs": 2, "policy_kwargs": {"action_head_scale": 3.0}}
    overrides |= SMALL.get(algo, {"buffer_size": 100})
    preset = make_preset(algo, {}, {**overrides, **changes})
    model = build_algorithm(preset, SB3VecEnv(PointVectorEnv(2)), seed=0, device="cpu")
    rows = np.random.default_rng(0).normal([3.0, 0, 0, 0, 0, 0], [1, 0.1, 5, 1, 1, 1], (500, 6))
    for normalizer in normalizers(model.policy):
        normalizer.update(torch.from_numpy(rows.astype(np.float32)))
    return model.policy


class Highway:
    """What is needed of an environment to build a policy for Highway, without its worlds."""

    def __init__(self) -> None:
        from proveout.envs import make_task

        self.task = make_task("proveout/Highway-v0")
        self.layout = json.loads(self.task.layout.to_json())

    def policy(self) -> Any:
        from proveout.training.presets import build_policy

        changes = {"network": "auto", "normalize_observations": True}
        preset = make_preset("tensor_ppo", {}, {**changes, "policy_kwargs": {"net_arch": [64]}})
        torch.manual_seed(0)
        made = build_policy(
            preset,
            self.task.layout.space(),
            self.task.action_layout.space(),
            layout=self.layout,
        )
        network = exporting.as_network(made)
        for normalizer in normalizers(made):
            normalizer.update(torch.from_numpy(sample_observations(network, self.layout, 300)))
        return made


@pytest.mark.parametrize("algo", ["ppo", "a2c", "sac", "td3", "tqc"])
@pytest.mark.parametrize("kind", ["safetensors", "torchscript"])
def test_every_algorithm_in_every_format(algo: str, kind: str, tmp_path: Path) -> None:
    trained = policy(algo, normalize_observations=True)
    out = tmp_path / f"p{exporting.SUFFIXES[kind]}"
    written = save_policy(trained, out, kind, CARD)
    assert written.difference <= 1e-5
    card = json.loads(written.card.read_text())
    assert card["check"] == {
        "against": "predict",
        "observations": 1000,
        "max_difference": written.difference,
    }
    assert card["normalizer"]["samples"] == 500.0
    x = np.random.default_rng(3).normal(0.0, 3.0, (1000, 6)).astype(np.float32)
    expected = trained.predict(x, deterministic=True)[0]
    assert expected.std() > 0.05
    if kind == "safetensors":
        found = load_actor(out).predict(x)
    else:
        found = torch.jit.load(str(out))(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("algo", ["ppo", "sac", "td3", "tqc"])
def test_onnx(algo: str, tmp_path: Path) -> None:
    needs_onnx()
    trained = policy(algo, normalize_observations=algo != "td3")
    written = save_policy(trained, tmp_path / "p.onnx", "onnx", CARD)
    assert (written.card.name, written.observations) == ("p.onnx.json", 1000)
    assert written.difference <= 1e-5
    loaded = load_onnx(tmp_path / "p.onnx")
    for count in (1, 2, 777):
        x = np.random.default_rng(count).normal(0.0, 3.0, (count, 6)).astype(np.float32)
        expected = trained.predict(x, deterministic=True)[0]
        np.testing.assert_allclose(loaded.predict(x), expected, atol=1e-5)
    np.testing.assert_allclose(loaded.predict(x[0]), expected[0], atol=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.onnx", "p.onnx.json"]


def test_a_set_policy_of_highway_in_every_format(tmp_path: Path) -> None:
    needs_onnx()
    highway = Highway()
    made = highway.policy()
    x = sample_observations(exporting.as_network(made), highway.layout, 500, seed=9)
    expected = made.predict(x, deterministic=True)[0]
    for kind, suffix in exporting.SUFFIXES.items():
        out = tmp_path / f"highway{suffix}"
        written = save_policy(made, out, kind, {"observation": highway.layout})
        assert written.difference <= 1e-5
        if kind == "safetensors":
            found = load_actor(out).predict(x)
        elif kind == "onnx":
            found = load_onnx(out).predict(x)
        else:
            found = torch.jit.load(str(out))(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"highway.json", "highway.onnx.json", "highway.pt.json"}


def test_a_file_that_differs_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_onnx()
    trained = policy("ppo")
    predict = OnnxActor.predict
    monkeypatch.setattr(OnnxActor, "predict", lambda self, x: predict(self, x) + 2e-5)
    (tmp_path / "p.onnx").write_bytes(b"what was here before")
    with pytest.raises(PolicyError, match="differs from the trained one by 2"):
        save_policy(trained, tmp_path / "p.onnx", "onnx", CARD)
    assert (tmp_path / "p.onnx").read_bytes() == b"what was here before"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture(scope="module")
def exported_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs_onnx()
    folder = tmp_path_factory.mktemp("onnx")
    save_policy(policy("ppo"), folder / "p.onnx", "onnx", CARD)
    return folder


@pytest.fixture
def onnx_file(exported_once: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported_once, tmp_path / "onnx") / "p.onnx"


def rewrite(path: Path, data: bytes | None = None, **changes: Any) -> None:
    """Change the file, with a card that fits it, and entries of the card."""
    card_file = cards.card_path(path)
    card = json.loads(card_file.read_text())
    if data is not None:
        path.write_bytes(data)
        card["weights_sha256"] = hashlib.sha256(data).hexdigest()
    card_file.write_text(json.dumps({**card, **changes}))


def refused(path: Path) -> str:
    with pytest.raises(PolicyError) as error:
        load_policy(PolicySource(str(path)), PointVectorEnv(1))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_damaged_onnx_is_one_sentence(onnx_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = onnx_file.read_bytes()
    for broken in (data[:-100], data[:30], b"", b"\xff" * 300):
        onnx_file.write_bytes(broken)
        assert "checksums differ" in refused(onnx_file)
        rewrite(onnx_file, broken)  # even where the card agrees
        assert "p.onnx" in refused(onnx_file)
    rewrite(onnx_file, data)
    load_policy(PolicySource(str(onnx_file)), PointVectorEnv(1))
    monkeypatch.setattr(cards, "MAX_WEIGHTS_BYTES", 100)
    assert "too large" in refused(onnx_file)
    monkeypatch.undo()
    cards.card_path(onnx_file).unlink()
    assert "p.onnx.json does not exist" in refused(onnx_file)


def test_an_onnx_model_that_is_no_policy_is_refused(onnx_file: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    def model(name: str, kind: int, shape: list[Any], out: int) -> bytes:
        inputs = [helper.make_tensor_value_info(name, kind, shape)]
        outputs = [helper.make_tensor_value_info("action", kind, ["worlds", out])]
        start, stop, axis = (
            helper.make_tensor(key, TensorProto.INT64, [1], [value])
            for key, value in (("start", 0), ("stop", out), ("axis", 1))
        )
        node = helper.make_node("Slice", [name, "start", "stop", "axis"], ["action"])
        graph = helper.make_graph([node], "g", inputs, outputs, [start, stop, axis])
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        made.ir_version = 9
        onnx.checker.check_model(made)
        return made.SerializeToString()

    rewrite(onnx_file, model("x", TensorProto.FLOAT, ["worlds", 6], 2))
    assert "one input 'observation'" in refused(onnx_file)
    rewrite(onnx_file, model("observation", TensorProto.DOUBLE, ["worlds", 6], 2))
    assert "expected float" in refused(onnx_file)
    rewrite(onnx_file, model("observation", TensorProto.FLOAT, ["worlds", "any"], 2))
    assert "expected float" in refused(onnx_file)
    rewrite(onnx_file, model("observation", TensorProto.FLOAT, ["worlds", 7], 2))
    assert "takes 7 numbers" in refused(onnx_file)
    rewrite(onnx_file, model("observation", TensorProto.FLOAT, ["worlds", 6], 3))
    actor = load_policy(PolicySource(str(onnx_file)), PointVectorEnv(1))
    with pytest.raises(PolicyError, match="gave actions of shape"):
        actor.predict(np.zeros((4, 6), np.float32))


@pytest.mark.parametrize("location", ["{folder}/secret", "secret", "../onnx/secret"])
def test_an_onnx_model_cannot_read_other_files(
    location: str, onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    monkeypatch.chdir(onnx_file.parent)
    secret = onnx_file.with_name("secret")
    made = onnx.load(onnx_file)
    tensor = next(t for t in made.graph.initializer if t.dims)
    secret.write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location.format(folder=onnx_file.parent)
    rewrite(onnx_file, made.SerializeToString())
    # onnxruntime alone would load the second and the third.
    assert "External data path" in refused(onnx_file)


def test_another_layout_names_the_entries_of_onnx(onnx_file: Path) -> None:
    another_layout(onnx_file)


def test_another_layout_names_the_entries_of_safetensors(tmp_path: Path) -> None:
    save_policy(policy("ppo"), tmp_path / "p.safetensors", "safetensors", CARD)
    another_layout(tmp_path / "p.safetensors")


def another_layout(path: Path) -> None:
    changed = json.loads(json.dumps(LAYOUT))
    changed["entries"][1]["name"] = "target"
    changed["entries"][2]["unit"] = "cm"
    rewrite(path, observation=changed)
    message = refused(path)
    for part in ("'target'", "'goal'", "'to_goal' has unit", "fake/Point-v0", "observations"):
        assert part in message
    action = json.loads(json.dumps(CARD["action"]))
    action["entries"][0]["unit"] = "N"
    rewrite(path, observation=LAYOUT, action=action)
    assert "does not fit the actions" in refused(path)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"layout": None}, "neither a layout nor a normaliser"),
        ({"normalizer": {"size": 10**12, "clip": 1.0, "epsilon": 1.0}}, "size 1000000000000"),
        ({"normalizer": {"size": 6, "clip": -1.0, "epsilon": 1.0}}, "positive numbers"),
        ({"normalizer": {"size": 7, "clip": 1.0, "epsilon": 1.0}}, "features are 7 numbers"),
        ({"normalizer": 3}, "JSON objects"),
        ({"layout": LAYOUT, "encoder": {"kinds": ["exec"], "width": None}}, "known kinds"),
        ({"layout": LAYOUT, "encoder": {"kinds": [], "width": 10**9}}, "width must be even"),
        ({"layout": {"entries": "x"}}, "entries"),
    ],
)
def test_bad_features_on_a_card(features: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    save_policy(policy("ppo", normalize_observations=True), path, "safetensors", CARD)
    card = json.loads(cards.card_path(path).read_text())
    rewrite(path, network={**card["network"], "features": features})
    assert message in refused(path)


def test_a_card_of_another_network_is_refused(tmp_path: Path) -> None:
    """The statistics may not be left out of sight: every tensor is announced."""
    path = tmp_path / "p.safetensors"
    save_policy(policy("ppo", normalize_observations=True), path, "safetensors", CARD)
    card = json.loads(cards.card_path(path).read_text())
    rewrite(path, network={**card["network"], "features": None})
    assert "does not announce" in refused(path)


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(PolicyError, match=r"onnxruntime: pip install 'proveout\[export\]'"):
        deploy.OnnxActor(b"", {}, "p.onnx")
    with pytest.raises(PolicyError, match="onnxruntime"):
        save_policy(policy("ppo"), tmp_path / "p.onnx", "onnx", CARD)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_says_so(tmp_path: Path) -> None:
    from stable_baselines3.common.torch_layers import FlattenExtractor

    class Own(FlattenExtractor):
        pass

    made = policy("ppo")
    made.pi_features_extractor = Own(made.observation_space)
    with pytest.raises(PolicyError, match="Own cannot be exported"):
        save_policy(made, tmp_path / "p.safetensors", "safetensors", CARD)


def test_the_way_of_a_user(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Train with a normaliser, export, evaluate the file, meet every mistake as one sentence."""
    needs_onnx()
    monkeypatch.chdir(tmp_path)
    flags = ["--total-timesteps", "2048", "--evaluation-episodes", "20", "--no-video"]
    normalized = ["--hyperparameters", "normalize_observations=True"]
    assert main(["train", ID, *flags, "--seed", "3", *normalized]) == 0
    (folder,) = (tmp_path / "runs" / "fake-Point-v0").iterdir()
    run = str(folder.relative_to(tmp_path))
    capfd.readouterr()
    assert main(["evaluate", run, "--episodes", "30", "--json"]) == 0
    wanted = json.loads(capfd.readouterr().out)["return_mean"]
    for arguments, file in (
        (["--format", "onnx"], "policy.onnx"),
        (["--out", "a/b.onnx"], "a/b.onnx"),
        (["--format", "safetensors"], "policy.safetensors"),
        (["--format", "torchscript", "--out", "t.pt"], "t.pt"),
    ):
        assert main(["export", run, *arguments]) == 0
        out = capfd.readouterr().out
        assert f"Policy: {file}" in out
        assert "largest difference from predict on 1000 observations" in out
        if file == "t.pt":
            continue
        assert main(["evaluate", ID, "--policy", file, "--episodes", "30", "--json"]) == 0
        found = json.loads(capfd.readouterr().out)["return_mean"]
        assert found == pytest.approx(wanted, rel=1e-5)
    assert main(["play", ID, "--policy", "policy.onnx", "--episodes", "1", "--video", "v.mp4"]) == 0

    card = json.loads(Path("policy.onnx.json").read_text())
    assert [entry["unit"] for entry in card["observation"]["entries"]] == ["m", "m", "m"]
    assert card["action"]["entries"][0]["description"] == "velocity"
    assert card["control_rate"] == {"value": 10.0, "unit": "Hz"}
    assert (card["env_id"], card["config"]["tolerance"]) == (ID, 0.2)
    assert (card["training"]["algo"], card["training"]["samples"]) == ("ppo", 2048)
    assert len(card["evaluation"]["success_interval"]) == 2
    assert card["versions"]["torch"]
    assert card["normalizer"]["samples"] == 2048.0
    assert card["check"]["max_difference"] <= 1e-5

    Path("policy.safetensors").write_bytes(Path("policy.safetensors").read_bytes()[:-50])
    Path("policy.onnx").write_bytes(Path("policy.onnx").read_bytes()[:-50])
    for arguments, message in (
        (["evaluate", ID, "--policy", "policy.onnx"], "checksums differ"),
        (["evaluate", ID, "--policy", "policy.safetensors"], "damaged or not safetensors"),
        (["evaluate", ID, "--policy", "t.pt"], "TorchScript"),
        (["play", ID, "--policy", "none.onnx"], "none.onnx.json does not exist"),
        (["export", run, "--format", "onxx"], "did you mean 'onnx'"),
        (["export", run, "--format", "onnx", "--out", "a.pt"], "must end in .onnx"),
        (["export", run, "--out", "a.bin"], "must end in one of"),
    ):
        capfd.readouterr()
        assert main(arguments) == 2, arguments
        errors = [
            line
            for line in capfd.readouterr().err.splitlines()
            if line.startswith("proveout: error: ")
        ]
        assert len(errors) == 1
        assert message in errors[0]
