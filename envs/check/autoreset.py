"""Checks on how worlds that finished an episode are started again."""

from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.vector import AutoresetMode

from proveout.envs.check.data import rows, same
from proveout.envs.check.report import Recorder
from proveout.envs.check.session import Session, Step, ends, final_row
from proveout.envs.check.step import check_observation

MODES = ", ".join(mode.name for mode in AutoresetMode)


def check_metadata(metadata: Any, record: Recorder) -> None:
    """Check that an autoreset mode is declared as Gymnasium's enumeration."""
    mode = metadata.get("autoreset_mode") if isinstance(metadata, dict) else None
    if mode is None:
        record.error(
            "metadata",
            "missing",
            f'metadata["autoreset_mode"] is missing, expected {MODES}.',
        )
    elif not isinstance(mode, AutoresetMode):
        record.error(
            "metadata",
            "type",
            f'metadata["autoreset_mode"] is {mode!r}, a {type(mode).__name__}, '
            f"expected an AutoresetMode member: {MODES}.",
        )


def check_autoreset(session: Session, run: list[Step], seed: int, record: Recorder) -> None:
    """Compare a rollout, and a replay with other actions after an end, with the declared mode."""
    if session.mode is None:
        for check in ("autoreset", "final_obs"):
            record.skip(check, "the environment declares no valid autoreset mode.")
        return
    done = [ends(step, session.num_envs) if t else None for t, step in enumerate(run)]
    if any(part is None for part in done[1:]):
        for check in ("autoreset", "final_obs"):
            record.skip(check, "terminated or truncated does not have one value for each world.")
        return
    finished = [t for t, part in enumerate(done) if part is not None and part.any()]
    if not finished:
        for check in ("autoreset", "final_obs"):
            record.skip(check, f"no episode ended within {len(run) - 1} steps; raise `steps`.")
    if session.mode is AutoresetMode.SAME_STEP:
        _same_step(session, run, done, record)
    elif session.mode is AutoresetMode.NEXT_STEP:
        _next_step(run, done, record)
        _no_final_obs(run, "NEXT_STEP", record)
    else:
        _disabled(session, run, finished, record)
        _no_final_obs(run, "DISABLED", record)
    if finished and session.mode is not AutoresetMode.DISABLED:
        _check_reaction(session, run, done, finished, seed, record)


def _no_final_obs(run: list[Step], mode: str, record: Recorder) -> None:
    record.skip("final_obs", f"{mode} returns the last observation as the observation.")
    for t, step in enumerate(run):
        if "final_obs" in step.info:
            record.error(
                "autoreset",
                "final_obs",
                f"metadata says {mode}, but info['final_obs'] at step {t} belongs to SAME_STEP.",
            )


def _same_step(session: Session, run: list[Step], done: list, record: Recorder) -> None:
    space = session.env.single_observation_space
    equals_reset, equals_previous, total = [], [], 0
    for t, step in enumerate(run[1:], start=1):
        mask = step.info.get("_final_obs")
        if "final_obs" in step.info or mask is not None:
            _check_mask(mask, done[t], t, record)
        for world in np.flatnonzero(done[t]).tolist():
            row = final_row(step, world)
            if row is None:
                record.error(
                    "final_obs",
                    "missing",
                    f"World {world} ended at step {t} and info['final_obs'] is missing, "
                    "expected its last observation (SAME_STEP).",
                )
                continue
            _check_row(space, row, world, t, record)
            if _invalid(step, world):
                continue  # its last valid observation stands for the one that is not
            total += 1
            equals_reset += [(t, world)] if same(row, rows(step.obs, world)) else []
            equals_previous += [(t, world)] if same(row, rows(run[t - 1].obs, world)) else []
    if total and len(equals_reset) == total:
        t, world = equals_reset[0]
        record.error(
            "final_obs",
            "reset",
            f"info['final_obs'] equals the returned observation for every finished world, first "
            f"world {world} at step {t}: it is the reset observation, or the world was not reset.",
        )
    elif total and len(equals_previous) == total:
        t, world = equals_previous[0]
        record.error(
            "final_obs",
            "stale",
            f"info['final_obs'] equals the previous step's observation for every finished world, "
            f"first world {world} at step {t}: it was taken before the last step.",
        )


def _invalid(step: Step, world: int) -> bool:
    told = np.atleast_1d(np.asarray(step.info.get("invalid", False)))
    return bool(told[world]) if world < len(told) else False


