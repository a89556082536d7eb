"""Who comes in to the daemon: tokens, hosts and origins, other users, addresses."""

import os
import stat
import subprocess

import anyio
import pytest

from support.contract_cases import shows
from support.contract_column import ORDINARY_USER, ROOT_USER, Column, home_of, who
from support.contract_http import bearer, post
from support.daemon import BASE

pytestmark = pytest.mark.slow  # real sandboxes, by two users


@shows("daemon/token")
@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer ", "Bearer wrong", "Basic eDp5", "bearer \x00", "Bearer {token}x", "{token}"],
)
async def test_without_the_token_nothing_but_health_answers(sandbox: Column, given: str) -> None:
    header = given.format(token=sandbox.daemon.token)
    for path in ("/mcp", "/api/run", "/api/list_runs", "/api/doctor", "/", "/metrics", "/nothing", "//mcp"):
        request = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n"
        request += (f"Authorization: {header}\r\n" if given else "") + "\r\n{}"
        async with await anyio.connect_tcp("127.0.0.1", sandbox.port) as stream:
            await stream.send(request.encode())
            answer = await stream.receive()
        assert answer.split()[1] in (b"401", b"400"), (path, answer)


@shows("daemon/token")
async def test_the_token_is_its_owners_alone_and_lets_in(sandbox: Column) -> None:
    state = sandbox.daemon.config.daemon.state
    for path in (state / "token", state / "state.db", sandbox.daemon.config.daemon.socket):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert len(sandbox.daemon.token) >= 43
    assert await post(sandbox, Authorization=bearer(sandbox)) == 200
    assert sandbox.daemon.token not in sandbox.daemon.log()


@shows("daemon/host-and-origin")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost.evil.example"}, 421),
        ({"Host": "127.0.0.1.nip.io"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "file://"}, 403),
        ({"Origin": "chrome-extension://abc"}, 403),
    ],
)
async def test_a_browser_on_a_foreign_page_is_refused_even_with_the_token(
    sandbox: Column, headers: dict[str, str], status: int
) -> None:
    for path in ("/mcp", "/api/run", "/health"):
        given = {"Authorization": bearer(sandbox), **headers}
        assert await post(sandbox, path, body=b"{}", **given) == status


@shows("daemon/host-and-origin")
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_a_simple_post_of_another_site_is_refused(sandbox: Column, kind: str) -> None:
    for origin in ("https://evil.example", "null"):
        assert await post(sandbox, "/api/run", Content_Type=kind, Origin=origin) == 403
    assert await post(sandbox, "/api/run", Content_Type=kind) == 401


@shows("daemon/peer")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
async def test_another_user_is_dropped_at_the_unix_socket(sandbox: Column) -> None:
    path = sandbox.daemon.config.daemon.socket
    folders = [sandbox.stage.folder, path.parent]
    modes = {p: p.stat().st_mode for p in (path, *folders)}
    for p in modes:
        p.chmod(0o777)
    try:
        script = (
            "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            "s.sendall(b'GET /health HTTP/1.1\\r\\nHost: hutch\\r\\n\\r\\n'); print(s.recv(99))"
        )
        other = [
            "setpriv",
            "--reuid",
            "1600",
            "--regid",
            "1600",
            "--clear-groups",
            "/usr/bin/python3",
            "-c",
            script,
        ]
        answer = subprocess.run([*other, str(path)], capture_output=True, text=True, timeout=60, check=False)
        assert "HTTP" not in answer.stdout
    finally:
        for p, mode in modes.items():
            p.chmod(stat.S_IMODE(mode))
    assert (await sandbox.run("true")).exit_code == 0


@shows("daemon/non-loopback")
@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])
@pytest.mark.parametrize("name", [ROOT_USER, ORDINARY_USER])
def test_an_address_that_others_reach_is_refused(address: str, name: str) -> None:
    user = who(name)
    with home_of(user) as folder:
        (folder / "config.toml").write_text(BASE.format(folder=folder).replace("127.0.0.1:0", address))
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "HUTCH_CONFIG": str(folder / "config.toml")}
        command = [*user.python, "-m", "hutch", "serve"]
        refused = subprocess.run(
            command, env={**env, **user.env}, capture_output=True, text=True, timeout=60, check=False
        )
    assert (refused.returncode, "other machines" in refused.stderr) == (1, True)
