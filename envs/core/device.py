"""From the name of a device to the device."""

from __future__ import annotations

import warp as wp

from proveout.envs.core.errors import DeviceError


def resolve_device(name: str, physics: str = "warp") -> wp.Device:
    """The Warp device for "auto", "cpu", "cuda" or "cuda:N".

    Args:
        name: Of the device.
        physics: What steps the worlds, a key of `task.PHYSICS`: "c" runs on the CPU alone, and
            "auto" is the CPU for it.

    Raises:
        DeviceError: It is not there, or not for this physics.
    """
    if physics == "c":
        if name not in ("auto", "cpu"):
            raise DeviceError(
                f"physics 'c' runs on the CPU and not on {name!r}; use device 'cpu', or physics "
                "'warp'"
            )
        name = "cpu"
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
