"""The page in headless Chromium, drawn without a graphics card, and so in small."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("viser")
playwright = pytest.importorskip("playwright.sync_api")

# ruff: noqa: E402
from proveout.training.evaluation.policy_source import PolicySource, load_policy
from proveout.training.tasks import VectorEnvSpec, make_vector_env
from proveout.training.view import open_page
from proveout.training.view.recording import record
from proveout.training.view.session import Session

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]

ID = "proveout/Reach-v0"
PATIENCE = 120.0  # [s] a machine that is busy draws slowly


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        started = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


def make(num_envs: int):
    return make_vector_env(VectorEnvSpec(ID, None, num_envs=num_envs, device="cpu", workers=1))


@pytest.fixture(scope="module")
def opened():
    env = make(2)
    page = open_page(env, load_policy(PolicySource("expert"), env), port=0)
    # It is drawn only where something moves.
    page.session.paused = True
    yield page.start()
    page.close()
    env.close()


class Visit:
    """A viewer, and all that its page complained about and asked for."""

    def __init__(self, browser, url: str, **context) -> None:
        self.context = browser.new_context(viewport={"width": 760, "height": 420}, **context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000.0 * PATIENCE)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url)

    def _heard(self, message) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def click(self, text: str) -> None:
        # Without the wait for a page that stands still, which takes long without a graphics card.
        self.page.get_by_text(text, exact=True).first.dispatch_event("click")

    def type(self, label: str, text: str) -> None:
        # A label may hold places where it breaks.
        field = self.page.locator(
            f"xpath=//label[.='{label}']/following::input[not(@type='hidden')][1]"
        )
        field.evaluate("field => field.focus()")
        field.fill(text, force=True)
        field.evaluate("field => field.blur()")

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click(force=True)

    def foreign(self) -> list[str]:
        """Requests to anybody else."""
        own = (self.page.url, "data:", "blob:")
        return [url for url in self.asked if not url.startswith(own)]


def until(holds, told: str) -> None:
    limit = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < limit, told
        time.sleep(0.05)


def ask(session: Session, question):
    """The answer of the thread to which the worlds belong."""
    answer, done = [], threading.Event()

    def command() -> None:
        answer.append(question())
        done.set()

    session.post(command)
    assert done.wait(PATIENCE)
    return answer[0]


def episode_of(session: Session) -> int:
    """Of world 0, now."""
    return int(ask(session, lambda: session.env.episode_keys()["episode"][0]))


def test_a_visit(browser, opened) -> None:
    """One visit for several questions: each takes seconds to load."""
    session = opened.session
    visit = Visit(browser, opened.address)
    visit.page.get_by_text("Pause", exact=True).wait_for()
    visit.page.locator("canvas").first.wait_for()
    until(lambda: opened.page.viewers == 1, "nobody looks")

    # A typed episode is shown in the poses that an environment of its own has.
    visit.type("Seed", "18446744073709551615")
    visit.type("World number", "17")
    visit.type("Episode", "3")
    visit.click("Begin this episode")
    until(lambda: episode_of(session) == 3, "the episode did not begin")
    alone = make(1)
    alone.reset(seed=2**64 - 1, options={"world_ids": np.array([17]), "episodes": np.array([3])})
    (pose,) = alone.scene_pose([0])
    alone.close()
    drawn = opened.page.drawn
    until(lambda: opened.page.drawn > drawn + 1, "it is not drawn")
    stage = opened.page.stage
    positions, quaternions = ask(session, lambda: stage.parts.body_poses([pose]))
    offset = stage.placement.cells[0]
    for piece in stage.parts.pieces:
        if piece.centre is not None:
            continue
        handle = stage.handle(piece)
        body = piece.bodies[0]
        np.testing.assert_allclose(
            handle.batched_positions[0], positions[0, body] + offset, atol=1e-6
        )
        np.testing.assert_allclose(handle.batched_wxyzs[0], quaternions[0, body], atol=1e-6)

    # One step is one step.
    steps = session.steps
    visit.click("Step")
    until(lambda: session.steps == steps + 1, "no step")

    # A slider changes the next episode of the worlds that are shown.
    visit.tab("Change")
    visit.type("start_noise [rad]", "0.9")
    until(lambda: session.changed == {"start_noise": 0.9}, "the slider changed nothing")
    rows = ask(session, lambda: session.env.config_rows()["start_noise"])
    assert np.allclose(rows, 0.3)
    visit.click("Begin them now")
    until(lambda: episode_of(session) == 4, "the next episode did not begin")
    rows = ask(session, lambda: session.env.config_rows()["start_noise"])
    assert np.allclose(rows, 0.9)

    # What it says of itself.
    visit.tab("Ask")
    visit.page.get_by_text("goal_offset_near (base)").wait_for()
    assert visit.page.get_by_text("final_distance").count() == 1
    assert visit.complaints == []
    assert visit.foreign() == []
    visit.context.close()
    until(lambda: opened.page.viewers == 0, "the viewer is still counted")


def test_two_viewers_come_and_go_and_leave_nothing(browser, opened) -> None:
    session = opened.session
    session.paused = False
    threads = threading.active_count()

    def moved_on(seen: tuple[int, int]) -> bool:
        return opened.page.drawn > seen[0] and session.steps > seen[1]

    for _ in range(2):
        visits = [Visit(browser, opened.address) for _ in range(2)]
        until(lambda: opened.page.viewers == 2, "they do not both look")
        visits[0].context.close()
        until(lambda: opened.page.viewers == 1, "one still counts")
        # The other one still sees it move.
        seen = (opened.page.drawn, session.steps)
        until(lambda seen=seen: moved_on(seen), "it stopped")
        visits[1].context.close()
        until(lambda: opened.page.viewers == 0, "the other one still counts")
    steps, drawn = session.steps, opened.page.drawn
    until(lambda: session.steps > steps + 2, "without viewers it stopped")
    assert opened.page.drawn <= drawn + 1, "it draws for nobody"
    connections = opened.server.viser._websock_server._client_state_from_id
    until(lambda: not connections, "connections stay")
    # viser's pool answers viewers; it has a bound of its own.
    assert threading.active_count() <= threads + 32
    session.paused = True


def test_a_recording_plays_without_a_network(browser, tmp_path: Path) -> None:
    env = make(2)
    path = tmp_path / "reach.html"
    session = Session(env, load_policy(PolicySource("expert"), env), seed=1)
    steps = record(session, path, title="<Reach>")
    assert steps == env.config.max_episode_steps
    ended = [e for e in session.ended if e.world == 1]
    session.close()
    assert path.stat().st_size < 2_500_000
    assert list(tmp_path.iterdir()) == [path]
    visit = Visit(browser, path.as_uri(), offline=True)
    panel = visit.page.locator("#po")
    panel.get_by_text("<Reach>").wait_for()
    visit.page.wait_for_function("Number(document.getElementById('po').dataset.time) > 0.2")
    visit.page.keyboard.press("Space")
    visit.page.get_by_label("World").select_option("1")
    key = f"seed {ended[0].seed}, world {ended[0].world_id}, episode {ended[0].episode}"
    panel.get_by_text(key).wait_for()
    panel.get_by_text(ended[0].outcome).wait_for()
    assert visit.page.locator("#po-plot path").count() == 1 + len(session.trace.terms)
    assert visit.page.locator("canvas").count() >= 1
    assert visit.complaints == []
    assert visit.foreign() == []
    visit.context.close()
