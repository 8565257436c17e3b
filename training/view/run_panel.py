"""The tab `Watch`: clock, speed, which worlds and which episode."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from proveout.envs.core.errors import ConfigError
from proveout.training.view.session import AS_FAST_AS_IT_GOES, MOST_SHOWN, Frame, Session
from proveout.training.view.tables import clock

if TYPE_CHECKING:
    from proveout.training.view.page import Page

_SPEEDS = {"0.1 x": 0.1, "0.25 x": 0.25, "0.5 x": 0.5, "1 x": 1.0, "2 x": 2.0, "5 x": 5.0,
           "10 x": 10.0, "as fast as it goes": AS_FAST_AS_IT_GOES}  # fmt: skip


class RunPanel:
    """Controls of the clock and of what is shown.

    Args:
        viser: The server, inside the tab.
        session: What they steer.
        page: Moves cameras.
        drives: What the worlds' cameras ride on can leave the others behind.
    """

    def __init__(self, viser: Any, session: Session, page: Page, drives: bool) -> None:
        self._session = session
        gui = viser.gui
        self._clock = gui.add_html("")
        self._message = gui.add_markdown("")
        run = gui.add_button_group("Run", ("Pause", "Step", "Go on"))
        speed = gui.add_dropdown("Speed", tuple(_SPEEDS), initial_value="1 x")
        run.on_click(lambda event: session.post(lambda: self._press(event.target.value)))
        speed.on_update(lambda event: session.post(lambda: self._pace(event.target.value)))
        with gui.add_folder("Worlds"):
            most = min(session.env.num_envs, MOST_SHOWN)
            self._focus = gui.add_number(
                "World", session.focus, min=0, max=session.env.num_envs - 1, step=1,
                hint="which one is asked, and shown when it is alone",
            )  # fmt: skip
            self._count = gui.add_slider("Shown", 1, max(2, most), 1, len(session.shown))
            self._count.disabled = most == 1
            self._follow = gui.add_checkbox("Keep vehicles level", True)
            self._follow.visible = drives
            shadows = gui.add_checkbox("Shadows", False)
            camera = gui.add_button_group("Camera", ("This world", "All worlds"))
        with gui.add_folder("Episode"):
            self._seed = gui.add_text("Seed", "0")
            self._world_id = gui.add_number("World number", 0, min=0, max=2**31 - 1, step=1)
            self._episode = gui.add_number("Episode", 0, min=0, max=2**31 - 1, step=1)
            begin = gui.add_button("Begin this episode", hint="in the world that is asked")
            restart = gui.add_button("Restart all worlds with this seed")
        self._focus.on_update(lambda _: session.post(self._look_at))
        self._count.on_update(lambda _: session.post(self._show))
        camera.on_click(lambda event: self._look_from(page, event.client, event.target.value))
        shadows.on_update(
            lambda _: viser.scene.configure_default_lights(cast_shadow=bool(shadows.value))
        )
        begin.on_click(lambda _: session.post(self._begin))
        restart.on_click(lambda _: session.post(lambda: session.restart(self._given_seed())))

    @property
    def follow(self) -> bool:
        """Whether what the scene's camera rides on stays in its cell."""
        return bool(self._follow.value)

    def tell(self, frame: Frame, pace: float, drawn: float, viewers: int) -> None:
        """Write what is now.

        Args:
            frame: What there is to see.
            pace: Control steps a second.
            drawn: Frames a second.
            viewers: How many look.
        """
        session = self._session
        row = frame.worlds.index(session.focus) if session.focus in frame.worlds else 0
        times = pace * session.control_dt
        state = "paused" if session.paused else f"{times:.2g} x real time, {pace:.0f} steps/s"
        tail = f"{state}, {drawn:.0f} frames/s, {viewers} looking"
        text = clock(session, frame, row) + (
            '<div style="font:12px/1.8 system-ui,sans-serif;opacity:.65;padding:0 10px">'
            f"{tail}</div>"
        )
        if self._clock.content != text:
            self._clock.content = text
        told = html.escape(session.message)
        content = f"**Not done:** {told}" if told else ""
        if self._message.content != content:
            self._message.content = content

    def _press(self, what: str) -> None:
        self._session.paused = what != "Go on"
        if what == "Step":
            self._session.advance()

    def _pace(self, what: str) -> None:
        self._session.speed = _SPEEDS[what]

    def _look_from(self, page: Page, client: Any, what: str) -> None:
        self._session.post(lambda: page.look(client, at_all=what == "All worlds"))

    def _look_at(self) -> None:
        world = int(self._focus.value)
        if len(self._session.shown) == 1:
            self._session.show([world])
        self._session.look_at(world)

    def _show(self) -> None:
        """So many worlds from the first one, or the one that is asked alone."""
        count = int(self._count.value)
        self._session.show([self._session.focus] if count == 1 else range(count))

    def _begin(self) -> None:
        self._session.begin(
            self._session.focus, self._given_seed(), int(self._world_id.value),
            int(self._episode.value),
        )  # fmt: skip

    def _given_seed(self) -> int:
        text = str(self._seed.value).strip()
        if not text.isdecimal() or int(text) >= 2**64:
            raise ConfigError(f"a seed is an integer from 0 to 2**64 - 1, got {text[:40]!r}")
        return int(text)
