"""What work has cost: time, time of processors, energy where the machine tells it."""

from __future__ import annotations

import contextlib
import importlib
import resource
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

NOT_AVAILABLE = "not available"
_POWERCAP = Path("/sys/class/powercap")
# A package at 300 W runs through the usual range of its counter, 262 kJ, in a quarter of an hour.
_SAMPLE_SECONDS = 60.0
_MILLION = 1e6


class _Packages:
    """Energy of the processors' packages, by RAPL.

    Counters of microjoules in `intel-rapl:N/energy_uj`, which AMD has too under this name; they
    begin again at `max_energy_range_uj` (Linux, Documentation/power/powercap).
    """

    def __init__(self, folder: Path) -> None:
        self._zones = []
        for zone in sorted(folder.glob("intel-rapl:*")):
            with contextlib.suppress(OSError, ValueError):
                if zone.name.count(":") == 1 and _number(zone / "energy_uj") >= 0:
                    self._zones.append(zone)
        self._last = [_number(zone / "energy_uj") for zone in self._zones]
        self._sum = 0

    def joules(self) -> float | None:
        """Energy since it was made [J]; None where it cannot be read."""
        if not self._zones:
            return None
        for i, zone in enumerate(self._zones):
            now = _number(zone / "energy_uj")
            passed = now - self._last[i]
            if passed < 0:
                passed += _number(zone / "max_energy_range_uj")
            self._sum, self._last[i] = self._sum + passed, now
        return self._sum * 1e-6


class _Gpu:
    """Energy of one NVIDIA GPU, by NVML: millijoules since the driver was loaded, from Volta on."""

    def __init__(self, uuid: str) -> None:
        self._read: Any = None
        # The package nvidia-ml-py; it fails in as many ways as there are drivers.
        with contextlib.suppress(Exception):
            nvml = importlib.import_module("pynvml")
            nvml.nvmlInit()
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid.encode())
            self._first = nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            self._read = lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle)

    def joules(self) -> float | None:
        """Energy since it was made [J]; None where it cannot be read."""
        if self._read is None:
            return None
        with contextlib.suppress(Exception):
            return float(self._read() - self._first) * 1e-3
        return None


class CostMeter:
    """Measures a block of work; use as a context manager, and read `told` afterwards.

    Energy is that of whole processors and whole GPUs: of a machine that does other things at the
    same time, theirs too.
    """

    def __init__(self, device: str = "cpu", *, powercap: Path = _POWERCAP) -> None:
        """Describe it.

        Args:
            device: "cpu" or "cuda:N": which GPU is measured.
            powercap: Folder of the counters.
        """
        self._powercap = powercap
        self._device = device
        self._told: dict[str, Any] = {}
        self._ended = threading.Event()

    def __enter__(self) -> CostMeter:
        """Begin."""
        self._began, self._processor = time.monotonic(), _processor_seconds()
        self._packages = _Packages(self._powercap)
        self._gpu = _Gpu(_uuid(self._device)) if self._device.startswith("cuda") else None
        self._thread = threading.Thread(target=self._sample, daemon=True, name="energy")
        self._lock = threading.Lock()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End; processes that were begun meanwhile should have ended before."""
        self._ended.set()
        self._thread.join()
        wall = time.monotonic() - self._began
        with self._lock:
            packages = self._packages.joules()
        self._told = {
            "wall_seconds": wall,
            "processor_seconds": _processor_seconds() - self._processor,
            "gpu_seconds": wall if self._gpu is not None else 0.0,
            "processor_joules": NOT_AVAILABLE if packages is None else packages,
            "gpu_joules": 0.0 if self._gpu is None else _or_not(self._gpu.joules()),
        }

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            with self._lock:
                self._packages.joules()

    def told(self, steps: int) -> dict[str, Any]:
        """What the block has cost.

        Args:
            steps: Steps of all worlds in it.

        Returns:
            JSON data: `steps`, `wall_seconds`, `processor_seconds` (of all cores, this process and
            those that it began and that have ended), `gpu_seconds` (that the GPU was held),
            `processor_joules` and `gpu_joules` ("not available" where the machine does not tell;
            0 without a GPU).
        """
        return {"steps": int(steps), **self._told}


def total_cost(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of costs, and what a million steps cost.

    Returns:
        As `CostMeter.told`, with `per_million_steps`: likewise, without `steps`; None without a
        step. A sum with a part that is not available is not available.
    """
    whole: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            before = whole.get(name, 0)
            known = not isinstance(value, str) and not isinstance(before, str)
            whole[name] = before + value if known else NOT_AVAILABLE
    steps = whole.get("steps", 0)
    each = {
        name: value if isinstance(value, str) else value * _MILLION / steps
        for name, value in whole.items()
        if name != "steps" and steps
    }
    return {**whole, "per_million_steps": each or None}


def cost_line(cost: Mapping[str, Any]) -> str:
    """What a million steps cost, in words; "" where nothing is known."""
    each = cost.get("per_million_steps")
    if not each:
        return ""
    told = [f"{each['wall_seconds']:.3g} s", f"{each['processor_seconds']:.3g} s of cores"]
    if each["gpu_seconds"]:
        told.append(f"{each['gpu_seconds']:.3g} s of a GPU")
    joules = [each[name] for name in ("processor_joules", "gpu_joules")]
    known = [value for value in joules if not isinstance(value, str)]
    if len(known) == len(joules):
        told.append(f"{sum(known):.3g} J")
    elif any(known):
        told.append(f"{sum(known):.3g} J of the GPU (processors: {NOT_AVAILABLE})")
    else:
        told.append(f"energy {NOT_AVAILABLE}")
    return f"A million steps: {', '.join(told)}"


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _uuid(device: str) -> str:
    """Of a GPU, whatever CUDA_VISIBLE_DEVICES says; "" where it is not told."""
    with contextlib.suppress(Exception):
        import torch

        number = int(device.partition(":")[2] or 0)
        return f"GPU-{torch.cuda.get_device_properties(number).uuid}"
    return ""


def _number(path: Path) -> int:
    return int(path.read_text())


def _or_not(value: float | None) -> float | str:
    return NOT_AVAILABLE if value is None else value
