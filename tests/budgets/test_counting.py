"""What answers of models used is counted, whatever becomes of them."""

import json

import pytest
from anyio.abc import ByteStream

from support.budget_house import ASK, CENT, MESSAGE, USAGE, House, statuses, usd
from support.exchange_world import HOST, Server


async def test_what_answers_used_is_summed_in_the_ledger(house: House) -> None:
    async with house.asking(Server(body=[MESSAGE[:20], MESSAGE[20:]])) as here:
        assert await statuses(here, 3) == [200] * 3
    (row,) = await house.rows()
    assert (row.host, row.model, row.requests) == (HOST, "model", 3)
    assert (row.input_tokens, row.output_tokens, row.cost_usd) == (2700, 300, 3 * CENT)
    assert (row.incomplete, row.unpriced, row.charged_usd) == (0, 0, 3 * CENT)


async def test_a_server_is_asked_for_answers_that_can_be_read(house: House) -> None:
    server = Server(body=[MESSAGE])
    ask = ASK.replace(b"Host", b"Accept-Encoding: gzip, br\r\nHost")
    async with house.asking(server) as here:
        assert await statuses(here, 1, ask) == [200]
    assert {k.lower(): v for k, v in server.seen[0].headers.items()}["accept-encoding"] == "identity"


async def test_refusals_and_counting_tokens_use_nothing(house: House) -> None:
    async with house.asking(Server(body=[MESSAGE], status=529)) as here:
        assert await statuses(here, 1) == [529]
    async with house.asking(Server(body=[b'{"input_tokens": 9}'])) as here:
        free = ASK.replace(b"messages", b"messages/count_tokens")
        assert await statuses(here, 1, free) == [200]
    assert await house.rows() == []


async def test_an_answer_that_breaks_off_is_a_lower_bound_and_is_charged_by_its_size(house: House) -> None:
    start = b'data: {"object": "chat.completion.chunk", "model": "model"}\n\n'
    chunk = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
    ask = ASK.replace(b"messages", b"chat/completions").replace(
        b" 2\r\n\r\n{}", b" 8000\r\n\r\n" + b"x" * 8000
    )
    async with house.asking(Server(body=[start, chunk * 100])) as here:
        assert await statuses(here, 1, ask) == [200]
    (row,) = await house.rows()
    assert (row.model, row.requests, row.incomplete, row.input_tokens) == ("model", 1, 1, 0)
    assert row.charged_tokens > 1000
    assert row.charged_usd > row.cost_usd == 0


class _Breaking(Server):
    """Says more than it has."""

    async def __call__(self, stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + b"".join(self.body))


STARTED = {"type": "message_start", "message": {"model": "model", "usage": USAGE | {"output_tokens": 1}}}
WRITTEN = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 40}}


@pytest.mark.parametrize(
    "body",
    [
        [f"data: {json.dumps(event)}\n\n".encode() for event in (STARTED, *[WRITTEN] * 100)],
        [b'{"model": "model", "content": [{"text": "' + b"x" * 4000],
    ],
    ids=["stream", "whole"],
)
async def test_who_hangs_up_before_the_sums_come_pays_for_what_he_has_read(
    house: House, body: list[bytes]
) -> None:
    async with house.asking(_Breaking(body=body)) as here:
        await here.ask(ASK.replace(b"messages", b"messages?beta=true"))
    (row,) = await house.rows()
    assert row.incomplete == 1
    assert 1000 <= row.charged_tokens - row.input_tokens <= 1100
    assert row.output_tokens < 10  # what is told of it stays what the answer said


async def test_an_answer_that_cannot_be_read_is_charged_to_the_model_that_was_asked(house: House) -> None:
    body = b'{"model":"model","x":"%s"}' % (b"x" * 8000)
    ask = ASK.replace(b" 2\r\n\r\n{}", b" %d\r\n\r\n%s" % (len(body), body))
    server = Server(body=[b"\x1f\x8b" * 100], headers=[("Content-Encoding", "gzip")])
    async with house.asking(server) as here:
        assert await statuses(here, 1, ask) == [200]
    (row,) = await house.rows()
    assert (row.model, row.incomplete) == ("model", 1)
    assert row.charged_usd > CENT


async def test_names_of_models_without_end_are_summed(house: House) -> None:
    server = Server()
    async with house.asking(server) as here:
        for number in range(35):
            server.body = [MESSAGE.replace(b'"model", "usage', b'"m%d", "usage' % number)]
            assert await statuses(here, 1) == [200]
    rows = await house.rows()
    assert len(rows) == 33
    assert sum(row.requests for row in rows) == 35


class _SilentOnce(Server):
    """Hangs up on the first request, as on a connection that was kept too long."""

    async def __call__(self, stream: ByteStream) -> None:
        if self.connections:
            await super().__call__(stream)
        else:
            self.connections += 1
            await stream.receive()


async def test_an_answer_that_never_came_leaves_the_price_of_its_model_known(house: House) -> None:
    asked = b'{"model": "claude-opus-4-5"}'
    ask = ASK.replace(b" 2\r\n\r\n{}", b" %d\r\n\r\n%s" % (len(asked), asked))
    server = _SilentOnce(body=[MESSAGE.replace(b'"model", "usage', b'"claude-opus-4-5", "usage')])
    async with house.asking(server, usd("1")) as here:
        assert await statuses(here, 2, ask) == [502, 200]
    assert house.spent == []
    (row,) = await house.rows()
    assert (row.requests, row.incomplete, row.unpriced) == (2, 1, 0)
