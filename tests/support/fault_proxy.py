"""A proxy in front of a real HTTP server that does to its requests what a bad network or server does.

    async with fault_proxy(s3_server.url) as proxy:
        async with s3_store(s3_server, url=proxy.url) as store:
            proxy.latency_s = 1.0                                   # from now on
            proxy.faults = [Fault("answer_503", share=1 / 3)]       # of all requests, by the proxy's seed
            proxy.faults = [Fault("drop_response", is_put, times=1)]
            await proxy.stop()                                      # connections are refused, open ones cut
            await proxy.start()                                     # at the same port again
            proxy.asked                                             # every request that came, in order

It runs in the test's own event loop; a daemon in another process can use it as well. The first fault whose
`when`, `times` and `share` say so is done to a request; `proxy.faults` may be replaced at any time. It speaks
HTTP/1.1 without TLS and passes heads on as they are, for they are signed.
"""

import random
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import anyio
from anyio.abc import ByteSendStream, SocketStream, TaskGroup, TaskStatus
from anyio.streams.buffered import BufferedByteReceiveStream

from hutch.egress.sockets import accept

Kind = Literal[
    "answer_503",  # the server never hears of it
    "cut_request",  # the server gets `after` bytes of the body, then both connections end
    "cut_response",  # the client gets `after` bytes of the body, then both connections end
    "drop_response",  # the server does it, the client gets no answer
    "stall",  # nothing more is read or written
]

_END = b"\r\n\r\n"
_HEAD = 64 << 10
_PIECE = 64 << 10
_BROKEN = (
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    anyio.IncompleteRead,
    OSError,
)


@dataclass(frozen=True)
class Request:
    """What is known of a request before its body."""

    method: str
    target: str
    headers: dict[str, str]  # names in lower case


@dataclass
class Fault:
    """What is done to requests: those that `when` names, a random `share` of them, `times` at most."""

    kind: Kind
    when: Callable[[Request], bool] = lambda _: True
    times: int | None = None
    share: float = 1.0
    after: int = 1000
    done: int = 0  # how often it was


