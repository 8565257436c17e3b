"""Checks on what one reset or step returns, and on what later steps do to it."""

from typing import Any

import numpy as np
from gymnasium import Space, spaces
from gymnasium.vector import VectorEnv

from proveout.envs.check.data import (
    finite,
    host,
    is_array,
    is_tensor,
    leaves,
    rows,
    same,
    space_leaves,
)
from proveout.envs.check.report import Recorder
from proveout.envs.check.session import Step, ends
from proveout.envs.core.invalid import Invalid

# Info without a mask: it speaks of every world at every step, or has a check of its own.
UNMASKED = ("invalid", "final_obs")


def check_step(env: VectorEnv, step: Step, number: int, record: Recorder) -> None:
    """Check the form of one step's data; `number` 0 is the reset."""
    where = "the reset" if number == 0 else f"step {number}"
    worlds = env.num_envs
    returned = step.returned
    check_observation(
        env.observation_space, returned["observation"], worlds, f"observation of {where}", record
    )
    if number > 0:
        _check_reward(returned["reward"], worlds, where, record)
        for name in ("terminated", "truncated"):
            _check_bool("ends", name, returned[name], worlds, where, record)
    _check_device(env, returned, where, record)
    _check_info(returned["info"], worlds, where, record)
    _check_invalid(step, worlds, number, where, record)


def check_observation(
    space: Space,
    tree: Any,
    worlds: int | None,
    label: str,
    record: Recorder,
    check: str = "observation",
) -> None:
    """Check data against a space: batched with `worlds` rows, or one world's if that is None."""
    for path, part, value in space_leaves(space, tree):
        name = f"{label}{path}"
        if value is None:
            record.error(check, "structure", f"The {name} is missing, the space is {space}.")
            continue
        if isinstance(part, spaces.Box | spaces.MultiBinary | spaces.MultiDiscrete):
            if worlds is None and isinstance(value, np.generic):
                value = np.asarray(value)  # a row of shape () comes out of its batch as a scalar
            if not is_array(value):
                kind = type(value).__name__
                record.error(check, "type", f"The {name} is a {kind}, expected an array.")
                continue
            data = host(value)
            if data.dtype != part.dtype:
                record.error(
                    check, "dtype", f"The {name} has dtype {data.dtype}, the space {part.dtype}."
                )
            if data.shape != part.shape:
                record.error(
                    check, "shape", f"The {name} has shape {data.shape}, the space {part.shape}."
                )
                continue
            if not finite(data):
                bad = _first(~np.isfinite(data), worlds)
                record.error("finite", check, f"The {name} is not finite{bad}.")
                continue
            if isinstance(part, spaces.Box):
                outside = (data < part.low) | (data > part.high)
                if outside.any():
                    at = np.unravel_index(int(np.argmax(outside)), outside.shape)
                    low, high = part.low[at], part.high[at]
                    record.error(
                        check,
                        "outside",
                        f"The {name} is outside the space{_first(outside, worlds)}: "
                        f"{data[at]} is not in [{low}, {high}].",
                    )
                continue
            value = data
        else:
            value = host(value)
        if not part.contains(value):
            record.error(check, "outside", f"The {name} is outside the space {part}: {value!r}.")


def check_unchanged(kept: list[Step], record: Recorder) -> None:
    """Compare what was returned with its copy, after all later steps were taken."""
    for number, step in enumerate(kept):
        copies = {
            "observation": step.obs,
            "reward": step.reward,
            "terminated": step.terminated,
            "truncated": step.truncated,
        }
        values = [
            (name, copies[name], value) for name, value in step.returned.items() if name in copies
        ]
        values += [
            (f"info[{key!r}]", step.info.get(key), value)
            for key, value in step.returned["info"].items()
        ]
        for name, before, value in values:
            if not same(before, host(value)):
                record.error(
                    "overwriting",
                    name,
                    f"The {name} returned by {'the reset' if number == 0 else f'step {number}'} "
                    "was overwritten by a later step; return data of its own.",
                )


def _first(bad: np.ndarray, worlds: int | None) -> str:
    """Return ' in world i' for the first world with a fault."""
    if worlds is None or bad.ndim == 0:
        return ""
    return f" in world {int(np.argmax(bad.reshape(len(bad), -1).any(axis=1)))}"


def _check_reward(reward: Any, worlds: int, where: str, record: Recorder) -> None:
    if not is_array(reward):
        kind = type(reward).__name__
        record.error("reward", "type", f"The reward of {where} is a {kind}, expected an array.")
        return
    data = host(reward)
    if not np.issubdtype(data.dtype, np.floating):
        record.error("reward", "dtype", f"The reward of {where} has dtype {data.dtype}.")
    elif data.dtype != np.float32 and record.strict:
        record.error(
            "reward", "dtype", f"The reward of {where} has dtype {data.dtype}, expected float32."
        )
    if data.shape != (worlds,):
        record.error(
            "reward", "shape", f"The reward of {where} has shape {data.shape}, not ({worlds},)."
        )
    elif not finite(data):
        bad = _first(~np.isfinite(data), worlds)
        record.error("finite", "reward", f"The reward of {where} is not finite{bad}.")


