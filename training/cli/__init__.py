"""The command `proveout`: one file a subcommand. Nothing heavy is imported until one needs it."""

from proveout.training.cli.program import main

__all__ = ["main"]
