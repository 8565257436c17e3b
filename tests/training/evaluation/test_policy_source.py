"""Policy files from outside: nothing is opened that is no file, nothing is run that has no end."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_env import PointTask, PointVectorEnv

from proveout.assets.files import atomic
from proveout.policies import card, onnx_graph
from proveout.policies.actor import load_actor, save_actor
from proveout.policies.actor_network import Network
from proveout.policies.deploy import load_onnx
from proveout.policies.errors import PolicyError
from proveout.training.evaluation.policy_source import PolicySource, load_policy
from proveout.training.export import save_policy
from proveout.training.presets import build_policy, make_preset

LAYOUT = json.loads(PointTask(None).layout.to_json())
CARD = {"observation": LAYOUT, "action": json.loads(PointTask(None).action_layout.to_json())}
# What the first two of some numbers are cut out with.
ENDS = {"start": np.array([0]), "stop": np.array([2]), "axis": np.array([1])}


def network() -> Network:
    draw = np.random.default_rng(0)
    return Network(
        weights=tuple(draw.normal(size=s).astype(np.float32) for s in ((8, 6), (2, 8))),
        biases=(np.zeros(8, np.float32), np.zeros(2, np.float32)),
        activation="tanh",
        output="clip",
        low=-np.ones(2, np.float32),
        high=np.ones(2, np.float32),
    )


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "p.safetensors"
    save_actor(network(), path, CARD)
    return path


def refused(path: Path) -> str:
    with pytest.raises(PolicyError) as error:
        load_policy(PolicySource(str(path)), PointVectorEnv(1))
    assert "\n" not in str(error.value)
    return str(error.value)


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    told = json.loads(card.card_path(path).read_text())
    change(told)
    card.card_path(path).write_text(json.dumps(told))


@pytest.mark.parametrize(
    "bound",
    [10**400, -(10**400), 1e300, 3.5e38, float("inf"), float("nan"), True, "1", None],
    ids=lambda bound: str(bound)[:8],
)
@pytest.mark.parametrize("key", ["action_low", "action_high"])
def test_bounds_are_finite_as_float32(policy: Path, key: str, bound: Any) -> None:
    rewrite(policy, lambda told: told["network"].update({key: [bound, 0.0]}))
    assert f"network.{key} must be 2 numbers that are finite as float32" in refused(policy)


def test_bounds_are_in_order(policy: Path) -> None:
    rewrite(policy, lambda told: told["network"].update(action_low=[2.0, -1.0]))
    assert "action_low is above" in refused(policy)


@pytest.mark.parametrize("number", [10**400, 1e300, float("nan")], ids=["10^400", "1e300", "nan"])
def test_numbers_of_features_are_finite_as_float32(policy: Path, number: Any) -> None:
    normalizer = {"size": 6, "clip": number, "epsilon": 1e-4}
    rewrite(policy, lambda told: told["network"].update(features={"normalizer": normalizer}))
    assert "positive numbers" in refused(policy)
    layout = {"entries": [{"name": "a", "shape": [6], "low": number}]}
    rewrite(policy, lambda told: told["network"].update(features={"layout": layout}))
    assert "entry 'a' of an observation layout has low" in refused(policy)


@pytest.mark.parametrize("key", ["observation", "action"])
@pytest.mark.parametrize("value", [5, "x", None, [], True])
def test_a_layout_on_a_card_is_an_object(policy: Path, key: str, value: Any) -> None:
    rewrite(policy, lambda told: told.update({key: value}))
    assert f"'{key}' must be the JSON object of a layout" in refused(policy)
    rewrite(policy, lambda told: told.update({key: {"entries": [3]}}))
    assert f"'{key}' on its card is no layout" in refused(policy)
    rewrite(policy, lambda told: told.pop(key))  # not known: the sizes alone are compared
    load_policy(PolicySource(str(policy)), PointVectorEnv(1))


def test_what_is_no_file_is_not_opened(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    monkeypatch.setattr(atomic.os, "open", lambda path, *_: opened.append(path))
    for name in ("p.safetensors", "p.json"):
        path = tmp_path / name
        path.rename(tmp_path / "kept")
        os.mkfifo(path)
        with pytest.raises(OSError, match="regular file"):
            atomic.read_regular(path, 10)
        path.unlink()
        path.symlink_to("/dev/zero")
        with pytest.raises(OSError, match="regular file"):
            atomic.read_regular(path, 10)
        path.unlink()
        (tmp_path / "kept").rename(path)
    assert not opened


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
@pytest.mark.parametrize("of_card", [True, False])
def test_a_pipe_as_policy_or_card_is_refused(
    policy: Path, tmp_path: Path, suffix: str, of_card: bool
) -> None:
    path = tmp_path / f"q{suffix}"
    shutil.copy(policy, path)
    shutil.copy(card.card_path(policy), card.card_path(path))
    pipe = card.card_path(path) if of_card else path
    pipe.unlink()
    os.mkfifo(pipe)
    assert f"{pipe.name} cannot be read: it is not a regular file" in refused(path)


def test_a_file_that_cannot_be_written_is_one_sentence(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("fsync", "open"):
        with monkeypatch.context() as patched:
            patched.setattr(atomic.os, name, no_room)
            with pytest.raises(PolicyError, match="its card cannot be written: No space left"):
                save_actor(network(), policy, CARD)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "file").touch()
    for out in ("folder.safetensors", "file/p.safetensors"):
        with pytest.raises(PolicyError, match="cannot be written"):
            save_actor(network(), tmp_path / out, CARD)
    with pytest.raises(PolicyError, match="cannot be written"):
        save_actor(network(), "/proc/nosuch/p.safetensors", CARD)
    assert load_actor(policy).action_size == 2


# ONNX


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    path = tmp_path_factory.mktemp("onnx") / "p.onnx"
    task = PointTask(None)
    preset = make_preset("ppo", {}, {"policy_kwargs": {"net_arch": [8]}})
    made = build_policy(preset, task.layout.space(), task.action_layout.space())
    save_policy(made, path, "onnx", CARD)
    return path


def graph_of(nodes: list[Any], constants: dict[str, Any], **model: Any) -> bytes:
    """Return a model from "observation" (worlds, 6) to "action" (worlds, 2)."""
    from onnx import TensorProto, helper, numpy_helper

    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["worlds", size])
        for name, size in (("observation", 6), ("action", 2))
    ]
    held = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], held)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], **model)
    made.ir_version = 10
    data: bytes = made.SerializeToString()
    return data


def doubled() -> list[Any]:
    """Return nodes that double the observation's size 60 times, from x0 to x60."""
    from onnx import helper

    return [
        helper.make_node("Identity", ["observation"], ["x0"]),
        *(helper.make_node("Concat", [f"x{i}", f"x{i}"], [f"x{i + 1}"], axis=1) for i in range(60)),
    ]


