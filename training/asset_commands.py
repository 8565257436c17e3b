"""`proveout assets`: look into a robot file, write it as clean MJCF, try the importer on many."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proveout.assets.files.errors import unknown
from proveout.training.arguments import UsageError, build, combine, mirror, parse
from proveout.training.failures import check_output
from proveout.training.run import dump_json
from proveout.training.streams import quiet_stdout


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text, "unit": ""})


@dataclass(frozen=True, kw_only=True)
class LoadFlags:
    """How a robot is loaded."""

    roots: tuple[Path, ...] = _flag((), "folders in which package:// meshes are looked for")
    tool: str | None = _flag(None, "site or body that is the tool; None: guessed")
    free_base: bool = _flag(False, "URDF: the base can move, as that of a walking robot")
    decompose: bool = _flag(True, "URDF: collision meshes as convex parts, not as hulls")


@dataclass(frozen=True, kw_only=True)
class InspectFlags(LoadFlags):
    """Flags of `assets inspect`."""

    picture: Path | None = _flag(None, "draw the home pose into this .png")  # noqa: RUF009
    json: bool = _flag(False, "print one JSON object and nothing else")


@dataclass(frozen=True, kw_only=True)
class ConvertFlags(LoadFlags):
    """Flags of `assets convert`."""

    out: Path | None = _flag(None, "new folder for the MJCF file and its meshes")  # noqa: RUF009


@dataclass(frozen=True, kw_only=True)
class SurveyFlags:
    """Flags of `assets survey`."""

    roots: tuple[Path, ...] = _flag((), "further folders for package:// meshes")
    out: Path | None = _flag(None, "write the table to this .md")  # noqa: RUF009


def assets_command(arguments: Sequence[str], prog: str, text: str) -> int:
    """Run one of the subcommands of `proveout assets`."""
    known: dict[str, Callable[[list[str], str], int]] = {
        "inspect": _inspect, "convert": _convert, "survey": _survey,
    }  # fmt: skip
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: {prog} {{{','.join(known)}}} ... ({prog} COMMAND --help)\n\n{text}")
        return 0
    if arguments[0] not in known:
        raise unknown(f"subcommand of `{prog}`", arguments[0], known)
    return known[arguments[0]](list(arguments[1:]), f"{prog} {arguments[0]}")


def _inspect(arguments: list[str], prog: str) -> int:
    source, flags = _parse(
        arguments, InspectFlags, prog,
        "Show bodies, joints, limits, masses, inertias, collision parts and what was changed or "
        "guessed: proveout assets inspect FILE [--picture OUT.png]",
    )  # fmt: skip
    if flags.picture is not None:
        if flags.picture.suffix.lower() != ".png":
            raise UsageError(f"--picture {flags.picture} must end in .png")
        check_output(flags.picture, "--picture")
    with quiet_stdout(flags.json) as emit:
        from proveout.assets.importer.report import describe, table

        robot = _load(source, flags)
        emit(dump_json(describe(robot)) if flags.json else table(robot))
        if flags.picture is not None:
            from proveout.training.robot_picture import write_picture

            write_picture(robot, flags.picture)
            if not flags.json:
                emit(f"picture: {flags.picture}")
    return 0


def _convert(arguments: list[str], prog: str) -> int:
    source, flags = _parse(
        arguments, ConvertFlags, prog,
        "Write a robot as clean MJCF with its meshes: proveout assets convert FILE --out DIR",
    )  # fmt: skip
    if flags.out is None:
        raise UsageError(f"`{prog}` needs --out, a new folder")
    from proveout.assets.importer.write import write_mjcf

    robot = _load(source, flags)
    path = write_mjcf(robot, flags.out)
    for warning in robot.warnings:
        print(f"  {warning}", file=sys.stderr)
    print(path)
    return 0


def _survey(arguments: list[str], prog: str) -> int:
    folders, flags = _parse(
        arguments, SurveyFlags, prog,
        "Load every robot file below some folders, take 100 steps in MuJoCo Warp and see whether "
        "each holds its pose: proveout assets survey [TITLE=]DIR ... --out docs/robots.md",
        several=True,
    )  # fmt: skip
    if flags.out is not None:
        check_output(flags.out, "--out")
    from proveout.assets.files.atomic import write_atomic
    from proveout.training.robot_survey import document, markdown, robot_files, survey

    sections = []
    for text in folders:
        title, _, name = text.rpartition("=")
        folder = Path(name)
        if not folder.is_dir():
            raise UsageError(f"{name} is not a folder; give one with robot files below it")
        total, trials = len(robot_files(folder)), []
        for trial in survey(folder, flags.roots):
            trials.append(trial)
            print(
                f"[{len(trials)}/{total}] {trial.file}: "
                f"{'ok' if trial.passed else 'fails'} {trial.reason}".rstrip(),
                file=sys.stderr, flush=True,
            )  # fmt: skip
        sections.append(markdown(title or folder.name, trials))
    text = document(sections)
    if flags.out is not None:
        write_atomic(flags.out, text)
    else:
        print(text)
    return 0


def _load(source: str, flags: LoadFlags) -> Any:
    from proveout.assets.robot import load_robot

    return load_robot(
        source, roots=flags.roots, tool=flags.tool, free_base=flags.free_base,
        decompose=flags.decompose,
    )  # fmt: skip


def _parse(
    arguments: list[str], kind: type, prog: str, text: str, *, several: bool = False
) -> tuple[Any, Any]:
    """Split the files that come first from the flags."""
    count = next((i for i, a in enumerate(arguments) if a.startswith("-")), len(arguments))
    files, rest = arguments[:count], arguments[count:]
    told = parse(rest, combine(mirror(kind, kind())), prog=prog, description=f"  {text}")
    if not files or (len(files) > 1 and not several):
        raise UsageError(f"`{prog}` needs {'folders' if several else 'one robot'} first")
    return (files if several else files[0]), build(kind, told.flags)
