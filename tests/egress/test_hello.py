"""The server name in a real ClientHello, and what is made of everything else."""

import ssl
import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutch.egress.hello import MAX_HELLO, NotHelloError, server_name


def hello(name: str | None) -> bytes:
    """The first flight of a real TLS client."""
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


REAL = hello("API.Example.org")


def record(payload: bytes, kind: int = 22) -> bytes:
    return struct.pack(">BBBH", kind, 3, 1, len(payload)) + payload


def made(extensions: bytes) -> bytes:
    """A ClientHello of our own making."""
    body = b"\3\3" + bytes(32) + b"\0" + struct.pack(">H", 2) + b"\x13\1" + b"\1\0"
    body += struct.pack(">H", len(extensions)) + extensions
    return record(b"\1" + len(body).to_bytes(3, "big") + body)


def names(*entries: tuple[int, bytes]) -> bytes:
    listed = b"".join(struct.pack(">BH", kind, len(name)) + name for kind, name in entries)
    return struct.pack(">HHH", 0, len(listed) + 2, len(listed)) + listed


def test_the_name_is_read_as_soon_as_it_is_whole_and_not_before() -> None:
    assert [server_name(REAL[:end]) for end in range(len(REAL))] == [None] * len(REAL)
    assert server_name(REAL) == "api.example.org"
    assert server_name(REAL + b"early data") == "api.example.org"


@pytest.mark.parametrize("size", [100, 300])
def test_a_hello_across_several_records_is_one_hello(size: int) -> None:
    message = REAL[5:]
    pieces = [record(message[at : at + size]) for at in range(0, len(message), size)]
    assert server_name(b"".join(pieces)) == "api.example.org"
    assert server_name(b"".join(pieces)[:-1]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: api.example.org\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"\x80\x2e\1\0\2",  # SSL 2
        b"\x16\2\0",
        b"\x16\3\1\0\0",
        b"\x16\3\1\xff\xff",
        record(b"\2\0\0\1x"),  # a ServerHello
        record(b"\1\xff\xff\xff"),
        record(b"\1\0\1"),  # cut short below
        record(b"x", kind=23),
        b"".join(record(REAL[5:][at : at + 1]) for at in range(20)),
        hello(None),
        made(b""),
        made(names()),
        made(names((0, b"a.example"), (0, b"b.example"))),
        made(names((0, b"a.example")) + names((0, b"b.example"))),
        made(names((1, b"a.example"))),
        made(names((0, b"\xff.example"))),
        made(b"\0\0\0\5\0\7\0\0\1"),
        made(names((0, b"a.example"))[:-1]),
    ],
)
def test_what_names_no_server_is_no_hello(data: bytes) -> None:
    if data == record(b"\1\0\1"):
        assert server_name(data) is None  # more may come
        data += record(bytes(300))
    with pytest.raises(NotHelloError):
        server_name(data)


def test_no_more_is_waited_for_than_a_hello_can_have() -> None:
    with pytest.raises(NotHelloError):
        server_name(record(b"\1" + (MAX_HELLO + 1).to_bytes(3, "big"))[:9])


@given(st.binary(max_size=400))
def test_no_bytes_break_it(data: bytes) -> None:
    for start in (b"", b"\x16\3\1", record(b"\1\0\0\x40")[:-4]):
        with suppress(NotHelloError):
            server_name(start + data)


@given(st.integers(0, len(REAL) - 1), st.integers(0, 255))
@settings(max_examples=300)
def test_no_changed_byte_breaks_it(at: int, value: int) -> None:
    try:
        name = server_name(REAL[:at] + bytes([value]) + REAL[at + 1 :])
    except NotHelloError:
        return
    assert name is None or len(name) < 300
