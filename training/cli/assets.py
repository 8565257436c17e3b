"""`proveout assets`: look into a robot or road file, write a robot as clean MJCF, try the importer
on many."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from proveout.training.cli.command import Help, flag

HELP = Help(
    text=(
        "inspect FILE: bodies, joints, limits, masses, inertias, collision parts, and what was "
        "changed or guessed; of an OpenDRIVE map (.xodr): roads, lanes, junctions, how well they "
        "fit together, and what is left out. --picture draws it. convert FILE --out DIR: clean "
        "MJCF with its meshes. survey [TITLE=]DIR ...: which robot files below some folders load, "
        "step in MuJoCo Warp and hold their pose. FILE of a robot is an MJCF or URDF file, the "
        "name of a shipped robot, menagerie:NAME or example-robot-data:NAME."
    ),
    examples=(
        "proveout assets inspect panda.urdf --picture panda.png",
        "proveout assets inspect ur5e --json",
        "proveout assets inspect town.xodr --picture town.png",
        "proveout assets convert panda.urdf --out panda",
        "proveout assets survey ours=robots --out robots.md",
    ),
)


@dataclass(frozen=True, kw_only=True)
class LoadFlags:
    """How a robot is loaded."""

    roots: tuple[Path, ...] = flag((), "folders in which package:// meshes are looked for")
    tool: str | None = flag(None, "site or body that is the tool; None: guessed")
    free_base: bool = flag(False, "URDF: the base can move, as that of a walking robot")
    decompose: bool = flag(True, "URDF: collision meshes as convex parts, not as hulls")


@dataclass(frozen=True, kw_only=True)
class InspectFlags(LoadFlags):
    """Flags of `assets inspect`."""

    picture: Path | None = flag(  # noqa: RUF009
        None, "draw the robot in its home pose, or the roads from above, into this .png"
    )
    json: bool = flag(False, "print one JSON object and nothing else")


@dataclass(frozen=True, kw_only=True)
class ConvertFlags(LoadFlags):
    """Flags of `assets convert`."""

    out: Path | None = flag(None, "new folder for the MJCF file and its meshes")  # noqa: RUF009


@dataclass(frozen=True, kw_only=True)
class SurveyFlags:
    """Flags of `assets survey`."""

    roots: tuple[Path, ...] = flag((), "further folders for package:// meshes")
    decompose: bool = flag(True, "URDF: collision meshes as convex parts, not as hulls")
    out: Path | None = flag(None, "write the table to this .md")  # noqa: RUF009


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Run one of the subcommands of `proveout assets`."""
    known: dict[str, Callable[[list[str], str], int]] = {
        "inspect": _inspect, "convert": _convert, "survey": _survey,
    }  # fmt: skip
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: {prog} {{{','.join(known)}}} ... ({prog} inspect --help)\n\n{text}")
        raise SystemExit(0)
    if arguments[0] not in known:
        from proveout.assets.files.errors import unknown

        raise unknown(f"subcommand of `{prog}`", arguments[0], known)
    return known[arguments[0]](list(arguments[1:]), f"{prog} {arguments[0]}")


def _inspect(arguments: list[str], prog: str) -> int:
    source, flags = _parse(
        arguments, InspectFlags, prog,
        "Show bodies, joints, limits, masses, inertias, collision parts and what was changed or "
        "guessed, or the roads of a map: proveout assets inspect FILE [--picture OUT.png]",
    )  # fmt: skip
    from proveout.training.cli.arguments import UsageError
    from proveout.training.cli.streams import quiet_stdout
    from proveout.training.run.failures import check_output
    from proveout.training.run.json_files import dump_json

    if flags.picture is not None:
        if flags.picture.suffix.lower() != ".png":
            raise UsageError(f"--picture {flags.picture} must end in .png")
        check_output(flags.picture, "--picture")
    is_map = source.lower().endswith(".xodr")
    if is_map and _without_pictures(flags) != InspectFlags():
        raise UsageError("a map takes --picture and --json; the other flags are for robots")
    with quiet_stdout(flags.json) as emit:
        told = _map_told if is_map else _robot_told
        description, text, draw = told(source, flags)
        emit(dump_json(description) if flags.json else text)
        if flags.picture is not None:
            from proveout.training.robots.picture import write_image

            write_image(draw(), flags.picture)
            if not flags.json:
                emit(f"picture: {flags.picture}")
    return 0


def _without_pictures(flags: InspectFlags) -> InspectFlags:
    return replace(flags, picture=None, json=False)


def _robot_told(source: str, flags: InspectFlags) -> tuple[Any, str, Callable[[], Any]]:
    """What is in a robot, as numbers and as text, and what draws it."""
    from proveout.assets.importer.report import describe, table

    robot = _load(source, flags)

    def draw() -> Any:
        from proveout.training.robots.picture import robot_picture

        return robot_picture(robot)

    return describe(robot), table(robot), draw


def _map_told(source: str, flags: InspectFlags) -> tuple[Any, str, Callable[[], Any]]:
    """What is on a map, as numbers and as text, and what draws it."""
    from proveout.assets.opendrive.report import describe, table
    from proveout.assets.opendrive.road_map import load_road

    road_map = load_road(source, surface=flags.picture is not None)

    def draw() -> Any:
        from proveout.envs.driving.map_picture import map_picture

        return map_picture(road_map.network)

    return describe(road_map), table(road_map), draw


def _convert(arguments: list[str], prog: str) -> int:
    source, flags = _parse(
        arguments, ConvertFlags, prog,
        "Write a robot as clean MJCF with its meshes: proveout assets convert FILE --out DIR",
    )  # fmt: skip
    if flags.out is None:
        from proveout.training.cli.arguments import UsageError

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
    from proveout.training.cli.survey_document import survey_folders
    from proveout.training.robots.survey import document, markdown, robot_files, survey

    def section(title: str, folder: Path) -> str:
        total, trials = len(robot_files(folder)), []
        for trial in survey(folder, flags.roots, decompose=flags.decompose):
            trials.append(trial)
            print(
                f"[{len(trials)}/{total}] {trial.file}: "
                f"{'ok' if trial.passed else 'fails'} {trial.reason}".rstrip(),
                file=sys.stderr, flush=True,
            )  # fmt: skip
        return markdown(title, trials)

    survey_folders(folders, flags.out, "robot files", section, document)
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
    from proveout.training.cli.files_first import files_and_flags

    wanted = "folders" if several else "one file"
    files, flags = files_and_flags(arguments, kind, prog, text, wanted, several=several)
    return (files if several else files[0]), flags
