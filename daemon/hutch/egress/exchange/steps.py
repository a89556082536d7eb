"""What may be done to a request and its answer on their way: the steps of an exchange, given from outside.

A run has some steps, in an order. Each sees every exchange with every host that some step names: requests in
that order, answers in the reverse, so that the last step's changes to a request are seen by the server alone.

    class Meter:                                                 # a step of one run
        hosts = ("api.anthropic.com",)

        async def begin(self, request: Request) -> Exchange | Answer:
            if await self._budget.is_spent():
                return Answer(400, b"...")                       # the server is never asked
            return _Metered(request)                             # or Exchange(request): nothing to do

    class _Metered(Exchange):
        def reply(self, reply: Reply) -> Reply: ...              # look at its status and headers
        def receive(self, data: bytes) -> bytes: ...             # look at its body, as it comes
        def end(self, *, is_whole: bool) -> None: ...            # always called, once

All of them are called in the event loop and must be quick; only `begin` and `judge` may wait.
"""

from dataclasses import dataclass, field, replace
from typing import Protocol

Headers = tuple[tuple[bytes, bytes], ...]  # in their order; names as they were spelled


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request to a host that was judged. Its framing is not shown here: it follows the body."""

    host: str  # lower-case ASCII; the only name that its `Host` may say
    port: int
    is_tls: bool
    method: str
    target: str = field(repr=False)  # in origin form: "/v1/messages?beta=true"; a query may hold a secret
    headers: Headers = field(repr=False)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def values(self, name: bytes) -> tuple[bytes, ...]:
        """Return what every header of this name, in lower case, says."""
        return values_of(self.headers, name)

    def with_header(self, name: bytes, value: bytes) -> "Request":
        """Return it with this header once, in place of those of its name."""
        return replace(self, headers=_with(self.headers, name, value))


@dataclass(frozen=True, slots=True)
class Reply:
    """The head of a server's answer; `status` 101 begins a tunnel, whose bytes are seen as its body's."""

    status: int
    reason: bytes
    headers: Headers = field(repr=False)

    def values(self, name: bytes) -> tuple[bytes, ...]:
        """Return what every header of this name, in lower case, says."""
        return values_of(self.headers, name)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client is told instead of what a server would say."""

    status: int
    body: bytes
    content_type: bytes = b"text/plain; charset=utf-8"
    why: str = ""  # for the log: the rule that was missing, the budget that is spent


class Exchange:
    """One request and its answer in the eyes of one step. As it stands it changes nothing."""

    looks_at = 0  # bytes of the request's body that `judge` has to see
    resizes_request = False  # its `send` changes a body's length
    resizes_reply = False
    secrets: tuple[str, ...] = ()  # names of those that it put into the request, for the log

    def __init__(self, request: Request) -> None:
        self.request = request  # as it is to be sent on

    async def judge(self, body: bytes, *, is_whole: bool) -> Answer | None:
        """Look at the beginning of the body before the server is asked; an answer: it is not.

        It may have less of it than `looks_at` only where there is no more, and more where another step asked.
        """
        del body, is_whole
        return None

    def send(self, data: bytes) -> bytes:
        """Take a piece of the request's body; return what is sent on now."""
        return data

    def send_end(self) -> bytes:
        """Return what was held back of the request's body."""
        return b""

    def reply(self, reply: Reply) -> Reply:
        """Take the answer's head; return the one that is passed on."""
        return reply

    def receive(self, data: bytes) -> bytes:
        """Take a piece of the answer's body, transfer coding removed; return what is passed on now."""
        return data

    def receive_end(self) -> bytes:
        """Return what was held back of the answer's body."""
        return b""

    def end(self, *, is_whole: bool) -> None:
        """Take note that it is over; `is_whole`: the whole answer came."""


class Step(Protocol):
    """Something done to the exchanges of one run."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Whose exchanges it needs to see, as `read_origin` reads them: "api.x.org", "http://127.0.0.1:8787"."""

    async def begin(self, request: Request) -> Exchange | Answer:
        """Look at a request, whoever's host it goes to, before the server is asked."""


def values_of(headers: Headers, name: bytes) -> tuple[bytes, ...]:
    """Return what every header of this name, in lower case, says."""
    return tuple(value for key, value in headers if key.lower() == name)


def without(headers: Headers, *names: bytes) -> Headers:
    """Return the headers but those of these names, in lower case."""
    left_out = frozenset(names)  # a client may name thousands, in thousands of headers
    return tuple((key, value) for key, value in headers if key.lower() not in left_out)


def _with(headers: Headers, name: bytes, value: bytes) -> Headers:
    return (*without(headers, name.lower()), (name, value))
