"""Carries requests of one connection to the judged host and its answers back, one at a time, as they come.

What was parsed is what is sent: no byte of a head is copied, so nobody can read another request in it. To
each connection of a client belongs one to the server; when either is over, so is the other.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import anyio
import h11
from anyio import BrokenResourceError, CancelScope, current_time
from anyio.abc import ByteStream

from hutch.egress.exchange.body import Body, GoneError
from hutch.egress.exchange.chain import Chain, begin
from hutch.egress.exchange.heads import (
    Place,
    RefusedHeadError,
    read_reply,
    read_request,
    sent_reply,
    sent_request,
    sent_upgrade,
)
from hutch.egress.exchange.link import BROKEN, Link
from hutch.egress.exchange.steps import Answer, Reply, Step
from hutch.errors import HutchError

HEAD_S = 30.0  # for a request's head, once it has begun
KEPT_S = 300.0  # between two requests
IDLE_S = 900.0  # without a byte either way within one; a model may think for minutes before it answers
DRAIN_S = 5.0  # for what a client still sends of a request that is not sent on
DRAIN_BYTES = 8 << 20

_CONTINUE, _SWITCHING = 100, 101

Connect = Callable[[], Awaitable[ByteStream]]  # raises UnreachedError


class Notes(Protocol):
    """Takes note of what becomes of requests."""

    def refuse(self, told: str) -> None: ...
    def use(self, secrets: tuple[str, ...]) -> None: ...


class UnreachedError(Exception):
    """The server is not reached; `told` says why to a person."""

    @property
    def told(self) -> str:
        return str(self)


class Conversation:
    """One client's connection, whose requests are all for one host."""

    def __init__(
        self, client: ByteStream, place: Place, steps: tuple[Step, ...], connect: Connect, notes: Notes
    ) -> None:
        self._client = Link(client, h11.SERVER)
        self._server: Link | None = None
        self._place = place
        self._steps = steps
        self._connect = connect
        self._notes = notes
        self._is_head = False  # what is asked has an answer without a body
        self._is_sent = False  # all of the request
        self._waits = False  # the client, to be asked for its body

    async def run(self) -> None:
        """Serve it to its end. Raises UnreachedError once the client was told."""
        with suppress(*BROKEN):
            while (event := await self._next_request()) is not None:
                if not await self._serve(event):
                    return

    async def _next_request(self) -> h11.Request | None:
        """Wait for a head; None: there will be none."""
        come: list[object] = []
        async with anyio.create_task_group() as waiting:
            if self._server is not None:
                waiting.start_soon(self._watch, self._server, waiting.cancel_scope)
            come.append(await self._head())
            waiting.cancel_scope.cancel()
        for head in come:
            if isinstance(head, h11.RemoteProtocolError):
                why = f"it is not HTTP/1.1 as it is read here: {head}"
                await self._answer(Answer(head.error_status_hint, b"", why=why))
            if isinstance(head, h11.Request):
                return head
        return None

    async def _head(self) -> object:
        """Return a request's head, or the fault in it; None: it was not waited for any longer."""
        with suppress(BrokenResourceError):
            if not self._client.is_begun:
                with anyio.move_on_after(KEPT_S) as kept:
                    await self._client.take()
                if kept.cancelled_caught:
                    return None
            with anyio.move_on_after(HEAD_S):
                try:
                    return await self._client.next()
                except h11.RemoteProtocolError as error:
                    return error
        return None

    async def _watch(self, server: Link, waiting: CancelScope) -> None:
        """End the wait for a request when the server ends its connection: the client makes a new one."""
        with suppress(BrokenResourceError):
            await server.read()
        waiting.cancel()

    async def _serve(self, event: h11.Request) -> bool:
        """Carry one request and its answer; whether another may follow."""
        self._is_head = event.method == b"HEAD"
        self._waits = self._client.http.they_are_waiting_for_100_continue
        try:
            chain = await begin(self._steps, read_request(event, self._place))
        except RefusedHeadError as error:
            await self._answer(Answer(error.status, b"", why=error.told))
            return False  # where it ends is not known for sure
        except HutchError as error:
            chain = Answer(503, b"", why=f"{error.code}: {error.message}")
        if isinstance(chain, Answer):
            return await self._answer(chain)
        body = Body(self._client)
        try:
            if (answer := await self._judge(chain, body)) is not None:
                return await self._answer(answer)
            self._notes.use(chain.secrets)
            return await self._carry(event, chain, body)
        except GoneError:
            return False
        finally:
            chain.end()

    async def _judge(self, chain: Chain, body: Body) -> Answer | None:
        """Have the steps see what they need of the body while the client waits. Raises GoneError."""
        judged: list[Answer | None] = []
        with anyio.move_on_after(IDLE_S) as idle:
            seen, is_whole = await body.look(chain.looks_at, self._ask_for_body)
        if idle.cancelled_caught:
            raise GoneError
        async with anyio.create_task_group() as waiting:

            async def watch() -> None:
                await body.until_gone()
                waiting.cancel_scope.cancel()

            waiting.start_soon(watch)
            try:
                judged.append(await chain.judge(seen, is_whole=is_whole))
            except HutchError as error:
                judged.append(Answer(503, b"", why=f"{error.code}: {error.message}"))
            waiting.cancel_scope.cancel()
        if not judged:
            raise GoneError
        return judged[0]

    async def _ask_for_body(self) -> None:
        self._waits = False
        await self._client.send(h11.InformationalResponse(status_code=_CONTINUE, headers=[]))

    async def _carry(self, event: h11.Request, chain: Chain, body: Body) -> bool:
        is_first = self._server is None
        if self._server is None:
            try:
                self._server = Link(await self._connect(), h11.CLIENT)
            except UnreachedError as error:
                await self._answer(Answer(502, b"", why=error.told))
                raise
        server, self._is_sent, is_answered = self._server, False, False
        with CancelScope() as idle:
            idle.deadline = current_time() + IDLE_S
            async with anyio.create_task_group() as both:
                both.start_soon(self._outward, server, event, chain, body, idle)
                with suppress(BrokenResourceError):  # the client has gone
                    reply = await self._inward(server, chain, idle)
                    is_answered = reply is not None
                    if reply is not None and reply.status == _SWITCHING:
                        await self._tunnel(server, chain, idle)
                both.cancel_scope.cancel()
        if is_first and not is_answered:  # else the client makes a new connection, as it would without us
            await self._answer(Answer(502, b"", why=f"{self._place.host} gave no answer"))
        # An answer may come before all of its request was sent: nothing may follow that
        if self._is_sent and chain.is_whole:
            return self._client.next_cycle() and server.next_cycle()
        await self._drain()
        return False

    async def _outward(
        self, server: Link, event: h11.Request, chain: Chain, body: Body, idle: CancelScope
    ) -> None:
        """Send the request as its parts come; what the server does not take any more is its own to answer."""
        with suppress(BrokenResourceError):
            await server.send(sent_request(chain.request, event, self._place, chain.exchanges))
            while True:
                try:
                    part = await body.next()
                except BROKEN:
                    idle.cancel()
                    return
                idle.deadline = current_time() + IDLE_S
                if part is None:
                    break
                self._waits = False
                if data := chain.send(part):
                    await server.send(h11.Data(data))
            if data := chain.send_end():
                await server.send(h11.Data(data))
            await server.send(h11.EndOfMessage())
            self._is_sent = True

    async def _inward(self, server: Link, chain: Chain, idle: CancelScope) -> Reply | None:
        """Pass the answer on; None: the server gave none."""
        reply = None
        with suppress(h11.RemoteProtocolError):
            reply = await self._reply(server, chain, idle)
            if reply is not None and reply.status != _SWITCHING:
                await self._body(server, chain, idle)
        return reply

    async def _reply(self, server: Link, chain: Chain, idle: CancelScope) -> Reply | None:
        """Pass on the answer's head, and before it that the body is waited for."""
        while True:
            try:
                event = await server.next()
            except BrokenResourceError:
                return None
            idle.deadline = current_time() + IDLE_S
            if isinstance(event, h11.Response):
                reply = chain.reply(read_reply(event))
                await self._client.send(sent_reply(reply, event, chain.exchanges))
                return reply
            if not isinstance(event, h11.InformationalResponse):
                return None  # it ended the connection
            if event.status_code == _SWITCHING:
                reply = chain.reply(read_reply(event))
                await self._client.send(sent_upgrade(reply))
                return reply
            if event.status_code == _CONTINUE:
                await self._ask_for_body()

    async def _body(self, server: Link, chain: Chain, idle: CancelScope) -> None:
        while isinstance(event := await server.next(), h11.Data):
            idle.deadline = current_time() + IDLE_S
            if data := chain.receive(bytes(event.data)):
                await self._client.send(h11.Data(data))
        if isinstance(event, h11.EndOfMessage):
            if data := chain.receive_end():
                await self._client.send(h11.Data(data))
            await self._client.send(h11.EndOfMessage())
            chain.is_whole = True

    async def _tunnel(self, server: Link, chain: Chain, idle: CancelScope) -> None:
        """Carry what is spoken after an upgrade until one side ends."""

        async def pump(source: Link, sink: Link, tap: Callable[[bytes], bytes]) -> None:
            data = source.rest
            with suppress(BrokenResourceError):
                while data or (data := await source.read()):
                    idle.deadline = current_time() + IDLE_S
                    if passed := tap(data):
                        await sink.stream.send(passed)
                    data = b""
            both.cancel_scope.cancel()

        async with anyio.create_task_group() as both:
            both.start_soon(pump, self._client, server, chain.send)
            both.start_soon(pump, server, self._client, chain.receive)
        chain.is_whole = True

    async def _answer(self, answer: Answer) -> bool:
        """Answer in the server's place; whether another request may follow."""
        if self._client.http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return False  # its answer has begun
        self._notes.refuse(answer.why)
        body = answer.body or f"hutch: {answer.why}\n".encode()
        headers = [(b"Content-Type", answer.content_type), (b"Content-Length", str(len(body)).encode())]
        await self._client.send(h11.Response(status_code=answer.status, headers=headers, reason=b""))
        if not self._is_head:
            await self._client.send(h11.Data(body))
        await self._client.send(h11.EndOfMessage())
        await self._drain()
        return self._client.next_cycle()

    async def _drain(self) -> None:
        """Take what the client still sends: a connection that is closed before loses the answer for it."""
        size = DRAIN_BYTES if self._waits else 0  # it was not asked for it
        with anyio.move_on_after(DRAIN_S), suppress(*BROKEN):
            while self._client.http.their_state is h11.SEND_BODY and size < DRAIN_BYTES:
                part = await self._client.next()
                size += len(part.data) if isinstance(part, h11.Data) else 0
