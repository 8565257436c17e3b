"""Policies that come with the package: one safetensors file and its card for each task."""

from __future__ import annotations

from pathlib import Path

from proveout.policies.errors import PolicyError

FOLDER = Path(__file__).parent


def pretrained_names() -> list[str]:
    """Return the file names (without suffix) of the policies that are shipped."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def pretrained(env_id: str) -> Path:
    """Return the shipped policy of an environment.

    Raises:
        PolicyError: none is shipped for it.
    """
    path = FOLDER / f"{env_id.replace('/', '-')}.safetensors"
    if not path.is_file():
        shipped = ", ".join(pretrained_names()) or "none"
        raise PolicyError(
            f"no pretrained policy of {env_id} is shipped (shipped: {shipped}); train one with: "
            f"proveout train {env_id}"
        )
    return path
