"""The check as a whole: what is made, in which order it is tried, and what stops it."""

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space

from proveout.envs.check.autoreset import check_autoreset, check_metadata
from proveout.envs.check.data import space_leaves
from proveout.envs.check.hooks import check_hooks
from proveout.envs.check.inputs import (
    check_bad_actions,
    check_close,
    check_step_before_reset,
)
from proveout.envs.check.replay import (
    check_other_run,
    check_reset_mask,
    check_seed_list,
    check_seeding,
    check_state_dict,
    incomparable,
    is_warp,
)
from proveout.envs.check.report import CheckReport, Recorder
from proveout.envs.check.session import Session, Step
from proveout.envs.check.step import check_step, check_unchanged, check_validity
from proveout.envs.core.task import Task

# Checks that every step of the first rollout makes, beside that of the observation.
FORM_CHECKS = ("reward", "ends", "finite", "device", "info", "invalid")
# Checks that compare worlds of two steps or two runs.
COMPARISONS = (
    "seeding",
    "autoreset",
    "final_obs",
    "seed_list",
    "reset_mask",
    "state_dict",
    "world_count",
    "workers",
)
FACTORY_CHECKS = ("world_count", "workers", "step_before_reset", "close")


def check_vector_env(
    make: Callable[..., VectorEnv] | VectorEnv,
    *,
    steps: int = 200,
    seed: int = 0,
    num_envs: int = 4,
    strict: bool | None = None,
    name: str | None = None,
    task: Task | None = None,
) -> CheckReport:
    """Prove that a vector environment keeps Gymnasium's vector contract.

    It works on NumPy and torch data, and on every autoreset mode. Faults are reported, not raised.
    Actions are sampled for each world by itself, so that worlds can be compared across runs.

    Args:
        make: a factory, best one that takes `num_envs` and `workers`, or an environment. Some
            checks need a factory; an environment is not closed, but is used up: wrong actions are
            sent to it last.
        steps: length of a rollout; choose it so that episodes end within it.
        seed: seed of the rollouts and of the sampled actions.
        num_envs: number of worlds asked of a factory.
        strict: treat as errors what many environments lack: float32 rewards, info masks, wrong
            actions refused, worlds that do not depend on how many there are. By default for
            Proveout's own environments only.
        name: what the report calls an environment that cannot be made.
        task: the task of the environments that the factory makes: its hooks are tried before any
            is made, so that a hook that writes outside its arrays cannot harm this process. By
            default they are tried on the first environment's task.

    Returns:
        What was found and what could not be tried; see `CheckReport.raise_if_failed`.
    """
    if steps < 1 or num_envs < 1:
        raise ValueError(f"steps ({steps}) and num_envs ({num_envs}) must be at least 1.")
    record = Recorder(bool(strict))
    if isinstance(make, VectorEnv):
        record.strict = is_warp(make) if strict is None else strict
        _check_env(make, record, steps, seed)
        for check in FACTORY_CHECKS:
            record.skip(check, "it needs a factory; an environment was given.")
        return record.report(_name(make))
    if task is not None:
        with _guard("hooks", record):
            check_hooks(task, seed, record)
        if record.failed("hooks"):
            return record.report(name or task.id)
    factory = _Factory(make, num_envs)
    env = None
    with _guard("construction", record):
        env = factory.make()
    if not isinstance(env, VectorEnv):
        if env is not None:
            kind = type(env).__name__
            record.error("construction", "type", f"The factory gave a {kind}, not a VectorEnv.")
        return record.report(name or str(make))
    record.strict = is_warp(env) if strict is None else strict
    made = _name(env)
    session, run = _check_env(env, record, steps, seed)
    if session and run:
        _check_variants(factory, session, run, seed, record)
        with _guard("step_before_reset", record):
            fresh = factory.make()
            try:
                check_step_before_reset(fresh, seed, record)
            finally:
                fresh.close()
    with _guard("close", record):
        check_close(env, record)
    return record.report(made)


def _check_env(
    env: VectorEnv, record: Recorder, steps: int, seed: int
) -> tuple[Session | None, list[Step]]:
    """Run every check that one environment allows; return its session and its first rollout."""
    with _guard("construction", record):
        _check_attributes(env, record)
    if record.failed("construction"):
        return None, []
    with _guard("spaces", record):
        _check_spaces(env, record)
    with _guard("metadata", record):
        check_metadata(env.metadata, record)
    session: Session | None = None
    run: list[Step] = []
    with _guard("action_space", record):
        _check_action_space(env, record)
        session = Session(env, seed)
    if session is None:
        return None, []
    if record.was_tried("hooks"):
        pass
    elif is_warp(env):
        with _guard("hooks", record):
            inner: Any = env.unwrapped
            check_hooks(inner.task, seed, record)
    else:
        record.skip("hooks", "it is for Proveout's own tasks.")
    with _guard("observation", record, *FORM_CHECKS):
        for number in range(steps + 1):
            step = session.reset(seed=seed) if number == 0 else session.step(number - 1)
            check_step(env, step, number, record)
            run.append(step)
    if len(run) <= steps:
        return session, []
    check_validity(run, session.num_envs, record)
    if not any("invalid" in step.info for step in run):
        record.skip("invalid", "the environment does not tell invalid worlds in info['invalid'].")
    if not session.tensors:
        record.skip(
            "device", "NumPy arrays lie on the host and nowhere else; only torch data needs this."
        )
    reason = incomparable(session, run)
    for check in COMPARISONS if reason else ():
        record.skip(check, reason)
    _compare(
        record,
        ("seeding", lambda: check_seeding(session, run, seed, record)),
        ("autoreset", lambda: check_autoreset(session, run, seed, record)),
        ("seed_list", lambda: check_seed_list(session, seed, record)),
    )
    if record.failed("seeding"):
        for check in ("reset_mask", "state_dict", "world_count", "workers"):
            record.skip(check, "a seed does not replay, so there is nothing to compare with.")
    _compare(
        record,
        ("reset_mask", lambda: check_reset_mask(session, run, seed, record)),
        ("state_dict", lambda: check_state_dict(session, run, seed, record)),
    )
    with _guard("overwriting", record):
        check_unchanged(run, record)
        if session.action_changed is not None:
            record.error(
                "overwriting",
                "action",
                f"Step {session.action_changed} wrote into the action it was given; copy it first.",
            )
    with _guard("bad_actions", record):
        check_bad_actions(session, seed, record)
    return session, run


