"""`proveout runs`: what has been trained and swept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.training.cli.command import Help, flag

if TYPE_CHECKING:
    from proveout.training.registry.entries import Entry

HELP = Help(
    text=(
        "List the runs, sweeps, searches and folders of seeds below --runs, filtered. --diff A B "
        "shows what differs between two, settings first, then results. --tag and --untag give and "
        "take a name of one, A; --card A writes the card of its policy, with its lineage. --prune "
        "deletes those that the filters leave, after --yes; without it, it says which."
    ),
    examples=(
        "proveout runs",
        "proveout runs --env proveout/Reach-v0 --kind run --tagged best",
        "proveout runs --diff runs/proveout-Reach-v0/A runs/proveout-Reach-v0/B",
        "proveout runs --tag best --of runs/proveout-Reach-v0/A",
        "proveout runs --card runs/proveout-Reach-v0/A",
        "proveout runs --state failed --prune --yes",
    ),
)


@dataclass(frozen=True, kw_only=True)
class RunsFlags:
    """Flags of `runs`."""

    runs: Path = flag(Path("runs"), "folder below which they lie")  # noqa: RUF009
    env: str | None = flag(None, "only of this environment")
    kind: str | None = flag(None, "only run, sweep, seeds or tune")
    state: str | None = flag(None, "only in this state: complete, interrupted, failed, ...")
    tagged: str | None = flag(None, "only with this tag")
    diff: tuple[Path, Path] | None = flag(None, "two folders to compare")
    tag: str | None = flag(None, "tags to give, with commas, to the folder --of")
    untag: str | None = flag(None, "tags to take, with commas, from the folder --of")
    of: Path | None = flag(None, "folder that --tag and --untag mean")  # noqa: RUF009
    card: Path | None = flag(None, "write the card of this run's policy")  # noqa: RUF009
    prune: bool = flag(False, "delete what the filters leave; what has a tag only with --tagged")
    yes: bool = flag(False, "do it")
    json: bool = flag(False, "print one JSON object and nothing else")


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """List, compare, tag, prune, or write a card."""
    from proveout.training.cli.streams import quiet_stdout
    from proveout.training.cli.targets import parse_flags
    from proveout.training.run.json_files import dump_json

    flags = parse_flags(list(arguments), RunsFlags, prog, text)
    with quiet_stdout(flags.json) as emit:
        if flags.diff is not None:
            told, lines = _diff(flags)
        elif flags.tag is not None or flags.untag is not None:
            told, lines = _tag(flags)
        elif flags.card is not None:
            told, lines = _card(flags)
        else:
            told, lines = _list(flags)
        emit(dump_json(told) if flags.json else "\n".join(lines))
    return 0


def _list(flags: RunsFlags) -> tuple[dict[str, Any], list[str]]:
    from proveout.assets.files.errors import unknown
    from proveout.training.cli.arguments import UsageError
    from proveout.training.registry.entries import KINDS, entries, prune, without_tagged

    if flags.kind is not None and flags.kind not in KINDS:
        raise unknown("kind", flags.kind, KINDS)
    found = [one for one in entries(flags.runs) if _wanted(one, flags)]
    told: dict[str, Any] = {"entries": [one.plain() for one in found]}
    if not flags.prune:
        return told, _table(found) if found else [f"Nothing of the kind below {flags.runs}."]
    if (flags.env, flags.kind, flags.state, flags.tagged) == (None,) * 4:
        raise UsageError("--prune deletes what filters leave; give one, such as --state failed")
    if flags.tagged is None:
        found = without_tagged(found, entries(flags.runs))
    told = {"entries": [one.plain() for one in found], "pruned": flags.yes}
    if not found:
        return told, [f"Nothing to delete below {flags.runs}."]
    if flags.yes:
        prune(found)
        return told, [f"Deleted {len(found)}:", *_table(found)]
    return told, [*_table(found), f"{len(found)} would be deleted; --yes does it."]


def _wanted(one: Entry, flags: RunsFlags) -> bool:
    return (
        flags.env in (None, one.env_id)
        and flags.kind in (None, one.kind)
        and flags.state in (None, one.state)
        and (flags.tagged is None or flags.tagged in one.tags)
    )


def _table(found: list[Entry]) -> list[str]:
    rows = [
        (
            one.kind, one.created[:16].replace("T", " "), one.env_id, one.what, one.state,
            one.figure, ", ".join(one.tags), str(one.path),
        )
        for one in found
    ]  # fmt: skip
    head = ("kind", "begun", "environment", "what", "state", "figure", "tags", "folder")
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]


def _diff(flags: RunsFlags) -> tuple[dict[str, Any], list[str]]:
    from proveout.training.registry.differences import differences
    from proveout.training.registry.entries import the_entry

    assert flags.diff is not None
    first, second = (the_entry(path) for path in flags.diff)
    rows = differences(first, second)
    told = {"differences": [{"name": n, "first": a, "second": b} for n, a, b in rows]}
    if not rows:
        return told, ["They are the same in settings and results."]
    head = ("", first.path.name, second.path.name)
    widths = [min(60, max(len(row[i]) for row in [head, *rows])) for i in range(3)]
    return told, [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]


def _tag(flags: RunsFlags) -> tuple[dict[str, Any], list[str]]:
    from proveout.training.cli.arguments import UsageError
    from proveout.training.registry.entries import tag

    if flags.of is None:
        raise UsageError("which one? proveout runs --tag NAME --of FOLDER")
    tags = tag(flags.of, _listed(flags.tag), _listed(flags.untag))
    return {"folder": str(flags.of), "tags": tags}, [f"{flags.of}: {', '.join(tags) or 'no tag'}"]


def _card(flags: RunsFlags) -> tuple[dict[str, Any], list[str]]:
    from proveout.training.registry.card import write_card

    assert flags.card is not None
    path, card = write_card(flags.card, flags.runs)
    lineage = card["lineage"]
    lines = [f"Card: {path}", f"  started from {lineage['started_from']}"]
    lines += [f"  part of {one}" for one in lineage["part_of"]]
    lines += [f"  ran in {one['path']} ({one['rows']} rows)" for one in lineage["studies"]]
    return card, lines


def _listed(text: str | None) -> list[str]:
    return [one.strip() for one in (text or "").split(",") if one.strip()]
