"""What this machine has, what is wrong with it, and how to mend it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

_GIB = 2**30
# A run with its checkpoints and video, and compiled kernels, stay well below.
_MIN_DISK_BYTES = 2 * _GIB
# The workers' observations and results: a few kB for each world.
_MIN_SHARED_BYTES = 64 * 2**20
_SHARED_MEMORY = Path("/dev/shm")
_MIN_PYTHON = (3, 11)


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: What was looked at.
        status: "error" keeps Proveout from working, "warning" limits it.
        detail: What was found.
        fix: What to do; empty if nothing.
    """

    name: str
    status: Literal["ok", "warning", "error"]
    detail: str
    fix: str = ""


def examine() -> dict[str, Any]:
    """Run every check.

    Returns:
        JSON data: `ok` (no error) and `checks`, each a `Finding`.
    """
    checks: list[Callable[[], Finding]] = [
        _python,
        _packages,
        _environments,
        _devices,
        _kernel_cache,
        _compiling,
        _torch,
        _ffmpeg,
        _disk,
        _shared_memory,
        _cores,
    ]
    findings = []
    for check in checks:
        try:
            findings.append(check())
        except Exception as error:  # a check that fails is itself a finding
            name = check.__name__.strip("_").replace("_", " ")
            findings.append(Finding(name, "error", f"{type(error).__name__}: {error}", _REINSTALL))
    return {
        "ok": all(finding.status != "error" for finding in findings),
        "checks": [asdict(finding) for finding in findings],
    }


def table(report: dict[str, Any]) -> str:
    """Return a report for people."""
    signs = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}
    lines = []
    for check in report["checks"]:
        lines.append(f"{signs[check['status']]}  {check['name']:<15} {check['detail']}")
        if check["fix"]:
            lines.append(f"{'':<25}fix: {check['fix']}")
    lines.append("All is well." if report["ok"] else "Something is wrong; see ERROR above.")
    return "\n".join(lines)


_REINSTALL = "pip install --force-reinstall proveout"


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _MIN_PYTHON:
        return Finding("python", "error", version, "use Python 3.11 or newer")
    return Finding("python", "ok", f"{version} at {sys.executable}")


def _packages() -> Finding:
    from proveout.training.run.provenance import package_versions

    versions = package_versions()
    optional = {"sb3-contrib"}
    missing = [name for name, version in versions.items() if not version and name not in optional]
    detail = ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items())
    if missing:
        return Finding("packages", "error", detail, f"pip install {' '.join(missing)}")
    return Finding("packages", "ok", detail)


def _environments() -> Finding:
    from proveout.training.tasks import described_tasks

    rows, aside = described_tasks()
    if not rows:
        return Finding("environments", "error", "none registered", _REINSTALL)
    detail = ", ".join(row["id"] for row in rows)
    if aside:
        fix = f"{'; '.join(aside.values())}; mend it, or leave it out of PROVEOUT_TASKS"
        return Finding("environments", "warning", f"{detail}; set aside: {', '.join(aside)}", fix)
    return Finding("environments", "ok", detail)


def _devices() -> Finding:
    import warp as wp

    wp.init()
    found = []
    for device in wp.get_devices():
        memory = f", {device.total_memory / _GIB:.0f} GiB" if device.is_cuda else ""
        found.append(f"{device.alias} ({device.name}{memory})")
    detail = ", ".join(found)
    driver = _nvidia_driver()
    if not wp.is_cuda_available():
        if driver:
            return Finding(
                "devices",
                "warning",
                f"{detail}; NVIDIA driver {driver}, but Warp cannot use it",
                "update the driver (Warp's release notes name the oldest one that works)",
            )
        return Finding("devices", "ok", f"{detail}; no NVIDIA driver, the CPU is used")
    return Finding("devices", "ok", f"{detail}; NVIDIA driver {driver or 'unknown'}")


def _nvidia_driver() -> str | None:
    """Return the version of the NVIDIA driver, or None."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        output = subprocess.run(
            [program, "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return output.strip().splitlines()[0] if output.strip() else None


def _kernel_cache() -> Finding:
    import warp as wp

    wp.init()
    folder = Path(wp.config.kernel_cache_dir or ".")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    detail = f"{folder}, {size / 2**20:.0f} MiB"
    if not os.access(folder, os.W_OK):
        fix = f"make {folder} writable, or set WARP_CACHE_PATH to another folder"
        return Finding("kernel cache", "error", f"{detail}, not writable", fix)
    return Finding("kernel cache", "ok", detail)


def _compiling() -> Finding:
    import numpy as np
    import warp as wp

    values: Any = wp.array([1.0, 2.0], dtype=float, device="cpu")
    total = wp.utils.array_sum(values)
    if not np.isclose(total, 3.0):
        return Finding("warp", "error", f"1 + 2 gave {total} on the CPU", _REINSTALL)
    return Finding("warp", "ok", "computes on the CPU")


def _torch() -> Finding:
    import torch
    import warp as wp

    cuda = torch.cuda.is_available()
    detail = f"{torch.__version__}, CUDA {'available' if cuda else 'not available'}"
    if wp.is_cuda_available() and not cuda:
        fix = "install a CUDA build of torch, or train with --device cpu"
        return Finding("torch", "warning", detail, fix)
    return Finding("torch", "ok", detail)


def _ffmpeg() -> Finding:
    import imageio_ffmpeg

    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
        version = imageio_ffmpeg.get_ffmpeg_version()
    except (RuntimeError, OSError) as error:
        fix = "pip install --force-reinstall imageio-ffmpeg"
        return Finding("ffmpeg", "warning", f"no videos: {error}", fix)
    return Finding("ffmpeg", "ok", f"{version} at {program}")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    detail = f"{free / _GIB:.1f} GiB free in {Path.cwd()}"
    if not os.access(Path.cwd(), os.W_OK):
        return Finding("disk", "warning", f"{Path.cwd()} is not writable", "give --runs FOLDER")
    if free < _MIN_DISK_BYTES:
        return Finding("disk", "warning", detail, "free some space, or give --runs FOLDER")
    return Finding("disk", "ok", detail)


def _shared_memory() -> Finding:
    if not _SHARED_MEMORY.is_dir():
        return Finding("shared memory", "ok", "not a file system here")
    free = shutil.disk_usage(_SHARED_MEMORY).free
    detail = f"{free / _GIB:.2f} GiB free in {_SHARED_MEMORY}"
    fix = "in a container, start it with --shm-size=1g; or use --workers 1"
    if free < _MIN_SHARED_BYTES:
        return Finding("shared memory", "error", detail, fix)
    try:
        with tempfile.TemporaryFile(dir=_SHARED_MEMORY) as file:
            file.write(b"0")
    except OSError as error:
        return Finding("shared memory", "error", f"not writable: {error.strerror}", fix)
    return Finding("shared memory", "ok", detail)


def _cores() -> Finding:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    detail = f"{allowed} for this process, load {load:.1f}"
    if load > 1.5 * (allowed or 1):
        return Finding("cores", "warning", detail, "other programs are busy; figures will be low")
    return Finding("cores", "ok", detail)
