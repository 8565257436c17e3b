"""What each subcommand of `proveout` does, once its arguments are known."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proveout.envs.core.invalid import explained
from proveout.training.arguments import (
    FLAGS,
    Flag,
    UsageError,
    build,
    combine,
    kebab,
    known_flags,
    mirror,
    parse,
)
from proveout.training.failures import check_output
from proveout.training.run import MANIFEST, Run, dump_json
from proveout.training.streams import quiet_stdout
from proveout.training.tasks import (
    VectorEnvSpec,
    described_tasks,
    is_task_id,
    nearest_task,
    run_config,
    task_class,
    task_ids,
)

# Largest seed of worlds alone; what seeds NumPy and torch too takes 32 bits.
_MAX_SEED = 2**63 - 1


def _flag(default: Any, text: str, unit: str = "", *, high: float | None = None) -> Any:
    """A flag with its help; `high` goes before the upper end in `RANGES`."""
    bounds = {} if high is None else {"high": high}
    return field(default=default, metadata={"help": text, "unit": unit, **bounds})


@dataclass(frozen=True, kw_only=True)
class JsonFlags:
    """Flags of `list` and `doctor`."""

    json: bool = _flag(False, "print one JSON object and nothing else")


@dataclass(frozen=True, kw_only=True)
class EvaluateFlags:
    """Flags of `evaluate`."""

    policy: str | None = _flag(
        None, "random, expert, pretrained, a run or a file; None: the RUN's own"
    )
    episodes: int = _flag(1000, "shared out among the worlds beforehand", "episodes")
    num_envs: int | None = _flag(None, "None: a number that divides the episodes", "worlds")
    seed: int = _flag(0, "of the worlds", high=_MAX_SEED)
    device: str = _flag("auto", "auto, cpu or cuda:N")
    workers: int | None = _flag(None, "on the CPU; None: all cores", "processes")
    trust_pickle: bool = _flag(False, "unpickle a .zip of Stable-Baselines3: it can run any code")
    episodes_out: Path | None = _flag(  # noqa: RUF009
        None, "write a row for each episode to this .csv or .parquet"
    )
    json: bool = _flag(False, "print one JSON object and nothing else")


@dataclass(frozen=True, kw_only=True)
class PlayFlags:
    """Flags of `play`."""

    policy: str | None = _flag(
        None, "random, expert, pretrained, a run or a file; None: the RUN's own, or pretrained"
    )
    video: Path | None = _flag(None, "write the frames to this .mp4")  # noqa: RUF009
    window: bool = _flag(False, "show one world in a window instead")
    episodes: int = _flag(3, "of each world", "episodes")
    num_envs: int = _flag(1, "shown side by side", "worlds", high=64)
    seed: int = _flag(0, "of the worlds", high=_MAX_SEED)
    trust_pickle: bool = _flag(False, "unpickle a .zip of Stable-Baselines3: it can run any code")


@dataclass(frozen=True, kw_only=True)
class BenchmarkFlags:
    """Flags of `benchmark`."""

    num_envs: int = _flag(1024, "stepped together", "worlds")
    workers: int | None = _flag(None, "on the CPU; None: all cores", "processes")
    device: str = _flag("auto", "auto, cpu or cuda:N")
    seconds: float = _flag(10.0, "for physics and env.step together", "s")
    training: bool = _flag(True, "also measure training with stock PPO")
    seed: int = _flag(0, "of the worlds and the random actions")
    json: bool = _flag(False, "print one JSON object and nothing else")


@dataclass(frozen=True, kw_only=True)
class BenchmarkTrainingFlags:
    """Flags of `benchmark training`."""

    env: str | None = _flag(None, "environment to train on, with its preset's network")
    num_envs: int = _flag(4096, "stepped together", "worlds")
    n_steps: int = _flag(16, "of all worlds in a roll-out", "steps")
    epochs: int = _flag(5, "passes over the samples of a roll-out")
    minibatches: int = _flag(4, "updates in a pass")
    rounds: int = _flag(5, "measurements of each contestant, in turns")
    workers: int | None = _flag(None, "on the CPU; None: all cores", "processes")
    device: str = _flag("auto", "auto, cpu or cuda:N, for worlds and networks")
    torch_threads: int = _flag(1, "of the networks on the CPU", "threads")
    seed: int = _flag(0, "of the worlds and the networks")
    json: bool = _flag(False, "print one JSON object and nothing else")


@dataclass(frozen=True, kw_only=True)
class ExportFlags:
    """Flags of `export`."""

    format: str | None = _flag(
        None, "safetensors, onnx or torchscript; None: by the suffix of --out, or safetensors"
    )
    out: Path | None = _flag(  # noqa: RUF009
        None, "file to write, the card goes beside it; None: policy.safetensors, .onnx or .pt"
    )


@dataclass(frozen=True, kw_only=True)
class NewFlags:
    """Flags of `new`."""

    engine: str = _flag("factory", "factory (a robot or machine) or driving (a road)")
    out: Path | None = _flag(None, "file to write; None: the name of the id, in this folder")  # noqa: RUF009


@dataclass(frozen=True, kw_only=True)
class CheckFlags:
    """Flags of `check`."""

    num_envs: int = _flag(4, "made for the checks", "worlds")
    steps: int = _flag(200, "of a roll-out; episodes should end within it", "steps")
    workers: int | None = _flag(None, "on the CPU; None: all cores", "processes")
    device: str = _flag("auto", "auto, cpu or cuda:N")


@dataclass(frozen=True, kw_only=True)
class CapacitiesFlags:
    """Flags of `capacities`."""

    policy: str = _flag("random", "random, expert, pretrained, a run or a file: what acts")
    num_envs: int = _flag(64, "rolled out together", "worlds")
    episodes: int = _flag(4, "of each world", "episodes")
    margin: float = _flag(1.5, "factor on the measured peaks", "")
    seed: int = _flag(0, "of the worlds and of random actions")
    trust_pickle: bool = _flag(False, "unpickle a .zip of Stable-Baselines3: it can run any code")


def list_command(arguments: Sequence[str], prog: str, text: str) -> int:
    """Show the environments, and what could not be loaded."""
    flags = _parse_flags(arguments, JsonFlags, prog, text)
    with quiet_stdout(flags.json) as emit:
        from proveout.policies.pretrained import pretrained_names

        shipped = pretrained_names()
        found, aside = described_tasks()
        rows = [{**row, "pretrained": row["id"].replace("/", "-") in shipped} for row in found]
        if flags.json:
            told = [{"what": what, "why": why} for what, why in aside.items()]
            emit(dump_json({"environments": rows, "set_aside": told}))
        else:
            width = max((len(row["id"]) for row in rows), default=0)
            for row in rows:
                note = "  (pretrained)" if row["pretrained"] else ""
                emit(f"{row['id']:<{width}}  {row['summary']}{note}")
            for what, why in aside.items():
                emit(f"set aside: {what}: {why}")
    return 0


def train_command(arguments: Sequence[str], prog: str, text: str) -> int:
    """Train, or go on."""
    from proveout.training.train import ResumeConfig, TrainConfig, resume, train

    argv = ["proveout", "train", *arguments]
    if any(a == "--resume" or a.startswith("--resume=") for a in arguments):
        folder, rest = _take_value(arguments, "--resume")
        kind = combine(mirror(ResumeConfig, ResumeConfig()))
        told = parse(rest, kind, prog=f"{prog} --resume RUN", description=text)
        return _status(resume(folder, build(ResumeConfig, told.flags), argv=argv))
    env_id, rest = _take_env(arguments, prog, TrainConfig)
    flags, config = _parse_with_config(rest, TrainConfig, prog, text, env_id, None)
    assert env_id is not None
    return _status(train(env_id, config, flags, argv=argv))


def _status(run: Run) -> int:
    """Return 1 for a finished run whose evaluation has no valid episode, else 0."""
    told = run.evaluation()
    return 0 if told is None or told["episodes"] else 1


def evaluate_command(arguments: Sequence[str], prog: str, text: str) -> int:
    """Measure a policy."""
    from proveout.training.evaluate import evaluate, kpi_lines, sentence
    from proveout.training.policy_source import PolicySource

    target, rest = _take_target(arguments, EvaluateFlags)
    env_id, run, base = _resolve(target)
    flags, config = _parse_with_config(rest, EvaluateFlags, prog, text, env_id, base, "RUN|ENV")
    assert env_id is not None
    with quiet_stdout(flags.json) as emit:
        policy = _policy_text(flags.policy, run, None, prog)
        spec = VectorEnvSpec(
            env_id,
            config,
            num_envs=flags.num_envs or 0,
            device=flags.device,
            workers=flags.workers,
        )
        result = evaluate(
            PolicySource(policy, flags.trust_pickle, flags.seed),
            spec,
            episodes=flags.episodes,
            seed=flags.seed,
            shown=True,
            episodes_out=flags.episodes_out,
        )
        result["policy"] = policy
        if flags.json:
            emit(dump_json(result))
        else:
            emit("\n".join([sentence(result), *kpi_lines(result)]))
            if flags.episodes_out is not None:
                emit(f"Episodes: {flags.episodes_out}")
        if flags.json and result["invalid_worlds"]:  # the sentence says it otherwise
            why = explained(result["invalid_reasons"], env_id)
            print(
                f"proveout: warning: {result['invalid_worlds']} invalid episodes left out: {why}",
                file=sys.stderr,
            )
    return 0 if result["episodes"] else 1


def play_command(arguments: Sequence[str], prog: str, text: str) -> int:
    """Watch a policy."""
    from proveout.training.play import episode_lines, play, play_in_window
    from proveout.training.policy_source import PolicySource

    target, rest = _take_target(arguments, PlayFlags)
    env_id, run, base = _resolve(target)
    flags, config = _parse_with_config(rest, PlayFlags, prog, text, env_id, base, "RUN|ENV")
    assert env_id is not None
    source = PolicySource(
        _policy_text(flags.policy, run, "pretrained", prog), flags.trust_pickle, flags.seed
    )
    if flags.video is not None:
        check_output(flags.video, "--video")
    if flags.window:
        play_in_window(source, env_id, config, episodes=flags.episodes, seed=flags.seed)
        return 0
    spec = VectorEnvSpec(env_id, config, num_envs=flags.num_envs)
    told = play(
        source, spec, video=flags.video, episodes=flags.episodes, seed=flags.seed, shown=True
    )
    print("\n".join(episode_lines(task_class(env_id), config, told)))
    if flags.video is not None:
        print(f"Video: {flags.video}")
    return 0


def benchmark_command(arguments: Sequence[str], prog: str, text: str) -> int:
    """Measure speed."""
    from proveout.training.benchmark import benchmark, table

    if arguments and arguments[0] == "training":
        return _benchmark_training(arguments[1:], f"{prog} training", text)
    env_id, rest = _take_env(arguments, prog, BenchmarkFlags)
    flags, config = _parse_with_config(rest, BenchmarkFlags, prog, text, env_id, None)
    assert env_id is not None
    with quiet_stdout(flags.json) as emit:
        spec = VectorEnvSpec(
            env_id,
            config,
            num_envs=flags.num_envs,
            device=flags.device,
            workers=flags.workers,
        )
        result = benchmark(spec, seconds=flags.seconds, training=flags.training, seed=flags.seed)
        emit(dump_json(result) if flags.json else table(result))
    return 0


def _benchmark_training(arguments: Sequence[str], prog: str, text: str) -> int:
    """Measure what training costs beyond worlds and networks."""
    flags = _parse_flags(arguments, BenchmarkTrainingFlags, prog, text)
    if flags.env is None:
        raise UsageError(f"which environment? {prog} --env ENV; `proveout list` shows them")
    config = task_class(flags.env).config_class()
    with quiet_stdout(flags.json) as emit:
        from proveout.training.benchmark_training import TrainingLoad, benchmark_training, table

        spec = VectorEnvSpec(
            flags.env,
            config,
            num_envs=flags.num_envs,
            device=flags.device,
            workers=flags.workers,
        )
        load = TrainingLoad(
            n_steps=flags.n_steps,
            epochs=flags.epochs,
            minibatches=flags.minibatches,
            rounds=flags.rounds,
            torch_threads=flags.torch_threads,
            seed=flags.seed,
        )
        result = benchmark_training(spec, load)
        emit(dump_json(result) if flags.json else table(result))
    return 0


def doctor_command(arguments: Sequence[str], prog: str, text: str) -> int:
    """Look for what is wrong."""
    from proveout.training.doctor import examine, table

    flags = _parse_flags(arguments, JsonFlags, prog, text)
    with quiet_stdout(True) as emit:
        report = examine()
        emit(dump_json(report) if flags.json else table(report))
    return 0 if report["ok"] else 1


def export_command(arguments: Sequence[str], prog: str, text: str) -> int:
    """Write a policy file."""
    from proveout.training.export import export

    target, rest = _take_target(arguments, ExportFlags)
    flags = _parse_flags(rest, ExportFlags, f"{prog} RUN", text)
    if target is None:
        raise UsageError(f"which run? {prog} RUN --format safetensors|onnx|torchscript --out FILE")
    if flags.out is not None:
        check_output(flags.out, "--out")
    written = export(Run.open(target), flags.out, flags.format)
    print(
        f"Policy: {written.path}\nCard:   {written.card}\n"
        f"Check:  {written.difference:.2g} is the largest difference from predict on "
        f"{written.observations} observations"
    )
    return 0


def new_command(arguments: Sequence[str], prog: str, text: str) -> int:
    """Write a commented task."""
    from proveout.training.new import write_task

    env_id, rest = _take_target(arguments, NewFlags)
    flags = _parse_flags(rest, NewFlags, f"{prog} ID", text)
    if env_id is None:
        raise UsageError(f"which id? {prog} acme/Press-v0 --engine factory|driving")
    path = flags.out or Path(f"{env_id.partition('/')[2].partition('-v')[0].lower() or 'task'}.py")
    check_output(path, "--out")
    write_task(env_id, flags.engine, path)
    print(
        f"Task:  {path}\n"
        f"Check: PROVEOUT_TASKS={shlex.quote(str(path))} proveout check {env_id}\n"
        f"Train: PROVEOUT_TASKS={shlex.quote(str(path))} proveout train {env_id}"
    )
    return 0


def check_command(arguments: Sequence[str], prog: str, text: str) -> int:
    """Prove an environment's conformance."""
    from proveout.envs import check_vector_env, make_task
    from proveout.envs.core.task import Task
    from proveout.training.tasks import make_vector_env

    env_id, rest = _take_env(arguments, prog, CheckFlags)
    flags, config = _parse_with_config(rest, CheckFlags, prog, text, env_id, None)
    assert env_id is not None
    # Worlds that end at different times show more than worlds that all end together.
    spec = VectorEnvSpec(
        env_id, config, device=flags.device, workers=flags.workers, phase_spread=1.0
    )

    # What only has a task's face, as of another simulator, has no hooks to try.
    task: Any = make_task(env_id, config)

    def make(num_envs: int = flags.num_envs, workers: int | None = flags.workers) -> Any:
        return make_vector_env(dataclasses.replace(spec, num_envs=num_envs, workers=workers))

    report = check_vector_env(
        make,
        num_envs=flags.num_envs,
        steps=flags.steps,
        name=env_id,
        task=task if isinstance(task, Task) else None,
    )
    if any("full" in finding.message for finding in report.findings if finding.check == "invalid"):
        print(f"room for contacts and constraints: proveout capacities {env_id}", file=sys.stderr)
    print(report.table())
    return 0 if report.ok else 1


