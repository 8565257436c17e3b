"""Acting and stepping as one CUDA graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from proveout.training.sb3.distributions import unchecked_distributions

# Largest relative difference from the eager step in the trial: sums on CUDA have no fixed order.
_TOLERANCE = 1e-3


@dataclass
class Decision:
    """What the policy said and the worlds were told; static memory that every replay fills.

    Attributes:
        actions: (N, A) as sampled.
        values: (N, 1). log_probs: (N,).
        sent: (N, A) as the environment takes them.
    """

    actions: torch.Tensor
    values: torch.Tensor
    log_probs: torch.Tensor
    sent: torch.Tensor


# Takes launches, records them, and returns what replays them.
Recorder = Callable[[Callable[[], None]], Callable[[], None]]


def record_on_cuda(launches: Callable[[], None]) -> Callable[[], None]:
    """Record launches of torch and Warp on one stream into a `torch.cuda.CUDAGraph`."""
    import warp as wp

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        warp_stream = wp.stream_from_torch(stream)
        # Torch has begun the capture; Warp is told, so that it neither allocates nor loads.
        with (
            wp.ScopedStream(warp_stream, sync_enter=False),
            wp.ScopedCapture(stream=warp_stream, external=True),
        ):
            launches()
    torch.cuda.current_stream().wait_stream(stream)
    replay: Callable[[], None] = graph.replay
    return replay


class ActingGraph:
    """Policy forward, sampling, clipping and the control step of all worlds, recorded together.

    One replay reads the worlds' observations where they lie, samples actions with torch's default
    generator, and steps the worlds: a single launch from the host. What a roll-out keeps is copied
    outside of it. Parameters are read where they lie, so that updates in place need no new
    recording; `fits` tells when one was replaced.

    Args:
        policy: `ActorCriticPolicy`, in evaluation mode.
        env: Unwrapped environment with `tensors`, `advance`, `launch_step` and its state.
        to_environment: Sampled actions to those that the environment takes.
        record: `record_on_cuda`, or a stand-in for tests.

    Raises:
        RuntimeError: It could not be recorded, or a trial step came out differently from the same
            step without a graph.
    """

    def __init__(
        self,
        policy: Any,
        env: Any,
        to_environment: Callable[[torch.Tensor], torch.Tensor],
        record: Recorder = record_on_cuda,
    ) -> None:
        self._policy = policy
        self._env = env
        self._to_environment = to_environment
        self._memory = _memory(policy)
        self._told: Decision | None = None
        before, generators = env.state_dict(), _generators()
        try:
            self._replay = record(self._launch)
            self._try_out()
        finally:
            env.load_state_dict(before)
            _set_generators(generators)

    def _launch(self) -> None:
        observation = self._env.tensors()["observation"]
        with torch.no_grad(), unchecked_distributions():
            actions, values, log_probs = self._policy(observation)
            sent = self._to_environment(actions)
        self._env.launch_step(sent)
        self._told = Decision(actions, values, log_probs, sent)

    def __call__(self) -> Decision:
        """Act and step once."""
        self._replay()
        assert self._told is not None
        return self._told

    def fits(self, policy: Any) -> bool:
        """Whether this is still the recorded policy, with its tensors where they were."""
        return policy is self._policy and _memory(policy) == self._memory

    def _try_out(self) -> None:
        """Compare two steps with the same steps without a graph."""
        tensors = self._env.tensors()
        for _ in range(2):
            start, observation = self._env.state_dict(), tensors["observation"].clone()
            told = self()
            seen = {name: tensors[name].clone() for name in ("observation", "reward")}
            seen.update(values=told.values.clone(), log_probs=told.log_probs.clone())
            actions, sent = told.actions.clone(), told.sent.clone()
            after = self._env.state_dict()
            self._env.load_state_dict(start)
            with torch.no_grad(), unchecked_distributions():
                values, log_probs, _ = self._policy.evaluate_actions(observation, actions)
            self._env.advance(sent)
            expected = {name: tensors[name].clone() for name in ("observation", "reward")}
            expected.update(values=values, log_probs=log_probs)
            for name, value in expected.items():
                if not torch.allclose(
                    seen[name].flatten(), value.flatten(), _TOLERANCE, _TOLERANCE, equal_nan=True
                ):
                    raise RuntimeError(f"in a trial step, {name} came out differently")
            self._env.load_state_dict(after)


def acting_graph(
    policy: Any,
    env: Any,
    to_environment: Callable[[torch.Tensor], torch.Tensor],
    record: Recorder = record_on_cuda,
) -> ActingGraph | None:
    """Record where it is possible; else tell why in a warning and return None."""
    try:
        return ActingGraph(policy, env, to_environment, record)
    except Exception as error:  # whatever stands in the way, the roll-out works without it
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        warnings.warn(
            f"acting and stepping could not be recorded as one CUDA graph ({reason}); they run one "
            "after the other",
            stacklevel=2,
        )
        return None


def _memory(policy: Any) -> tuple[int, ...]:
    return tuple(t.data_ptr() for t in [*policy.parameters(), *policy.buffers()])


def _generators() -> tuple[torch.Tensor, torch.Tensor | None]:
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    return torch.get_rng_state(), cuda


def _set_generators(states: tuple[torch.Tensor, torch.Tensor | None]) -> None:
    torch.set_rng_state(states[0])
    if states[1] is not None:
        torch.cuda.set_rng_state(states[1])
