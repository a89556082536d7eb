"""Heads between the parser and the steps: what is refused, what belongs to one connection only. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11

from hutch.egress.exchange.steps import Exchange, Headers, Reply, Request, values_of, without

# Of one connection, or of the framing, which follows the body that is sent (RFC 9110 §7.6.1)
_HOP = (
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authorization",
    b"proxy-authenticate",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"content-length",
    b"upgrade",
)
_ALTERNATIVE = b"alt-svc"  # tells of HTTP/2 and /3 elsewhere, which lead nowhere from inside
_EXTENSIONS = b"sec-websocket-extensions"  # compression: what passes could not be read
_METHODS_REFUSED = frozenset({b"CONNECT", b"TRACE"})  # a tunnel within; an echo of what was put in
_WEBSOCKET = b"websocket"
# Some servers take these for the method or the path, in place of those that were judged
_OVERRIDES = frozenset(
    {
        b"x-http-method-override",
        b"x-http-method",
        b"x-method-override",
        b"x-original-url",
        b"x-rewrite-url",
    }
)
_PORT = {True: 443, False: 80}
_PLAIN = re.compile(rb"[\x21-\x7e]+")


class RefusedHeadError(Exception):
    """A request that is not sent on, and the status that its client is told."""

    def __init__(self, status: int, told: str) -> None:
        super().__init__(told)
        self.status = status
        self.told = told


@dataclass(frozen=True, slots=True)
class Place:
    """Where a connection leads, as it was judged."""

    host: str
    port: int
    is_tls: bool

    @property
    def authority(self) -> bytes:
        """What `Host` says."""
        name = self.host if self.port == _PORT[self.is_tls] else f"{self.host}:{self.port}"
        return name.encode()


def read_request(event: h11.Request, place: Place) -> Request:
    """Return what a request asks of the judged host. Raises RefusedHeadError where it can be read twice."""
    headers = tuple((bytes(name), bytes(value)) for name, value in event.headers.raw_items())
    is_framed = values_of(headers, b"transfer-encoding")
    if is_framed and (values_of(headers, b"content-length") or event.http_version != b"1.1"):
        raise RefusedHeadError(400, "its body's length is said in two ways")
    if event.method in _METHODS_REFUSED:
        raise RefusedHeadError(405, f"{event.method.decode()} is not passed on")
    if any(name.lower() in _OVERRIDES for name, _ in headers):
        raise RefusedHeadError(400, "its method or path is said in two ways")
    said = values_of(headers, b"host")
    if len(said) != 1:
        raise RefusedHeadError(400, "it needs one Host header")
    _check_authority(said[0], place)
    target = _origin_form(bytes(event.target), place)
    return Request(
        host=place.host,
        port=place.port,
        is_tls=place.is_tls,
        method=event.method.decode(),
        target=target,
        headers=without(headers, *_HOP, *_named_by_connection(headers)),
    )


def _check_authority(said: bytes, place: Place) -> None:
    name, colon, port = said.lower().rpartition(b":")
    if not colon:
        name, port = said.lower(), str(place.port).encode()
    if name != place.host.encode() or port != str(place.port).encode():
        raise RefusedHeadError(421, f"this connection leads to {place.host}:{place.port} and nowhere else")


def _origin_form(target: bytes, place: Place) -> str:
    """Return the target as a server is asked: "/path?query", or "*"."""
    if not _PLAIN.fullmatch(target) or b"#" in target:
        raise RefusedHeadError(400, "its target cannot be read")
    if target.startswith(b"/") or target == b"*":
        return target.decode()
    try:
        url = urlsplit(target)
    except ValueError:
        raise RefusedHeadError(400, "its target cannot be read") from None
    if url.scheme.lower() != (b"https" if place.is_tls else b"http") or not url.netloc:
        raise RefusedHeadError(400, "its target is of no known form")
    _check_authority(url.netloc, place)
    rest = target.partition(b"://")[2][len(url.netloc) :]
    return (rest if rest.startswith(b"/") else b"/" + rest).decode()


def _named_by_connection(headers: Headers) -> list[bytes]:
    said = b",".join(values_of(headers, b"connection"))
    # Host is ours to say: whoever names it here would have the server guess
    return [name.strip().lower() for name in said.split(b",") if name.strip().lower() != b"host"]


def asks_for_websocket(event: h11.Request) -> bool:
    """Whether it asks for an upgrade that is passed on."""
    headers = tuple((bytes(name), bytes(value)) for name, value in event.headers)
    said = [value.lower() for value in values_of(headers, b"upgrade")]
    return said == [_WEBSOCKET] and b"upgrade" in _named_by_connection(headers)


def sent_request(
    request: Request, event: h11.Request, place: Place, exchanges: list[Exchange]
) -> h11.Request:
    """Return what the server is asked, with the framing of the body as it will be."""
    headers = [(name, value) for name, value in request.headers if name.lower() != b"host"]
    framing = _framing(event.headers, resized=any(each.resizes_request for each in exchanges))
    if asks_for_websocket(event):
        framing += [(b"Connection", b"Upgrade"), (b"Upgrade", _WEBSOCKET)]
        headers = [(name, value) for name, value in headers if name.lower() != _EXTENSIONS]
    host = [(b"Host", place.authority)]
    return h11.Request(method=request.method, target=request.target, headers=host + headers + framing)


def read_reply(event: h11.Response | h11.InformationalResponse) -> Reply:
    """Return the head of an answer."""
    headers = tuple((bytes(name), bytes(value)) for name, value in event.headers.raw_items())
    named = _named_by_connection(headers)
    return Reply(event.status_code, bytes(event.reason), without(headers, *_HOP, _ALTERNATIVE, *named))


def sent_reply(reply: Reply, event: h11.Response, exchanges: list[Exchange]) -> h11.Response:
    """Return what the client is answered; of an answer without a length, h11 chooses the framing."""
    framing = _framing(event.headers, resized=any(each.resizes_reply for each in exchanges))
    framing = [(name, value) for name, value in framing if name != b"Transfer-Encoding"]
    return h11.Response(status_code=reply.status, reason=reply.reason, headers=list(reply.headers) + framing)


def sent_upgrade(reply: Reply) -> h11.InformationalResponse:
    """Return the answer after which both sides speak something else."""
    upgrade = [(b"Connection", b"Upgrade"), (b"Upgrade", _WEBSOCKET)]
    headers = [(name, value) for name, value in reply.headers if name.lower() != _EXTENSIONS]
    return h11.InformationalResponse(status_code=101, reason=reply.reason, headers=headers + upgrade)


def _framing(headers: Iterable[tuple[bytes, bytes]], *, resized: bool) -> list[tuple[bytes, bytes]]:
    said = {name: value for name, value in headers if name in (b"content-length", b"transfer-encoding")}
    if b"transfer-encoding" in said or (resized and said):
        return [(b"Transfer-Encoding", b"chunked")]
    return [(b"Content-Length", value) for value in said.values()]
