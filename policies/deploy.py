"""An actor as one ONNX or TorchScript graph, from raw observation to bounded action.

Input `observation` (worlds, O) float32 in the units of the card, output `action` (worlds, A).
ONNX needs the packages onnx, onnxscript and onnxruntime: pip install 'proveout[export]'.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from proveout.policies.actor_network import Network
from proveout.policies.card import check_digest, read_with_card, write_with_card
from proveout.policies.errors import PolicyError
from proveout.policies.onnx_graph import OnnxGraph

_EXTRA = "pip install 'proveout[export]'"
_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
# Of a batch; any number but 1, which the exporter would take for a constant.
_EXAMPLE_ROWS = 2


class OnnxActor:
    """The policy of an ONNX file, run by onnxruntime on the CPU.

    Attributes:
        card: What is known of it.
        observation_size: Numbers of an observation.
        action_size: Numbers of an action.
    """

    def __init__(self, data: bytes, card: Mapping[str, Any], name: str) -> None:
        """Read a model.

        Args:
            data: The file's bytes.
            card: Its card, checked.
            name: Of the file, for messages.

        Raises:
            PolicyError: onnx or onnxruntime is missing, or the model is damaged, of another kind,
                or not one whose work is bounded.
        """
        runtime = _runtime()
        self._graph = OnnxGraph(data, name)
        self.observation_size = self._graph.observation_size
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1  # the workers of the worlds hold the cores
        options.log_severity_level = 4  # what is wrong is told by the exception
        try:
            # A model may name other files for its weights: here there are none to be found.
            with tempfile.TemporaryDirectory() as empty:
                options.add_session_config_entry(_WEIGHTS_FOLDER, empty)
                self._session = runtime.InferenceSession(
                    data, options, providers=["CPUExecutionProvider"]
                )
        except Exception as error:  # one class for each code of onnxruntime's C interface
            raise PolicyError(
                f"{name} is damaged or not ONNX ({_first_line(error)}); export the policy again."
            ) from error
        self.card = dict(card)
        self.action_size = len(card["network"]["action_low"])

    def predict(self, observation: np.ndarray) -> np.ndarray:
        """Return actions (N, A) or (A,) for observations (N, O) or (O,)."""
        given = np.ascontiguousarray(observation, np.float32)
        rows = given if given.ndim == 2 else given[None]
        self._graph.require_bounded(len(rows))
        try:
            (actions,) = self._session.run(["action"], {"observation": rows})
        except Exception as error:  # as in the constructor
            raise PolicyError(f"the ONNX policy failed ({_first_line(error)}).") from error
        if actions.shape != (len(rows), self.action_size):
            raise PolicyError(
                f"the ONNX policy gave actions of shape {actions.shape}, expected "
                f"{(len(rows), self.action_size)}."
            )
        return actions.reshape(*given.shape[:-1], self.action_size)


def load_onnx(path: Path | str) -> OnnxActor:
    """Read what `save_onnx` wrote.

    Raises:
        PolicyError: a file is missing, too large, damaged, or they do not belong together.
    """
    path = Path(path)
    data, card = read_with_card(path)
    check_digest(path, data, card)
    return OnnxActor(data, card, str(path))


def save_onnx(
    network: Network, path: Path, card: Mapping[str, Any], check: Callable[[Any], dict[str, Any]]
) -> Path:
    """Write `path` (.onnx) and its card; return the card's path.

    Args:
        network: The actor.
        path: Ends in .onnx.
        card: As for `save_actor`.
        check: Takes the loaded `OnnxActor` before anything is published; what it returns goes onto
            the card, what it raises keeps the file from being written.

    Raises:
        PolicyError: the packages for it are missing, or the file cannot be written.
    """
    import torch

    from proveout.policies.graph import actor_graph

    _runtime()
    try:
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise PolicyError(f"writing ONNX needs the package {error.name}: {_EXTRA}") from error
    graph = actor_graph(network)
    example = torch.zeros(_EXAMPLE_ROWS, graph.observation_size)
    with _quiet():
        program: Any = torch.onnx.export(
            graph,
            (example,),
            input_names=["observation"],
            output_names=["action"],
            dynamic_shapes=({0: torch.export.Dim("worlds")},),
            dynamo=True,
            verbose=False,
        )
    data: bytes = program.model_proto.SerializeToString()
    described = {"network": network.describe()}
    found = check(OnnxActor(data, described, path.name))
    return write_with_card(path, data, {**card, **found}, network.describe())


def save_torchscript(
    network: Network, path: Path, card: Mapping[str, Any], check: Callable[[Any], dict[str, Any]]
) -> Path:
    """Write `path` (.pt) and its card; return the card's path.

    The file is for C++ and for torch's own loader. It is code, so that nothing here reads it back
    from outside.

    Args:
        network: The actor.
        path: Ends in .pt.
        card: As for `save_actor`.
        check: As for `save_onnx`.

    Raises:
        PolicyError: the file cannot be written.
    """
    import torch

    from proveout.policies.graph import actor_graph

    graph = actor_graph(network)
    example = torch.zeros(_EXAMPLE_ROWS, graph.observation_size)
    buffer = io.BytesIO()
    with _quiet():
        torch.jit.save(torch.jit.trace(graph, (example,)), buffer)
        buffer.seek(0)
        loaded = torch.jit.load(buffer)
    found = check(_ScriptActor(loaded))
    return write_with_card(path, buffer.getvalue(), {**card, **found}, network.describe())


class _ScriptActor:
    """`predict` of a TorchScript module."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def predict(self, observation: np.ndarray) -> np.ndarray:
        import torch

        with torch.no_grad():
            return self._module(torch.from_numpy(observation)).numpy()


def _runtime() -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise PolicyError(f"ONNX policies need the package onnxruntime: {_EXTRA}") from error
    return onnxruntime


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' progress and deprecation notes away."""
    disabled = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(disabled)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
