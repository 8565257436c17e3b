"""`proveout sweep`: a policy over a space of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proveout.training.cli.command import MAX_SEED, Help, flag

HELP = Help(
    text=(
        "Run a policy over a space of parameters, one world a row. ENV with --vary, a study file, "
        "or a study that comes with the package (highway-traffic, palletize-vacuum, "
        "pick-place-wear, reach-speed, wafer-acceleration); "
        "rows are kept as they are done, and the same command, or --resume DIR, runs only "
        "what is missing. --vary NAME=LOW:HIGH:COUNT (LOW:HIGH:COUNT:log) and NAME=V,V,V make a "
        "grid; NAME=LOW:HIGH, NAME=log-uniform:LOW:HIGH and NAME=normal:MEAN:STD are drawn, "
        "--points of them. sweep init ENV writes a commented study file; sweep replay DIR --row ID "
        "runs a row again; sweep report DIR writes one HTML file; sweep query DIR SQL asks DuckDB. "
        "With ENV, --help also shows the flags of its config (--env. ...)."
    ),
    examples=(
        "proveout sweep proveout/Reach-v0 --vary max_increment=0.05:0.2:7 \\",
        "    --vary joint_damping=0.5,1,2 --episodes 200",
        "proveout sweep proveout/Highway-v0 --vary gap=20:60 --vary time_headway=0.8:2 \\",
        "    --points 256 --method sobol --policy pretrained,expert",
        "proveout sweep highway-traffic",
        "proveout sweep init proveout/Reach-v0 --out study.toml",
        "proveout sweep study.toml --out runs/sweeps/first",
        "proveout sweep --resume runs/sweeps/first",
        "proveout sweep study.toml --engine ray --address auto",
        "proveout sweep report runs/sweeps/first",
        "proveout sweep query runs/sweeps/first 'select policy, avg(length) from rows group by 1'",
        "proveout sweep replay runs/sweeps/first --row 6b53ce5598115386 --video row.mp4",
    ),
)


@dataclass(frozen=True, kw_only=True)
class MachineFlags:
    """Flags of a sweep from a file, or of one that goes on."""

    out: Path | None = flag(None, "folder; None: one by the study's content")  # noqa: RUF009
    num_envs: int | None = flag(None, "None: chosen by the number of rows", "worlds")
    device: str = flag("auto", "auto, cpu or cuda:N")
    workers: int | None = flag(None, "on the CPU; None: all cores", "processes")
    engine: str = flag("in-process", "in-process; ray: batches on a Ray cluster")
    address: str | None = flag(None, "of a cluster: auto, HOST:PORT; None: one of these cores")
    limit: int = flag(1_000_000, "refuse a study with more", "rows", high=10**12)
    trust_pickle: bool = flag(False, "unpickle a .zip of Stable-Baselines3: it can run any code")
    json: bool = flag(False, "print one JSON object and nothing else")


@dataclass(frozen=True, kw_only=True)
class SweepFlags(MachineFlags):
    """Flags of a sweep without a file."""

    policy: str = flag("pretrained", "expert, pretrained, a run or a file; several with commas")
    episodes: int = flag(100, "rows of each point, policy and seed", "episodes")
    seed: int = flag(0, "of the worlds", high=MAX_SEED)
    points: int = flag(0, "drawn of the parameters that are", "points", high=10**9)
    method: str = flag("latin-hypercube", "latin-hypercube, sobol, random or saltelli")
    sampling_seed: int = flag(0, "of what is drawn", high=MAX_SEED)
    kpis: str = flag("", "to keep, with commas; empty: all")
    same_starts: bool = flag(False, "all points begin in the same states")
    stop: str = flag("", "a point ends at this width of its intervals: success=0.1,energy=5")
    stop_every: int = flag(50, "between two looks at a point", "episodes", high=10**9)
    series: str = flag("", "signals to keep as time series: observation,reward,engine/qpos")
    series_rate: float = flag(0.0, "of them; 0: every control step", "Hz")
    series_episodes: int = flag(1, "of each point, policy and seed; 0: all", "episodes")
    series_only: str = flag("all", "all, failed, succeeded or invalid rows of these")


@dataclass(frozen=True, kw_only=True)
class InitFlags:
    """Flags of `sweep init`."""

    out: Path | None = flag(None, "file to write; None: standard output")  # noqa: RUF009


@dataclass(frozen=True, kw_only=True)
class ReplayFlags:
    """Flags of `sweep replay`."""

    row: str = flag("", "id of the row: sixteen hexadecimal digits")
    video: Path | None = flag(None, "write its frames to this .mp4")  # noqa: RUF009
    trust_pickle: bool = flag(False, "unpickle a .zip of Stable-Baselines3: it can run any code")
    json: bool = flag(False, "print one JSON object and nothing else")


@dataclass(frozen=True, kw_only=True)
class ReportFlags:
    """Flags of `sweep report`."""

    out: Path | None = flag(None, "file; None: report.html in DIR")  # noqa: RUF009
    pareto: str = flag("", "two outcomes and what is good, such as energy:min,success:max")


@dataclass(frozen=True, kw_only=True)
class QueryFlags:
    """Flags of `sweep query`."""

    out: Path | None = flag(None, "write to this .csv or .parquet instead")  # noqa: RUF009
    json: bool = flag(False, "print one JSON object and nothing else")


def run(arguments: Sequence[str], prog: str, text: str) -> int:
    """Run a study, or do what belongs to one."""
    actions = {"init": _init, "replay": _replay, "report": _report, "query": _query}
    if arguments and arguments[0] in actions:
        return actions[arguments[0]](arguments[1:], f"{prog} {arguments[0]}", text)
    vary, rest = _take_all(arguments, "--vary")
    if any(argument.partition("=")[0] == "--resume" for argument in rest):
        return _resume(rest, vary, prog, text)
    from proveout.assets.studies import shipped_study
    from proveout.training.cli.targets import take_target

    target, rest = take_target(rest, SweepFlags)
    shipped = shipped_study(target) if target is not None else None
    if target is not None and (shipped is not None or target.endswith(".toml")):
        return _from_file(shipped or Path(target), vary, rest, prog, text)
    return _from_flags(target, vary, rest, prog, text)


def _from_flags(target: str | None, vary: list[str], rest: list[str], prog: str, text: str) -> int:
    from proveout.training.cli.targets import parse_with_config, resolve
    from proveout.training.sweep.space import parse_vary
    from proveout.training.sweep.study import Study

    if target is not None and Path(target).is_dir():
        raise _usage(
            f"{target} is a folder; {prog} --resume {target} goes on with a sweep, and a run is "
            f"judged by: {prog} ENV --policy {target}"
        )
    env_id, _, _ = resolve(target)
    flags, config = parse_with_config(rest, SweepFlags, prog, text, env_id, None, "ENV|STUDY.toml")
    assert env_id is not None
    study = Study(
        env=env_id,
        parameters=[parse_vary(one) for one in vary],
        sampling={"method": flags.method, "points": flags.points, "seed": flags.sampling_seed},
        config=_changes(type(config)().to_dict(), config.to_dict()),
        policies=_listed(flags.policy),
        episodes=flags.episodes,
        seeds=(flags.seed,),
        kpis=_listed(flags.kpis),
        same_starts=flags.same_starts,
        stop=_stop(flags),
        series={
            "signals": _listed(flags.series), "rate": flags.series_rate,
            "episodes": flags.series_episodes, "only": flags.series_only,
        } if flags.series else None,
    )  # fmt: skip
    return _sweep(study, flags)


def _from_file(path: Path, vary: list[str], rest: list[str], prog: str, text: str) -> int:
    from proveout.training.cli.targets import parse_flags
    from proveout.training.sweep.study import Study

    if vary:
        raise _usage("--vary goes with ENV; with a study file, give the parameters there")
    flags = parse_flags(rest, MachineFlags, prog, text)
    return _sweep(Study.from_file(path), flags)


def _resume(rest: list[str], vary: list[str], prog: str, text: str) -> int:
    import dataclasses

    from proveout.training.cli.targets import parse_flags
    from proveout.training.sweep.store import Store

    if vary:
        raise _usage("--vary and --resume do not go together: a sweep goes on as it was begun")
    folder, rest = _take_one(rest, "--resume")
    flags = parse_flags(rest, MachineFlags, prog, text)
    if flags.out is not None:
        raise _usage("--out and --resume do not go together; --resume names the folder")
    store = Store.open(folder)
    return _sweep(store.plan().study, dataclasses.replace(flags, out=Path(folder)))


def _sweep(study: Any, flags: Any) -> int:
    from proveout.training.cli.streams import quiet_stdout
    from proveout.training.run.json_files import dump_json
    from proveout.training.sweep.execute import Machine, run_study
    from proveout.training.sweep.results import read_results
    from proveout.training.sweep.summary import lines

    with quiet_stdout(flags.json) as emit:
        machine = Machine(
            num_envs=flags.num_envs or 0,
            device=flags.device,
            workers=flags.workers,
            trust_pickle=flags.trust_pickle,
            engine=flags.engine,
            address=flags.address,
        )
        told = run_study(study, flags.out, machine=machine, limit=flags.limit, shown=True)
        valid = told["run"] - told["invalid"] + told["done_before"]
        if flags.json:
            emit(dump_json(told))
        else:
            for line in lines(read_results(told["folder"])) if study.space.count() <= 60 else []:
                emit(line)
            emit(_sentence(told))
    return 0 if valid else 1


def _sentence(told: dict[str, Any]) -> str:
    text = f"{told['rows']:,} rows in {told['folder']}: {told['run']:,} run now"
    if told["run"]:
        text += f" in {told['seconds']:.1f} s ({told['rows_per_s']:,.0f} rows/s)"
    if told["spared"]:
        text += f". {told['spared']:,} were not needed: their intervals are narrow enough"
    if told["invalid"]:
        why = "; ".join(f"{words} ({count})" for words, count in told["invalid_reasons"].items())
        text += f". {told['invalid']:,} are invalid and not counted: {why}"
    return f"{text}."


def _init(arguments: Sequence[str], prog: str, text: str) -> int:
    from proveout.policies.pretrained import pretrained_names
    from proveout.training.cli.targets import parse_flags, take_env
    from proveout.training.run.failures import check_output
    from proveout.training.sweep.template import study_template
    from proveout.training.tasks import task_class

    env_id, rest = take_env(arguments, prog, InitFlags)
    flags = parse_flags(rest, InitFlags, prog, text)
    if env_id is None:
        raise _usage(f"which environment? `proveout list` shows them; see {prog} --help")
    shipped = env_id.replace("/", "-") in pretrained_names()
    name = str(flags.out or "study.toml")
    written = study_template(task_class(env_id), env_id, name, shipped=shipped)
    if flags.out is None:
        print(written, end="")
        return 0
    from proveout.assets.files.atomic import write_atomic

    check_output(flags.out, "--out")
    if flags.out.exists():
        raise _usage(f"--out {flags.out} exists; name another file")
    write_atomic(flags.out, written)
    print(f"Study: {flags.out}")
    return 0


def _replay(arguments: Sequence[str], prog: str, text: str) -> int:
    from proveout.training.cli.streams import quiet_stdout
    from proveout.training.cli.targets import parse_flags, take_target
    from proveout.training.run.failures import check_output
    from proveout.training.run.json_files import dump_json
    from proveout.training.sweep.replay import replay

    folder, rest = take_target(arguments, ReplayFlags)
    flags = parse_flags(rest, ReplayFlags, prog, text)
    if folder is None or not flags.row:
        raise _usage(f"which row? {prog} DIR --row ID; the results name them")
    if flags.video is not None:
        check_output(flags.video, "--video")
    with quiet_stdout(flags.json) as emit:
        told = replay(folder, flags.row, video=flags.video, trust_pickle=flags.trust_pickle)
        if flags.json:
            emit(dump_json(told))
        else:
            emit("\n".join(f"  {name:<28} {value}" for name, value in told["row"].items()))
            emit(_verdict(told))
            if flags.video is not None:
                emit(f"Video: {flags.video}")
    return 1 if told["different"] else 0


def _report(arguments: Sequence[str], prog: str, text: str) -> int:
    from proveout.training.cli.targets import parse_flags, take_target
    from proveout.training.sweep.report import write_report

    folder, rest = take_target(arguments, ReportFlags)
    flags = parse_flags(rest, ReportFlags, prog, text)
    if folder is None:
        raise _usage(f"of which sweep? {prog} DIR")
    print(f"Report: {write_report(folder, flags.out, pareto=tuple(_listed(flags.pareto)))}")
    return 0


def _query(arguments: Sequence[str], prog: str, text: str) -> int:
    from proveout.training.cli.streams import quiet_stdout
    from proveout.training.cli.targets import parse_flags, take_target
    from proveout.training.run.json_files import dump_json
    from proveout.training.sweep.query import query

    folder, rest = take_target(arguments, QueryFlags)
    sql, rest = take_target(rest, QueryFlags)
    flags = parse_flags(rest, QueryFlags, prog, text)
    if folder is None or sql is None:
        raise _usage(f"of which sweep, and what? {prog} DIR 'select * from rows limit 5'")
    with quiet_stdout(flags.json) as emit:
        table = query(folder, sql)
        if flags.out is not None:
            _write_table(table, flags.out)
            emit(dump_json({"out": str(flags.out)}) if flags.json else f"Table: {flags.out}")
        elif flags.json:
            emit(dump_json({"rows": table.to_pylist()}))
        else:
            emit("  ".join(table.column_names))
            for row in table.to_pylist():
                emit("  ".join(_cell(value) for value in row.values()))
    return 0


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _write_table(table: Any, path: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    from proveout.assets.files.atomic import atomic_path
    from proveout.training.evaluation.episodes import check_path

    check_path(path)
    with atomic_path(path) as temporary:
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(table, temporary)
        else:
            pyarrow.parquet.write_table(table, temporary)


def _verdict(told: dict[str, Any]) -> str:
    if told["stored"] is None:
        return "The sweep has not done this row yet."
    if not told["different"]:
        return "The same bits as in the sweep."
    names = ", ".join(told["different"])
    return f"Not the same as in the sweep, which ran elsewhere or with other versions: {names}."


def _changes(default: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """What a nested config has that is not the default."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, dict) and isinstance(default.get(name), dict):
            inner = _changes(default[name], value)
            if inner:
                found[name] = inner
        elif value != default.get(name):
            found[name] = value
    return found


