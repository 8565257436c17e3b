"""What a file holds that is not supported."""

from __future__ import annotations

from dataclasses import dataclass

from proveout.assets.scenario.node import Place


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a file that is not supported.

    Attributes:
        place: Where it stands.
        reason: One sentence without its place.
    """

    place: Place
    reason: str

    def __str__(self) -> str:
        return f"{self.place.file}, line {self.place.line}, <{self.place.element}>: {self.reason}"
