"""Command-line flags from dataclasses: nested configs, units in the help, nearest names."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import tyro

from proveout.assets.files.errors import ProveoutError, nearest
from proveout.training.run.threads import cores

# The field of a command's own flags, which have no prefix.
FLAGS = "flags"

# The range of every number that is a flag, by its name, in whichever command. The metadata of a
# field go before it. Upper ends keep the machine alive: torch dies of too many threads by a
# segmentation fault, and each worker is a process of several hundred MB.
RANGES: dict[str, dict[str, float]] = {
    "num_envs": {"low": 1, "high": 10**9},
    "episodes": {"low": 1, "high": 10**9},
    "evaluation_episodes": {"low": 0, "high": 10**9},
    "total_timesteps": {"low": 1, "high": 10**15},
    "steps": {"low": 1, "high": 10**6},
    "n_steps": {"low": 1, "high": 10**6},
    "epochs": {"low": 1, "high": 10**6},
    "minibatches": {"low": 1, "high": 10**6},
    "rounds": {"low": 1, "high": 10**6},
    "seconds": {"above": 0, "high": 86_400},
    "warm_start_samples": {"low": 1, "high": 10**8},
    "warm_start_rounds": {"low": 0, "high": 1000},
    "checkpoint_interval": {"above": 0, "high": 7 * 86_400},
    "workers": {"low": 1, "high": max(8, 4 * cores())},
    "torch_threads": {"low": 1, "high": cores()},
    "port": {"low": 0, "high": 65_535},
    "seed": {"low": 0, "high": 2**32 - 1},
    "margin": {"low": 1, "high": 1000},
}


class UsageError(ProveoutError):
    """Arguments that cannot be understood."""


def mirror(config_class: type, default: Any, *, brief: bool = False) -> Any:
    """Return a dataclass with the fields of another, nested ones too, with help for tyro.

    tyro reads help from annotations; a task's config keeps it in the fields' metadata, with the
    unit.

    Args:
        config_class: A dataclass; fields may have metadata "help", "unit", bounds ("above", "low",
            "high") and "hidden" (a flag that `--help` only names).
        default: An instance, for the defaults.
        brief: For `--help` only: hidden flags are named and cannot be parsed.
    """
    hints = typing.get_type_hints(config_class)
    fields: list[tuple[str, Any, Any]] = []
    hidden: list[str] = []
    for field in dataclasses.fields(config_class):
        if not field.init:
            continue
        value = getattr(default, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            kind: Any = mirror(type(value), value, brief=brief)
            initial = dataclasses.field(default_factory=kind)
        else:
            kind = Annotated[hints[field.name], tyro.conf.arg(help=_help(field.metadata))]
            if brief and field.metadata.get("hidden"):
                kind = Annotated[kind, tyro.conf.Suppress]
                hidden.append(f".{field.name} ({value})")
            initial = dataclasses.field(default=value)
        fields.append((field.name, kind, initial))
    made = dataclasses.make_dataclass(config_class.__name__, fields, kw_only=True, frozen=True)
    told = (config_class.__doc__ or "").split("\n\n")[0]
    made.__doc__ = f"{told} Also: {', '.join(hidden)}." if hidden else told
    return made


def _help(metadata: Any) -> str:
    text, unit = metadata.get("help", ""), metadata.get("unit", "")
    signs = (("above", ">"), ("low", ">="), ("high", "<="))
    # Ends that nobody comes near are not worth a line.
    near = {key: metadata[key] for key, _ in signs if abs(metadata.get(key, math.inf)) < 1e9}
    bounds = [f"{sign} {_figure(near[key])}" for key, sign in signs if key in near]
    notes = ", ".join([unit] * (unit not in ("", "1")) + bounds)
    return f"{text} [{notes}]" if notes else text


def _figure(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def combine(flags: Any, env: Any | None = None) -> Any:
    """Return a dataclass with a command's flags, and with a config under `--env.`."""
    own = Annotated[flags, tyro.conf.arg(name="")]
    fields: list[tuple[str, Any, Any]] = [(FLAGS, own, dataclasses.field(default_factory=flags))]
    if env is not None:
        fields.append(("env", env, dataclasses.field(default_factory=env)))
    return dataclasses.make_dataclass("Arguments", fields, kw_only=True, frozen=True)


def build(kind: type, told: Any) -> Any:
    """Return a command's flags from what was parsed for its `mirror`.

    Raises:
        UsageError: a number outside its range, see `RANGES`.
    """
    values = {f.name: getattr(told, f.name) for f in dataclasses.fields(told)}
    for field in dataclasses.fields(kind):
        value = values[field.name]
        if isinstance(value, int | float) and not isinstance(value, bool):
            _check_range(flag_name(field.name), value, flag_range(field))
    return kind(**values)


