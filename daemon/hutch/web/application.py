"""Everything that is served over HTTP, guarded: to each principal the service as it may use it."""

from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from hutch import __version__
from hutch.access import AccessTokens
from hutch.config import OWNER
from hutch.runs.gate.clients import Clients
from hutch.runs.runs import Runs
from hutch.runs.upkeep.doctor import examine
from hutch.web import api
from hutch.web.guard import Guard, caller, knowing_owner, owner_only
from hutch.web.page.routes import page
from hutch_mcp_tools.service import SandboxService


def build_app(
    services: Mapping[str, SandboxService],
    runs: Runs,
    clients: Clients,
    token: str,
    mcp: ASGIApp,
    leave: Callable[[], None],
) -> ASGIApp:
    """`token` is the owner's; `leave` begins the daemon's orderly end."""
    rooms = runs.rooms
    tokens = AccessTokens(rooms.config, rooms.state)
    principal_of = knowing_owner(token, tokens.principal_of)
    adapters = {name: agent.adapter for name, agent in rooms.config.agents.items()}
    pages = page(services.__getitem__, adapters, principal_of, runs.closing)

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok", "version": __version__})

    async def doctor(request: Request) -> Response:
        if caller(request.scope) != OWNER:
            return owner_only()
        return JSONResponse(await examine(rooms, fresh=request.query_params.get("fresh") == "true"))

    async def shutdown(request: Request) -> Response:
        if caller(request.scope) != OWNER:
            return owner_only()
        leave()
        return JSONResponse({"status": "leaving"})

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/api/shutdown", shutdown, methods=["POST"]),
            Route("/mcp", endpoint=mcp),
            Route("/api/doctor", doctor),
            Route("/api/sign_in", pages.offer, methods=["POST"]),
            *api.routes(services.__getitem__),
        ]
    )

    async def caller_of(text: str) -> str | None:
        return clients.caller_of(text) or await principal_of(text)

    daemon = rooms.config.daemon
    return Guard(app, caller_of, hosts=daemon.allowed_hosts, origins=daemon.allowed_origins, page=pages)
