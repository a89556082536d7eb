"""MCP over HTTP: a server of its own for each principal, over the service as that principal may use it.

So no MCP session is ever found by another principal's token, and nothing that outlives a request has to
remember whose it was.
"""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup, TaskStatus
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from hutch.config import OWNER
from hutch.web.guard import caller
from hutch_mcp_tools.server import build_server
from hutch_mcp_tools.service import SandboxService


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether the SDK's log has something to say about us: a client that went away is none of our errors."""
    return not (record.exc_info and isinstance(record.exc_info[1], ClientDisconnect))


logging.getLogger("mcp.server.streamable_http").addFilter(_is_ours)


class McpServers:
    """An ASGI application behind the guard, which says who calls.

    A server takes some 50 ms to build, so that of a principal is built at its first call.
    """

    def __init__(
        self, services: Mapping[str, SandboxService], agents: Mapping[str, SandboxService], *, version: str
    ) -> None:
        """`services` by callers; `agents`: those of them who call out of sandboxes, while they live."""
        self._services = services
        self._agents = agents
        self._version = version
        self._apps: dict[str, ASGIApp] = {}
        self._ending: dict[str, anyio.CancelScope] = {}
        self._building = anyio.Lock()
        self._tasks: TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Serve for the length of the block."""
        async with anyio.create_task_group() as self._tasks:
            await self._app(OWNER)
            yield
            self._tasks.cancel_scope.cancel()

    def forget(self, caller: str) -> None:
        """End the server of a caller who is gone, and whatever waits on it."""
        self._apps.pop(caller, None)
        if (ending := self._ending.pop(caller, None)) is not None:
            ending.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = await self._app(caller(scope))
        await app(scope, receive, send)

    async def _app(self, caller: str) -> ASGIApp:
        async with self._building:
            if caller not in self._apps:
                assert self._tasks is not None
                await self._tasks.start(self._run, caller)
        return self._apps[caller]

    async def _run(self, caller: str, *, task_status: TaskStatus[None]) -> None:
        is_agents = caller in self._agents
        server = build_server(self._services[caller], version=self._version, is_agents=is_agents)
        # The guard checks Host and Origin for every route, so the SDK need not do it for one of them
        server.streamable_http_app(
            # A sandbox outlives us: its next call finds the next daemon, and one that we leave unanswered
            # fails at once; of a stream that broke off Claude Code went on waiting for the rest
            stateless_http=is_agents,
            json_response=is_agents,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )
        with anyio.CancelScope() as self._ending[caller]:
            async with server.session_manager.run():
                self._apps[caller] = StreamableHTTPASGIApp(server.session_manager)
                task_status.started()
                await anyio.sleep_forever()
