"""The face of bridged worlds that hands out tensors where they lie."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from gymnasium.vector import VectorWrapper

from proveout.envs.core.finished import Finished
from proveout.training.sb3.errors import BridgeError

if TYPE_CHECKING:
    from proveout.training.sb3.vec_env import SB3VecEnv


class TensorFace:
    """Steps the worlds of an `SB3VecEnv` without a host read, and keeps books for it.

    Args:
        venv: Straight around an environment with `tensors()` and `advance(actions)`.

    Attributes:
        tensors: The environment's own arrays on its device, see `WarpVectorEnv.tensors`; every
            step overwrites them.

    Raises:
        BridgeError: The environment has no such face, or hides it behind a wrapper.
    """

    def __init__(self, venv: SB3VecEnv) -> None:
        env: Any = venv.env
        if isinstance(env, VectorWrapper):
            raise BridgeError(
                f"{type(env).__name__} would be bypassed by an algorithm that reads tensors "
                "straight from the worlds; leave the wrapper out, or use the stock algorithm."
            )
        if not (hasattr(env, "tensors") and hasattr(env, "advance")):
            raise BridgeError(
                f"{type(env).__name__} has no tensors() and advance(); use the stock algorithm."
            )
        self._venv = venv
        self._env = env
        self._names = [name for name, _ in env.statistics]
        self._rows = 0
        self._log: dict[str, torch.Tensor] = {}
        self.tensors: dict[str, Any] = env.tensors()
        self._finished = Finished.of_tensors(self.tensors, self._names)

    def begin_rollout(self, steps: int) -> None:
        """Make room for the statistics of so many steps."""
        self._rows = 0
        kept = self._log.get("counts")
        if kept is None or len(kept) < steps:
            t = self.tensors
            shape = (steps, *t["statistics_mask"].shape)
            device = t["statistics"].device
            self._log = {
                "statistics": torch.zeros((steps, *t["statistics"].shape), device=device),
                "counts": torch.zeros(shape, dtype=torch.bool, device=device),
                "invalid_reason": torch.zeros(shape, dtype=torch.int32, device=device),
            }

    @property
    def env(self) -> Any:
        """The environment itself."""
        return self._env

    def advance(self, actions: torch.Tensor) -> None:
        """One step; `tensors` hold its results."""
        self._env.advance(actions)
        self.keep_statistics()

    def keep_statistics(self) -> None:
        """Copy the statistics of a step; part of `advance`."""
        t, row = self.tensors, self._rows
        self._log["statistics"][row].copy_(t["statistics"])
        self._log["counts"][row].copy_(self._finished.counts)
        self._log["invalid_reason"][row].copy_(t["invalid_reason"])
        self._rows += 1

    def end_rollout(self) -> list[dict[str, Any]]:
        """Fetch the statistics of all steps since `begin_rollout`: the one host read.

        Returns:
            For each episode that ended and counts, in order: `episode`, `is_success` and
            `episode_statistics` as in the infos of `SB3VecEnv`.
        """
        log = {name: part[: self._rows] for name, part in self._log.items()}
        rows = log["statistics"][log["counts"]].cpu().numpy()
        self._venv.book(self._names, rows)
        reasons = log["invalid_reason"]
        self._venv.book_invalid(reasons[reasons != 0].cpu().numpy())
        # SB3 looks at the last hundred or so; the means of all are in the bridge's books.
        return [
            self._episode(dict(zip(self._names, row, strict=True))) for row in rows[-1000:].tolist()
        ]

    def _episode(self, values: dict[str, float]) -> dict[str, Any]:
        told: dict[str, Any] = {
            "episode": {
                "r": values["return"],
                "l": int(values["length"]),
                "t": round(time.monotonic() - self._venv.started, 6),
            },
            "episode_statistics": values,
        }
        if "success" in values:
            told["is_success"] = values["success"] > 0.5
        return told

    def infos(self) -> StepInfos:
        """The infos of the last step, built only if somebody looks."""
        return StepInfos(self, self._rows)

    def build_infos(self, step: int) -> list[dict[str, Any]]:
        """One info a world for the last step; `step` guards against a look that comes too late."""
        if step != self._rows:
            raise RuntimeError("the infos of an earlier step are gone; read them in the step")
        t = {name: _host(tensor) for name, tensor in self.tensors.items()}
        infos: list[dict[str, Any]] = [{} for _ in range(len(t["reward"]))]
        finished = Finished.of_tensors(t, self._names)
        endings = finished.take(finished.worlds())
        for row, world in enumerate(endings.worlds.tolist()):
            infos[world] = {
                "terminal_observation": _row(endings.final_observation, row),
                "TimeLimit.truncated": bool(endings.timed_out[row]),
            }
            if endings.invalid[row]:
                infos[world]["invalid"] = True
            if endings.counts[row]:
                infos[world].update(self._episode(endings.numbers(row)))
        return infos

    def host_observation(self) -> Any:
        """A copy of the current observations on the host."""
        return _host(self.tensors["observation"])


class StepInfos(Sequence[dict[str, Any]]):
    """The infos of a step, built when they are first read: that costs a host read."""

    def __init__(self, face: TensorFace, step: int) -> None:
        self._face = face
        self._step = step
        self._built: list[dict[str, Any]] | None = None

    def _infos(self) -> list[dict[str, Any]]:
        if self._built is None:
            self._built = self._face.build_infos(self._step)
        return self._built

    def __len__(self) -> int:
        return len(self._infos())

    def __getitem__(self, index: Any) -> Any:
        return self._infos()[index]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._infos())


def _host(tensor: Any) -> Any:
    if isinstance(tensor, dict):
        return {name: _host(part) for name, part in tensor.items()}
    return tensor.detach().cpu().numpy().copy()


def _row(observation: Any, world: int) -> Any:
    if isinstance(observation, dict):
        return {name: part[world].copy() for name, part in observation.items()}
    return observation[world].copy()