def capacities_command(arguments: Sequence[str], prog: str, text: str) -> int:
    """Measure the room that a task's worlds need."""
    from proveout.envs import make_task
    from proveout.envs.core.device import resolve_device
    from proveout.envs.core.memory import check_memory
    from proveout.envs.factory.task import ArticulatedTask
    from proveout.training.capacities import policy_capacities
    from proveout.training.policy_source import PolicySource

    env_id, rest = _take_env(arguments, prog, CapacitiesFlags)
    flags, config = _parse_with_config(rest, CapacitiesFlags, prog, text, env_id, None)
    assert env_id is not None
    task = make_task(env_id, config)
    if not isinstance(task, ArticulatedTask):
        raise UsageError(f"{env_id} is no articulated task: it has no capacities to measure")
    check_memory(task, flags.num_envs, resolve_device("cpu"))
    found = policy_capacities(
        task,
        PolicySource(flags.policy, flags.trust_pickle, flags.seed),
        num_worlds=flags.num_envs,
        episodes=flags.episodes,
        margin=flags.margin,
        seed=flags.seed,
    )
    print(f"measured with the policy {flags.policy}, times {flags.margin:g}: "
          f"contacts={found.contacts}, constraints={found.constraints}")  # fmt: skip
    if flags.policy == "random":
        print("random actions seldom push: measure with --policy expert or a trained one as well")
    stored = getattr(task, "capacities", None)
    if stored is None:
        print(f"{type(task).__name__} has none yet: write capacities = {found} into the class")
        return 1
    print(f"in {type(task).__name__}: contacts={stored.contacts}, constraints={stored.constraints}")
    enough = found.contacts <= stored.contacts and found.constraints <= stored.constraints
    print("enough" if enough else "too small: raise capacities in the class")
    return 0 if enough else 1


