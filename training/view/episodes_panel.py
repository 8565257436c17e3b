"""The tab `Episodes`: what is over, what was invalid, and the same once more."""

from __future__ import annotations

from typing import Any

from proveout.envs.core.errors import ConfigError
from proveout.training.view import tables
from proveout.training.view.session import Ended, Session


class EpisodesPanel:
    """The last episodes, and buttons that replay them.

    Args:
        viser: The server, inside the tab.
        session: What they ran in.
    """

    def __init__(self, viser: Any, session: Session) -> None:
        self._session = session
        gui = viser.gui
        with gui.add_folder("Invalid"):
            self._invalid = gui.add_html("")
            invalid = gui.add_button("Replay the last invalid one")
        with gui.add_folder("Ended"):
            self._ended = gui.add_html("")
            last = gui.add_button("Replay the last one of the world that is asked")
        invalid.on_click(lambda _: session.post(lambda: self._replay(invalid=True)))
        last.on_click(lambda _: session.post(lambda: self._replay(invalid=False)))

    def tell(self) -> None:
        """Write what is over."""
        ended = list(self._session.ended)
        for handle, invalid in ((self._invalid, True), (self._ended, False)):
            text = tables.episodes(ended, invalid)
            if handle.content != text:
                handle.content = text

    def _replay(self, invalid: bool) -> None:
        session = self._session

        def fits(e: Ended) -> bool:
            return bool(e.invalid) if invalid else e.world == session.focus

        found = [e for e in session.ended if fits(e)]
        if not found:
            what = "invalid" if invalid else f"of world {session.focus}"
            raise ConfigError(f"no episode {what} is over yet")
        session.replay(found[-1])