class FaultProxy:
    """See the module. `url` is the server's with the proxy's port."""

    def __init__(self, target: str, seed: int, tasks: TaskGroup) -> None:
        self._target = urlsplit(target)
        self._tasks = tasks
        self._random = random.Random(seed)
        self._kept = _kept_port()
        self._serving = anyio.CancelScope()
        self._ended = anyio.Event()
        self.latency_s = 0.0
        self.faults: list[Fault] = []
        self.asked: list[Request] = []

    @property
    def _port(self) -> int:
        return int(self._kept.getsockname()[1])

    @property
    def url(self) -> str:
        return self._target._replace(netloc=f"127.0.0.1:{self._port}").geturl()

    async def start(self) -> None:
        """Accept connections."""
        self._serving, self._ended = anyio.CancelScope(), anyio.Event()
        await self._tasks.start(self._listen)

    async def stop(self) -> None:
        """Cut every connection and refuse new ones."""
        self._serving.cancel()
        await self._ended.wait()

    async def _listen(self, *, task_status: TaskStatus[None]) -> None:
        # Not by anyio's listener: asyncio breaks where a client comes while one is waited for no more
        with self._serving, socket.create_server(("127.0.0.1", self._port)) as listener, ExitStack() as ours:
            listener.setblocking(False)
            async with anyio.create_task_group() as tasks:
                task_status.started()
                while True:
                    tasks.start_soon(self._serve, ours.enter_context(await accept(listener)))
        self._ended.set()

    async def _serve(self, sock: socket.socket) -> None:
        async with await SocketStream.from_socket(sock) as client:
            try:
                async with await anyio.connect_tcp(
                    str(self._target.hostname), self._target.port or 80
                ) as server:
                    reading, answers = BufferedByteReceiveStream(client), BufferedByteReceiveStream(server)
                    while await self._exchange(client, server, reading, answers):
                        pass
            except _BROKEN:
                return

    async def _exchange(
        self,
        client: SocketStream,
        server: SocketStream,
        reading: BufferedByteReceiveStream,
        answers: BufferedByteReceiveStream,
    ) -> bool:
        """One request and its answer; False: the connections end here."""
        head = await reading.receive_until(_END, _HEAD)
        request = _request(head)
        self.asked.append(request)
        fault = self._fault(request)
        if "expect" in request.headers:
            # The server is not asked whether it wants the body, so that a request has one answer
            head = b"\r\n".join(
                line for line in head.split(b"\r\n") if not line.lower().startswith(b"expect:")
            )
            await client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await anyio.sleep(self.latency_s)
        if fault and fault.kind == "stall":
            await anyio.sleep_forever()
        body = _body(reading, request.headers)
        if fault and fault.kind == "answer_503":
            await _relay(body, None)
            await client.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            return True
        await server.send(head + _END)
        if not await _relay(body, server, fault.after if fault and fault.kind == "cut_request" else None):
            return False
        return await self._answer(request, fault, client, answers)

    async def _answer(
        self, request: Request, fault: Fault | None, client: SocketStream, answers: BufferedByteReceiveStream
    ) -> bool:
        head = await answers.receive_until(_END, _HEAD)
        status = head.split(b" ", 2)[1]
        has_body = request.method != "HEAD" and status not in (b"204", b"304")
        body = _body(answers, _headers(head) if has_body else {})
        if fault and fault.kind == "drop_response":
            await _relay(body, None)
            return False
        await client.send(head + _END)
        return await _relay(body, client, fault.after if fault and fault.kind == "cut_response" else None)

    def _fault(self, request: Request) -> Fault | None:
        for fault in self.faults:
            if fault.times is not None and fault.done >= fault.times:
                continue
            if fault.when(request) and self._random.random() < fault.share:
                fault.done += 1
                return fault
        return None


@asynccontextmanager
async def fault_proxy(target: str, *, seed: int = 0) -> AsyncGenerator[FaultProxy]:
    """The proxy in front of the server at the URL `target`, started, without faults."""
    async with anyio.create_task_group() as tasks:
        proxy = FaultProxy(target, seed, tasks)
        with proxy._kept:
            await proxy.start()
            yield proxy
            tasks.cancel_scope.cancel()


def _kept_port() -> socket.socket:
    """Bound to a port that so is nobody else's while there is no listener."""
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    return kept


def is_put(request: Request) -> bool:
    """A write."""
    return request.method == "PUT"


def is_conditional(request: Request) -> bool:
    """A write under a condition."""
    return is_put(request) and bool({"if-match", "if-none-match"} & request.headers.keys())


def is_get(request: Request) -> bool:
    """A read or a list."""
    return request.method == "GET"


def _request(head: bytes) -> Request:
    method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
    return Request(method, target, _headers(head))


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def _body(reading: BufferedByteReceiveStream, headers: dict[str, str]) -> AsyncGenerator[bytes]:
    """Its bytes as they are on the wire."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while True:
            line = await reading.receive_until(b"\r\n", _HEAD)
            size = int(line.split(b";")[0], 16)
            yield line + b"\r\n" + await reading.receive_exactly(size + 2)
            if size == 0:
                return
    left = int(headers.get("content-length", "0"))
    while left:
        piece = await reading.receive(min(left, _PIECE))
        left -= len(piece)
        yield piece


async def _relay(body: AsyncGenerator[bytes], to: ByteSendStream | None, after: int | None = None) -> bool:
    """Pass it on, or only read it; False: `after` bytes of it were passed on and no more will be."""
    passed = 0
    async for piece in body:
        cut = piece if after is None else piece[: after - passed]
        if to:
            await to.send(cut)
        passed += len(cut)
        if after is not None and passed >= after:
            return False
    return True