# Arguments


def _parse_flags(arguments: Sequence[str], kind: type, prog: str, text: str) -> Any:
    """Parse a command's own flags."""
    told = parse(arguments, combine(mirror(kind, kind())), prog=prog, description=text)
    return build(kind, told.flags)


def _parse_with_config(
    arguments: Sequence[str],
    kind: type,
    prog: str,
    text: str,
    env_id: str | None,
    base: Any,
    target: str = "ENV",
) -> tuple[Any, Any]:
    """Parse a command's flags and, under `--env.`, the config of an environment.

    Args:
        arguments: Without the environment.
        kind: Dataclass of the flags.
        prog: For the help.
        text: For the help.
        env_id: None: only `--help` can be answered.
        base: Config for the defaults; None: the task's own.
        target: What stands for the first argument in the help.

    Raises:
        UsageError: no environment.
    """
    flags_kind = mirror(kind, kind())
    if env_id is None:
        if "--help" in arguments or "-h" in arguments:
            parse(["--help"], combine(flags_kind), prog=f"{prog} {target}", description=text)
        raise UsageError(f"which environment? `proveout list` shows them; see {prog} --help")
    config_class = task_class(env_id).config_class
    defaults = config_class() if base is None else base
    brief = "--help" in arguments or "-h" in arguments
    arguments_kind = combine(flags_kind, mirror(config_class, defaults, brief=brief))
    told = parse(arguments, arguments_kind, prog=f"{prog} {env_id}", description=text)
    config = config_class.from_dict(dataclasses.asdict(told.env))
    return build(kind, getattr(told, FLAGS)), config


