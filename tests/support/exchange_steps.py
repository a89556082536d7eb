"""A step of exchanges that looks on."""

from collections.abc import Sequence

from hutch.egress.exchange import Answer, Exchange, Reply, Request
from support.exchange_world import HOST


class Looking:
    """A step that changes nothing, and says what it saw."""

    def __init__(self, hosts: Sequence[str] = (HOST,)) -> None:
        self.hosts = tuple(hosts)
        self.events: list[object] = []

    async def begin(self, request: Request) -> Exchange | Answer:
        self.events.append((request.method, request.target))
        return Seeing(request, self.events)


class Seeing(Exchange):
    def __init__(self, request: Request, events: list[object]) -> None:
        super().__init__(request)
        self.events = events

    def send(self, data: bytes) -> bytes:
        self.events.append(data)
        return data

    def reply(self, reply: Reply) -> Reply:
        self.events.append(reply.status)
        return reply

    def receive(self, data: bytes) -> bytes:
        self.events.append(data)
        return data

    def end(self, *, is_whole: bool) -> None:
        self.events.append(is_whole)
