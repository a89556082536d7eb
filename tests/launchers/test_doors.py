"""Doors: listening sockets inside a sandbox, served from outside by a real echo server."""

import os
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from hutch_launchers.launcher import Launcher, LauncherError
from hutch_launchers.spec import Door, EgressEndpoint
from support.launcher_leftovers import no_new_fds, nothing_left
from support.launcher_methods import LAUNCHERS, available, code, python, run, spec
from support.needs import need

DOORS = (
    Door("api.test", "127.1.0.1", 443),
    Door("db.test", "127.1.0.2", 5432),
    Door("api.test", "127.1.0.1", 80),
)
PATIENCE_S = 10
ASK = """
import socket, sys
for host, port in (("api.test", 443), ("db.test", 5432), ("api.test", 80)):
    with socket.create_connection((host, port)) as sock:
        sock.sendall(b"hello %d" % port)
        print(sock.recv(99).decode())
for host, port in (("api.test", 22), ("other.test", 443), ("1.1.1.1", 53)):
    try:
        socket.create_connection((host, port), 2)
        print("reached", host, port)
    except OSError:
        pass
"""


@pytest.fixture(params=["bubblewrap", "docker", "gvisor", "nsjail", "nspawn", "pid", "podman"])
async def launcher(request: pytest.FixtureRequest) -> Launcher:
    need("root", request.param != "pid" or os.geteuid() == 0, "doors of `pid`", "run the tests as root")
    return await available(request.param)


def serve(listener: socket.socket, count: int, answer: bytes) -> None:
    """Be the egress: take the doors, answer, and echo once at each."""
    try:
        connection, _ = listener.accept()
    except TimeoutError:
        return  # the sandbox never came: its own test tells why
    with connection:
        doors: dict[int, socket.socket] = {}
        while len(doors) < count:
            brought, fds, _, _ = socket.recv_fds(connection, 4, 1)
            if not brought:
                return
            doors[struct.unpack(">I", brought)[0]] = socket.socket(fileno=fds[0])
        if answer:
            connection.sendall(answer)
        for index in sorted(doors):
            with doors[index] as door:
                if answer:
                    door.settimeout(PATIENCE_S)
                    client, _ = door.accept()
                    with client:
                        client.sendall(b"%d: " % index + client.recv(99))


@asynccontextmanager
async def egress(
    tmp_path: Path, doors: tuple[Door, ...] = DOORS, serve: Callable[..., None] = serve, answer: bytes = b"\1"
) -> AsyncGenerator[EgressEndpoint]:
    path = tmp_path / "egress.sock"
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(PATIENCE_S)  # a thread that waits cannot be cancelled
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(to_thread.run_sync, serve, listener, len(doors), answer)
            yield EgressEndpoint(path, doors)


async def test_each_door_leads_to_its_own_listener_and_nothing_else_is_reachable(
    launcher: Launcher, tmp_path: Path
) -> None:
    with no_new_fds():
        async with egress(tmp_path) as endpoint:
            sandbox = spec(python(ASK), egress=endpoint)
            done = await run(launcher, sandbox)
    assert (done.status, done.err) == (code(0), b"")
    assert done.text.splitlines() == ["0: hello 443", "1: hello 5432", "2: hello 80"]
    assert nothing_left(sandbox.run_id)


async def test_an_egress_that_hangs_up_starts_nothing(launcher: Launcher, tmp_path: Path) -> None:
    marker = tmp_path / "started"
    async with egress(tmp_path, answer=b"") as endpoint:
        sandbox = spec(python(f"open({str(marker)!r}, 'w')"), egress=endpoint)
        with pytest.raises(LauncherError) as refused:
            await run(launcher, sandbox)
    assert refused.value.code == "sandbox_failed"
    assert "hung up" in refused.value.message
    assert nothing_left(sandbox.run_id)


@pytest.mark.parametrize(
    ("doors", "reason"),
    [
        ((Door("a.test", "127.1.0.1", 80), Door("b.test", "127.1.0.1", 80)), "in use"),
        ((Door("a.test", "10.0.0.1", 80),), "loopback"),
        ((Door("a.test", "127.0.0.1", 70000),), "loopback"),
        ((Door("a test\nb", "127.0.0.1", 80),), "name"),
    ],
    ids=["twice the same", "not loopback", "no port", "no name"],
)
async def test_a_door_that_cannot_be_is_refused(
    launcher: Launcher, tmp_path: Path, doors: tuple[Door, ...], reason: str
) -> None:
    async with egress(tmp_path, doors, serve=lambda *_: None) as endpoint:
        sandbox = spec(python("pass"), egress=endpoint)
        with pytest.raises(LauncherError) as refused:
            await run(launcher, sandbox)
    assert refused.value.code == "sandbox_failed"
    assert reason in refused.value.message
    assert nothing_left(sandbox.run_id)


async def test_an_egress_that_is_not_there_starts_nothing(launcher: Launcher, tmp_path: Path) -> None:
    sandbox = spec(python("pass"), egress=EgressEndpoint(tmp_path / "nobody", DOORS))
    with pytest.raises(LauncherError) as refused:
        await run(launcher, sandbox)
    assert refused.value.code == "sandbox_failed"
    assert nothing_left(sandbox.run_id)


async def test_a_kept_sandbox_has_its_doors_too(launcher: Launcher, tmp_path: Path) -> None:
    async with (
        egress(tmp_path) as endpoint,
        launcher.keep(spec(None, egress=endpoint)) as kept,
        kept.start(python(ASK)) as process,
    ):
        assert await process.wait() == code(0)


async def test_a_wrapper_has_no_doors_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(LauncherError) as refused:
        await run(LAUNCHERS["wrapper"], spec(python("pass"), egress=EgressEndpoint(tmp_path / "x", DOORS)))
    assert refused.value.code == "guarantee_missing"
