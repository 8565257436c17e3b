"""What an ONNX model from outside may be: operators of a policy, and work known beforehand.

ONNX has loops, branches and functions, and a few harmless operators can double a tensor sixty times
in a row. So only the operators that a policy's export consists of pass, and nothing is run before
the shape of every tensor is known from the file and the number of worlds, and found to be bounded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from proveout.policies.errors import PolicyError

OPERATORS = frozenset(
    (
        *("Add", "Clip", "Concat", "Conv", "Div", "Elu", "Expand", "Gelu", "Gemm", "Greater"),
        *("LeakyRelu", "MatMul", "Max", "Min", "Mul", "Not", "Relu", "Reshape", "Selu", "Shape"),
        *("Sigmoid", "Slice", "Softmax", "Softplus", "Sub", "Tanh", "Transpose", "Unsqueeze"),
        "Where",
        # Not in what torch writes today; other releases of it do.
        *("Cast", "Constant", "Identity", "Squeeze"),
    )
)
MAX_NODES = 5_000
# For one world, many times those of the largest network of this package: numbers of one tensor, and
# multiplications and additions.
MAX_NUMBERS = 2_000_000
MAX_OPERATIONS = 2_000_000_000
_DOMAINS = ("", "ai.onnx")
_INPUT, _OUTPUT = "observation", "action"
_FLOAT = 1  # onnx.TensorProto.FLOAT

_Shape = tuple[int, ...]


class OnnxGraph:
    """The graph of a policy, read but not run.

    Attributes:
        observation_size: Numbers of an observation.
    """

    def __init__(self, data: bytes, name: str) -> None:
        """Read a model.

        Args:
            data: The file's bytes.
            name: Of the file, for messages.

        Raises:
            PolicyError: onnx is missing, or the model is damaged, of another kind, has other
                operators than a policy, or more to do than the bounds allow.
        """
        self._onnx = _onnx()
        self._name = name
        try:
            self._model = self._onnx.load_model_from_string(data)
        except Exception as error:  # protobuf's classes depend on how it was built
            raise PolicyError(
                f"{name} is damaged or not ONNX ({_first_line(error)}); export the policy again."
            ) from error
        self.observation_size = self._ends()
        self._check_operators()
        # What the file itself says of its tensors is not relied on.
        del self._model.graph.value_info[:]
        self._model.graph.output[0].type.tensor_type.ClearField("shape")
        self._bounded: set[int] = set()
        self.require_bounded(1)

    def require_bounded(self, worlds: int) -> None:
        """Raise PolicyError unless running it for this number of worlds is bounded work."""
        if worlds in self._bounded:
            return
        self._model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = worlds
        try:
            inferred = self._onnx.shape_inference.infer_shapes(
                self._model, strict_mode=True, data_prop=True
            )
        except Exception as error:  # as for reading
            raise PolicyError(
                f"{self._name} contradicts itself ({_first_line(error)}); export the policy again."
            ) from error
        self._check_work(inferred.graph, worlds)
        self._bounded.add(worlds)

    def _ends(self) -> int:
        """Return the numbers of an observation."""
        name, graph = self._name, self._model.graph
        inputs, outputs = list(graph.input), list(graph.output)
        fine = len(inputs) == len(outputs) == 1
        if not fine or (inputs[0].name, outputs[0].name) != (_INPUT, _OUTPUT):
            raise PolicyError(f"{name} must have one input '{_INPUT}' and one output '{_OUTPUT}'.")
        tensor = inputs[0].type.tensor_type
        sides = [side.dim_param or side.dim_value for side in tensor.shape.dim]
        if tensor.elem_type != _FLOAT or len(sides) != 2 or not isinstance(sides[1], int):
            raise PolicyError(f"{name}: '{_INPUT}' has shape {sides}, expected float (worlds, O).")
        if outputs[0].type.tensor_type.elem_type != _FLOAT:
            raise PolicyError(f"{name}: '{_OUTPUT}' is no float, expected float (worlds, A).")
        return sides[1]

    def _check_operators(self) -> None:
        if self._model.functions or len(self._model.graph.node) > MAX_NODES:
            raise PolicyError(
                f"{self._name} defines functions or has more than {MAX_NODES} nodes, which no "
                "policy has; export the policy again."
            )
        for node in self._model.graph.node:
            if node.domain not in _DOMAINS or node.op_type not in OPERATORS:
                where = f" of domain {node.domain!r}" if node.domain not in _DOMAINS else ""
                raise PolicyError(
                    f"{self._name} has an operator {node.op_type!r}{where}, which no policy "
                    "consists of; export the policy again."
                )

    def _check_work(self, graph: Any, worlds: int) -> None:
        shapes: dict[str, _Shape] = {"": ()}  # an input that is left out
        for initializer in graph.initializer:
            shapes[initializer.name] = tuple(initializer.dims)
        for value in (*graph.input, *graph.value_info, *graph.output):
            shape = _shape(value)
            if shape is not None:
                shapes[value.name] = shape
        operations, rows = 0, max(worlds, 1)
        for node in graph.node:
            for made in node.output:
                if made not in shapes:
                    raise PolicyError(
                        f"{self._name}: the size of '{made}' is not known beforehand "
                        f"({node.op_type}); export the policy again."
                    )
                numbers = math.prod(shapes[made])
                operations += numbers * _operations_of_one(node, shapes)
                if numbers > MAX_NUMBERS * rows or operations > MAX_OPERATIONS * rows:
                    raise PolicyError(
                        f"{self._name} needs more than {MAX_NUMBERS} numbers at once or "
                        f"{MAX_OPERATIONS} operations for each world ({node.op_type}), too much "
                        "for a policy; export a smaller one."
                    )


def _shape(value: Any) -> _Shape | None:
    """Return a tensor's shape, or None where a side is not known."""
    tensor = value.type.tensor_type
    sides = tensor.shape.dim
    known = tensor.HasField("shape") and all(side.HasField("dim_value") for side in sides)
    return tuple(side.dim_value for side in sides) if known else None


def _operations_of_one(node: Any, shapes: Mapping[str, _Shape]) -> int:
    """Return the multiplications and additions behind one number of a node's result."""
    given = [shapes.get(entry, ()) for entry in node.input]
    if node.op_type in ("MatMul", "Gemm"):
        # Whichever of the two sides is summed over: a matrix may be transposed.
        return max(given[0][-2:], default=1)
    if node.op_type == "Conv":
        return math.prod(side for weights in given[1:2] for side in weights[1:])
    return len(given) + 1


def _onnx() -> Any:
    try:
        import onnx
        import onnx.shape_inference
    except ModuleNotFoundError as error:
        raise PolicyError(
            "ONNX policies need the package onnx: pip install 'proveout[export]'"
        ) from error
    return onnx


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
