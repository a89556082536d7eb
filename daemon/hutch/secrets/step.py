"""The step of an exchange that puts values where placeholders stand, and takes them out of answers."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from hutch.egress.exchange import Answer, Exchange, Reply, Request
from hutch.egress.exchange.steps import without
from hutch.secrets.held import Held
from hutch.secrets.phantoms import phantoms_in
from hutch.secrets.places import basic_pair
from hutch.secrets.scrub import Scrubber

_ACCEPT = b"accept-encoding"
_PLAIN = b"identity"
_TOLD = 100  # lines of one run in the log
_NO_BODY = frozenset({101, 204, 304})
_PARTIAL = 206

_log = logging.getLogger(__name__)


class Secrets:
    """All secrets of one run."""

    def __init__(self, run_id: str, held: Sequence[Held]) -> None:
        self._run_id = run_id
        self._held = tuple(held)
        self._told: set[tuple[str, str, str]] = set()

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(str(origin) for held in self._held for origin in held.hosts)

    async def begin(self, request: Request) -> Exchange | Answer:
        bound = [held for held in self._held if held.is_bound_to(request)]
        if foreign := self._foreign(request):
            return _refused(f"a placeholder of another run, or of one that has ended, was sent ({foreign})")
        asked, used = request, list[str]()
        for held in bound:
            filled = held.put(asked)
            if filled == asked:
                continue
            if not held.is_for(request):
                return _refused(f"secret {held.name} is not for {request.method} {request.path}")
            asked = filled
            used.append(held.name)
            self._note_use(held, request)
        self._note_strays(asked)
        if not bound:
            return Exchange(asked)
        # What is compressed could not be read on its way back, nor what comes in parts, each too short for it
        asked = replace(asked, headers=without(asked.headers, b"range", b"if-range"))
        return _Scrubbed(asked.with_header(_ACCEPT, _PLAIN), bound, used)

    def _foreign(self, request: Request) -> str:
        own = {phantom for held in self._held for phantom in phantoms_in(held.phantom.encode())}
        for where, said in _said(request):
            if any(phantom not in own for phantom in phantoms_in(said)):
                return where
        return ""

    def _note_use(self, held: Held, request: Request) -> None:
        if self._is_news(held.name, request.host, ""):
            _log.info("run=%s secret=%s is used at %s", self._run_id, held.name, request.host)

    def _note_strays(self, request: Request) -> None:
        for held in self._held:
            for where, said in _said(request):
                if held.phantom.encode() in said and self._is_news(held.name, request.host, where):
                    _log.warning(
                        "run=%s secret=%s: its placeholder was sent to %s in its %s and is left as it is",
                        *(self._run_id, held.name, request.host, where),
                    )

    def _is_news(self, *what: str) -> bool:
        """Whether the log has not been told yet; a sandbox must not fill it."""
        if what in self._told or len(self._told) >= _TOLD:
            return False
        self._told.add((what[0], what[1], what[2]))
        return True


class _Scrubbed(Exchange):
    """An exchange with a host that knows some values."""

    def __init__(self, request: Request, held: Sequence[Held], used: Sequence[str]) -> None:
        super().__init__(request)
        self.secrets = tuple(used)
        self._scrubber = Scrubber(each.marks for each in held)
        self._is_kept_back = False

    def reply(self, reply: Reply) -> Reply:
        codings = [value.strip().lower() for value in reply.values(b"content-encoding")]
        has_body = self.request.method != "HEAD" and reply.status not in _NO_BODY
        is_coded = any(coding not in (b"", _PLAIN) for coding in codings)
        if has_body and (is_coded or reply.status == _PARTIAL):
            self._is_kept_back = self.resizes_reply = True
            return Reply(502, b"", ((b"Content-Type", b"text/plain"),))
        headers = tuple((name, self._scrubber.clean(value)) for name, value in reply.headers)
        return replace(reply, reason=self._scrubber.clean(reply.reason), headers=headers)

    def receive(self, data: bytes) -> bytes:
        return b"" if self._is_kept_back else self._scrubber.feed(data)

    def receive_end(self) -> bytes:
        if self._is_kept_back:
            return b"hutch: it is compressed or a part, which was not asked for; a secret could be in it\n"
        return self._scrubber.end()


def _said(request: Request) -> list[tuple[str, bytes]]:
    """Return all that a request's head says, and where."""
    said = [("target", request.target.encode())]
    for name, value in request.headers:
        said.append((name.decode().lower(), value))
        if name.lower() == b"authorization" and (pair := basic_pair(value)):
            said.append(("basic authentication", b":".join(pair)))
    return said


def _refused(why: str) -> Answer:
    return Answer(403, b"", why=why)
