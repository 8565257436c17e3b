"""The card of a run's policy: what it is, what it was worth, where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from proveout.training.export import policy_card
from proveout.training.registry.entries import Entry, entries
from proveout.training.run.cost import total_cost
from proveout.training.run.directory import Run
from proveout.training.run.json_files import write_json
from proveout.training.tasks import VectorEnvSpec, make_vector_env, run_config

CARD = "card.json"


def write_card(folder: Path | str, runs: Path | str) -> tuple[Path, dict[str, Any]]:
    """Write card.json into a run; return its path and what it says.

    Args:
        folder: Of the run.
        runs: Folder below which its relatives are looked for.

    Returns:
        The card of an exported policy, with `policy_sha256`, `cost`, `tags`, and `lineage`:
        `started_from` ("nothing", or "a clone of expert"), `resumed` (times), `part_of` (folders of
        seeds and searches that it belongs to), `studies` (sweeps that ran this very policy: path,
        rows, state), `limits` (episodes of its evaluation that were not valid, and why).

    Raises:
        RunError: No run, or one that is not finished.
    """
    run = Run.open(folder)
    saved = run.read_policy()
    config = run_config(run)
    env = make_vector_env(VectorEnvSpec(run.env_id, config, num_envs=1, device="cpu", workers=1))
    try:
        card = policy_card(run, saved, env.unwrapped)
    finally:
        env.close()
    around = entries(runs)
    told = run.evaluation(saved) or {}
    own = next((one.tags for one in around if one.path.resolve() == run.folder.resolve()), ())
    card |= {
        "policy_sha256": saved.digest,
        "cost": total_cost(run.manifest.get("cost", [])),
        "tags": list(own),
        "lineage": {
            "started_from": "a clone of expert" if "warm_start" in run.manifest else "nothing",
            "resumed": len(run.manifest.get("resumed", [])),
            "part_of": [str(one.path) for one in around if _holds(one, run.folder)],
            "studies": [
                {"path": str(one.path), "rows": one.data.get("rows"), "state": one.state}
                for one in around
                if one.kind == "sweep" and saved.digest in _digests(one)
            ],
        },
        "limits": {
            "invalid_episodes": told.get("invalid_worlds"),
            "reasons": told.get("invalid_reasons"),
        },
    }
    path = run.folder / CARD
    write_json(path, card)
    return path, card


def _holds(one: Entry, folder: Path) -> bool:
    inside = one.path.resolve() in folder.resolve().parents
    return one.kind in ("seeds", "tune") and inside


def _digests(sweep: Entry) -> list[str]:
    policies = sweep.data.get("policies")
    return list(policies.values()) if isinstance(policies, dict) else []