def read(data: bytes) -> onnx_graph.OnnxGraph:
    return onnx_graph.OnnxGraph(data, "p.onnx")


def test_our_own_onnx_is_read_for_any_number_of_worlds(exported: Path) -> None:
    actor = load_onnx(exported)
    for worlds in (0, 1, 3, 4096):
        assert actor.predict(np.zeros((worlds, 6), np.float32)).shape == (worlds, 2)


def test_a_loop_is_refused_and_not_run(exported: Path, tmp_path: Path) -> None:
    import hashlib

    import onnx
    from onnx import TensorProto, helper

    boolean = [
        helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("go", "still")
    ]
    count = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["still"])], "body", [count, boolean[0]], boolean[1:]
    )
    made = onnx.load(exported)
    made.graph.initializer.append(helper.make_tensor("passes", TensorProto.INT64, [], [2**62]))
    made.graph.initializer.append(helper.make_tensor("first", TensorProto.BOOL, [], [True]))
    made.graph.node.append(helper.make_node("Loop", ["passes", "first"], [], body=body))
    data = made.SerializeToString()
    path = tmp_path / "p.onnx"
    path.write_bytes(data)
    shutil.copy(card.card_path(exported), card.card_path(path))
    digest = hashlib.sha256(data).hexdigest()
    rewrite(path, lambda told: told.update(weights_sha256=digest))
    assert "has an operator 'Loop', which no policy consists of" in refused(path)