def _compare(record: Recorder, *checks: tuple[str, Callable[[], None]]) -> None:
    """Run the checks that nothing stands against."""
    for check, call in checks:
        if check not in record.skipped:
            with _guard(check, record, *(("final_obs",) if check == "autoreset" else ())):
                call()


def _check_variants(
    factory: "_Factory", session: Session, run: list[Step], seed: int, record: Recorder
) -> None:
    """Compare with environments of another number of worlds and of workers."""
    worlds = session.num_envs
    variants: list[tuple[str, dict[str, int], dict[str, int]]] = []
    if not factory.takes_num_envs:
        record.skip("world_count", "the factory takes no num_envs.")
    else:
        variants.append(("world_count", {}, {"num_envs": max(1, worlds // 2 + 1)}))
        if worlds == 1:
            variants[-1] = ("world_count", {}, {"num_envs": 3})
    if not factory.takes_workers:
        record.skip("workers", "the factory takes no workers.")
    elif session.cuda or worlds < 2:
        record.skip("workers", "workers need two or more worlds on the CPU.")
    else:
        variants.append(("workers", {"workers": 1}, {"workers": 2}))
    for check, base, changed in variants:
        if check in record.skipped:
            continue
        with _guard(check, record):
            expected, label = run, f"{worlds} worlds"
            if base:
                with factory.session(session, seed, **base) as first:
                    expected = first.rollout(len(run) - 1, seed)
                label = "1 worker"
            with factory.session(session, seed, **changed) as second:
                other = f"{second.num_envs} worlds" if not base else f"{changed['workers']} workers"
                check_other_run(check, expected, second, seed, (label, other), record)


class _Factory:
    """Calls a factory with what it takes."""

    def __init__(self, make: Callable[..., VectorEnv], num_envs: int) -> None:
        self._make = make
        try:
            parameters = dict(inspect.signature(make).parameters)
        except (TypeError, ValueError):
            parameters = {}
        anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        self.takes_num_envs = anything or "num_envs" in parameters
        self.takes_workers = "workers" in parameters
        self._num_envs = num_envs

    def make(self, **changed: int) -> VectorEnv:
        """Make an environment, with some arguments of its own."""
        arguments = {"num_envs": self._num_envs} if self.takes_num_envs else {}
        return self._make(**(arguments | changed))

    @contextmanager
    def session(self, like: Session, seed: int, **changed: int) -> Iterator[Session]:
        """Drive a new environment with the actions of another, and close it."""
        env = self.make(**changed)
        try:
            yield Session(env, seed, like.actions)
        finally:
            env.close()


@contextmanager
def _guard(check: str, record: Recorder, *also: str) -> Iterator[None]:
    """Turn an exception inside a check into its finding; without one, it counts as tried."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
            record.tried(check, *also)
        except Exception as error:
            record.error(check, "raised", f"The environment raised {type(error).__name__}: {error}")


def _name(env: VectorEnv) -> str:
    try:
        return repr(env)
    except Exception:
        return type(env).__name__


def _check_attributes(env: VectorEnv, record: Recorder) -> None:
    number = getattr(env, "num_envs", None)
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
        record.error("construction", "num_envs", f"num_envs is {number!r}, expected at least 1.")
    for name in (
        "single_observation_space",
        "observation_space",
        "single_action_space",
        "action_space",
    ):
        if not isinstance(getattr(env, name, None), Space):
            record.error("construction", name, f"{name} is no gymnasium Space.")


def _check_spaces(env: VectorEnv, record: Recorder) -> None:
    for kind in ("observation", "action"):
        single = getattr(env, f"single_{kind}_space")
        batched = getattr(env, f"{kind}_space")
        expected = batch_space(single, env.num_envs)
        if expected == batched:
            continue
        pairs = list(zip(_forms(expected), _forms(batched), strict=False))
        different = [(a, b) for a, b in pairs if a != b]
        if different or len(_forms(expected)) != len(_forms(batched)):
            a, b = different[0] if different else (len(_forms(expected)), len(_forms(batched)))
            record.error(
                "spaces",
                kind,
                f"The {kind}_space does not batch single_{kind}_space for {env.num_envs} worlds: "
                f"{b}, expected {a}.",
            )
        else:
            record.soft(
                "spaces",
                kind,
                f"The bounds of {kind}_space differ from those of single_{kind}_space.",
            )


def _forms(space: Space) -> list[tuple[str, Any, Any, Any]]:
    return [
        (path, type(part).__name__, part.shape, part.dtype)
        for path, part, _ in space_leaves(space, None)
    ]


def _check_action_space(env: VectorEnv, record: Recorder) -> None:
    for name in ("action_space", "single_action_space"):
        space = getattr(env, name)
        for _ in range(3):
            sample = space.sample()
            if not space.contains(sample):
                record.error("action_space", name, f"A sample of {name} is outside it: {sample!r}.")