def flag_range(field: dataclasses.Field[Any]) -> Mapping[str, Any]:
    """Return the range of a flag: "low" or "above", and "high"; empty for what is no number."""
    return {**RANGES.get(field.name, {}), **field.metadata}


def flag_name(field_name: str) -> str:
    """Return the flag of a field."""
    return f"--{field_name.replace('_', '-')}"


def _check_range(flag: str, value: float, bounds: Mapping[str, Any]) -> None:
    told = str(value) if isinstance(value, float) or abs(value) < 10**30 else "a huge number"
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{flag} must be a finite number, got {told}")
    if "above" in bounds and not value > bounds["above"]:
        least = _figure(bounds["above"])
        words = "positive" if bounds["above"] == 0 else f"greater than {least}"
        raise UsageError(f"{flag} must be {words}, got {told}")
    if "low" in bounds and value < bounds["low"]:
        raise UsageError(f"{flag} must be at least {_figure(bounds['low'])}, got {told}")
    if "high" in bounds and value > bounds["high"]:
        raise UsageError(f"{flag} must be at most {_figure(bounds['high'])}, got {told}")


def parse(arguments: Sequence[str], kind: Any, *, prog: str, description: str) -> Any:
    """Parse arguments into an instance of a dataclass.

    Raises:
        UsageError: an unknown flag (the nearest is named), one that is given twice, or a value
            that does not fit.
        SystemExit: after `--help`, with status 0.
    """
    _check_flags(arguments, kind, prog)
    errors = io.StringIO()
    try:
        # tyro's boxes go to standard error by themselves; a one-sentence error replaces them.
        with contextlib.redirect_stderr(errors):
            return tyro.cli(
                kind,
                args=list(arguments),
                prog=prog,
                description=description,
                compact_help=False,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UsageError(f"{_plain(errors.getvalue())}; see {prog} --help") from None


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag as it is typed.

    Attributes:
        name: Of its field, "--json" for "--no-json" too.
        values: How many follow it; None: as many as there are.
    """

    name: str
    values: int | None


def known_flags(kind: Any, prefix: str = "") -> dict[str, Flag]:
    """Return every flag of a dataclass made by `mirror` or `combine`, kebab-case."""
    flags: dict[str, Flag] = {}
    for field in dataclasses.fields(kind):
        inner = getattr(field.type, "__origin__", field.type)
        if dataclasses.is_dataclass(inner):
            unnamed = field.name == FLAGS
            flags |= known_flags(inner, prefix if unnamed else f"{prefix}{field.name}.")
            continue
        name = kebab(f"--{prefix}{field.name}")
        several = inner is tuple or typing.get_origin(inner) is tuple
        flags[name] = Flag(name, 0 if inner is bool else None if several else 1)
        if inner is bool:
            flags[kebab(f"--{prefix}no-{field.name}")] = flags[name]
    return flags


def kebab(argument: str) -> str:
    """Return the flag of an argument such as "--num_envs=4", in the form of `known_flags`."""
    return argument.partition("=")[0].replace("_", "-")


def _check_flags(arguments: Sequence[str], kind: Any, prog: str) -> None:
    """Refuse unknown flags, and repeated ones, of which tyro would take the last without a word."""
    flags = known_flags(kind)
    met: dict[str, str] = {}
    for argument in arguments:
        if argument == "--":
            return
        if not argument.startswith("--") or argument == "--help":
            continue
        typed = kebab(argument)
        if typed not in flags:
            match = nearest(typed, flags)
            hint = f"did you mean {match}?" if match else f"see {prog} --help"
            raise UsageError(f"unknown flag {typed} of `{prog}`; {hint}")
        flag = flags[typed]
        before = met.setdefault(flag.name, "")
        if before and before != typed:
            raise UsageError(f"{before} and {typed} contradict each other; give one of them")
        if before:
            advice = "all its values after one" if flag.values is None else "it once"
            raise UsageError(f"{typed} is given twice; give {advice}")
        met[flag.name] = typed


def _plain(text: str) -> str:
    """Return the message in tyro's box as one line, without the box's title and the help below.

    Where standard output is not UTF-8, the title stands above a rule of hyphens.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    sections: list[list[str]] = [[]]
    for line in text.splitlines():
        inner = line.strip("│╰╯ ")
        if set(inner) <= {"─", "-"} or line.startswith("╭"):
            sections.append([])
        else:
            sections[-1].append(inner)
    message = sections[1] if len(sections) > 1 else sections[0]
    return " ".join(message).rstrip(".") or "the arguments cannot be understood"
