"""From an environment to its page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from proveout.training.view.page import Page
from proveout.training.view.server import LOOPBACK, PageServer
from proveout.training.view.session import Session


class OpenPage:
    """A page and what it shows.

    Attributes:
        address: Where it is.
        session: The worlds.
        page: Draws them.
        server: Serves it.
    """

    def __init__(self, session: Session, host: str, port: int) -> None:
        self.session = session
        self.server = PageServer(host, port, label=str(session.task.id or "Proveout"))
        try:
            self.page = Page(self.server, session)
        except BaseException:
            self.server.close()
            raise
        self.address = self.server.address
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Step and draw in this thread until it is interrupted or closed."""
        self.page.run()

    def start(self) -> OpenPage:
        """Step and draw in a thread of its own."""
        self._thread = threading.Thread(target=self.page.run, name="proveout-view", daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """End the page; the worlds stay."""
        self.page.close()
        if self._thread is not None:
            self._thread.join(timeout=10.0)
        self.server.close()

    def _repr_html_(self) -> str:
        """The page inside a notebook."""
        return f'<iframe src="{self.address}" width="100%" height="640" style="border:0"></iframe>'


def open_page(
    env: Any,
    policy: Any = None,
    *,
    seed: int = 0,
    host: str = LOOPBACK,
    port: int = 8080,
    remake: Callable[[Any], tuple[Any, Any]] | None = None,
) -> OpenPage:
    """Make the page of a vector environment; `run` or `start` it, and `close` it.

    Args:
        env: A `WarpVectorEnv` with `array_type="numpy"`; nobody else uses it meanwhile.
        policy: Anything with `predict`; None: actions of zero.
        seed: Of the worlds, which begin anew.
        host, port: Where it listens; port 0 is any that is free.
        remake: Makes another environment and its policy for a changed config, so that the level of
            randomisation can be switched.

    Raises:
        MissingPackageError: viser is not installed.
        ViewError: The port is taken, or the address is not of this machine.
    """
    return OpenPage(Session(env, policy, seed=seed, remake=remake), host, port)


def view(env: Any, policy: Any = None, *, seed: int = 0, port: int = 0) -> OpenPage:
    """Show the page of an environment, single or vector, inline in a notebook.

    Args:
        env: Of a task of Proveout.
        policy: As in `open_page`.
        seed: Likewise. port: Likewise.

    Returns:
        What a notebook shows; `close` it to use the environment again.
    """
    unwrapped = env.unwrapped
    return open_page(
        getattr(unwrapped, "vector_env", unwrapped), policy, seed=seed, port=port
    ).start()
