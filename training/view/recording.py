"""One HTML file that plays episodes in any browser, without a network, with their curves.

The worlds are played by viser's own client, which is a single file without requests (MIT licence);
the curves beside them are ours.
"""

from __future__ import annotations

import html
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from proveout.assets.files.atomic import write_atomic
from proveout.envs.core.errors import ConfigError
from proveout.training.run.progress import Progress
from proveout.training.view.ask_panel import colours
from proveout.training.view.server import PageServer
from proveout.training.view.session import Frame, Session
from proveout.training.view.stage import Stage

MOST_FRAMES = 20_000
_PANEL = Path(__file__).with_name("curves.html")


def record(
    session: Session, path: Path, *, episodes: int = 1, title: str = "", shown: bool = False
) -> int:
    """Run episodes of the shown worlds from now on and write the file, whole or not at all.

    All worlds are shown for as long as the slowest takes; one that is ready goes on with its next
    episode.

    Args:
        session: Worlds that have just begun.
        path: Of the file.
        episodes: Of each shown world.
        title: Above the curves.
        shown: Show progress on standard error.

    Returns:
        Control steps that were recorded.

    Raises:
        MissingPackageError: viser is not installed.
        ConfigError: Fewer than one episode, or more steps than a browser can play.
    """
    if episodes < 1:
        raise ConfigError(f"episodes must be at least 1, got {episodes}")
    most = episodes * session.task.max_episode_steps
    if most > MOST_FRAMES:
        raise ConfigError(
            f"{episodes} episodes of up to {session.task.max_episode_steps} control steps are more "
            f"than {MOST_FRAMES} frames; record fewer, or shorter ones (--env.episode-seconds)"
        )
    server = PageServer(port=0)
    try:
        text, steps = _play(session, server, episodes, title, shown)
    finally:
        server.close()
    write_atomic(path, text)
    return steps


def _play(
    session: Session, server: PageServer, episodes: int, title: str, shown: bool
) -> tuple[str, int]:
    viser = server.viser
    stage, curves = Stage(viser, session.scene), _Curves(session)
    frame = session.frame()
    stage.show(frame.worlds, frame.poses)
    position, target, field = stage.overview(frame.poses[0])
    camera = viser.initial_camera
    camera.position, camera.look_at, camera.fov = position, target, field
    serializer = viser.get_scene_serializer()
    left = dict.fromkeys(session.shown, episodes)
    steps = 0
    with Progress("record", episodes * len(left), unit="episodes", shown=shown) as progress:
        while any(left.values()):
            before = {world: _episode(session, world) for world in left}
            session.advance()
            steps += 1
            serializer.insert_sleep(session.control_dt)
            frame = session.frame()
            stage.show(frame.worlds, frame.poses)
            ended = [world for world in left if _episode(session, world) != before[world]]
            curves.add(steps, frame, ended)
            for world in ended:
                left[world] = max(0, left[world] - 1)
            progress.update(episodes * len(left) - sum(left.values()))
    # The last picture stays for a moment.
    serializer.insert_sleep(session.control_dt)
    return _with_panel(serializer.as_html(), curves, title), steps


def _episode(session: Session, world: int) -> tuple[int, int, int]:
    keys = session.env.episode_keys()
    return tuple(int(keys[name][world]) for name in ("seed", "world_id", "episode"))  # type: ignore[return-value]


class _Curves:
    """Rewards of every step of the shown worlds, by term, and how their episodes ended."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.names = ("reward", *session.trace.terms)
        self._rows: dict[int, list[list[float]]] = {world: [] for world in session.shown}
        self._ends: dict[int, list[list[Any]]] = {world: [] for world in session.shown}

    def add(self, step: int, frame: Frame, ended: list[int]) -> None:
        """Add the step that has just been; some worlds ended an episode in it."""
        session = self._session
        seconds = step * session.control_dt
        for world, told, reward in zip(frame.worlds, frame.told, frame.reward, strict=True):
            weighted = told.reward_terms * session.weights(world)
            self._rows[world].append([_digits(v) for v in (seconds, reward, *weighted)])
        for world in ended:
            last = [e for e in session.ended if e.world == world][-1]
            key = f"seed {last.seed}, world {last.world_id}, episode {last.episode}"
            self._ends[world].append([_digits(seconds), key, last.outcome])

    def data(self) -> dict[str, Any]:
        """For the script of the panel."""
        return {
            "names": self.names,
            "colours": colours(len(self.names)),
            "worlds": {
                str(world): {
                    "columns": np.array(rows).reshape(-1, 1 + len(self.names)).T.tolist(),
                    "ends": self._ends[world],
                }
                for world, rows in self._rows.items()
            },
        }


def _with_panel(page: str, curves: _Curves, title: str) -> str:
    panel = _PANEL.read_text(encoding="utf-8")
    # No end of a script within one.
    data = json.dumps(curves.data(), separators=(",", ":")).replace("<", "\\u003c")
    panel = panel.replace("{{title}}", html.escape(title)).replace("{{data}}", data)
    head = f"<title>{html.escape(title or 'Proveout')}</title>"
    before, _, rest = page.partition("<title>")
    page = before + head + rest.partition("</title>")[2]
    end = page.rindex("</body>")
    return page[:end] + panel + page[end:]


def _digits(value: float) -> float:
    number = float(value)
    return float(f"{number:.5g}") if math.isfinite(number) else 0.0
