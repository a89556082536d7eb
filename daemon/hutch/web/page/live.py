"""Tells an open page that what it shows is another now; the page then asks for it anew."""

import hashlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

import anyio

from hutch.web.page.logs import log_sizes
from hutch.web.page.overview import Seen
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.service import SandboxService, ServiceError

MOST = 32  # open pages that are told
_LOOK_S = 1.0
_AGES_S = 10  # how old a shown age may become, while something is at work
_PING_S = 15.0  # so that a connection whose other end is gone is noticed

Look = Callable[[], Awaitable[str | None]]


class Live:
    """Every stream of every open page."""

    def __init__(self, leaving: anyio.Event) -> None:
        """`leaving`: the daemon ends, and waits for no page."""
        self._leaving = leaving
        self._open = 0

    @property
    def has_room(self) -> bool:
        return self._open < MOST

    async def changes(self, seen: str, look: Look) -> AsyncGenerator[str]:
        """Yield server-sent events. `look` returns the mark of what there is now; None ends it."""
        self._open += 1
        try:
            yield "retry: 2000\n\n"
            said_at = time.monotonic()
            while (mark := await _looked(look)) is not None:
                if mark != seen:
                    seen, said_at = mark, time.monotonic()
                    yield "data: changed\n\n"
                elif time.monotonic() - said_at > _PING_S:
                    said_at = time.monotonic()
                    yield ": nothing new\n\n"
                with anyio.move_on_after(_LOOK_S):
                    await self._leaving.wait()
                    return
        finally:
            self._open -= 1


async def mark_of_run(service: SandboxService, run: RunRecord) -> str:
    """Return what is another when the page of a run would be."""
    return _mark(run.model_dump_json(exclude={"duration_s"}), await log_sizes(service, run), run.is_ended)


def mark_of_work(seen: Seen) -> str:
    """Return what is another when the first page would be."""
    runs = [run.model_dump_json(exclude={"duration_s"}) for run in seen.runs]
    rest = [record.model_dump_json() for record in (*seen.sessions, *seen.reviews)]
    return _mark(runs, rest, all(run.is_ended for run in seen.runs))


def _mark(told: object, more: object, is_over: bool) -> str:  # noqa: FBT001
    now = 0 if is_over else int(time.time() / _AGES_S)
    return hashlib.sha256(repr((told, more, now)).encode("utf-8", "surrogatepass")).hexdigest()[:16]


async def _looked(look: Look) -> str | None:
    try:
        return await look()
    except ServiceError:
        return None
