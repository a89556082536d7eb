"""Who may come in, and who that is: one ASGI layer before everything else, for TCP and the unix socket alike.

A browser is the enemy that reaches a loopback port: a page of another site may send requests (so an Origin
must be ours), may rebind its own name to 127.0.0.1 (so the Host must be ours), and knows no token. A local
user who may open the port knows no token either.
"""

import hmac
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hutch.config import OWNER
from hutch.destinations import SANDBOXES_HOST
from hutch.errors import HutchError

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", "hutch"})  # the last: clients of the unix socket
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>\d{1,5}))?")
_OPEN_PATHS = frozenset({"/health"})


PrincipalOf = Callable[[str], Awaitable[str | None]]
_PRINCIPAL = "hutch.principal"


class OwnDoor(Protocol):
    """A part of what is served that finds out by itself who calls, under a host name of its own."""

    host: str

    def takes(self, path: str) -> bool: ...
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


def knowing_owner(token: str, principal_of: PrincipalOf) -> PrincipalOf:
    """Return what says whose any token is; `token` is the owner's, of others knows `principal_of`."""

    async def whose(text: str) -> str | None:
        if hmac.compare_digest(text.encode("utf-8", "surrogatepass"), token.encode()):
            return OWNER
        return await principal_of(text)

    return whose


class Guard:
    """Refuses a foreign Host (421), a foreign Origin (403) and a missing or wrong token (401).

    `whose` says whose a token is. What is let in finds out by `caller`. To the paths of `page` only the Host
    is checked here.
    """

    def __init__(
        self,
        app: ASGIApp,
        whose: PrincipalOf,
        *,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        page: OwnDoor | None = None,
    ) -> None:
        self._app = app
        self._whose = whose
        self._page = page
        self._hosts = LOCAL_HOSTS | {SANDBOXES_HOST} | {host.lower() for host in hosts}
        self._hosts |= {page.host} if page else set()
        self._origins = {origin.lower() for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if self._page and self._page.takes(scope["path"]):
            await (self._refuse_host(headers) or self._page)(scope, receive, send)
            return
        answer: ASGIApp | None = self._refuse_host(headers) or self._refuse_origin(headers)
        if answer is None and scope["path"] not in _OPEN_PATHS:
            try:
                given = bearer(headers.getlist("authorization"))
                principal = await self._whose(given) if given else None
            except HutchError as error:
                answer = _answer(503, error.code, error.message, error.hint)
            else:
                answer = None if principal else _token_missing()
                scope = {**scope, "state": {**scope.get("state", {}), _PRINCIPAL: principal}}
        await (answer or self._app)(scope, receive, send)

    def _refuse_host(self, headers: Headers) -> Response | None:
        if self._is_our_host(headers.getlist("host")):
            return None
        return _answer(421, "host_refused", "the Host header names another server", _HOSTS_HINT)

    def _refuse_origin(self, headers: Headers) -> Response | None:
        if not all(self._is_our_origin(origin) for origin in headers.getlist("origin")):
            return _answer(
                403, "origin_refused", "requests from this web origin are not taken", _ORIGINS_HINT
            )
        return None

    def _is_our_host(self, values: list[str]) -> bool:
        match = _HOST.fullmatch(values[0].lower()) if len(values) == 1 else None
        return match is not None and match["name"] in self._hosts

    def _is_our_origin(self, origin: str) -> bool:
        origin = origin.lower()
        if origin in self._origins:
            return True
        scheme, _, host = origin.partition("://")
        match = _HOST.fullmatch(host)
        return scheme == "http" and match is not None and match["name"] in LOCAL_HOSTS


def bearer(values: list[str]) -> str:
    """Return the one token that a request's `Authorization` headers hold; empty: there is none, or more."""
    scheme, _, given = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    return given.strip() if scheme.lower() == "bearer" else ""


def caller(scope: Scope) -> str:
    """Return the principal that a guarded request comes from."""
    principal: str = scope["state"][_PRINCIPAL]
    return principal


def owner_only() -> Response:
    """Return the refusal of what is for the owner principal alone."""
    return _answer(
        403, "owner_only", "this is for the owner of the daemon", "ask whoever gave you your token"
    )


def _token_missing() -> Response:
    answer = _answer(401, "token_missing", "a bearer token is needed", "print it with: hutch token")
    answer.headers["WWW-Authenticate"] = 'Bearer realm="hutch"'
    return answer


_HOSTS_HINT = "use 127.0.0.1 or localhost, or list the name in daemon.allowed_hosts"
_ORIGINS_HINT = "list it in daemon.allowed_origins if it is yours"


def _answer(status: int, code: str, message: str, hint: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message, "hint": hint}}, status_code=status)
