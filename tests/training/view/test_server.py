"""Who may connect to a page."""

from __future__ import annotations

import http.client
import re
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("viser")

import gymnasium
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from proveout.training.view.server import Guard, PageServer, ViewError


def get(port: int, path: str = "/", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def refused(port: int, **headers: str) -> int:
    """Status with which a websocket is refused; 101 if it is not."""
    try:
        with connect(
            f"ws://127.0.0.1:{port}", additional_headers=headers, subprotocols=["viser-v1.1.1"]
        ):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


@pytest.fixture(scope="module")
def local():
    server = PageServer(port=0)
    yield server
    server.close()


@pytest.fixture(scope="module")
def public():
    server = PageServer("0.0.0.0", 0)
    yield server
    server.close()


def test_on_this_machine_no_token_is_asked_for(local) -> None:
    port = local.viser.get_port()
    assert local.address == f"http://127.0.0.1:{port}"
    status, headers, body = get(port)
    assert status == 200
    assert b"<html" in body
    assert "Set-Cookie" not in headers
    assert refused(port, Origin=f"http://127.0.0.1:{port}") == 101


def test_pages_of_others_in_the_same_browser_are_kept_out(local) -> None:
    port = local.viser.get_port()
    assert refused(port, Origin="http://elsewhere.example") == 403
    assert get(port, Host="elsewhere.example")[0] == 403


def test_beyond_this_machine_the_token_opens_the_page(public) -> None:
    port = public.viser.get_port()
    token = public.guard.token
    assert token
    assert public.address.endswith(f":{port}/?token={token}")
    status, _, body = get(port)
    assert status == 401
    assert b"token" in body
    assert token.encode() not in body
    assert get(port, "/?token=guess")[0] == 401
    assert refused(port) == 401
    status, headers, _ = get(port, f"/?token={token}")
    assert status == 200
    cookie = headers["Set-Cookie"].split(";")[0]
    assert "HttpOnly" in headers["Set-Cookie"]
    assert get(port, Cookie=cookie)[0] == 200
    assert refused(port, Cookie=cookie) == 101
    assert refused(port, Cookie=cookie[:-1]) == 401


def test_nothing_is_handed_to_other_servers(local) -> None:
    assert local.viser.request_share_url() is None


def test_a_cookie_is_of_one_port() -> None:
    request = SimpleNamespace(path="/", headers={"Host": "a:1", "Cookie": "proveout-view-2=t"})
    assert Guard("t", 1).refusal(request) is not None
    assert Guard("t", 2).refusal(request) is None


@pytest.mark.parametrize(
    ("host", "told"),
    [("203.0.113.7", "no address of this machine"), ("no.such.host.invalid", "is no address")],
)
def test_an_address_of_somebody_else(host: str, told: str) -> None:
    with pytest.raises(ViewError, match=told):
        PageServer(host, 0)


def test_a_port_that_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ViewError, match=f"port {port} of 127.0.0.1 is taken; give another"):
            PageServer(port=port)


@pytest.fixture(params=["single", "vector"])
def env(request):
    if request.param == "single":
        return gymnasium.make("proveout/Reach-v0")
    return gymnasium.make_vec("proveout/Reach-v0", num_envs=2, workers=1)


def test_an_environment_shows_its_page(env) -> None:
    """As a notebook shows it; closed, the environment is its owner's again."""
    env.reset(seed=0)
    page = env.unwrapped.view(seed=3)
    try:
        assert page.session.env is getattr(env.unwrapped, "vector_env", env.unwrapped)
        assert f'<iframe src="{page.address}"' in page._repr_html_()
        assert get(int(page.address.rpartition(":")[2]))[0] == 200
    finally:
        page.close()
    env.reset(seed=0)
    env.close()


def test_the_example_of_the_guide_runs() -> None:
    text = (Path(__file__).parents[3] / "docs" / "viewing.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(code, {})
