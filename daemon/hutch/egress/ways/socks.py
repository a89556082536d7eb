"""SOCKS 4, 4a and 5, as far as a client needs them that asks for a connection (RFC 1928). No sockets here.

Names are what is asked for; no authentication: whoever reaches the proxy is inside already.
"""

import struct
from collections.abc import Generator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from hutch.egress.records import Refusal

VERSIONS = (4, 5)

_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_NO_AUTHENTICATION, _NONE_OF_THESE = 0, 0xFF
_DONE = {4: b"\0\x5a" + bytes(6), 5: b"\5\0\0\1" + bytes(6)}
_FAILED = {4: b"\0\x5b" + bytes(6), 5: b"\5%c\0\1" + bytes(6)}
_CODES = {Refusal.UNRESOLVED: 4, Refusal.UNREACHABLE: 5, Refusal.REQUEST: 7}
_NOT_ALLOWED = 2
_MAX_TEXT = 255


class BadSocksError(ValueError):
    """What came is no request to connect; `reply` is what its client is told."""

    def __init__(self, why: str, reply: bytes = b"") -> None:
        super().__init__(why)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to connect."""

    version: int
    host: str
    port: int


# Yields how many bytes it needs, or what is to be sent first; is sent the bytes
Reading = Generator[int | bytes, bytes, Asked]


def read(version: int) -> Reading:
    """Read what follows the first byte. Raises BadSocksError."""
    return _read5() if version == VERSIONS[1] else _read4()


def opened(version: int) -> bytes:
    """Return what a client is told whose connection is made."""
    return _DONE[version]


def refused(version: int, why: Refusal) -> bytes:
    """Return what a client is told whose connection is not made."""
    return _failed(version, _CODES.get(why, _NOT_ALLOWED))


def _failed(version: int, code: int) -> bytes:
    return _FAILED[version] % code if version == VERSIONS[1] else _FAILED[version]


def _read5() -> Reading:
    (count,) = yield 1
    methods = yield count
    if _NO_AUTHENTICATION not in methods:
        raise BadSocksError("it wants to authenticate", bytes((5, _NONE_OF_THESE)))
    yield bytes((5, _NO_AUTHENTICATION))
    version, command, _, kind = yield 4
    if version != VERSIONS[1] or command != _CONNECT:
        raise BadSocksError("it asks for something else than a connection", _failed(5, 7))
    if kind == _NAME:
        (size,) = yield 1
        host = _text((yield size))
    elif kind == _IPV4:
        host = str(IPv4Address((yield 4)))
    elif kind == _IPV6:
        host = str(IPv6Address((yield 16)))
    else:
        raise BadSocksError("an address of no known kind", _failed(5, 8))
    (port,) = struct.unpack(">H", (yield 2))
    return Asked(5, host, port)


def _read4() -> Reading:
    command, port, address = struct.unpack(">BH4s", (yield 7))
    if command != _CONNECT:
        raise BadSocksError("it asks for something else than a connection", _failed(4, 0))
    yield from _until_nul()  # the user
    host = str(IPv4Address(address))
    if address[:3] == bytes(3) and address[3]:  # 4a
        host = _text((yield from _until_nul()))
    return Asked(4, host, port)


def _until_nul() -> Generator[int | bytes, bytes, bytes]:
    text = b""
    while (byte := (yield 1)) != b"\0":
        text += byte
        if len(text) > _MAX_TEXT:
            raise BadSocksError("a text without an end", _failed(4, 0))
    return text


def _text(data: bytes) -> str:
    return data.decode("latin-1")  # what is not ASCII is no name