def _take_target(arguments: Sequence[str], kind: type) -> tuple[str | None, list[str]]:
    """Return the argument that is no flag and no flag's value, and the others.

    What follows a flag of a config, which is not known yet, or stands among several values, counts
    if it names an environment or a run.

    Args:
        arguments: Of a subcommand.
        kind: Dataclass of its flags.
    """
    flags = known_flags(mirror(kind, kind()))
    left, doubtful = 0, False  # values of the flag before that are still to come
    for i, argument in enumerate(arguments):
        if argument.startswith("-") and not _is_number(argument):
            flag = flags.get(kebab(argument), _UNKNOWN_FLAG)
            attached = "=" in argument or argument in ("-h", "--help")
            left = 0 if attached else sys.maxsize if flag.values is None else flag.values
            doubtful = flag is _UNKNOWN_FLAG or flag.values is None
        elif left and not (doubtful and _names_target(argument)):
            left -= 1
        else:
            return argument, [*arguments[:i], *arguments[i + 1 :]]
    return None, list(arguments)


# One value, as far as is known.
_UNKNOWN_FLAG = Flag("", 1)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _names_target(text: str) -> bool:
    with contextlib.suppress(OSError):  # as of a name that no file can have
        return text in task_ids() or (Path(text) / MANIFEST).is_file()
    return False


