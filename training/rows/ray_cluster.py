"""Work on a Ray cluster: the same function for many jobs, whatever nodes and workers are lost.

Ray places the jobs and begins those again whose worker or node is lost. A job must give the same
result wherever it runs, so that it does not matter which of its runs is the one that ends.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proveout.envs.core.errors import ConfigError, ProveoutError, WorkerError
from proveout.training.run.failures import one_line
from proveout.training.run.optional import optional_module
from proveout.training.run.provenance import package_versions

# Times that a job is begun again when its worker or node is lost.
_RETRIES = 5
_AHEAD = 2  # jobs handed over for each place where one can run
_STORE_BYTES = 256 * 2**20
# What a worker must know to have the same tasks.
_VARIABLES = ("PROVEOUT_TASKS", "PYTHONPATH")


@dataclass(frozen=True)
class Finished:
    """A job that is done.

    Attributes:
        value: What the function returned.
        node: Host and, in short, id of the node that ran it.
    """

    value: Any
    node: str


class RayCluster:
    """A connection to a cluster; use as a context manager.

    Attributes:
        places: Jobs that can run at once: a CPU core each, or a GPU each.
    """

    def __init__(self, address: str | None = None, *, device: str = "cpu") -> None:
        """Describe it.

        Args:
            address: "auto" for the cluster that runs on this machine or that RAY_ADDRESS names,
                or "host:port"; None: one of this machine's cores, that ends with the work.
            device: "cpu": a core for each job; "cuda": a GPU for each.

        Raises:
            MissingPackageError: Ray is not installed.
        """
        self._ray = optional_module("ray", "ray", "ray")
        self._address, self._gpu = address, device.startswith("cuda")
        self._mine = False
        self.places = 1

    def __enter__(self) -> RayCluster:
        """Connect.

        Raises:
            ConfigError: No cluster there, or one that has no place for a job.
        """
        ray = self._ray
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if not ray.is_initialized():
            self._connect()
            self._mine = True
        kind = "GPU" if self._gpu else "CPU"
        self.places = int(ray.cluster_resources().get(kind, 0))
        if self.places < 1:
            self.__exit__()
            raise ConfigError(f"the Ray cluster has no {kind}; give --device, or add such a node")
        return self

    def __exit__(self, *_: object) -> None:
        """Disconnect, and end what was begun here."""
        if self._mine:
            self._ray.shutdown()
            self._mine = False

    def _connect(self) -> None:
        # Ray's own Python check comes as an error of the connection.
        variables = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        options: dict[str, Any] = {
            "address": self._address,
            "log_to_driver": False,
            "logging_level": "ERROR",
            "runtime_env": {"env_vars": variables},
        }
        if self._address is None:
            # Results are small; by default Ray takes a third of the memory.
            options |= {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
        try:
            self._ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"no Ray cluster at {self._address or 'this machine'}: {one_line(error)}"
            ) from error

    def run(self, function: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Finished]:
        """Run a function for every job.

        Args:
            function: Of a module, so that every node has it by its name.
            jobs: Its arguments, plain data.

        Yields:
            Results in the order in which they come.

        Raises:
            ConfigError: A node has other versions of packages; the message says which.
            WorkerError: A job was lost six times, or a node has no proveout.
            ProveoutError: As the function raises.
        """
        ray, waiting = self._ray, list(reversed(jobs))
        need = {"num_cpus": 0, "num_gpus": 1} if self._gpu else {"num_cpus": 1}
        task = ray.remote(max_retries=_RETRIES, **need)(_checked)
        expected = versions()
        running: set[Any] = set()
        try:
            while waiting or running:
                while waiting and len(running) < _AHEAD * self.places:
                    running.add(task.remote(expected, function, waiting.pop()))
                # In short turns, so that Ctrl-C is heard.
                ended, _ = ray.wait(list(running), timeout=1.0)
                for reference in ended:
                    running.discard(reference)
                    yield self._result(reference)
        finally:
            for reference in running:
                with contextlib.suppress(Exception):
                    ray.cancel(reference, force=True)

    def _result(self, reference: Any) -> Finished:
        errors = self._ray.exceptions
        try:
            value, node = self._ray.get(reference)
            return Finished(value, node)
        except errors.RayTaskError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, ProveoutError):
                raise cause from error
            if isinstance(cause, ModuleNotFoundError):
                raise WorkerError(
                    f"a node of the Ray cluster lacks a package: {one_line(cause)}; install the "
                    "same proveout on all of them"
                ) from error
            raise
        except errors.RayError as error:
            raise WorkerError(f"the Ray cluster lost a job for good: {one_line(error)}") from error


def versions() -> dict[str, str | None]:
    """What has to be the same on all nodes for results to be the same."""
    return {"python": platform.python_version(), **package_versions()}


def difference(here: Mapping[str, str | None], there: Mapping[str, str | None]) -> str:
    """In words, which versions differ; "" when none does."""
    names = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    return ", ".join(
        f"{name} {there.get(name) or 'missing'} instead of {here.get(name) or 'none'}"
        for name in names
    )


def _checked(
    expected: Mapping[str, str | None], function: Callable[[Any], Any], job: Any
) -> tuple[Any, str]:
    """Run a job on a node, if it has the versions of the one that asks."""
    import ray

    node = f"{platform.node()}/{ray.get_runtime_context().get_node_id()[:8]}"
    differs = difference(expected, versions())
    if differs:
        raise ConfigError(
            f"node {node} of the Ray cluster has other versions, so that results would differ: "
            f"{differs}; install the same ones"
        )
    return function(job), node
