"""Why a world is invalid: its episode must not be used as a result."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import numpy as np

_MEMORY = "with --physics c, give its model more memory (`MjSpec.memory`)"
_ROOM = (
    "measure the room that its policy needs with `proveout capacities {env_id} --policy P`; or, "
    f"{_MEMORY}"
)


class Invalid(enum.IntFlag):
    """Reasons, as bits of `info["invalid_reason"]`; zero is a valid world."""

    NON_FINITE_STATE = 1
    CONTACT_LOST = 2
    CONSTRAINT_OVERFLOW = 4
    ENGINE_OVERFLOW = 8
    NON_FINITE_ACTION = 16
    NON_FINITE_REWARD = 32

    @property
    def words(self) -> str:
        """What it says, all bits of it; "valid" for none.

        `from_words` reads it back.
        """
        return ", ".join(_WORDS[reason] for reason in Invalid if reason & self) or "valid"

    @classmethod
    def from_words(cls, text: str) -> Invalid:
        """The reason that `words` told.

        Raises:
            ValueError: No such words.
        """
        found = cls(0)
        if text == "valid":
            return found
        known = {words: reason for reason, words in _WORDS.items()}
        for part in text.split(", "):
            if part not in known:
                raise ValueError(f"{part!r} is no reason; known: {', '.join(known)}")
            found |= known[part]
        return found

    @property
    def remedy(self) -> str:
        """What can be done about one reason, with `{env_id}` to fill in; empty if unknown."""
        return _REMEDIES.get(self, "")

    @classmethod
    def count(cls, bits: np.ndarray) -> dict[str, int]:
        """How often each reason occurs among bits, by its words; the present ones.

        A world with two reasons counts under both.
        """
        counts = {reason.words: int(((bits & reason) != 0).sum()) for reason in cls}
        return {text: count for text, count in counts.items() if count}


_WORDS = {
    Invalid.NON_FINITE_STATE: "non-finite state",
    Invalid.CONTACT_LOST: "contact lost (arena full)",
    Invalid.CONSTRAINT_OVERFLOW: "constraint list full",
    Invalid.ENGINE_OVERFLOW: "another buffer of the engine overflowed",
    Invalid.NON_FINITE_ACTION: "non-finite action",
    Invalid.NON_FINITE_REWARD: "non-finite observation or reward",
}
_REMEDIES = {
    Invalid.NON_FINITE_STATE: "the physics diverges: try a smaller time step (--env.decimation) "
    "or weaker actuators",
    Invalid.CONTACT_LOST: _ROOM,
    Invalid.CONSTRAINT_OVERFLOW: _ROOM,
    Invalid.ENGINE_OVERFLOW: _MEMORY,
    Invalid.NON_FINITE_ACTION: "the policy gives NaN or infinity",
    Invalid.NON_FINITE_REWARD: "look for a division by zero in `observe` and `evaluate` of the "
    "task",
}


def explained(counts: Mapping[str, int], env_id: str) -> str:
    """Reasons with their numbers, and the remedies.

    Args:
        counts: From `Invalid.count`.
        env_id: Registered id, for the commands to run.
    """
    if not counts:
        return "the environment does not say why."
    why = ", ".join(f"{text} ({count})" for text, count in counts.items())
    remedies = [reason.remedy for reason in Invalid if reason.words in counts and reason.remedy]
    told = "; ".join(dict.fromkeys(remedies)).format(env_id=env_id)
    return f"{why}{'; ' + told if told else ''}."
