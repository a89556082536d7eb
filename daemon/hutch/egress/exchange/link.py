"""One side of an exchange: a parser of HTTP/1.1 over a stream of bytes."""

import h11
from anyio import BrokenResourceError, EndOfStream, lowlevel
from anyio.abc import ByteStream

MAX_HEAD = 64 << 10  # bytes, of a request's or an answer's; a chunk's own head is far below


class Link:
    """Reads and writes events; raises h11.RemoteProtocolError, BrokenResourceError."""

    def __init__(self, stream: ByteStream, role: type[h11.CLIENT | h11.SERVER]) -> None:
        self.stream = stream
        self.http = h11.Connection(role, max_incomplete_event_size=MAX_HEAD)
        self.is_begun = False  # something came of the message that is awaited

    async def next(self) -> object:
        """Wait for the next event. The other side's end is `h11.ConnectionClosed`, where it may end."""
        await lowlevel.checkpoint()  # a body in thousands of pieces must not hold the loop
        while (event := self.http.next_event()) is h11.NEED_DATA:
            await self.take()
        return event

    async def take(self) -> None:
        """Wait for bytes and give them to the parser."""
        data = await self.read()
        self.is_begun = self.is_begun or bool(data)
        self.http.receive_data(data)

    async def read(self) -> bytes:
        """Return what comes; empty at the other side's end."""
        try:
            return await self.stream.receive()
        except EndOfStream:
            return b""

    async def send(self, event: h11.Event) -> None:
        if data := self.http.send(event):
            await self.stream.send(data)

    def next_cycle(self) -> bool:
        """Go on to another request; whether this connection is good for one."""
        if self.http.our_state is not h11.DONE or self.http.their_state is not h11.DONE:
            return False
        self.http.start_next_cycle()
        self.is_begun = bool(self.http.trailing_data[0])
        return True

    @property
    def rest(self) -> bytes:
        """What was read and is no HTTP."""
        return self.http.trailing_data[0]


BROKEN = (BrokenResourceError, h11.RemoteProtocolError)
