"""Studies that come with the package: a TOML file each, run by its name."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def study_names() -> list[str]:
    """Names of the studies that are shipped, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def shipped_study(name: str) -> Path | None:
    """The file of a shipped study; None if there is none of this name."""
    return FOLDER / f"{name}.toml" if name in study_names() else None
