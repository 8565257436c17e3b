"""The page: a session drawn and steered in the browser."""

from __future__ import annotations

import time
from typing import Any

from proveout.training.view.ask_panel import AskPanel
from proveout.training.view.change_panel import ChangePanel
from proveout.training.view.episodes_panel import EpisodesPanel
from proveout.training.view.run_panel import RunPanel
from proveout.training.view.server import PageServer
from proveout.training.view.session import Session
from proveout.training.view.stage import Stage

DRAWN_PER_SECOND = 30.0
_TOLD_PER_SECOND = 4.0


class Page:
    """Draws a session on a server, and gives its commands to it.

    Args:
        server: Where it is shown.
        session: What is shown.

    Attributes:
        drawn: Frames so far.
        stage: What is drawn.
    """

    def __init__(self, server: PageServer, session: Session) -> None:
        self._server, self._session = server, session
        self._viser = server.viser
        self.drawn = 0
        self._generation = session.generation
        viser = self._viser
        viser.gui.configure_theme(control_width="large", show_logo=False, show_share_button=False)
        viser.gui.main_panel.dock_right()
        self._next_draw = self._next_told = 0.0
        self._steps: list[tuple[float, int, int]] = []
        self._closed = False
        self.stage = Stage(viser, session.scene)
        self._draw()
        tabs = viser.gui.add_tab_group()
        with tabs.add_tab("Watch"):
            self._run = RunPanel(viser, session, self, drives=self.stage.parts.large)
        with tabs.add_tab("Ask"):
            self._ask = AskPanel(viser, session)
        with tabs.add_tab("Change"):
            self._change = ChangePanel(viser, session)
        with tabs.add_tab("Episodes"):
            self._episodes = EpisodesPanel(viser, session)
        self._tell()
        viser.on_client_connect(self._welcome)

    @property
    def viewers(self) -> int:
        """How many look at it."""
        return len(self._viser.get_clients())

    def run(self) -> None:
        """Step and draw until somebody interrupts."""
        while not self._closed:
            wait = self._session.work()
            self.refresh()
            if wait > 0.0:
                # Commands are not left waiting for long.
                time.sleep(min(wait, 0.02))

    def refresh(self) -> None:
        """Draw what is due, for whoever looks."""
        now = time.perf_counter()
        if now < self._next_draw or not self.viewers:
            return
        self._next_draw = max(self._next_draw + 1.0 / DRAWN_PER_SECOND, now)
        if self._session.generation != self._generation:
            self._begin_anew()
        self._draw()
        if now >= self._next_told:
            self._next_told = now + 1.0 / _TOLD_PER_SECOND
            self._tell()

    def look(self, client: Any, *, at_all: bool) -> None:
        """Put a viewer's camera where the scene's own one is, or so that all worlds are seen."""
        frame = self._frame
        row = frame.worlds.index(self._session.focus) if self._session.focus in frame.worlds else 0
        stage, pose = self.stage, frame.poses[row]
        view = stage.overview(pose) if at_all else stage.view_of(pose, row)
        position, target, field = view
        with client.atomic():
            client.camera.fov = field
            client.camera.position = position
            client.camera.look_at = target

    def close(self) -> None:
        """End the loop of `run`."""
        self._closed = True

    def _welcome(self, client: Any) -> None:
        at_all = len(self._session.shown) > 1
        self._session.post(lambda: self.look(client, at_all=at_all))

    def _draw(self) -> None:
        self._frame = self._session.frame()
        follow = self._run.follow if hasattr(self, "_run") else True
        self.stage.show(self._frame.worlds, self._frame.poses, follow)
        self.drawn += 1

    def _begin_anew(self) -> None:
        """Another environment: its scene and its numbers may differ."""
        self._generation = self._session.generation
        self.stage.clear()
        self.stage = Stage(self._viser, self._session.scene)
        self._change.fill()

    def _tell(self) -> None:
        session, frame = self._session, self._frame
        now = time.perf_counter()
        self._steps = [*self._steps[-12:], (now, session.steps, self.drawn)]
        began, steps, drawn = self._steps[0]
        span = max(now - began, 1e-6)
        pace = (session.steps - steps) / span
        with self._viser.atomic():
            self._run.tell(frame, pace, (self.drawn - drawn) / span, self.viewers)
            self._ask.tell(frame)
            self._change.tell()
            self._episodes.tell()