def _check_bool(
    check: str, name: str, value: Any, worlds: int, where: str, record: Recorder
) -> bool:
    if not is_array(value):
        kind = type(value).__name__
        record.error(check, f"{name} type", f"{name} of {where} is a {kind}, expected an array.")
        return False
    data = host(value)
    if data.dtype != np.bool_:
        record.error(
            check, f"{name} dtype", f"{name} of {where} has dtype {data.dtype}, expected bool."
        )
    if data.shape != (worlds,):
        record.error(
            check, f"{name} shape", f"{name} of {where} has shape {data.shape}, not ({worlds},)."
        )
    return data.dtype == np.bool_ and data.shape == (worlds,)


def _check_device(env: VectorEnv, returned: dict, where: str, record: Recorder) -> None:
    core = [
        (f"{name}{path}", leaf)
        for name, value in returned.items()
        if name != "info"
        for path, leaf in leaves(value)
    ]
    held = [(f"info{path}", leaf) for path, leaf in leaves(returned["info"]) if is_tensor(leaf)]
    tensors = [(name, leaf) for name, leaf in core if is_tensor(leaf)]
    if not tensors:
        return
    for name, leaf in core:
        if not is_tensor(leaf):
            kind = type(leaf).__name__
            record.error(
                "device", "kind", f"The {name} of {where} is a {kind} beside torch tensors."
            )
    expected = str(getattr(env, "device", tensors[0][1].device))
    for name, leaf in tensors + held:
        if _device(leaf.device) != _device(expected):
            record.error(
                "device",
                "place",
                f"The {name} of {where} is on {leaf.device}, expected {expected}.",
            )


def _device(device: Any) -> str:
    name = str(device)
    return "cuda:0" if name == "cuda" else name


def _check_info(info: dict, worlds: int, where: str, record: Recorder, outer: str = "") -> None:
    """Check every info value; inside a masked dict the outer mask serves all of it."""
    for key, value in info.items():
        name = f"info{outer}[{key!r}]"
        if isinstance(key, str) and key.startswith("_"):
            if not isinstance(value, dict) and key != "_final_obs":
                _check_bool("info", f"mask {name}", value, worlds, where, record)
            continue
        if isinstance(value, dict) and key != "final_obs":
            _check_info(value, worlds, where, record, f"{outer}[{key!r}]")
        elif is_array(value):
            length = tuple(value.shape)[:1]
            if length != (worlds,):
                record.error(
                    "info",
                    f"length {name}",
                    f"{name} of {where} has shape {tuple(value.shape)}, "
                    f"expected {worlds} rows, one for each world.",
                )
        elif not isinstance(value, dict | tuple):
            record.soft(
                "info",
                f"type {name}",
                f"{name} of {where} is a {type(value).__name__}, expected an array of rows.",
            )
        if not outer and key not in UNMASKED and f"_{key}" not in info:
            record.soft(
                "info",
                f"mask {name}",
                f"{name} of {where} has no mask info['_{key}'] to say which worlds it is about.",
            )


def _check_invalid(step: Step, worlds: int, number: int, where: str, record: Recorder) -> None:
    value = step.returned["info"].get("invalid")
    if value is None or not _check_bool("invalid", "info", value, worlds, where, record):
        return
    invalid = host(value)
    if not invalid.any():
        return
    world = int(np.argmax(invalid))
    bits = step.info.get("invalid_reason")
    why = "" if bits is None else f": {Invalid(int(np.asarray(bits)[world])).words}"
    record.warn(
        "invalid", "seen", f"World {world} was invalid at {where} under sampled actions{why}."
    )
    if number > 0:
        ended = np.asarray(step.terminated, bool) | np.asarray(step.truncated, bool)
        if ended.shape == invalid.shape and (invalid & ~ended).any():
            world = int(np.argmax(invalid & ~ended))
            record.error(
                "invalid", "ends", f"World {world} is invalid at {where} and was not truncated."
            )


def check_validity(run: list[Step], worlds: int, record: Recorder) -> None:
    """Check that some episode of a rollout ended as a valid one."""
    valid, first, bits = 0, 0, []
    for number, step in enumerate(run[1:], start=1):
        invalid, done = np.asarray(step.info.get("invalid", False)), ends(step, worlds)
        if done is None or invalid.shape != done.shape:
            return
        valid += int((done & ~invalid).sum())
        if invalid.any():
            first = first or number
            bits.append(np.asarray(step.info.get("invalid_reason", np.zeros(worlds, int)))[invalid])
    if not first or valid:
        return
    counts = Invalid.count(np.concatenate(bits))
    why = ", ".join(f"{text} ({n} times)" for text, n in counts.items()) or "no reason is told"
    record.error(
        "invalid",
        "all",
        f"Every episode that ended was invalid, the first at step {first}: {why}. What follows "
        "from this may be reported by other checks too.",
    )


def identical_worlds(step: Step, worlds: int) -> bool:
    """Whether every world begins with the same observation."""
    first = rows(step.obs, 0)
    return all(same(first, rows(step.obs, world)) for world in range(1, worlds))
