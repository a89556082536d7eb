"""The streams that tell open pages of changes."""

import anyio
import pytest

from hutch.web.page import live
from hutch.web.page.live import MOST, Live
from hutch_mcp_tools.service import ServiceError


async def test_a_page_is_told_of_each_change_until_nobody_may_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_LOOK_S", 0.001)
    marks = iter(["a", "a", "b", "b", "a", None])

    async def look() -> str | None:
        return next(marks)

    told = [text async for text in Live(anyio.Event()).changes("a", look)]
    assert told == ["retry: 2000\n\n", "data: changed\n\n", "data: changed\n\n"]


async def test_a_stream_ends_with_what_it_tells_of() -> None:
    async def look() -> str:
        raise ServiceError("run_unknown", "no run is called so")

    assert [text async for text in Live(anyio.Event()).changes("", look)] == ["retry: 2000\n\n"]


async def test_a_daemon_that_ends_waits_for_no_page() -> None:
    leaving = anyio.Event()

    async def look() -> str:
        leaving.set()
        return "a"

    with anyio.fail_after(30):
        assert [text async for text in Live(leaving).changes("a", look)] == ["retry: 2000\n\n"]


async def test_so_many_pages_are_told_and_no_more() -> None:
    streams = Live(anyio.Event())

    async def look() -> str:
        return "a"

    opened = [streams.changes("a", look) for _ in range(MOST)]
    assert streams.has_room
    for stream in opened:
        await anext(stream)
    assert not streams.has_room
    await opened[0].aclose()
    assert streams.has_room
    for stream in opened:
        await stream.aclose()
