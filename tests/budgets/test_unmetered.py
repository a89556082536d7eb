"""What cannot be metered is refused where there is a budget, and what can be is, however it is spelled."""

from collections.abc import Sequence

import pytest

from hutch.budgets import Limit
from support.budget_house import ASK, MESSAGE, House, status, statuses, usd
from support.exchange_world import HOST, Server


async def test_a_websocket_to_a_metered_host_is_refused(house: House) -> None:
    asks = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: eA==\r\n\r\n"
    ask = b"GET /v1/realtime HTTP/1.1\r\nHost: HOST\r\n" + asks
    server = Server()
    async with house.asking(server) as here, here.dial() as stream:
        await stream.send(ask.replace(b"HOST", f"{HOST}:{here.port}".encode()))
        assert status(await stream.receive()) == 400
    assert server.seen == []


@pytest.mark.parametrize(("limits", "expected"), [((), 200), ((usd("1"),), 400)])
@pytest.mark.parametrize(
    "path",
    [
        "messages/batches",
        "messages/b%61tches",
        "messages/%2562atches",
        "messages%2Fbatches",
        "messages%5Cbatches",
        "x/../batches",
        "audio/speech",
        "images/generations",
        "videos",
    ],
)
async def test_what_nobody_sees_the_use_of_is_refused_where_there_is_a_budget(
    house: House, path: str, limits: Sequence[Limit], expected: int
) -> None:
    ask = ASK.replace(b"messages", path.encode())
    async with house.asking(Server(body=[b"{}"]), *limits) as here:
        assert await statuses(here, 1, ask) == [expected]


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"SEARCH"])
async def test_every_method_that_may_ask_a_model_is_metered(house: House, method: bytes) -> None:
    async with house.asking(Server(body=[MESSAGE]), Limit("asked", "run", requests=1)) as here:
        assert await statuses(here, 2, ASK.replace(b"POST", method)) == [200, 400]


async def test_an_escaped_path_asks_a_model_all_the_same(house: House) -> None:
    ask = ASK.replace(b"messages", b"m%65ssages")
    async with house.asking(Server(body=[MESSAGE]), Limit("asked", "run", requests=1)) as here:
        assert await statuses(here, 2, ask) == [200, 400]
    assert house.spent  # so the run ends
