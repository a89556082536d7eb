"""The ways out of real sandboxes, with real clients: by name, by wildcard, by the proxy, and no other."""

import os
from pathlib import Path

import pytest

from hutch.egress import Refusal
from hutch_launchers.launcher import Launcher
from support.launcher_methods import available
from support.needs import need
from support.public_net import PUBLIC, PublicNet
from support.ways_out import Sandboxes, run_tries

pytestmark = [pytest.mark.slow]

EVIL = "evil.example.net"


@pytest.fixture(params=["bubblewrap", "nsjail", "docker", "nspawn", "pid", "podman", "gvisor"])
async def launcher(request: pytest.FixtureRequest) -> Launcher:
    need(
        "root",
        request.param not in ("pid", "gvisor") or os.geteuid() == 0,
        "doors of `pid`",
        "run the tests as root",
    )
    return await available(request.param)


CURL = """
get() { curl -sS -m 60 "$@" 2>&1; echo " [$?]"; }
get https://api.example.org/hello
get https://a.b.cdn.example.org/hello -k
get http://x.cdn.example.org/hello
get https://evil.example.net/hello
get https://cdn.example.org/hello
get -L https://api.example.org/redirect
"""


async def test_what_is_granted_is_reached_with_and_without_the_proxy_and_nothing_else(
    launcher: Launcher, net: PublicNet, tmp_path: Path
) -> None:
    need("curl", Path("/usr/bin/curl").exists(), "curl in /usr/bin", "apt install curl")
    boxes = Sandboxes(launcher, net, tmp_path)
    plain = await boxes.shell(CURL)
    assert plain[:3] == [
        "hello from api.example.org [0]",
        "hello from a.b.cdn.example.org [0]",
        "hello from x.cdn.example.org [0]",
    ]
    assert sum("Could not resolve host" in line for line in plain) == 3
    proxied = await boxes.shell(CURL, proxies=True)
    assert proxied[:3] == plain[:3]
    assert sum("response 403" in line for line in proxied) == 3
    assert {(host, port) for host, port, why in boxes.refused() if why == "rule"} == {
        (EVIL, 0),
        ("cdn.example.org", 0),
        (EVIL, 443),
        ("cdn.example.org", 443),
    }
    assert all("--net allow:" in c.told for c in boxes.log if c.refused is Refusal.RULE)
    assert {(c.host, c.rule, c.address) for c in boxes.log if not c.refused} == {
        ("api.example.org", "api.example.org:443", PUBLIC),
        ("a.b.cdn.example.org", "*.cdn.example.org:443", PUBLIC),
        ("x.cdn.example.org", "*.cdn.example.org:80", PUBLIC),
    }


HOSTILE = r"""
seen = {}
def connect(target, host=None, more="", name=None):
    host = target if host is None else host
    text = f"CONNECT {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"
    seen[name or f"{target} {more}".strip()] = ask(text.encode("latin-1")).partition("\r\n")[0]
for literal in ("93.184.215.14:443", "1572395022:443", "0x5db8d70e:443", "0135.0270.0327.016:443",
                "[::ffff:93.184.215.14]:443", "[::1]:443", "169.254.169.254:80", "127.0.0.1:22", "127.1:22",
                "2130706433:22", "localhost:22"):
    connect(literal)
for name in ("api.example.org.:443", "API.example.ORG:443"):
    connect(name)
for name in ("user@api.example.org:443", "api.example.org%00.evil.example.net:443", "api.example.org.evil.example.net:443",
             "api.example.org:80:443", "api.example.org", "api.example.org:0", "*.cdn.example.org:443",
             "a" * 64 + ".cdn.example.org:443", "a." * 140 + "cdn.example.org:443"):
    connect(name, name=name[:40])
connect("api.example.org:443", "evil.example.net:443", name="another Host")
connect("api.example.org:443", more="Content-Length: 5\r\n", name="a body")
connect("api.example.org:443", more="Host: evil.example.net\r\n", name="two Hosts")
connect("api.example.org:443", more="X: " + "y" * 200000 + "\r\n", name="a huge head")
connect("api.example.org\0:443", name="NUL")
connect("api.example.org\r\n :443", name="CRLF")
def get(target, host, more="", name=""):
    seen[name] = ask(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode("latin-1")).partition("\r\n")[0]
get("http://api.example.org/hello", "evil.example.net", name="absolute against Host")
get("http://api.example.org/hello", "api.example.org", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "CL and TE")
get("http://api.example.org/hello", "api.example.org", "Transfer-Encoding: chunked, identity\r\n", "odd TE")
get("http://api.example.org/hello", "api.example.org", "Content-Length: 3\r\nContent-Length: 4\r\n", "two lengths")
get("http://u@api.example.org/hello", "api.example.org", name="user in the URI")
get("https://api.example.org/hello", "api.example.org", name="https in the URI")
get("/hello", "api.example.org", name="origin form")
get("http://evil.example.net/hello", "evil.example.net", name="plain to another")
get("http://api.example.org/hello", "api.example.org", name="plain")
seen["garbage"] = ask(b"\x00\xff" * 100).partition("\r\n")[0]
"""  # noqa: E501

