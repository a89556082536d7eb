"""Exchanges: what a client asked is what the server gets, what is ambiguous is refused, over real TLS."""

import anyio
import pytest
from anyio.abc import ByteStream

from hutch.egress.exchange import Answer, Exchange, Request, http
from support.exchange_steps import Looking
from support.exchange_world import HOST, Server, read_all, world

GET = b"GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"


def head_and_body(answer: bytes) -> tuple[bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize("is_tls", [True, False])
async def test_a_request_and_its_answer_pass_and_every_step_sees_them(is_tls: bool) -> None:
    server, step = Server(headers=[("Content-Length", "5")]), Looking()
    async with world(server, [step], is_tls=is_tls) as here:
        own = GET.replace(b"Connection", b"X-Own: 1\r\nContent-Length: 2\r\nConnection")
        head, body = head_and_body(await here.ask(own.replace(b"GET /", b"POST /a?b=c") + b"hi"))
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b"hello"
    (seen,) = server.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/a?b=c", b"hi")
    assert seen.headers == {"host": f"{HOST}:{here.port}", "x-own": "1", "content-length": "2"}
    assert step.events == [("POST", "/a?b=c"), b"hi", 200, b"hello", True]
    assert here.bytes_in > 5
    assert here.bytes_out > 2


async def test_one_connection_carries_many_requests() -> None:
    server = Server(headers=[("Content-Length", "5")])
    async with world(server, [Looking()]) as here:
        asked = GET.replace(b"Connection: close\r\n", b"") * 3 + GET  # all at once: pipelined
        answer = await here.ask(asked)
    assert answer.count(b"HTTP/1.1 200") == 4
    assert (len(server.seen), server.connections) == (4, 1)


async def test_a_stream_passes_piece_by_piece() -> None:
    gone_on = anyio.Event()

    async def stream_slowly(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await gone_on.wait()
        await stream.send(b"3\r\ntwo\r\n0\r\n\r\n")

    async with world(stream_slowly, [Looking()]) as here, here.dial() as client:
        await client.send(GET.replace(b"HOST", f"{HOST}:{here.port}".encode()))
        data = b""
        while b"one" not in data:
            data += await client.receive()
        gone_on.set()
        assert (data + await read_all(client)).endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


async def test_a_body_is_sent_only_once_the_server_asked_for_it() -> None:
    server = Server(headers=[("Content-Length", "5")])
    async with world(server, [Looking()]) as here, here.dial() as client:
        asked = GET.replace(b"GET", b"PUT").replace(
            b"Conn", b"Expect: 100-continue\r\nContent-Length: 4\r\nConn"
        )
        await client.send(asked.replace(b"HOST", f"{HOST}:{here.port}".encode()))
        assert b"100" in (await client.receive()).splitlines()[0]
        await client.send(b"body")
        assert (await read_all(client)).endswith(b"hello")
    assert server.seen[0].body == b"body"


async def test_answers_without_a_body_have_none() -> None:
    server = Server(headers=[("Content-Length", "5")])
    async with world(server, [Looking()]) as here:
        head, body = head_and_body(await here.ask(GET.replace(b"GET", b"HEAD")))
        assert b"content-length: 5" in head.lower()
        assert not body
        server.status, server.headers, server.body = 304, [("ETag", "x")], ()
        head, body = head_and_body(await here.ask(GET))
        assert head.startswith(b"HTTP/1.1 304")
        assert not body


async def test_a_websocket_becomes_a_tunnel() -> None:
    async def upgrade(stream: ByteStream) -> None:
        asked = await stream.receive()
        assert b"permessage-deflate" not in asked
        await stream.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nFRAME"
        )
        await stream.send((await stream.receive()).upper())

    asked = (
        b"GET /ws HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    )
    async with world(upgrade, [step := Looking()]) as here, here.dial() as client:
        await client.send(asked.replace(b"HOST", f"{HOST}:{here.port}".encode()))
        data = b""
        while not data.endswith(b"FRAME"):
            data += await client.receive()
        await client.send(b"frame 2")
        assert await read_all(client) == b"FRAME 2"
    assert step.events == [("GET", "/ws"), 101, b"FRAME", b"frame 2", b"FRAME 2", True]


async def test_another_upgrade_is_not_asked_for() -> None:
    server = Server(headers=[("Content-Length", "5")])
    asked = GET.replace(
        b"Connection: close",
        b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: x",
    )
    async with world(server, [Looking()]) as here:
        assert (await here.ask(asked)).endswith(b"hello")
    assert server.seen[0].headers == {"host": f"{HOST}:{here.port}"}


POST = b"POST / HTTP/1.1\r\nHost: HOST\r\n"
AMBIGUOUS = {
    "two lengths": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "lengths that differ": POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "another coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding in 1.0": POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n",
    "no host": b"GET / HTTP/1.0\r\n\r\n",
    "another host": b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "another port": b"GET / HTTP/1.1\r\nHost: localhost:1\r\n\r\n",
    "a final dot": b"GET / HTTP/1.1\r\nHost: localhost.\r\n\r\n",
    "absolute form of another": b"GET https://evil.example/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "user in the target": b"GET https://me@HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost: HOST\r\nContent-Length : 4\r\n\r\nabcd",
    "a fragment": b"GET /#x HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "a tunnel within": b"CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "another method": POST + b"X-HTTP-Method-Override: DELETE\r\nContent-Length: 0\r\n\r\n",
    "another path": b"GET / HTTP/1.1\r\nHost: HOST\r\nx-original-url: /admin\r\n\r\n",
    "an echo": b"TRACE / HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a head without end": b"GET / HTTP/1.1\r\nHost: HOST\r\nX: " + b"x" * 70_000,
    "a bare carriage return": b"GET / HTTP/1.1\r\nHost: HOST\r\nX: a\rb\r\n\r\n",
    "a NUL": b"GET / HTTP/1.1\r\nHost: HOST\r\nX: a\0b\r\n\r\n",
}


@pytest.mark.parametrize("asked", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_what_could_be_read_twice_is_refused_and_the_server_never_asked(asked: bytes) -> None:
    server = Server()
    async with world(server, [Looking()]) as here:
        answer = await here.ask(asked + GET)
    assert int(answer.split()[1]) in (400, 405, 421, 431, 501)
    assert server.connections == 0


async def test_a_step_may_answer_itself_and_the_connection_goes_on() -> None:
    class Refusing(Looking):
        async def begin(self, request: Request) -> Exchange | Answer:
            return Exchange(request) if request.target == "/" else Answer(403, b"no such rule")

    server, first = Server(headers=[("Content-Length", "5")]), Looking()
    asked = b"POST /x HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\n\r\nabc" + GET
    async with world(server, [first, Refusing()]) as here:
        answer = await here.ask(asked)
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"no such rule" in answer
    assert answer.endswith(b"hello")
    assert [seen.target for seen in server.seen] == ["/"]
    assert first.events[:2] == [("POST", "/x"), False]


async def test_who_waits_to_be_asked_for_a_body_is_answered_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "DRAIN_S", 1000.0)

    class Refusing(Looking):
        async def begin(self, request: Request) -> Exchange | Answer:
            return Answer(403, b"no")

    asked = GET.replace(b"GET", b"PUT").replace(b"Conn", b"Expect: 100-continue\r\nContent-Length: 4\r\nConn")
    async with world(Server(), [Refusing()]) as here:
        assert (await here.ask(asked)).startswith(b"HTTP/1.1 403")


async def test_a_cut_answer_is_cut_for_the_client_too() -> None:
    async def cut(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    async with world(cut, [step := Looking()]) as here:
        head, body = head_and_body(await here.ask(GET))
    assert b"content-length: 100" in head.lower()
    assert body == b"half"
    assert step.events[-1] is False


async def test_a_server_that_hangs_up_is_told_of() -> None:
    async def hang_up(stream: ByteStream) -> None:
        await stream.receive()

    async with world(hang_up, [Looking()]) as here:
        assert (await here.ask(GET)).startswith(b"HTTP/1.1 502")


async def test_an_early_answer_to_a_long_request_arrives() -> None:
    async def refuse(stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await read_all(stream)

    asked = b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000
    async with world(refuse, [Looking()]) as here:
        assert (await here.ask(asked)).startswith(b"HTTP/1.1 413")


async def test_large_bodies_pass_both_ways() -> None:
    server = Server(body=[b"y" * (1 << 20)] * 4)
    async with world(server, [Looking()]) as here:
        asked = b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 2097152\r\nConnection: close\r\n\r\n"
        async with here.dial() as client:
            await client.send(asked.replace(b"HOST", f"{HOST}:{here.port}".encode()))
            await client.send(b"x" * (2 << 20))
            answer = await read_all(client)
    assert len(server.seen[0].body) == 2 << 20
    assert answer.count(b"y") == 4 << 20


@pytest.mark.parametrize("from_server", [False, True])
async def test_others_are_served_between_the_pieces_of_a_body(*, from_server: bool) -> None:
    pieces = 2000
    chunked = [("Transfer-Encoding", "chunked")]
    server = Server(headers=chunked, body=[b"a"] * pieces) if from_server else Server()
    asked = b"GET / HTTP/1.1\r\nHost: HOST\r\n" if from_server else POST + b"Transfer-Encoding: chunked\r\n"
    body = b"" if from_server else b"1\r\na\r\n" * pieces + b"0\r\n\r\n"
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with world(server, [Looking()]) as here, anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        answer = await here.ask(asked + b"Connection: close\r\n\r\n" + body)
        tasks.cancel_scope.cancel()
    assert answer.startswith(b"HTTP/1.1 200")
    assert turns > pieces
