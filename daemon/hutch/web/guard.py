"""Who may come in, and who that is: one ASGI layer before everything else, for TCP and the unix socket alike.

A browser is the enemy that reaches a loopback port: a page of another site may send requests (so an Origin
must be ours), may rebind its own name to 127.0.0.1 (so the Host must be ours), and knows no token. A local
user who may open the port knows no token either.
"""

import hmac
import re
from collections.abc import Awaitable, Callable, Iterable

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


class Guard:
    """Refuses a foreign Host (421), a foreign Origin (403) and a missing or wrong token (401).

    `token` is the owner's; `principal_of` says whose any other is. What is let in finds out by `caller`.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str,
        principal_of: PrincipalOf,
        *,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._principal_of = principal_of
        self._hosts = LOCAL_HOSTS | {SANDBOXES_HOST} | {host.lower() for host in hosts}
        self._origins = {origin.lower() for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer: ASGIApp | None = self._refuse(headers)
        if answer is None and scope["path"] not in _OPEN_PATHS:
            try:
                principal = await self._principal(headers.getlist("authorization"))
            except HutchError as error:
                answer = _answer(503, error.code, error.message, error.hint)
            else:
                answer = None if principal else _token_missing()
                scope = {**scope, "state": {**scope.get("state", {}), _PRINCIPAL: principal}}
        await (answer or self._app)(scope, receive, send)

    def _refuse(self, headers: Headers) -> Response | None:
        if not self._is_our_host(headers.getlist("host")):
            return _answer(421, "host_refused", "the Host header names another server", _HOSTS_HINT)
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

    async def _principal(self, values: list[str]) -> str | None:
        scheme, _, given = values[0].partition(" ") if len(values) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            return None
        if hmac.compare_digest(given.strip().encode(), self._token):
            return OWNER
        return await self._principal_of(given.strip())


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