def _take_env(arguments: Sequence[str], prog: str, kind: type) -> tuple[str | None, list[str]]:
    """Return the environment's id, checked, and the other arguments."""
    env_id, rest = _take_target(arguments, kind)
    if env_id is not None:
        task_class(env_id)
    return env_id, rest


def _take_value(arguments: Sequence[str], flag: str) -> tuple[str, list[str]]:
    """Return a flag's value and the arguments without both."""
    rest = list(arguments)
    if sum(argument.partition("=")[0] == flag for argument in rest) > 1:
        raise UsageError(f"{flag} is given twice; give it once")
    for i, argument in enumerate(rest):
        if argument.startswith(f"{flag}="):
            return argument.partition("=")[2], rest[:i] + rest[i + 1 :]
        if argument == flag and i + 1 < len(rest) and not rest[i + 1].startswith("-"):
            return rest[i + 1], rest[:i] + rest[i + 2 :]
    raise UsageError(f"{flag} needs a run directory: proveout train --resume RUN")


def _resolve(target: str | None) -> tuple[str | None, Run | None, Any]:
    """Return the environment, the run and its config of a target that is a run or an id."""
    if target is None:
        return None, None, None
    path = Path(target)
    if path.is_dir() or path.is_absolute() or target.startswith("."):
        run = Run.open(path)
        return run.env_id, run, run_config(run)
    if not is_task_id(target):
        match = nearest_task(target)
        hint = f"did you mean {match!r}?" if match else "`proveout list` shows the ids"
        raise UsageError(
            f"{target} is neither a run directory (there is no such folder) nor the id of an "
            f"environment; {hint}"
        )
    task_class(target)
    return target, None, None


def _policy_text(given: str | None, run: Run | None, default: str | None, prog: str) -> str:
    """Return which policy is meant."""
    if given is not None:
        return given
    if run is not None:
        return str(run.folder)
    if default is not None:
        return default
    raise UsageError(
        f"which policy? {prog} ENV --policy random|expert|pretrained|FILE, or {prog} RUN"
    )
