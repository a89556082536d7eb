"""The server name in a TLS ClientHello (RFC 8446 §4.1.2, RFC 6066 §3), read from hostile bytes. Pure."""

MAX_HELLO = 16 << 10  # bytes; real ones have at most 2 KiB, with post-quantum keys included

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_MAX_RECORD = 1 << 14
_MAX_RECORDS = 8  # that one hello may lie across; it is read anew with every piece that comes


class NotHelloError(ValueError):
    """These bytes do not begin a TLS connection that names a server."""


class _Truncated(Exception):  # noqa: N818 - not an error: more bytes may come
    pass


def server_name(data: bytes) -> str | None:
    """Return the name that the client asks for, in lower case; None: more bytes are needed.

    Raises NotHelloError where no further bytes could make it a ClientHello with one server name.
    """
    try:
        message = _handshake(_Bytes(data))
    except _Truncated:
        return None
    try:
        return _name_in(_Bytes(message))
    except _Truncated:
        raise NotHelloError("a length that does not fit") from None


class _Bytes:
    """A cursor; what is not there raises _Truncated."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise _Truncated
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """Take what stands behind its own length of `size` bytes."""
        return self.take(self.number(size))

    @property
    def is_at_end(self) -> bool:
        return self.at == len(self.data)


def _handshake(records: _Bytes) -> bytes:
    """Return the first handshake message's body, which may lie across several records."""
    message = b""
    for _ in range(_MAX_RECORDS):
        if records.number(1) != _HANDSHAKE or records.number(1) != 3:
            raise NotHelloError("not a TLS handshake")
        records.take(1)
        length = records.number(2)
        if not 0 < length <= _MAX_RECORD:
            raise NotHelloError("a record of no allowed length")
        # What has come of an unfinished record tells already whether this is worth waiting for.
        message += records.data[records.at : records.at + length]
        size = 4 + int.from_bytes(message[1:4].ljust(3, b"\0"), "big")
        if message[:1] not in (b"", bytes([_CLIENT_HELLO])) or size > MAX_HELLO:
            raise NotHelloError("not a ClientHello")
        records.take(length)
        if len(message) >= size:
            return message[4:size]
    raise NotHelloError("too many records")


def _name_in(hello: _Bytes) -> str:
    hello.take(2 + 32)  # version, random
    hello.vector(1)  # session id
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression methods
    extensions = _Bytes(hello.vector(2))
    names = []
    while not extensions.is_at_end:
        kind, body = extensions.number(2), extensions.vector(2)
        if kind == _SERVER_NAME:
            entries = _Bytes(_Bytes(body).vector(2))
            while not entries.is_at_end:
                names.append((entries.number(1), entries.vector(2)))
    if len(names) != 1 or names[0][0] != 0:  # several: which one counts would be the server's choice
        raise NotHelloError("not one server name")
    try:
        return names[0][1].decode("ascii").lower()
    except UnicodeDecodeError:
        raise NotHelloError("a server name that is not ASCII") from None
