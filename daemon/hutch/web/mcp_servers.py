"""MCP over HTTP: a server of its own for each principal, over the service as that principal may use it.

So no MCP session is ever found by another principal's token, and nothing that outlives a request has to
remember whose it was.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import Receive, Scope, Send

from hutch.web.guard import caller
from hutch_mcp_tools.server import build_server
from hutch_mcp_tools.service import SandboxService


class McpServers:
    """An ASGI application behind the guard, which says who calls."""

    def __init__(self, services: Mapping[str, SandboxService], *, version: str) -> None:
        # The guard checks Host and Origin for every route, so the SDK need not do it for one of them
        security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        self._managers = {}
        for principal, service in services.items():
            server = build_server(service, version=version)
            server.streamable_http_app(transport_security=security)  # makes the session manager
            self._managers[principal] = server.session_manager
        self._apps = {name: StreamableHTTPASGIApp(manager) for name, manager in self._managers.items()}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Serve for the length of the block."""
        async with AsyncExitStack() as stack:
            for manager in self._managers.values():
                await stack.enter_async_context(manager.run())
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._apps[caller(scope)](scope, receive, send)
