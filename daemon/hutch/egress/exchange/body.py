"""A request's body, whose beginning may be looked at before it is sent on."""

from collections import deque
from collections.abc import Awaitable, Callable

import anyio
import h11
from anyio import BrokenResourceError

from hutch.egress.exchange.link import BROKEN, Link

_WAITS_S = 1.0  # a client that has gone after so long is waited for in vain

AskFor = Callable[[], Awaitable[None]]


class GoneError(Exception):
    """The client has gone: what it asked is not sent on."""


class Body:
    """Of one request, as its parts come."""

    def __init__(self, client: Link) -> None:
        self._client = client
        self._held: deque[bytes] = deque()
        self._is_all_here = False

    async def look(self, size: int, ask_for: AskFor) -> tuple[bytes, bool]:
        """Return `size` bytes or a little more, unless it has less, and whether that is all of it.

        `ask_for` is called first where the client waits to be asked for it. Raises GoneError.
        """
        seen = bytearray()
        if size and self._client.http.they_are_waiting_for_100_continue:
            await ask_for()
        while len(seen) < size and not self._is_all_here:
            try:
                data = await self._take()
            except BROKEN as error:
                raise GoneError from error
            if data is not None:
                self._held.append(data)
                seen += data
        return bytes(seen), self._is_all_here

    async def next(self) -> bytes | None:
        """Return the next part; None: there is no more. Raises what `BROKEN` names."""
        if self._held:
            return self._held.popleft()
        return None if self._is_all_here else await self._take()

    async def _take(self) -> bytes | None:
        part = await self._client.next()
        if isinstance(part, h11.Data):
            return bytes(part.data)
        self._is_all_here = True
        return None

    async def until_gone(self) -> None:
        """Return when a client whose request is all here has gone; never, where it says something else."""
        await anyio.sleep(_WAITS_S)
        if self._is_all_here:
            try:
                data = await self._client.read()
            except BrokenResourceError:
                return
            self._client.http.receive_data(data)
            if not data:
                return
        await anyio.sleep_forever()