def _stop(flags: Any) -> dict[str, Any] | None:
    """What --stop asks for: outcomes and widths."""
    widths: dict[str, float] = {}
    for one in _listed(flags.stop):
        name, sign, width = one.partition("=")
        try:
            widths[name.strip()] = float(width)
        except ValueError:
            sign = ""
        if not sign:
            raise _usage(f"--stop {one}: OUTCOME=WIDTH expected, such as success=0.1")
    return {"widths": widths, "every": flags.stop_every} if flags.stop else None


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _take_all(arguments: Sequence[str], flag_name: str) -> tuple[list[str], list[str]]:
    """Return all values of a flag that may be given often, and the other arguments."""
    values, rest, i = [], [], 0
    while i < len(arguments):
        argument = arguments[i]
        if argument.startswith(f"{flag_name}="):
            values.append(argument.removeprefix(f"{flag_name}="))
        elif argument == flag_name:
            i += 1
            if i == len(arguments) or arguments[i].startswith("--"):
                raise _usage(f"{flag_name} needs a value, such as gap=20:60:5")
            values.append(arguments[i])
        else:
            rest.append(argument)
        i += 1
    return values, rest


def _take_one(arguments: Sequence[str], flag_name: str) -> tuple[str, list[str]]:
    values, rest = _take_all(arguments, flag_name)
    if len(values) != 1:
        raise _usage(f"{flag_name} is given once, with the folder of a sweep")
    return values[0], rest


def _usage(sentence: str) -> Exception:
    from proveout.training.cli.arguments import UsageError

    return UsageError(sentence)
