"""Who takes part in a run, and what a rank that fails tells the others."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from proveout.envs.core.errors import ConfigError, ProveoutError
from proveout.training.distributed.ranks import RankError, Ranks
from proveout.training.distributed.torch_ranks import TorchRanks
from proveout.training.presets import PRESET_OF


@contextlib.contextmanager
def joined(algo: str, device: str) -> Iterator[Ranks]:
    """Yield the ranks of this run; a rank that fails inside tells the others why.

    Args:
        algo: Key of `presets.ALGORITHMS`.
        device: "auto", "cpu" or "cuda:N".

    Raises:
        ConfigError: an algorithm that several ranks cannot train together.
        RankError: another rank is lost; on another rank than the first, any error, with its number.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Ranks()
        return
    if PRESET_OF.get(algo, algo) != "ppo":
        raise ConfigError(
            f"several ranks train ppo or tensor_ppo, not {algo}; start without torchrun: "
            f"proveout train ENV --algo {algo}."
        )
    ranks = TorchRanks(device)
    try:
        yield ranks
        ranks.leave()
    except BaseException as error:
        ranks.fail(error)
        own = isinstance(error, ProveoutError) and not isinstance(error, RankError)
        if own and not ranks.first:
            raise RankError(f"rank {ranks.rank}: {error}") from error
        raise
