"""Command-line flags from dataclasses: nested configs, units in the help, nearest names."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import typing
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from proveout.assets.errors import ProveoutError, nearest

# The field of a command's own flags, which have no prefix.
FLAGS = "flags"


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
    bounds = [f"{sign} {metadata[key]:g}" for key, sign in signs if key in metadata]
    notes = ", ".join([unit] * (unit not in ("", "1")) + bounds)
    return f"{text} [{notes}]" if notes else text


def combine(flags: Any, env: Any | None = None) -> Any:
    """Return a dataclass with a command's flags, and with a config under `--env.`."""
    own = Annotated[flags, tyro.conf.arg(name="")]
    fields: list[tuple[str, Any, Any]] = [(FLAGS, own, dataclasses.field(default_factory=flags))]
    if env is not None:
        fields.append(("env", env, dataclasses.field(default_factory=env)))
    return dataclasses.make_dataclass("Arguments", fields, kw_only=True, frozen=True)


def shallow(instance: Any) -> dict[str, Any]:
    """Return a dataclass's fields by name, values as they are."""
    return {f.name: getattr(instance, f.name) for f in dataclasses.fields(instance)}


def parse(arguments: Sequence[str], kind: Any, *, prog: str, description: str) -> Any:
    """Parse arguments into an instance of a dataclass.

    Raises:
        UsageError: an unknown flag (the nearest is named) or a value that does not fit.
        SystemExit: after `--help`, with status 0.
    """
    _refuse_unknown_flags(arguments, kind, prog)
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


def known_flags(kind: Any, prefix: str = "") -> list[str]:
    """Return every flag of a dataclass made by `mirror` or `combine`, kebab-case."""
    flags = []
    for field in dataclasses.fields(kind):
        inner = getattr(field.type, "__origin__", field.type)
        if dataclasses.is_dataclass(inner):
            unnamed = field.name == FLAGS
            flags += known_flags(inner, prefix if unnamed else f"{prefix}{field.name}.")
            continue
        flags.append(f"--{prefix}{field.name}".replace("_", "-"))
        if inner is bool:
            flags.append(f"--{prefix}no-{field.name}".replace("_", "-"))
    return flags


def _refuse_unknown_flags(arguments: Sequence[str], kind: Any, prog: str) -> None:
    flags = known_flags(kind)
    for argument in arguments:
        if argument == "--":
            return
        if not argument.startswith("--") or argument == "--help":
            continue
        flag = argument.partition("=")[0].replace("_", "-")
        if flag not in flags:
            match = nearest(flag, flags)
            hint = f"did you mean {match}?" if match else f"see {prog} --help"
            raise UsageError(f"unknown flag {flag} of `{prog}`; {hint}")


def _plain(text: str) -> str:
    """Return the message in tyro's box as one line, without the box's title and the help below."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    kept = []
    for line in text.splitlines():
        if line.startswith("╭"):
            continue
        inner = line.strip("│╰╯ ")
        if set(inner) <= {"─"}:
            break
        kept.append(inner)
    return " ".join(kept).rstrip(".") or "the arguments cannot be understood"
