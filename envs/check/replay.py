"""Checks that run an environment twice and compare: seeds, masks, states, worlds, workers."""

import copy
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from proveout.envs.check.data import host, is_array, leaves, rows, same
from proveout.envs.check.report import Recorder
from proveout.envs.check.session import Session, Step, ends, final_row
from proveout.envs.check.step import identical_worlds

# Far enough that seed + i, which Gymnasium gives to world i, does not meet the other seed's.
OTHER_SEED = 7919
# Info that is compared where it is present; other info may hold wall-clock times.
COMPARED_INFO = ("invalid", "episode_statistics")


def incomparable(session: Session, run: list[Step]) -> str:
    """Return why runs cannot be compared world by world, "" if they can."""
    first = list(leaves(run[0].obs))
    for step in run[1:]:
        if ends(step, session.num_envs) is None or np.shape(step.reward) != (session.num_envs,):
            return "rewards or ends do not have one value for each world."
        for (_, a), (_, b) in zip(first, leaves(step.obs), strict=False):
            if not (is_array(a) and is_array(b)) or (a.shape, a.dtype) != (b.shape, b.dtype):
                return "the observation of a step has another form than that of the reset."
    return ""


def first_difference(
    expected: list[Step], seen: list[Step], worlds: list[int], tolerance: float
) -> tuple[int, int, str] | None:
    """Return (position, world, what) of the first difference, None where there is none."""
    for t, (a, b) in enumerate(zip(expected, seen, strict=False)):
        for world in worlds:
            for name, x, y in _parts(a, b, world):
                if not same(x, y, tolerance):
                    return t, world, name
    return None


def _parts(a: Step, b: Step, world: int) -> list[tuple[str, Any, Any]]:
    parts = [("observation", rows(a.obs, world), rows(b.obs, world))]
    if a.reward is not None and b.reward is not None:
        parts += [
            (name, getattr(a, name)[world], getattr(b, name)[world])
            for name in ("reward", "terminated", "truncated")
        ]
        told = [np.asarray(s.info.get("_final_obs", [False] * (world + 1)))[world] for s in (a, b)]
        if any(told):
            parts.append(("info['final_obs']", final_row(a, world), final_row(b, world)))
    for key in COMPARED_INFO:
        if key not in a.info or key not in b.info:
            continue
        masks = [s.info.get(f"_{key}") for s in (a, b)]
        if all(mask is None or mask[world] for mask in masks):
            parts.append((f"info[{key!r}]", rows(a.info[key], world), rows(b.info[key], world)))
    return parts


def check_seeding(session: Session, run: list[Step], seed: int, record: Recorder) -> None:
    """Replay a rollout with its seed, then with another one, then without."""
    worlds = list(range(session.num_envs))
    steps = len(run) - 1
    count = session.horizon(steps)
    again = session.rollout(count, seed)
    found = first_difference(run, again, worlds, session.tolerance)
    if found:
        t, world, name = found
        record.error(
            "seeding",
            "replay",
            f"Two runs with seed {seed} and the same actions differ: {name} of world {world} at "
            f"step {t}; expected the same trajectory.",
        )
    other = session.rollout(count, seed + OTHER_SEED)
    if first_difference(run[: count + 1], other, worlds, 0.0) is None:
        record.soft(
            "seeding",
            "other",
            f"Runs with seed {seed} and seed {seed + OTHER_SEED} are the same for {count} steps; "
            "expected different seeds to differ.",
        )
    elif session.num_envs > 1 and identical_worlds(run[0], session.num_envs):
        record.soft(
            "seeding",
            "worlds",
            f"All worlds begin alike with seed {seed}, expected differences.",
        )
    session.reset(seed=seed)
    if all(same(rows(session.reset().obs, w), rows(run[0].obs, w)) for w in worlds):
        record.soft(
            "seeding",
            "unseeded",
            "A reset without a seed repeats the last seeded episode, expected a new one.",
        )


def check_seed_list(session: Session, seed: int, record: Recorder) -> None:
    """Seed worlds one by one, where the environment takes a list."""
    worlds = session.num_envs
    seeds = [seed + 31 * world for world in range(worlds)]
    try:
        first = session.reset(seed=list(seeds))
    except Exception as error:
        record.skip("seed_list", f"a list of seeds is refused ({type(error).__name__}: {error}).")
        return
    if first_difference([first], [session.reset(seed=list(seeds))], list(range(worlds)), 0.0):
        record.error("seed_list", "replay", f"Two resets with the seeds {seeds[:4]}... differ.")
    changed = [*seeds[:-1], seed + OTHER_SEED]
    other = session.reset(seed=changed)
    found = first_difference([first], [other], list(range(worlds - 1)), 0.0)
    if found:
        record.error(
            "seed_list", "others", f"World {found[1]} changed when only the last world's seed did."
        )


