"""From the name of a device to the device."""

from __future__ import annotations

import warp as wp

from proveout.envs.core.errors import DeviceError


def resolve_device(name: str) -> wp.Device:
    """The Warp device for "auto", "cpu", "cuda" or "cuda:N"; `DeviceError` when it is not there."""
    cuda = [device.alias for device in wp.get_cuda_devices()]
    if name == "auto":
        return wp.get_device(cuda[0] if cuda else "cpu")
    if name == "cuda" and cuda:
        return wp.get_device(cuda[0])
    if name == "cpu" or name in cuda:
        return wp.get_device(name)
    there = ", ".join(["cpu", *cuda])
    raise DeviceError(
        f"device {name!r} is not there (this machine has: {there}); "
        "use one of these or 'auto', and see `proveout doctor`"
    )
