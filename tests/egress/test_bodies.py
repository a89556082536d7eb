"""Bodies of requests that a step looks at before the server is asked."""

from dataclasses import dataclass, field

import pytest

from hutch.egress.exchange import Answer, Exchange, Request
from support.exchange_world import HOST, Server, world


@dataclass
class Judging:
    """A step that sees the beginning of every body before the server is asked."""

    size: int
    answer: Answer | None = None
    seen: list[tuple[int, bool]] = field(default_factory=list)
    hosts = (HOST,)

    async def begin(self, request: Request) -> Exchange:
        step = self

        class Judged(Exchange):
            looks_at = step.size

            async def judge(self, body: bytes, *, is_whole: bool) -> Answer | None:
                step.seen.append((len(body), is_whole))
                return step.answer

        return Judged(request)


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 200000\r\n", b"Content-Length: 200000\r\nExpect: 100-continue\r\n"],
    ids=["", "expects"],
)
@pytest.mark.parametrize(("size", "is_whole"), [(1 << 20, True), (1000, False)])
async def test_a_body_is_looked_at_and_sent_on_whole(head: bytes, size: int, is_whole: bool) -> None:
    server, step = Server(), Judging(size)
    async with world(server, [step]) as here:
        ask = b"POST / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n" + head + b"\r\n"
        answer = await here.ask(ask + b"x" * 200_000)
    assert b" 200 " in answer
    assert server.seen[0].body == b"x" * 200_000
    [(seen, was_whole)] = step.seen
    assert seen >= min(size, 200_000)
    assert was_whole is is_whole


async def test_what_is_refused_for_its_body_is_not_asked_and_another_may_follow() -> None:
    server, step = Server(), Judging(100, Answer(400, b"no"))
    ask = b"POST / HTTP/1.1\r\nHost: HOST\r\n%sContent-Length: 3\r\n\r\nabc"
    async with world(server, [step]) as here:
        answer = await here.ask(ask % b"" + ask % b"Connection: close\r\n")
    assert answer.count(b"HTTP/1.1 400") == 2
    assert step.seen == [(3, True)] * 2
    assert server.seen == []
