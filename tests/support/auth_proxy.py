"""Puts the token into every request: for checkers that cannot send one. Test only; the Host header stays."""

import socket
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

import anyio
import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@asynccontextmanager
async def with_token(url: str, token: str) -> AsyncGenerator[str]:
    """A URL on loopback that leads to `url`, the token added."""
    upstream = httpx2.URL(url)
    async with httpx2.AsyncClient(timeout=None, trust_env=False) as client:

        async def pass_on(request: Request) -> StreamingResponse:
            headers = [*_kept(request.headers.items()), ("authorization", f"Bearer {token}")]
            target = upstream.copy_with(path=request.url.path)
            sent = client.build_request(request.method, target, headers=headers, content=await request.body())
            answer = await client.send(sent, stream=True)

            async def body() -> AsyncGenerator[bytes]:
                try:
                    async for data in answer.aiter_raw():
                        yield data
                finally:
                    with anyio.CancelScope(shield=True):
                        await answer.aclose()

            return StreamingResponse(body(), answer.status_code, dict(_kept(answer.headers.items())))

        methods = ["GET", "POST", "DELETE", "PUT", "OPTIONS"]
        async with serving(Starlette(routes=[Route("/{path:path}", pass_on, methods=methods)])) as address:
            yield f"{address}{upstream.path}"


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncGenerator[str]:
    """The app on a free loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True


def _kept(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]
