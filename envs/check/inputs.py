"""Checks on what an environment does with calls and actions it must not accept."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from proveout.envs.check.data import finite, host
from proveout.envs.check.report import Recorder
from proveout.envs.check.session import Session


def check_step_before_reset(env: VectorEnv, seed: int, record: Recorder) -> None:
    """Step a new environment that was never reset."""
    session = Session(env, seed)
    message = _refusal(lambda: session.step(0))
    if message is None:
        record.soft(
            "step_before_reset",
            "accepted",
            "A step before the first reset was accepted, expected an error that asks for reset().",
        )
    elif not message.strip():
        record.soft(
            "step_before_reset",
            "empty",
            "A step before the first reset gave an empty error.",
        )


def check_bad_actions(session: Session, seed: int, record: Recorder) -> None:
    """Send actions of a wrong shape, of a wrong dtype and with NaN."""
    env, worlds = session.env, session.num_envs
    good = session.actions.at(0, worlds)
    if not isinstance(good, np.ndarray):
        record.skip("bad_actions", f"actions of {env.action_space} are not one array.")
        return
    for name, bad in _bad(good):
        trouble = _refusal(lambda: session.reset(seed=seed))
        if trouble is not None:
            record.soft(
                "bad_actions",
                "recovery",
                f"After refusing a wrong action the environment cannot be reset: {trouble}",
            )
            return
        message = _refusal(partial(env.step, session.convert(bad)))
        if message is None:
            record.soft(
                "bad_actions",
                name,
                f"An action of {name} was accepted (shape {bad.shape}, {bad.dtype}), expected an "
                f"error: the space is {good.shape}, {good.dtype}.",
            )
        elif not message.strip():
            record.soft("bad_actions", f"{name} text", f"An action of {name} gave an empty error.")
    if not isinstance(env.single_action_space, spaces.Box) or good.dtype.kind != "f":
        return
    session.reset(seed=seed)
    bad = good.copy()
    bad[0] = np.nan
    result: list[Any] = []
    if _refusal(lambda: result.append(env.step(session.convert(bad)))) is not None:
        return
    obs, reward, _, truncated, info = result[0]
    invalid = host(info.get("invalid")) if isinstance(info, dict) else None
    expected = np.arange(worlds) == 0
    if invalid is None or not np.array_equal(invalid, expected):
        record.soft(
            "bad_actions",
            "NaN",
            "An action of NaN in world 0 was accepted, expected an error or info['invalid'] for "
            f"world 0 alone; info['invalid'] is {None if invalid is None else invalid.tolist()}.",
        )
        return
    if not host(truncated)[0]:
        record.soft("bad_actions", "NaN end", "A NaN action made world 0 invalid, not truncated.")
    if not (finite(host(obs)) and finite(host(reward))):
        record.soft("bad_actions", "NaN data", "A NaN action made observations or rewards NaN.")


def check_close(env: VectorEnv, record: Recorder) -> None:
    """Close an environment twice."""
    env.close()
    message = _refusal(env.close)
    if message is not None:
        record.error("close", "twice", f"A second close() failed: {message}")


def _bad(good: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "wrong shape, one world too many", np.concatenate([good, good[:1]])
    if good.ndim > 1:
        yield (
            "wrong shape, one number too many",
            np.concatenate([good, good[..., :1]], axis=-1),
        )
    if good.dtype.kind == "f":
        yield "wrong dtype, complex numbers", good.astype(np.complex64)
    else:
        yield "wrong dtype, fractions", good + 0.5


def _refusal(call: Callable[[], Any]) -> str | None:
    """Return the text of the error that a call raises, None if it raises none."""
    try:
        call()
    except Exception as error:
        return str(error)
    return None
