"""The step of a run's exchanges that meters: it asks the purse first, then reads what the answer used."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hutch.budgets.limits import Most
from hutch.budgets.purse import Purse
from hutch.budgets.records import Refused, Ticket
from hutch.egress.exchange import Answer, Exchange, Reply, Request
from hutch.egress.meter import (
    Api,
    Asked,
    Reader,
    Used,
    api_of,
    asked_in,
    is_free,
    is_unseen,
    model_in,
    refusal,
    sizes_of,
)
from hutch.origins import Origin

# Bytes to a token at most, of requests and of the events of answers: what budgets count where an answer does
# not say what it used
_SENT_BYTES = 8
_RECEIVED_BYTES = 400
# Of what a model writes, about: whoever hangs up before the sums come pays for what he has read
_TEXT_BYTES = 4
_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]{1,200})"')
_ASKS_NOTHING = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
_HEAD = 64 << 10  # bytes of a request, in which its model is looked for
# Bytes of a request that are held until it is judged, and of all requests of a run together
_BODY = 8 << 20
_BODIES = 64 << 20


class Meter:
    """Counts what models at metered hosts use, and refuses what there is no money for."""

    def __init__(self, purse: Purse, metered: Sequence[Origin]) -> None:
        self._purse = purse
        self._metered = tuple(metered)
        self._bodies = _Bodies()

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(str(origin) for origin in self._metered)

    async def begin(self, request: Request) -> Exchange | Answer:
        where = request.host, request.port
        if not any(origin.covers(*where, is_tls=request.is_tls) for origin in self._metered):
            return Exchange(request)
        if request.values(b"sec-websocket-key"):  # without one no server agrees to it (RFC 6455 §4.2.1)
            return _refused(request, f"{request.host} is metered, and a websocket to it cannot be")
        if request.method in _ASKS_NOTHING or is_free(request.path):
            return Exchange(request)
        if self._purse.is_bound and is_unseen(request.path):
            return _refused(request, "there is a budget, and what its answer used could not be seen")
        return _Metered(request, self._purse, self._bodies)


@dataclass(slots=True)
class _Bodies:
    """How much of requests is held at once while they are judged."""

    held: int = 0

    def take(self) -> int:
        """Return how much of one more may be looked at; nothing where too many are."""
        size = min(_BODY, _BODIES - self.held)
        self.held += size
        return size

    def give_back(self, size: int) -> None:
        self.held -= size


class _Metered(Exchange):
    """One request, until its answer is settled."""

    def __init__(self, request: Request, purse: Purse, bodies: _Bodies) -> None:
        super().__init__(request.with_header(b"accept-encoding", b"identity"))
        self._purse = purse
        self._bodies = bodies
        self.looks_at = self._claimed = bodies.take() if purse.is_bound else 0
        self._ticket: Ticket | None = None
        self._reader = Reader()
        self._status: int | None = None
        self._is_readable = True
        self._sent = 0
        self._asked = bytearray()
        self._received = 0

    async def judge(self, body: bytes, *, is_whole: bool) -> Answer | None:
        if not is_whole or self.request.values(b"content-encoding"):
            body = b""  # names no bound, as far as anybody can tell
        self._bodies.give_back(self._claimed - len(body))
        self._claimed = len(body)
        most = self._most(asked_in(self.request.path, body)) if self._purse.is_bound else Most()
        asks_model = api_of(self.request.path) is not None
        admitted = await self._purse.admit(most, asks_model=asks_model)
        if isinstance(admitted, Refused):
            return _refused(self.request, admitted.why)
        self._ticket = admitted
        return None

    def _most(self, asked: Asked) -> Most:
        """Return what the answer comes to at most."""
        host = self.request.host
        named = asked.most_input, asked.most_output
        reads, writes = (
            min((bound for bound in bounds if bound is not None), default=None)
            for bounds in zip(named, sizes_of(asked.model, host), strict=True)
        )
        if reads is None or writes is None:
            return Most()
        used = Used(
            asked.model,
            reads,
            writes * asked.answers,
            service_tier=asked.service_tier,
            speed=asked.speed,
        )
        cost = self._purse.prices.most_usd(used, host)
        return Most(cost, used.tokens, is_named=asked.most_output is not None)

    def send(self, data: bytes) -> bytes:
        self._sent += len(data)
        if len(self._asked) < _HEAD:
            self._asked += data[:_HEAD]
        return data

    def reply(self, reply: Reply) -> Reply:
        self._status = reply.status
        self._is_readable = all(coding == b"identity" for coding in reply.values(b"content-encoding"))
        return reply

    def receive(self, data: bytes) -> bytes:
        self._received += len(data)
        if self._is_readable:
            self._reader.feed(data)
        return data

    def end(self, *, is_whole: bool) -> None:
        self._bodies.give_back(self._claimed)
        if self._ticket is None:
            return  # it was not let through
        used = self._used(is_whole=is_whole)
        least = None
        if used is not None and not used.is_complete:
            used = replace(used, model=used.model or self._model())
            text = self._reader.text_bytes // _TEXT_BYTES
            received = max(self._received // _RECEIVED_BYTES, text, used.output_tokens)
            asked = used.input_tokens + used.cache_read_tokens + used.cache_write_tokens
            least = replace(used, output_tokens=received)
            if not asked:
                least = replace(least, input_tokens=self._sent // _SENT_BYTES)
        self._purse.settle(self._ticket, self.request.host, used, least)

    def _used(self, *, is_whole: bool) -> Used | None:
        """Return what the answer used; None: no model was at work."""
        is_asked = self._sent > 0 if self._status is None else self._status < 300
        if not is_asked:
            return None
        if used := self._reader.finish(is_whole=is_whole):
            return used
        if api_of(self.request.path) is None:
            return None  # something else than a question to a model, as far as anybody can tell
        return Used("", is_complete=False)

    def _model(self) -> str:
        """Return the model that is asked, as far as the request tells."""
        found = _MODEL.search(self._asked)
        return model_in(self.request.path) or (found[1].decode("utf-8", "replace") if found else "")


def _refused(request: Request, why: str) -> Answer:
    api = api_of(request.path)
    if api is None and request.values(b"anthropic-version"):
        api = Api.MESSAGES
    return Answer(400, refusal(api, f"hutch: {why}"), b"application/json", why)