def check_reset_mask(session: Session, run: list[Step], seed: int, record: Recorder) -> None:
    """Reset every other world in mid-episode; the rest must go on as if nothing had happened."""
    env, worlds = session.env, session.num_envs
    if not (getattr(env, "supports_reset_mask", False) or is_warp(env)):
        record.skip("reset_mask", "the environment does not set supports_reset_mask.")
        return
    if worlds < 2:
        record.skip("reset_mask", "one world alone cannot show it; use two or more.")
        return
    before = min(3, len(run) - 1)
    session.reset(seed=seed)
    last = [session.step(index) for index in range(before)][-1]
    mask = np.arange(worlds) % 2 == 0
    after = session.reset(mask=mask)
    kept = [int(world) for world in np.flatnonzero(~mask)]
    for world in range(worlds):
        unchanged = same(rows(after.obs, world), rows(last.obs, world))
        if mask[world] and unchanged:
            record.error(
                "reset_mask",
                "masked",
                f"A reset with a mask did not reset world {world}, which the mask names.",
            )
        elif not mask[world] and not unchanged:
            record.error(
                "reset_mask",
                "others",
                f"A reset with a mask changed the observation of world {world}, "
                "which the mask leaves out.",
            )
    if record.failed("reset_mask"):
        return
    end = min(before + session.horizon(20), len(run) - 1)
    seen = [session.step(index) for index in range(before, end)]
    found = first_difference(run[before + 1 :], seen, kept, session.tolerance)
    if found:
        t, world, name = found
        record.error(
            "reset_mask",
            "later",
            f"After a reset with a mask, {name} of world {world}, which the mask leaves out, "
            f"differs from an undisturbed run {t + 1} steps later.",
        )


def _mid_episode(run: list[Step], worlds: int) -> int:
    """Return a step, in the middle of the run if possible, at which few worlds begin an episode.

    State that a saved state lacks does not show where a reset has just written it.
    """
    steps = range(1, max(2, len(run) - 1))
    middle = len(run) // 2

    def cost(step: int) -> tuple[int, int]:
        done = ends(run[step], worlds) if step < len(run) else None
        return (0 if done is None else int(done.sum()), abs(step - middle))

    return min(steps, key=cost)


def check_state_dict(session: Session, run: list[Step], seed: int, record: Recorder) -> None:
    """Save a state in mid-run, go on, disturb the environment, load, and go on again."""
    env: Any = session.env
    if not (hasattr(env, "state_dict") and hasattr(env, "load_state_dict")):
        record.skip("state_dict", "the environment has no state_dict and load_state_dict.")
        return
    first = _mid_episode(run, session.num_envs)
    count = session.horizon(max(1, len(run) - 1 - first))
    session.rollout(first, seed)
    state = env.state_dict()
    saved = copy.deepcopy(state)
    expected = [session.step(index) for index in range(first, first + count)]
    if not same(host(state), host(saved)):
        record.error(
            "state_dict", "aliased", "A later step changed the saved state_dict; return copies."
        )
    session.rollout(3, seed + OTHER_SEED)
    for _ in range(first + 1):
        session.reset()  # more episodes than can have been saved, so that no count agrees by chance
    env.load_state_dict(saved)
    seen = [session.step(index) for index in range(first, first + count)]
    found = first_difference(expected, seen, list(range(session.num_envs)), session.tolerance)
    if found:
        t, world, name = found
        record.error(
            "state_dict",
            "replay",
            f"After load_state_dict, {name} of world {world} differs {t + 1} steps later; "
            "expected the run to go on as it did from the saved state."
            + (" Whatever outlives a step must come from `sim.array`." if is_warp(env) else ""),
        )


def check_other_run(
    check: str,
    run: list[Step],
    session: Session,
    seed: int,
    label: tuple[str, str],
    record: Recorder,
) -> None:
    """Compare a rollout with that of a differently made environment, world by world.

    Args:
        check: name of the check; a difference is soft, as Gymnasium asks for no such thing.
        run: rollout of the first environment.
        session: the second environment, given the same actions.
        seed: seed of both.
        label: how the two were made, such as "4 worlds".
        record: where a difference is recorded.
    """
    count = session.horizon(len(run) - 1)
    seen = session.rollout(count, seed)
    shared = min(len(np.asarray(run[1].reward)), session.num_envs)
    found = first_difference(run, seen, list(range(shared)), session.tolerance)
    if found:
        t, world, name = found
        record.soft(
            check,
            "differs",
            f"{name} of world {world} at step {t} differs between {label[0]} and {label[1]}; "
            "expected world i to do the same.",
        )


def is_warp(env: VectorEnv) -> bool:
    """Whether this is one of Proveout's environments, without importing an engine."""
    return any(cls.__name__ == "WarpVectorEnv" for cls in type(env.unwrapped).__mro__)