REFUSED = "HTTP/1.1 403 "
BAD = "HTTP/1.1 400 "


async def test_hostile_requests_are_read_once_or_refused(
    bubble: Launcher, net: PublicNet, tmp_path: Path
) -> None:
    boxes = Sandboxes(bubble, net, tmp_path)
    seen = await run_tries(boxes, HOSTILE)
    assert seen.pop("plain") == "HTTP/1.1 200 OK"
    assert seen.pop("a huge head") == "HTTP/1.1 431 "
    fine = {"api.example.org.:443", "API.example.ORG:443"}
    assert {name: seen.pop(name) for name in fine} == dict.fromkeys(fine, "HTTP/1.1 200 OK")
    bad = {
        *("api.example.org:80:443", "api.example.org", "api.example.org:0", "another Host", "a body"),
        *("two Hosts", "NUL", "CRLF", "absolute against Host", "CL and TE", "two lengths", "user in the URI"),
        *("https in the URI", "origin form", "garbage"),
    }
    assert {name: seen.pop(name) for name in bad} == dict.fromkeys(bad, BAD)
    assert seen.pop("odd TE") == "HTTP/1.1 501 "
    assert seen == dict.fromkeys(seen, REFUSED)
    assert net.asked == [("api.example.org", "GET /hello HTTP/1.1")]
    assert {(c.host, c.port) for c in boxes.log if c.refused is Refusal.REQUEST} == {("(proxy)", 0)}
    assert [(c.host, c.port) for c in boxes.log if not c.refused] == [
        ("api.example.org", 80),
    ]


SOCKS = r"""
seen = {}
def five(kind, where, port=443, command=1):
    with socket.create_connection(("127.0.0.1", 3128), 60) as s:
        s.sendall(b"\5\1\0")
        hello = s.recv(2)
        s.sendall(b"\5" + bytes([command]) + b"\0" + kind + where + struct.pack(">H", port))
        return (hello + s.recv(10)[:2]).hex()
def name(text):
    return bytes([len(text)]) + text.encode()
seen["granted"] = five(b"\3", name("api.example.org"))
seen["wildcard"] = five(b"\3", name("x.cdn.example.org"))
seen["evil"] = five(b"\3", name("evil.example.net"))
seen["literal"] = five(b"\1", socket.inet_aton("93.184.215.14"))
seen["metadata"] = five(b"\1", socket.inet_aton("169.254.169.254"), 80)
seen["six"] = five(b"\4", bytes(16))
seen["address of a door"] = five(b"\1", socket.inet_aton(socket.gethostbyname("x.cdn.example.org")))
seen["unknown kind"] = five(b"\7", b"")
seen["bind"] = five(b"\3", name("api.example.org"), command=2)
seen["udp"] = five(b"\3", name("api.example.org"), command=3)
seen["password"] = ask(b"\5\1\2").encode("latin-1").hex()
seen["4a"] = ask(b"\4\1\1\xbb\0\0\0\1me\0api.example.org\0").encode("latin-1")[:2].hex()
seen["4a evil"] = ask(b"\4\1\1\xbb\0\0\0\1me\0evil.example.net\0").encode("latin-1")[:2].hex()
seen["4"] = ask(b"\4\1\1\xbb\x5d\xb8\xd7\x0eme\0").encode("latin-1")[:2].hex()
"""


async def test_socks_goes_by_name_and_is_judged_alike(
    bubble: Launcher, net: PublicNet, tmp_path: Path
) -> None:
    boxes = Sandboxes(bubble, net, tmp_path)
    assert await run_tries(boxes, SOCKS) == {
        **dict.fromkeys(("granted", "wildcard", "address of a door"), "05000500"),
        **dict.fromkeys(("evil", "literal", "metadata", "six"), "05000502"),
        "unknown kind": "05000508",
        **dict.fromkeys(("bind", "udp"), "05000507"),
        "password": "05ff",
        "4a": "005a",
        "4a evil": "005b",
        "4": "005b",
    }
    curl = "curl -sS -m 60 --proxy %s://127.0.0.1:3128 https://api.example.org/hello; echo"
    found = await boxes.shell(";".join(curl % kind for kind in ("socks5", "socks5h", "socks4", "socks4a")))
    assert found == ["hello from api.example.org"] * 4
