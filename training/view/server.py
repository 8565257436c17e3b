"""The server of a page: who may connect, and to what."""

from __future__ import annotations

import contextlib
import hmac
import html
import http
import io
import secrets
import socket
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from proveout.assets.files.errors import ProveoutError
from proveout.training.run.optional import optional_module

LOOPBACK = "127.0.0.1"
_OWN_NAMES = ("localhost", "127.0.0.1", "::1")
_MAKING = threading.Lock()


class ViewError(ProveoutError):
    """A page cannot be shown."""


class Guard:
    """Decides over every request that reaches a page.

    Args:
        token: What a visitor must bring, once in the address and then as a cookie; None where
            only this machine can connect.
        port: Tells pages of one machine apart, whose cookies are common to all ports.

    From this machine no token is asked for; then pages of others that are open in the same browser
    are kept out by the names of origin and host.
    """

    def __init__(self, token: str | None, port: int) -> None:
        self.token = token
        self.cookie = f"proveout-view-{port}"

    def refusal(self, request: Any) -> tuple[http.HTTPStatus, str] | None:
        """Why a request is refused: status and text; None: it is not."""
        host = request.headers.get("Host", "")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return http.HTTPStatus.FORBIDDEN, "This page answers to itself alone."
        if self.token is None:
            name = urlsplit(f"//{host}").hostname
            if name not in _OWN_NAMES:
                return http.HTTPStatus.FORBIDDEN, "This page is for its own machine alone."
            return None
        if self.brings_token(request) or self._has_cookie(request):
            return None
        return http.HTTPStatus.UNAUTHORIZED, _ASK

    def brings_token(self, request: Any) -> bool:
        """Whether the address of a request has the token."""
        given = parse_qs(urlsplit(request.path).query).get("token", [""])[0]
        return self._fits(given)

    def _has_cookie(self, request: Any) -> bool:
        for pair in request.headers.get("Cookie", "").split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self.cookie and self._fits(value):
                return True
        return False

    def _fits(self, given: str) -> bool:
        return self.token is not None and hmac.compare_digest(
            given.encode("utf-8", "replace"), self.token.encode()
        )


_ASK = (
    "<!doctype html><meta charset=utf-8><title>Proveout</title>"
    "<form style='font-family:sans-serif;margin:4em'>This page asks for the token that "
    "<code>proveout view</code> printed when it started. "
    "<input name=token autofocus> <button>Open</button></form>"
)


class PageServer:
    """A `viser.ViserServer` behind a guard.

    Args:
        host: Address to listen on.
        port: Port; 0 for any that is free.
        label: Title of the page.

    Attributes:
        viser: The server.
        address: Where the page is, with its token if it asks for one.

    Raises:
        MissingPackageError: viser is not installed.
        ViewError: The port is taken, or the address is not of this machine.
    """

    def __init__(self, host: str = LOOPBACK, port: int = 8080, label: str = "Proveout") -> None:
        viser = check_can_listen(host, port)
        local = host in _OWN_NAMES
        token = None if local else secrets.token_urlsafe(16)
        self.guard = Guard(token, port)
        with _MAKING, _guarded(self.guard) as installed, contextlib.redirect_stdout(io.StringIO()):
            self.viser = viser.ViserServer(host=host, port=port, label=label, verbose=False)
        bound = int(self.viser.get_port())
        if not installed or (port and bound != port):
            self.viser.stop()
            raise ViewError(_taken(host, port) if installed else _UNGUARDED)
        # It would hand the page to a server of somebody else's.
        self.viser.request_share_url = lambda *_, **__: None
        shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
        name = f"[{shown}]" if ":" in shown else shown
        self.address = f"http://{name}:{bound}" + (f"/?token={token}" if token else "")

    def close(self) -> None:
        """End it; whoever is connected is told by the browser."""
        with contextlib.redirect_stdout(io.StringIO()):
            self.viser.stop()


_UNGUARDED = (
    "this version of viser takes no guard, so that anybody could connect; install the one that "
    "proveout[view] asks for"
)


def _taken(host: str, port: int) -> str:
    return f"port {port} of {host} is taken; give another one by --port, or 0 for any"


def check_can_listen(host: str, port: int) -> Any:
    """Return viser's module, once all is there that a page needs.

    Raises:
        MissingPackageError: viser is not installed.
        ViewError: The port is taken, or the address is not of this machine.
    """
    viser = optional_module("viser", "view", "viser")
    _check_free(host, port)
    return viser


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as error:
            raise ViewError(
                f"port {port} needs special rights; give one above 1023 by --port"
            ) from error
        except socket.gaierror as error:
            raise ViewError(f"--host {host} is no address ({error.strerror})") from error
        except OSError as error:
            if error.errno == 99:  # EADDRNOTAVAIL
                raise ViewError(
                    f"--host {host} is no address of this machine; 0.0.0.0 means all of them"
                ) from error
            raise ViewError(_taken(host, port)) from error


@contextlib.contextmanager
def _guarded(guard: Guard) -> Any:
    """Put the guard before every request of the websockets server that is started inside.

    viser has no hook of its own for this. Yields a list that is not empty once it is done.
    """
    from websockets.asyncio import server as module

    serve, installed = module.serve, []

    def guarded_serve(*args: Any, process_request: Callable[..., Any], **kwargs: Any) -> Any:
        installed.append(guard)
        return serve(*args, process_request=_before(guard, process_request), **kwargs)

    module.serve = guarded_serve  # type: ignore[assignment, misc]
    try:
        yield installed
    finally:
        module.serve = serve  # type: ignore[misc]


def _before(guard: Guard, answer: Callable[..., Any]) -> Callable[..., Any]:
    from websockets import Headers
    from websockets.http11 import Response

    def process_request(connection: Any, request: Any) -> Any:
        refused = guard.refusal(request)
        if refused is not None:
            status, text = refused
            body = text if text.startswith("<!") else html.escape(text)
            headers = Headers(
                {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body))}
            )
            return Response(status, status.phrase, headers, body.encode())
        response = answer(connection, request)
        if response is not None and guard.token is not None and guard.brings_token(request):
            response.headers["Set-Cookie"] = (
                f"{guard.cookie}={guard.token}; HttpOnly; SameSite=Strict; Path=/"
            )
        return response

    return process_request
