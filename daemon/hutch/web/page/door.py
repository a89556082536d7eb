"""Who comes in to the page: browsers, by a cookie that nothing else of the daemon takes.

A cookie is sent to every port of a host. So the page has a host name of its own, new with each daemon, that
no other server of this machine is called by; browsers take names below `localhost` for loopback.
"""

import secrets
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hutch.destinations import SANDBOXES_HOST
from hutch.web.guard import PrincipalOf, bearer, owner_only
from hutch.web.page.sign_ins import KEY_S, SignIns

COOKIE = "hutch_page"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none at all, a browser would not say the origin of a form
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_OPEN = ("/sign-in", "/page/")  # a key, and files that are nobody's secret
_FOLDERS = ("/page/", "/runs/", "/sessions/")
_PATHS = frozenset({"/", "/events", "/sign-in", "/sign-out"})
_PRINCIPAL = "hutch.page.principal"


class Page:
    """An ASGI application that finds out by itself who calls; the guard has checked the Host."""

    app: ASGIApp  # what is there for those who are signed in; its streams ask `principal_of` again

    def __init__(self, signed_out: ASGIApp, sign_ins: SignIns, whose: PrincipalOf) -> None:
        """`signed_out` answers whom nobody knows; `whose` says whose a token is now."""
        self.host = f"hutch-{secrets.token_hex(4)}.localhost"
        self._signed_out = signed_out
        self._sign_ins = sign_ins
        self._whose = whose

    def takes(self, path: str) -> bool:
        """Say whether a path is the page's."""
        return path in _PATHS or path.startswith(_FOLDERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        app = self.app
        if not _is_from_ourselves(scope):
            app = self._signed_out
        elif not scope["path"].startswith(_OPEN):
            principal = await self.principal_of(Request(scope))
            scope = {**scope, "state": {**scope.get("state", {}), _PRINCIPAL: principal}}
            app = self.app if principal else self._signed_out
        await app(scope, receive, guarded)

    async def offer(self, request: Request) -> Response:
        """Tell where the one whose token a request has, which the guard has seen, signs in with a browser."""
        given = bearer(request.headers.getlist("authorization"))
        if await self._whose(given) is None:  # an agent in a sandbox
            return owner_only()
        told = {"host": self.host, "path": f"/sign-in?key={self._sign_ins.offer(given)}", "valid_s": KEY_S}
        return JSONResponse({"result": told})

    async def principal_of(self, request: Request) -> str | None:
        """Return who is signed in now: a token that was revoked ends its sessions too."""
        token = self._sign_ins.token_of(request.cookies.get(COOKIE, ""))
        return None if token is None else await self._whose(token)


def reader(request: Request) -> str:
    """Return the principal that a page is for."""
    principal: str = request.scope["state"][_PRINCIPAL]
    return principal


def cookie_header(cookie: str, valid_s: float) -> Mapping[str, str]:
    """Return the header that gives a browser its cookie, or with 0 seconds takes it away."""
    said = f"{COOKIE}={cookie}; Path=/; Max-Age={valid_s:.0f}; HttpOnly; SameSite=Strict"
    return {"Set-Cookie": said}


def _is_from_ourselves(scope: Scope) -> bool:
    """Whether a request comes of the page itself, or of a person who opens it.

    Another server of this host is of the same site, though not of the same origin.
    """
    headers = Headers(scope=scope)
    host, origins, site = headers["host"].lower(), headers.getlist("origin"), headers.get("sec-fetch-site")
    if host.partition(":")[0] == SANDBOXES_HOST:
        return False
    ours = {f"http://{host}", f"https://{host}"}
    if any(origin.lower() not in ours for origin in origins) or (scope["method"] == "POST" and not origins):
        return False
    return site in (None, "same-origin", "none") or headers.get("sec-fetch-mode") == "navigate"
