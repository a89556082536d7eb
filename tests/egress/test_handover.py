"""The launcher's side of a handover, kept and broken."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from hutch.egress import InForce, open_ways
from hutch.egress.ways.handover import listen, receive_listeners
from hutch.errors import HutchError
from hutch_launchers.spec import EgressEndpoint, Listener
from support.egress_launcher import connect, hand_over, listeners, message, send
from support.networks import network
from support.processes import free_port


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[EgressEndpoint]:
    """Two listeners and a UDP socket are waited for, and taken once."""
    wanted = tuple(Listener("127.0.0.1", free_port(), is_udp) for is_udp in (False, False, True))
    endpoint = EgressEndpoint(tmp_path / "egress.sock", (), wanted)

    async def take() -> None:
        for sock in await receive_listeners(listener, wanted):
            sock.close()
        listener.close()

    with listen(endpoint.socket) as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take)
            yield endpoint
            tasks.cancel_scope.cancel()


async def test_the_socket_is_for_its_owner_alone(endpoint: EgressEndpoint) -> None:
    assert endpoint.socket.stat().st_mode & 0o777 == 0o600


async def test_once_the_doors_are_served_nobody_else_is_let_in(endpoint: EgressEndpoint) -> None:
    await hand_over(endpoint)
    with pytest.raises(ConnectionRefusedError):
        connect(endpoint)


async def test_the_socket_is_gone_with_the_block(tmp_path: Path) -> None:
    async with open_ways(InForce(network("a.example:80")), "r", tmp_path, lambda _: None) as endpoint:
        assert endpoint.socket.exists()
    assert list(tmp_path.iterdir()) == []


Misbehaviour = Callable[[socket.socket, list[socket.socket]], None]


def wrong_index(launcher: socket.socket, brought: list[socket.socket]) -> None:
    send(launcher, 3, brought[0])


def huge_index(launcher: socket.socket, brought: list[socket.socket]) -> None:
    send(launcher, 0xFFFFFFFF, brought[0])


def twice_the_same(launcher: socket.socket, brought: list[socket.socket]) -> None:
    send(launcher, 0, brought[0])
    send(launcher, 0, brought[0])


def two_descriptors(launcher: socket.socket, brought: list[socket.socket]) -> None:
    socket.send_fds(launcher, [message(0)], [sock.fileno() for sock in brought])


def fifty_descriptors(launcher: socket.socket, brought: list[socket.socket]) -> None:
    socket.send_fds(launcher, [message(0)], [brought[0].fileno()] * 50)


def no_descriptor(launcher: socket.socket, _: list[socket.socket]) -> None:
    launcher.send(message(0))


def extra_data(launcher: socket.socket, brought: list[socket.socket]) -> None:
    socket.send_fds(launcher, [message(0) + b"more"], [brought[0].fileno()])


def half_an_index(launcher: socket.socket, brought: list[socket.socket]) -> None:
    socket.send_fds(launcher, [b"\0\0"], [brought[0].fileno()])


def a_file(launcher: socket.socket, _: list[socket.socket]) -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    socket.send_fds(launcher, [message(0)], [fd])
    os.close(fd)


def not_listening(launcher: socket.socket, _: list[socket.socket]) -> None:
    with socket.socket() as idle:
        send(launcher, 0, idle)


def of_another_kind(launcher: socket.socket, brought: list[socket.socket]) -> None:
    send(launcher, 2, brought[0])


def itself(launcher: socket.socket, _: list[socket.socket]) -> None:
    send(launcher, 0, launcher)


def hangs_up(launcher: socket.socket, brought: list[socket.socket]) -> None:
    send(launcher, 0, brought[0])
    launcher.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(
    "misbehave",
    [
        *(
            wrong_index,
            huge_index,
            twice_the_same,
            two_descriptors,
            fifty_descriptors,
            no_descriptor,
        ),
        *(extra_data, half_an_index, a_file, not_listening, of_another_kind, itself, hangs_up),
    ],
    ids=lambda one: str(one.__name__),
)
async def test_who_breaks_the_protocol_is_hung_up_on_and_the_next_one_served(
    endpoint: EgressEndpoint, misbehave: Misbehaviour
) -> None:
    before = open_descriptors()

    def try_it() -> bytes:
        with connect(endpoint) as launcher, listeners(endpoint.made) as brought:
            misbehave(launcher, brought)
            try:
                return launcher.recv(1)
            except ConnectionResetError:
                return b""

    assert await to_thread.run_sync(try_it) == b""
    assert open_descriptors() <= before
    await hand_over(endpoint)


def open_descriptors() -> set[str]:
    """What the process holds open, without the handles that worker threads come and go with."""
    links = set()
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            links.add(str(fd.readlink()))
    return {link for link in links if link.startswith(("socket:", "/dev/null"))}


async def test_a_path_that_no_socket_can_have_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    with pytest.raises(HutchError) as refused:
        async with open_ways(InForce(network("a.example:80")), "r", folder, lambda _: None):
            pass
    assert refused.value.code == "egress_failed"


async def test_an_error_of_the_block_stays_itself(tmp_path: Path) -> None:
    with pytest.raises(HutchError, match="mine"):
        async with open_ways(InForce(network("a.example:80")), "r", tmp_path, lambda _: None):
            raise HutchError("x", "mine")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
async def test_another_user_is_hung_up_on(endpoint: EgressEndpoint) -> None:
    endpoint.socket.chmod(0o666)
    for folder in list(endpoint.socket.parents)[:-2]:
        if folder.name.startswith(("pytest", "popen", "test")):
            folder.chmod(0o755)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setuid(1500)
            with connect(endpoint) as launcher:
                code = 0 if launcher.recv(1) == b"" else 1
        finally:
            os._exit(code)
    _, status = await to_thread.run_sync(os.waitpid, pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    await hand_over(endpoint)