def _check_mask(mask: Any, done: np.ndarray, t: int, record: Recorder) -> None:
    if mask is None:
        record.error("final_obs", "mask", f"info['_final_obs'] is missing at step {t}.")
    elif not isinstance(mask, np.ndarray) or mask.shape != done.shape or mask.dtype != np.bool_:
        record.error(
            "final_obs", "mask", f"info['_final_obs'] at step {t} is no bool mask {done.shape}."
        )
    elif not np.array_equal(mask, done):
        world = int(np.argmax(mask != done))
        record.error(
            "final_obs",
            "mask",
            f"The mask info['_final_obs'] of world {world} at step {t} is {bool(mask[world])}, "
            f"terminated | truncated is {bool(done[world])}.",
        )


def _check_row(space: Space, row: Any, world: int, t: int, record: Recorder) -> None:
    label = f"info['final_obs'] of world {world} at step {t}"
    check_observation(space, row, None, label, record, check="final_obs")


def _next_step(run: list[Step], done: list, record: Recorder) -> None:
    for t in range(2, len(run)):
        for world in np.flatnonzero(done[t - 1]):
            reward = np.asarray(run[t].reward)[world]
            if done[t][world]:
                record.error(
                    "autoreset",
                    "ends",
                    f"metadata says NEXT_STEP, but world {world} ended at step {t - 1} and again "
                    f"at step {t}, which should only reset it.",
                )
            elif reward != 0.0:
                record.error(
                    "autoreset",
                    "reward",
                    f"metadata says NEXT_STEP, but world {world}, ended at step {t - 1}, has "
                    f"reward {reward} at step {t}, expected 0 from a step that only resets it.",
                )


def _disabled(session: Session, run: list[Step], finished: list, record: Recorder) -> None:
    if session.reset_trouble:
        record.error(
            "autoreset",
            "mask",
            "metadata says DISABLED, but reset(options={'reset_mask': ...}) of finished worlds "
            f"failed with {session.reset_trouble}",
        )
        return
    kept = []
    for t in finished:
        step, after = run[t], run[t].after
        done = ends(step, session.num_envs)
        if after is None or done is None:
            continue
        for world in range(session.num_envs):
            unchanged = same(rows(after.obs, world), rows(step.obs, world))
            if done[world]:
                kept.append(unchanged)
            elif not unchanged:
                record.error(
                    "autoreset",
                    "others",
                    f"The reset of finished worlds after step {t} changed world {world}, "
                    "which its mask left out.",
                )
    if kept and all(kept):
        record.error(
            "autoreset",
            "no reset",
            f"The reset of finished worlds after step {finished[0]} changed no observation: with "
            "DISABLED the step returns the last observation and the reset the first one.",
        )


def _check_reaction(
    session: Session, run: list[Step], done: list, finished: list, seed: int, record: Recorder
) -> None:
    """See whether finished worlds heed the next action: NEXT_STEP ignores it, SAME_STEP does not.

    A replay takes other actions at the step after an end. That the unfinished worlds react to them
    there is what makes an ignored action tell something.
    """
    if record.failed("seeding"):
        record.skip("autoreset", "the reaction to actions needs a seed that replays.")
        return
    at = next((t for t in finished if t + 1 < len(run) and not done[t].all()), None)
    if at is None:
        at = next((t for t in finished if t + 1 < len(run)), None)
    if at is None or at > session.horizon(len(run)):
        record.skip("autoreset", "no episode ended early enough to replay the step after it.")
        return
    session.reset(seed=seed)
    for index in range(at):
        session.step(index)
    replay = session.step(at, other=True)

    def ignored(world: int) -> bool:
        return same(
            (rows(replay.obs, world), replay.reward[world]),
            (rows(run[at + 1].obs, world), run[at + 1].reward[world]),
            session.tolerance,
        )

    ended = [int(world) for world in np.flatnonzero(done[at])]
    going = [int(world) for world in np.flatnonzero(~done[at])]
    if session.mode is AutoresetMode.NEXT_STEP:
        for world in ended:
            if not ignored(world):
                record.error(
                    "autoreset",
                    "reaction",
                    f"metadata says NEXT_STEP, but world {world}, ended at step {at}, heeds the "
                    f"action of step {at + 1}, which should only reset it.",
                )
    elif not going:
        record.skip("autoreset", "all worlds end together, so none shows how actions act.")
    elif not any(ignored(world) for world in going) and all(ignored(world) for world in ended):
        record.error(
            "autoreset",
            "reaction",
            f"metadata says SAME_STEP, but world {ended[0]}, ended at step {at}, ignores the "
            f"action of step {at + 1} as NEXT_STEP does.",
        )
