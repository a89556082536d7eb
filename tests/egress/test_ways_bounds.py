"""What bounds the ways out: rules that change, budgets, floods, slowness."""

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
from support.public_net import PublicNet
from support.ways_out import Sandboxes, run_tries

pytestmark = [pytest.mark.slow, pytest.mark.real("bubblewrap")]


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
    s = socket.create_connection((host, 80), 60)
    try:
        s.sendall(b"GET /hello HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n")
    except ConnectionError:
        return ""
    answer = body(s)
    return (answer, s) if stay else answer
seen["before"], held = get("api.example.org", stay=True)
seen["stays"], kept = get("x.cdn.example.org", stay=True)
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
    s = socket.create_connection((host, 80), 60)
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
    with socket.create_connection(("api.example.org", 80), 60) as s:
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
    assert float(found["calm"]["slowest"]) < 30
    assert not any(c.refused for c in calm.log)
    assert len(loud.log) < 1200  # the others are sums


SLOW = r"""
seen = {}
def until_closed(sock, data):
    sock.settimeout(60)
    sock.sendall(data)
    try:
        return sock.recv(99).decode()[:12]
    except OSError as error:
        return "OSError: " + str(error)
for name, data in (("half a head", b"GET http://api"), ("half of SOCKS", b"\5"), ("a byte", b"G")):
    seen[name] = until_closed(socket.create_connection(("127.0.0.1", 3128)), data)
silent = socket.create_connection(("127.0.0.1", 3128))
silent.settimeout(60)
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
