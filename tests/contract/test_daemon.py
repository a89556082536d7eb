"""The daemon: who comes in, what a hostile request, a hostile client and hostile output can do to it."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Awaitable

import anyio
import httpx2
import pytest

from hutch.client import connect
from hutch_mcp_tools.service import LogRequest, RunRequest, ServiceError
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.contract_cases import shows
from support.contract_column import ORDINARY_USER, ROOT_USER, Column, home_of, who
from support.contract_host import resident_bytes
from support.daemon import BASE, run

pytestmark = pytest.mark.slow  # real sandboxes, by two users

_ESCAPES = b"\x1b]0;title\x07\x1b[2J\x1b[31mred\x1b[0m\x9b31m\x1bP+q\x1b\\\x08\x7f\r\xe2\x80\xaetxt\n"
_FORGED = "2026-01-01 00:00:00,000 INFO hutch.app run=r-forged ends status=exited exit_code=0"


async def _post(made: Column, path: str = "/api/list_runs", *, body: bytes = b"{}", **headers: str) -> int:
    async with httpx2.AsyncClient(base_url=made.daemon.url, timeout=30) as http:
        given = {"Content-Type": "application/json", **{n.replace("_", "-"): v for n, v in headers.items()}}
        return (await http.post(path, content=body, headers=given)).status_code


def _bearer(made: Column) -> str:
    return f"Bearer {made.daemon.token}"


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
    assert await _post(sandbox, Authorization=_bearer(sandbox)) == 200
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
        given = {"Authorization": _bearer(sandbox), **headers}
        assert await _post(sandbox, path, body=b"{}", **given) == status


@shows("daemon/host-and-origin")
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_a_simple_post_of_another_site_is_refused(sandbox: Column, kind: str) -> None:
    for origin in ("https://evil.example", "null"):
        assert await _post(sandbox, "/api/run", Content_Type=kind, Origin=origin) == 403
    assert await _post(sandbox, "/api/run", Content_Type=kind) == 401


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
        answer = subprocess.run([*other, str(path)], capture_output=True, text=True, timeout=20, check=False)
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
            command, env={**env, **user.env}, capture_output=True, text=True, timeout=30, check=False
        )
    assert (refused.returncode, "other machines" in refused.stderr) == (1, True)


@shows("daemon/read-volume")
@pytest.mark.parametrize("path", ["../../state.db", "/../../token", "/link/canary", "/up/token", "/link"])
async def test_read_volume_stays_beneath_the_volume(sandbox: Column, path: str) -> None:
    link = ["/bin/sh", "-c", f"ln -sfn {sandbox.stage.out} link; ln -sfn ../../../../.. up; echo x > file"]
    await sandbox.run(link, volumes=["beneath"])
    request = ReadVolumeRequest(volume="beneath", path=path)
    if path == "/link":
        assert (await sandbox.client.read_volume(request)).data_base64 is None
        return
    with pytest.raises(ServiceError) as refused:
        await sandbox.client.read_volume(request)
    assert refused.value.code in ("path_invalid", "path_unknown", "not_a_folder")


_DEEP = b'{"request":' * 100_000
_BODIES = [
    b"[" * 500_000, _DEEP, b"x" * (17 << 20), b"\xff\xfe", b"{}", b"null", b'{"wait_s": 1e999}',
    b'{"request": {"command": 7}}',
]  # fmt: skip


@shows("daemon/hostile-json")
@pytest.mark.parametrize("number", range(len(_BODIES)))
async def test_a_hostile_body_is_refused_and_the_daemon_answers_on(sandbox: Column, number: int) -> None:
    token = _bearer(sandbox)
    assert await _post(sandbox, "/api/run", body=_BODIES[number], Authorization=token) in (413, 422)
    accept = "application/json, text/event-stream"
    assert await _post(sandbox, "/mcp", body=_BODIES[number], Authorization=token, Accept=accept) in (
        400,
        413,
    )
    assert await _post(sandbox, Authorization=token) == 200


@shows("daemon/many-calls")
async def test_a_thousand_calls_at_once_are_bounded_and_all_answered(sandbox: Column) -> None:
    statuses: dict[int, int] = {}
    limits = httpx2.Limits(max_connections=1000)
    async with httpx2.AsyncClient(
        base_url=sandbox.daemon.url, timeout=50, limits=limits, headers={"Authorization": _bearer(sandbox)}
    ) as http:

        async def call() -> None:
            status = (await http.post("/api/list_runs", content=b'{"limit": 1}')).status_code
            statuses[status] = statuses.get(status, 0) + 1

        async with anyio.create_task_group() as group:
            for _ in range(1000):
                group.start_soon(call)
    assert statuses == {200: 1000}


@shows("daemon/many-calls")
async def test_more_runs_than_the_bound_are_refused_and_the_rest_work(sandbox: Column) -> None:
    bound = sandbox.daemon.config.policy.max_concurrent_runs
    codes: list[str] = []

    async def call() -> None:
        try:
            record = await sandbox.client.run(RunRequest(command="read x; exit 0", method=sandbox.method), 45)
            codes.append(record.status)
        except ServiceError as error:
            codes.append(error.code)

    async with anyio.create_task_group() as group:
        for _ in range(bound + 20):
            group.start_soon(call)
    assert set(codes) <= {"exited", "busy"}
    assert len(codes) == bound + 20
    assert (await sandbox.run("true")).exit_code == 0


@shows("daemon/many-calls")
async def test_a_reader_that_stalls_holds_nobody_up(sandbox: Column) -> None:
    body = json.dumps(
        {"request": {"command": "yes | head -c 30M", "method": sandbox.method}, "wait_s": 40}
    ).encode()
    head = f"POST /api/run HTTP/1.1\r\nHost: localhost\r\nAuthorization: {_bearer(sandbox)}\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    stalled = []
    for _ in range(20):
        one = socket.create_connection(("127.0.0.1", sandbox.port))
        one.sendall(head.encode() + body)
        stalled.append(one)
    try:
        with anyio.fail_after(25):
            assert (await sandbox.run("echo fine")).exit_code == 0
    finally:
        for one in stalled:
            one.close()


@shows("daemon/output")
async def test_escapes_and_forged_lines_are_harmless_in_log_terminal_and_answers(sandbox: Column) -> None:
    script = f"import sys; sys.stdout.buffer.write({_ESCAPES!r}); print(); print({_FORGED!r})"
    record = await sandbox.run(["/usr/bin/python3", "-c", script, "\x1b[31m\n" + _FORGED])
    assert _FORGED not in [line.strip() for line in sandbox.daemon.log().splitlines()]
    shown = _on_a_terminal(sandbox, "logs", record.run_id) + _on_a_terminal(sandbox, "ps", "--all")
    for bad in (b"\x1b]0;", b"\x1b[2J", b"\x9b31m", b"\x1bP", b"\x08", "\u202e".encode()):
        assert bad not in shown, bad
    assert b"red" in shown


@shows("daemon/flood")
async def test_endless_output_is_bounded_on_disk_and_in_memory(sandbox: Column) -> None:
    floods = ["yes", "head -c 1G /dev/zero | tr '\\0' x"]
    for flood in floods:
        record = await sandbox.run(f"{flood} & {flood} >&2; wait", timeout_s=1.5)
        kept = sandbox.daemon.config.daemon.log_max_bytes
        assert max(record.stdout_bytes, record.stderr_bytes) <= kept + (128 << 10)
    assert resident_bytes(sandbox) < 400 << 20


@shows("daemon/arguments")
@pytest.mark.parametrize(
    "argv",
    [
        ["echo", "--", "-n", "--bind", "/", "/"],
        [
            "echo",
            "$(id)",
            "`id`",
            ";id",
            "&&",
            "|",
            ">",
            "*",
            "{command}",
            "{cwd}",
            "${HOME}",
            "%s",
            "\n",
            "'",
            '"',
        ],
        ["printf", "%s|", "--args", "99", "--ro-bind", "/", "/out"],
        ["/bin/echo", "\x1b[0m", "é", "\\0", "-"],
    ],
)
async def test_arguments_arrive_as_they_are(sandbox: Column, argv: list[str]) -> None:
    record = await sandbox.run(argv)
    expected = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert (await sandbox.output(record))[0] == expected


@shows("daemon/arguments")
@pytest.mark.parametrize("program", ["--help", "--ro-bind", "-c", "--unshare-all", "--version", "{command}"])
async def test_a_program_that_looks_like_a_flag_is_a_program_that_is_not_there(
    sandbox: Column, program: str
) -> None:
    record = await sandbox.run([program, "/", "/"])
    assert record.exit_code != 0
    stdout, _ = await sandbox.output(record)
    assert stdout == ""


@shows("daemon/widen")
@pytest.mark.parametrize(
    ("code", "values"),
    [
        ("network_denied", {"network": "full"}),
        ("network_denied", {"network": "anthropic"}),
        ("limit_exceeded", {"memory_bytes": 1 << 50}),
        ("limit_exceeded", {"pids": 1 << 30}),
        ("limit_exceeded", {"cpus": 1e6}),
        ("volume_invalid", {"volumes": [f"v{n}:/v{n}" for n in range(11)]}),
        ("volume_invalid", {"volumes": ["one:/v", "default/one:/w"]}),
        ("volume_invalid", {"volumes": ["one:/v", "$workspace/one:/w"]}),
        ("volume_invalid", {"volumes": ["one:/v", "two:/v/w"]}),
        ("volume_invalid", {"volumes": ["one:/home/agent/..", "two:/x"]}),
        ("env_invalid", {"env": {"A=B": "x"}}),
    ],
)
async def test_no_call_gets_more_than_the_policy_grants(
    sandbox: Column, code: str, values: dict[str, object]
) -> None:
    with pytest.raises(ServiceError) as refused:
        await sandbox.client.run(
            RunRequest.model_validate({"command": "true", "method": sandbox.method, **values}), 20
        )
    assert refused.value.code == code


@shows("daemon/principals")
async def test_of_another_principal_there_is_nothing_to_be_found(sandbox: Column) -> None:
    """Volumes, runs and sessions of others are like those that are not there; what is granted works."""
    ours = await sandbox.run("echo secret > /v/f; echo secret", volumes=["ours:/v"])
    kept = await sandbox.run("true", session_id="new", volumes=["public:/v"])
    made = await sandbox.client.create_token("guest")
    async with connect(sandbox.daemon.config, token=made.token) as guest:
        assert (await run(guest, "echo > /v/f", volumes=["guest-$args[n]:/v"], args={"n": 1})).exit_code == 0
        refusals: dict[str, list[Awaitable[object]]] = {
            "run_unknown": [
                guest.get_run(ours.run_id),
                guest.get_run(ours.run_id[:8]),
                guest.stop_run(ours.run_id),
                guest.read_log(LogRequest(run_id=ours.run_id, stream="stdout")),
            ],
            "session_unknown": [
                guest.get_session(kept.session_id or ""),
                guest.stop_session(kept.session_id or "", remove=True),
                run(guest, "cat /v/f", session_id=kept.session_id),
            ],
            "volume_unknown": [
                guest.read_volume(ReadVolumeRequest(volume="ours", path="/f")),
                guest.volume_log("default/ours"),
                guest.share_volume("ours", "guest", "rw"),
                run(guest, "cat /v/f", volumes=["ours:/v:ro"]),
                run(guest, "cat /v/f", volumes=["$args[n]:/v:ro"], args={"n": "ours"}),
            ],
            "volume_read_only": [run(guest, "echo > /v/g", volumes=["public:/v"])],
            "argument_invalid": [run(guest, "true", volumes=["guest-$args[n]"], args={"n": "x/../../ours"})],
            "owner_only": [guest.create_token("guest"), guest.list_tokens()],
        }
        for code, works in refusals.items():
            for work in works:
                with pytest.raises(ServiceError) as refused:
                    await work
                assert refused.value.code == code
        assert "ours" not in {one.name for one in await guest.list_volumes()}
        assert {one.principal for one in await guest.list_runs()} == {"guest"}
        assert (await guest.list_sessions()).sessions == []
    await sandbox.client.stop_session(kept.session_id or "")


@shows("daemon/principals")
async def test_a_token_that_is_not_valid_now_lets_nobody_in(sandbox: Column) -> None:
    expired = await sandbox.client.create_token("guest", 0.1)
    revoked = await sandbox.client.create_token("guest")
    assert await _post(sandbox, Authorization=f"Bearer {revoked.token}") == 200
    await sandbox.client.revoke_token(revoked.token_id)
    await anyio.sleep(0.15)
    forged = f"{(revoked.token or '').rpartition('_')[0]}_{'A' * 43}"
    for token in (expired.token, revoked.token, forged, "guest", f"{sandbox.daemon.token[:-1]}"):
        for path in ("/api/list_runs", "/mcp"):
            assert await _post(sandbox, path, Authorization=f"Bearer {token}") == 401


def _on_a_terminal(made: Column, *words: str) -> bytes:
    """What `hutch` writes when its stdout is a terminal."""
    master, slave = os.openpty()
    env = {
        "HUTCH_CONFIG": str(made.daemon.folder / "config.toml"),
        "PATH": os.environ["PATH"],
        "HOME": "/",
        "TERM": "xterm",
    }
    process = subprocess.Popen([sys.executable, "-m", "hutch", *words], stdout=slave, stderr=slave, env=env)
    os.close(slave)
    seen: list[bytes] = []

    def drain() -> None:
        try:
            while data := os.read(master, 65536):
                seen.append(data)
        except OSError:  # the terminal's end
            return

    reader = threading.Thread(target=drain)
    reader.start()
    process.wait(30)
    reader.join(10)
    os.close(master)
    return b"".join(seen)
