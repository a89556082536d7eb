"""The steps of one request, one behind the other."""

from collections.abc import Sequence

from hutch.egress.exchange.steps import Answer, Exchange, Reply, Request, Step


async def begin(steps: Sequence[Step], request: Request) -> "Chain | Answer":
    """Let every step look at a request; the first that answers it is the last that sees it."""
    exchanges: list[Exchange] = []
    try:
        for step in steps:
            begun = await step.begin(request)
            if isinstance(begun, Answer):
                _end(exchanges, is_whole=False)
                return begun
            exchanges.append(begun)
            request = begun.request
    except BaseException:
        _end(exchanges, is_whole=False)
        raise
    return Chain(request, exchanges)


class Chain:
    """What the steps make of one request and its answer."""

    def __init__(self, request: Request, exchanges: list[Exchange]) -> None:
        self.request = request
        self.exchanges = exchanges
        self.is_whole = False  # the whole answer came

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of those that were put into the request."""
        return tuple(name for each in self.exchanges for name in each.secrets)

    @property
    def looks_at(self) -> int:
        """How many bytes of the request's body some step has to see before the server is asked."""
        return max((each.looks_at for each in self.exchanges), default=0)

    async def judge(self, body: bytes, *, is_whole: bool) -> Answer | None:
        for each in self.exchanges:
            if (answer := await each.judge(body, is_whole=is_whole)) is not None:
                return answer
        return None

    def send(self, data: bytes) -> bytes:
        for each in self.exchanges:
            data = each.send(data)
        return data

    def send_end(self) -> bytes:
        rest = b""
        for each in self.exchanges:
            rest = (each.send(rest) if rest else b"") + each.send_end()
        return rest

    def reply(self, reply: Reply) -> Reply:
        for each in reversed(self.exchanges):
            reply = each.reply(reply)
        return reply

    def receive(self, data: bytes) -> bytes:
        for each in reversed(self.exchanges):
            data = each.receive(data)
        return data

    def receive_end(self) -> bytes:
        rest = b""
        for each in reversed(self.exchanges):
            rest = (each.receive(rest) if rest else b"") + each.receive_end()
        return rest

    def end(self) -> None:
        _end(self.exchanges, is_whole=self.is_whole)


def _end(exchanges: Sequence[Exchange], *, is_whole: bool) -> None:
    for each in exchanges:
        each.end(is_whole=is_whole)
