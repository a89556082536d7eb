"""What the page answers: each path, as the service of whoever is signed in tells it."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from hutch.web.guard import PrincipalOf
from hutch.web.page.door import COOKIE, Page, cookie_header, reader
from hutch.web.page.live import Live, mark_of_run, mark_of_work
from hutch.web.page.overview import look, overview
from hutch.web.page.run_view import run_view
from hutch.web.page.sign_ins import SESSION_S, SignIns
from hutch_mcp_tools.service import SandboxService, ServiceError

if TYPE_CHECKING:
    from jinja2 import Environment

logger = logging.getLogger(__name__)

Answering = Callable[[Request], Awaitable[Response]]
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def page(
    service_of: Callable[[str], SandboxService],
    adapters: Mapping[str, str],
    whose: PrincipalOf,
    leaving: anyio.Event,
) -> Page:
    """Put the page together.

    `adapters` of agents, by their names; `whose` says whose a token is; `leaving`: the daemon ends.
    """
    sign_ins = SignIns()
    made = Page(_signed_out, sign_ins, whose)
    views, door = Views(service_of, adapters, made.principal_of, Live(leaving)), Door(sign_ins)
    made.app = Starlette(
        routes=[
            Route("/", _answering(views.work)),
            Route("/sessions/{session_id}", _answering(views.session)),
            Route("/runs/{run_id}", _answering(views.run)),
            Route("/events", views.events),
            Route("/sign-in", door.sign_in),
            Route("/sign-out", door.sign_out, methods=["POST"]),
            Route("/page/{name}", _file),
        ]
    )
    return made


class Views:
    """What is shown to whoever is signed in, as the service tells it to them."""

    def __init__(
        self,
        service_of: Callable[[str], SandboxService],
        adapters: Mapping[str, str],
        reader_now: Callable[[Request], Awaitable[str | None]],
        live: Live,
    ) -> None:
        self._service_of = service_of
        self._adapters = adapters
        self._reader_now = reader_now
        self._live = live

    async def work(self, request: Request) -> Response:
        seen = await look(self._service(request))
        return _html(
            request, "overview", reader=reader(request), view=overview(seen), mark=mark_of_work(seen)
        )

    async def run(self, request: Request) -> Response:
        service = self._service(request)
        run = await service.get_run(request.path_params["run_id"])
        mark = await mark_of_run(service, run)  # before the rest is asked for: what changes meanwhile is told
        view = await run_view(service, run, self._adapters)
        return _html(request, "run", reader=reader(request), view=view, mark=mark)

    async def session(self, request: Request) -> Response:
        found = await self._service(request).get_session(request.path_params["session_id"])
        if found.run_id is None:
            return _message(request, 404, "This session has run nothing yet.")
        return RedirectResponse(f"/runs/{found.run_id}", 303)

    async def events(self, request: Request) -> Response:
        if not self._live.has_room:
            return Response("too many pages are open\n", 503)

        async def mark() -> str | None:
            if await self._reader_now(request) != reader(request):  # signed out, or the token was revoked
                return None
            service = self._service(request)
            run_id = request.query_params.get("run")
            if run_id is None:
                return mark_of_work(await look(service))
            return await mark_of_run(service, await service.get_run(run_id))

        changes = self._live.changes(request.query_params.get("seen", ""), mark)
        return StreamingResponse(changes, media_type="text/event-stream")

    def _service(self, request: Request) -> SandboxService:
        return self._service_of(reader(request))


class Door:
    """In and out."""

    def __init__(self, sign_ins: SignIns) -> None:
        self._sign_ins = sign_ins

    async def sign_in(self, request: Request) -> Response:
        # A look at the head uses nothing up: programs that preview links take no more
        key = request.query_params.get("key", "") if request.method == "GET" else ""
        cookie = self._sign_ins.redeem(key)
        if cookie is None:
            return _message(request, 403, "This link was used already, or is too old.")
        # Not a redirect: a browser that came from elsewhere would not send its cookie there
        return _html(request, "signed_in", headers=cookie_header(cookie, SESSION_S))

    async def sign_out(self, request: Request) -> Response:
        self._sign_ins.end(request.cookies.get(COOKIE, ""))
        return _message(request, 200, "You are signed out.", headers=cookie_header("", 0))


async def _file(request: Request) -> Response:
    name = request.path_params["name"]
    content = _files().get(name)
    if content is None:
        return Response(status_code=404)
    return Response(content, media_type=_TYPES[name.rpartition(".")[2]])


def _answering(answer: Answering) -> Answering:
    """Tell a person of what the service refuses, and of nothing else: no exception may cross to a browser."""

    async def told(request: Request) -> Response:
        try:
            return await answer(request)
        except ServiceError as error:
            status = 404 if error.code.endswith("_unknown") else 503
            return _message(request, status, f"{error.message}.", error.hint)
        except Exception:
            logger.exception("the page of %s failed", request.url.path)
            return _message(request, 500, "This page could not be made.", "the daemon's log has the details")

    return told


async def _signed_out(scope: Scope, receive: Receive, send: Send) -> None:
    answer = _message(Request(scope), 401, "You are not signed in.")
    await answer(scope, receive, send)


def _message(
    request: Request, status: int, text: str, hint: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    title = HTTPStatus(status).phrase
    return _html(request, "message", status, headers, title=title, text=text, hint=hint, status=status)


def _html(
    request: Request,
    name: str,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: object,
) -> Response:
    """A whole document, or where the page's own script asks for it only what changes."""
    frame = "part.html" if request.query_params.get("part") else "frame.html"
    text = _templates().get_template(f"{name}.html").render(frame=frame, **values)
    return Response(text, status_code, headers, media_type="text/html")


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("hutch.web.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _files() -> Mapping[str, bytes]:
    return {file.name: file.read_bytes() for file in (files("hutch.web.page") / "static").iterdir()}
