"""What every subcommand has: its help, and flags with theirs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# Largest seed of worlds alone; what seeds NumPy and torch too takes 32 bits.
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class Help:
    """What `--help` of a subcommand says above its flags."""

    text: str
    examples: tuple[str, ...]


def flag(default: Any, text: str, unit: str = "", *, high: float | None = None) -> Any:
    """A flag with its help; `high` goes before the upper end in `RANGES`."""
    bounds = {} if high is None else {"high": high}
    return field(default=default, metadata={"help": text, "unit": unit, **bounds})


@dataclass(frozen=True, kw_only=True)
class JsonFlags:
    """Flags of `list` and `doctor`."""

    json: bool = flag(False, "print one JSON object and nothing else")