def test_other_domains_and_functions_are_refused(exported: Path) -> None:
    import onnx
    from onnx import helper

    made = onnx.load(exported)
    made.graph.node[0].domain = "com.microsoft"
    with pytest.raises(PolicyError, match=r"of domain 'com\.microsoft'"):
        read(made.SerializeToString())
    made = onnx.load(exported)
    opsets = [helper.make_opsetid("", 20)]
    node = helper.make_node("Identity", ["x"], ["y"])
    made.functions.append(helper.make_function("own", "Gemm", ["x"], ["y"], [node], opsets))
    with pytest.raises(PolicyError, match="defines functions"):
        read(made.SerializeToString())


def test_a_tensor_that_doubles_is_refused() -> None:
    from onnx import helper

    nodes = doubled()
    nodes.append(helper.make_node("Slice", ["x60", "start", "stop", "axis"], ["action"]))
    with pytest.raises(PolicyError, match=r"numbers at once .*Concat"):
        read(graph_of(nodes, ENDS))


def test_a_product_of_the_worlds_is_refused_before_it_is_run() -> None:
    """The work of one world is small, and that of many is not as many times as much."""
    from onnx import helper

    nodes = [
        helper.make_node("Transpose", ["observation"], ["across"], perm=[1, 0]),
        helper.make_node("MatMul", ["observation", "across"], ["all"]),
        helper.make_node("MatMul", ["all", "observation"], ["again"]),
        helper.make_node("Slice", ["again", "start", "stop", "axis"], ["action"]),
    ]
    graph = read(graph_of(nodes, ENDS))
    graph.require_bounded(512)
    with pytest.raises(PolicyError, match="too much for a policy"):
        graph.require_bounded(2**22)


def test_a_size_that_depends_on_the_numbers_is_refused() -> None:
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Slice", ["observation", "start", "stop", "axis"], ["action"]),
        helper.make_node("Slice", ["observation", "start", "one", "axis"], ["few"]),
        helper.make_node("Reshape", ["few", "flat"], ["count"]),
        helper.make_node("Cast", ["count"], ["shape"], to=TensorProto.INT64),
        helper.make_node("Expand", ["few", "shape"], ["huge"]),
    ]
    constants = {**ENDS, "one": np.array([1]), "flat": np.array([-1])}
    with pytest.raises(PolicyError, match=r"'huge' is not known beforehand \(Expand\)"):
        read(graph_of(nodes, constants))


def test_a_long_chain_of_products_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from onnx import helper

    side = 1500
    names = ["observation", *(f"x{i}" for i in range(1, 1001))]
    nodes = [helper.make_node("MatMul", ["observation", "first"], ["x1"])]
    nodes += [
        helper.make_node("MatMul", [before, "same"], [after])
        for before, after in itertools.pairwise(names[1:])
    ]
    nodes.append(helper.make_node("Slice", [names[-1], "start", "stop", "axis"], ["action"]))
    matrices = {
        "first": np.zeros((6, side), np.float32),
        "same": np.zeros((side, side), np.float32),
    }
    data = graph_of(nodes, {**matrices, **ENDS})
    with pytest.raises(PolicyError, match=r"operations for each world \(MatMul\)"):
        read(data)
    monkeypatch.setattr(onnx_graph, "MAX_OPERATIONS", 3_000_000_000)
    read(data)


def test_what_a_model_says_of_its_own_sizes_is_not_relied_on(exported: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    made = onnx.load(exported)
    made.graph.node.extend(doubled())
    for i in range(61):
        told = helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, ["worlds", 6])
        made.graph.value_info.append(told)
    with pytest.raises(PolicyError, match="numbers at once"):
        read(made.SerializeToString())
