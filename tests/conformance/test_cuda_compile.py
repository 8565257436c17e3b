"""Every kernel of ours compiles for CUDA, without a device: what the assembler says of it.

Warp's own NVRTC makes PTX, `ptxas` (wheel `nvidia-cuda-nvcc`) assembles it and reports registers,
spills and stack.
"""

import importlib.util
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import warp as wp

import proveout.envs.driving.drivers.r157.batch
import proveout.envs.driving.drivers.r157.stage  # noqa: F401, kernels that no task launches
from proveout.envs import make_vector, task_ids

# Half of what a thread may have, so that at least two blocks of 256 fit on a multiprocessor.
MOST_REGISTERS = 128
# Of parameters, before CUDA 12.1 and compute capability 7.0 (CUDA C++ Programming Guide, B.22).
MOST_PARAMETER_BYTES = 4096
_SIZES = {"8": 1, "16": 2, "32": 4, "64": 8}


@dataclass(frozen=True)
class Kernel:
    """What is known of a compiled kernel."""

    module: str
    name: str
    registers: int
    spilled: int
    stack: int
    parameters: int


def ptxas() -> Path:
    """The assembler of the wheel."""
    spec = importlib.util.find_spec("nvidia")
    roots = spec.submodule_search_locations if spec else None
    found = [path for root in roots or () for path in Path(root).glob("*/bin/ptxas")]
    if not found:
        pytest.skip("no ptxas: pip install nvidia-cuda-nvcc (Linux only)")
    return found[0]


def parameter_bytes(ptx: str, entry: str) -> int:
    (declared,) = re.findall(rf"\.entry {re.escape(entry)}\((.*?)\)", ptx, flags=re.DOTALL)
    total = 0
    for line in declared.splitlines():
        block = re.search(r"\.param \.align (\d+) \.b8 \S+\[(\d+)\]", line)
        scalar = re.search(r"\.param \.[a-z](\d+) ", line)
        if block or scalar:
            size = int(block.group(2)) if block else _SIZES[scalar.group(1)]
            step = int(block.group(1)) if block else size
            total = -(-total // step) * step + size
    return total


def compiled(arch: int, folder: Path) -> list[Kernel]:
    """All kernels of our own packages, compiled for an architecture."""
    assembler, kernels = ptxas(), []
    for env_id in task_ids():  # kernels of a task are made when its worlds are
        if env_id.startswith("proveout/"):
            make_vector(env_id, 1, device="cpu", workers=1).close()
    for name, module in sorted(wp._src.context.user_modules.items()):
        if not name.startswith("proveout.") or not list(module.kernels):
            continue
        wp.compile_aot_module(module, arch=arch, use_ptx=True, module_dir=str(folder / name))
        (path,) = (folder / name).glob("*.ptx")
        ptx = path.read_bytes().rstrip(b"\0")  # Warp ends the text with one, ptxas refuses it
        path.write_bytes(ptx)
        told = subprocess.run(
            [assembler, "-v", f"-arch=sm_{arch}", path, "-o", path.with_suffix(".cubin")],
            capture_output=True, text=True, check=True,
        ).stderr  # fmt: skip
        for part in told.split("Compiling entry function '")[1:]:
            entry = part[: part.index("'")]
            (registers,) = re.findall(r"Used (\d+) registers", part)
            spilled = sum(map(int, re.findall(r"(\d+) bytes spill", part)))
            (stack,) = re.findall(r"(\d+) bytes stack frame", part)[:1]
            parameters = parameter_bytes(ptx.decode(), entry)
            short = re.sub(r"_[0-9a-f]{8}_cuda_kernel_forward$", "", entry)
            row = (name, short, int(registers), spilled, int(stack), parameters)
            kernels.append(Kernel(*row))
    return kernels


@pytest.mark.parametrize(
    "arch",
    [90, pytest.param(75, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.slow)],
)
def test_every_kernel_fits(arch, tmp_path):
    kernels = compiled(arch, tmp_path)
    assert len({kernel.module for kernel in kernels}) > 10
    assert {"Reach_reset", "_finish_kernel", "move_kernel"} <= {kernel.name for kernel in kernels}
    for kernel in kernels:
        told = str(kernel)
        print(told)
        assert kernel.spilled == 0, told
        assert kernel.registers <= MOST_REGISTERS, told
        assert kernel.parameters < MOST_PARAMETER_BYTES, told
