"""Why worlds were invalid, in words, with what can be done about it."""

from __future__ import annotations

from collections.abc import Mapping

from proveout.envs.core.worlds import (
    CONSTRAINT_OVERFLOW,
    CONTACT_LOST,
    NON_FINITE_ACTION,
    NON_FINITE_REWARD,
    NON_FINITE_STATE,
    REASONS,
)

_ROOM = "measure the room that its policy needs with `proveout capacities {env_id} --policy P`"
_REMEDIES = {
    CONTACT_LOST: _ROOM,
    CONSTRAINT_OVERFLOW: _ROOM,
    NON_FINITE_STATE: "the physics diverges: try a smaller time step (--env.decimation) or "
    "weaker actuators",
    NON_FINITE_ACTION: "the policy gives NaN or infinity",
    NON_FINITE_REWARD: "look for a division by zero in `observe` and `evaluate` of the task",
}


def explained(counts: Mapping[str, int], env_id: str) -> str:
    """Return reasons with their numbers, and the remedies.

    Args:
        counts: From `proveout.envs.core.worlds.count_reasons`.
        env_id: Registered id, for the commands to run.
    """
    if not counts:
        return "the environment does not say why."
    why = ", ".join(f"{text} ({count})" for text, count in counts.items())
    remedies = [remedy for bit, remedy in _REMEDIES.items() if REASONS[bit] in counts]
    told = "; ".join(dict.fromkeys(remedies)).format(env_id=env_id)
    return f"{why}{'; ' + told if told else ''}."
