"""What a hostile request or a hostile client can do to the daemon: bodies, many calls, endless output."""

import json
import socket

import anyio
import httpx2
import pytest

from hutch_mcp_tools.service import ServiceError
from support.contract_cases import shows
from support.contract_column import Column
from support.contract_host import resident_bytes
from support.contract_http import bearer, post

pytestmark = pytest.mark.slow  # real sandboxes, by two users

_DEEP = b'{"request":' * 100_000
_BODIES = [
    b"[" * 500_000, _DEEP, b"x" * (17 << 20), b"\xff\xfe", b"{}", b"null", b'{"wait_s": 1e999}',
    b'{"request": {"command": 7}}',
]  # fmt: skip


@shows("daemon/hostile-json")
@pytest.mark.parametrize("number", range(len(_BODIES)))
async def test_a_hostile_body_is_refused_and_the_daemon_answers_on(sandbox: Column, number: int) -> None:
    token = bearer(sandbox)
    assert await post(sandbox, "/api/run", body=_BODIES[number], Authorization=token) in (413, 422)
    accept = "application/json, text/event-stream"
    assert await post(sandbox, "/mcp", body=_BODIES[number], Authorization=token, Accept=accept) in (
        400,
        413,
    )
    assert await post(sandbox, Authorization=token) == 200


@shows("daemon/many-calls")
async def test_a_thousand_calls_at_once_are_bounded_and_all_answered(sandbox: Column) -> None:
    statuses: dict[int, int] = {}
    limits = httpx2.Limits(max_connections=1000)
    async with httpx2.AsyncClient(
        base_url=sandbox.daemon.url, timeout=150, limits=limits, headers={"Authorization": bearer(sandbox)}
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
            codes.append((await sandbox.run("read x; exit 0")).status)
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
    head = f"POST /api/run HTTP/1.1\r\nHost: localhost\r\nAuthorization: {bearer(sandbox)}\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    stalled = []
    for _ in range(20):
        one = socket.create_connection(("127.0.0.1", sandbox.port))
        one.sendall(head.encode() + body)
        stalled.append(one)
    try:
        with anyio.fail_after(60):
            assert (await sandbox.run("echo fine")).exit_code == 0
    finally:
        for one in stalled:
            one.close()


@shows("daemon/many-calls")
async def test_requests_that_never_come_to_their_end_hold_nobody_up(sandbox: Column) -> None:
    head = f"POST /api/run HTTP/1.1\r\nHost: localhost\r\nAuthorization: {bearer(sandbox)}\r\n"
    beginnings = [head, head + "Content-Length: 1000000\r\n\r\n{", "P", head + "X-Long: " + "x" * 60_000]
    before = resident_bytes(sandbox)
    slow = [socket.create_connection(("127.0.0.1", sandbox.port)) for _ in range(400)]
    try:
        for number, one in enumerate(slow):
            one.sendall(beginnings[number % len(beginnings)].encode())
        with anyio.fail_after(60):
            assert (await sandbox.run("echo fine")).exit_code == 0
        assert resident_bytes(sandbox) - before < 100 << 20
    finally:
        for one in slow:
            one.close()


@shows("daemon/flood")
async def test_endless_output_is_bounded_on_disk_and_in_memory(sandbox: Column) -> None:
    floods = ["yes", "head -c 1G /dev/zero | tr '\\0' x"]
    for flood in floods:
        record = await sandbox.run(f"{flood} & {flood} >&2; wait", timeout_s=1.5)
        kept = sandbox.daemon.config.daemon.log_max_bytes
        assert max(record.stdout_bytes, record.stderr_bytes) <= kept + (128 << 10)
    assert resident_bytes(sandbox) < 400 << 20
