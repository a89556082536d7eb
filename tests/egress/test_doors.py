"""Bytes through doors: real sockets on loopback, as seen from a program inside."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketStream

from hutch.egress import Connection, InForce, Refusal, Resolver, open_ways
from hutch.egress.ledger import SINGLY, Ledger
from hutch.egress.ways.serving import CONNECTIONS
from hutch_launchers.spec import Door
from support.egress_launcher import hand_over
from support.networks import network
from support.processes import free_port

Serve = Callable[[SocketStream], Awaitable[None]]
AT = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """A service on the host, a door to it, and the log of what passed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.log: list[Connection] = []
        self.answer = ["127.0.0.1"]
        self.asked = 0

    async def ask(self, host: str, port: int) -> list[str]:
        assert (host, port) == ("service", self.port)
        self.asked += 1
        if not self.answer:
            raise socket.gaierror("no such name")
        return self.answer

    @asynccontextmanager
    async def door(self, serve: Serve | None, *, is_host_service: bool = True) -> AsyncIterator[Door]:
        where = [f"service:{self.port}"]
        self.network = InForce(network(services=where) if is_host_service else network(*where))
        async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
            if serve is not None:
                listener = await stack.enter_async_context(
                    await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=self.port)
                )
                tasks.start_soon(listener.serve, serve)
            async with open_ways(
                self.network, "run-1", self.folder, self.log.append, resolver=Resolver(self.ask)
            ) as endpoint:
                await hand_over(endpoint)
                yield endpoint.doors[0]
            tasks.cancel_scope.cancel()

    def entry(self, **rest: object) -> Connection:
        known = Connection("run-1", "service", self.port, "127.0.0.1", AT, 0, 0, 0)
        return replace(known, **rest)  # type: ignore[arg-type]  # its fields, by name

    @property
    def logged(self) -> list[Connection]:
        """The log without the times, which are checked to be plausible."""
        for record in self.log:
            assert abs((datetime.now(UTC) - record.started_at).total_seconds()) < 60
            assert 0 <= record.duration_s < 60
        return [replace(record, started_at=AT, duration_s=0, way="", rule="", told="") for record in self.log]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def dial(door: Door) -> Awaitable[SocketStream]:
    return anyio.connect_tcp(door.address, door.port)


async def read_all(stream: SocketStream) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def shout(stream: SocketStream) -> None:
    """Answer everything, when it has all come, in upper case."""
    async with stream:
        await stream.send((await read_all(stream)).upper())
        await stream.send_eof()


async def test_bytes_pass_both_ways_and_each_half_closes_by_itself(world: World) -> None:
    async with world.door(shout) as door, await dial(door) as client:
        await client.send(b"hello")
        await client.send_eof()
        assert await read_all(client) == b"HELLO"
    assert world.logged == [world.entry(bytes_out=5, bytes_in=5)]


async def test_a_large_answer_to_a_slow_reader_arrives_whole(world: World) -> None:
    size = 32 << 20

    async def pour(stream: SocketStream) -> None:
        async with stream:
            for _ in range(size >> 20):
                await stream.send(b"x" * (1 << 20))
            await stream.send_eof()
            await read_all(stream)

    async with world.door(pour) as door, await dial(door) as client:
        await client.send_eof()
        await anyio.wait_all_tasks_blocked()
        assert len(await read_all(client)) == size
    assert world.logged == [world.entry(bytes_in=size)]


async def test_an_answer_before_the_question_has_ended_arrives(world: World) -> None:
    async def refuse(stream: SocketStream) -> None:
        async with stream:
            await stream.receive(1)
            await stream.send(b"413 too large")
            await stream.send_eof()
            await read_all(stream)

    async with world.door(refuse) as door, await dial(door) as client:
        await client.send(b"y")
        assert await client.receive() == b"413 too large"
        await client.send(b"y" * 1000)
        await client.send_eof()
        with pytest.raises(anyio.EndOfStream):
            await client.receive()
    assert world.logged == [world.entry(bytes_out=1001, bytes_in=13)]


async def test_a_client_that_resets_ends_the_connection_to_the_service(world: World) -> None:
    ended = anyio.Event()

    async def wait(stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.BrokenResourceError):
                await read_all(stream)
            ended.set()

    async with world.door(wait) as door:
        with socket.create_connection((door.address, door.port)) as client:
            client.send(b"x")
            while not world.asked:
                await anyio.lowlevel.checkpoint()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await ended.wait()


async def test_no_connection_outlives_the_block(world: World) -> None:
    began = anyio.Event()

    async def hold(stream: SocketStream) -> None:
        async with stream:
            began.set()
            await read_all(stream)

    async with world.door(hold) as door:
        client = await dial(door)
        await client.send(b"x")
        await began.wait()
    async with client:
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await client.receive()
    assert [record.refused for record in world.log] == [None]
    with pytest.raises(OSError, match=r"Connection refused|All connection attempts failed"):
        await dial(door)


async def expect_closed(door: Door) -> None:
    async with await dial(door) as client:
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await client.receive()


@pytest.mark.parametrize(
    ("answer", "is_host_service", "refused"),
    [
        ([], True, Refusal.UNRESOLVED),
        (
            ["127.0.0.1", "10.0.0.1", "::1"],
            False,
            Refusal.ADDRESS,
        ),  # a name that was public when it was granted
        (["169.254.169.254"], True, Refusal.ADDRESS),
        (["::ffff:127.0.0.1"], True, Refusal.ADDRESS),
    ],
)
async def test_an_address_that_is_not_granted_is_not_dialled(
    world: World, answer: list[str], is_host_service: bool, refused: Refusal
) -> None:
    world.answer = answer
    async with world.door(shout, is_host_service=is_host_service) as door:
        await expect_closed(door)
    assert world.logged == [world.entry(address=None, refused=refused)]


async def test_a_service_that_is_not_there_is_logged_as_unreachable(world: World) -> None:
    async with world.door(None) as door:
        await expect_closed(door)
    assert world.logged == [world.entry(address=None, refused=Refusal.UNREACHABLE)]


async def test_the_next_address_is_tried_when_one_does_not_answer(world: World) -> None:
    world.answer = ["127.0.0.7", "::1", "127.0.0.1"]
    async with world.door(shout) as door, await dial(door) as client:
        await client.send_eof()
        assert await read_all(client) == b""
    assert world.logged == [world.entry()]


async def test_a_thousand_connections_are_bounded_and_the_service_still_answers(world: World) -> None:
    now, most = 0, 0

    async def hold(stream: SocketStream) -> None:
        nonlocal now, most
        async with stream:
            now += 1
            most = max(most, now)
            with suppress(anyio.BrokenResourceError):
                await read_all(stream)
                await stream.send(b"here")
                await stream.send_eof()
        now -= 1

    async with world.door(hold) as door:
        crowd = [socket.create_connection((door.address, door.port)) for _ in range(1000)]
        while not any(record.refused is Refusal.TOO_MANY for record in world.log):
            await anyio.sleep(0.01)
        for client in crowd:
            client.close()
        while now:
            await anyio.sleep(0.01)
        with anyio.fail_after(30):
            answer = b""
            while not answer:  # the rest of the crowd is still being turned away
                async with await dial(door) as late:
                    with suppress(anyio.BrokenResourceError):
                        await late.send_eof()
                        answer = await read_all(late)
    assert most <= CONNECTIONS


def test_beyond_a_number_the_log_holds_sums() -> None:
    log: list[Connection] = []
    ledger = Ledger("r", log.append)
    one = Connection("r", "a", 80, "1.1.1.1", AT, 1.0, 2, 3)
    for _ in range(SINGLY + 5):
        ledger.add(one)
    for _ in range(3):
        ledger.add(Connection("r", "a", 80, None, AT, 0.0, 0, 0, Refusal.TOO_MANY))
    assert log == [one] * SINGLY
    ledger.flush()
    assert log[SINGLY:] == [
        Connection("r", "a", 80, "1.1.1.1", AT, 5.0, 10, 15, None, 5),
        Connection("r", "a", 80, None, AT, 0.0, 0, 0, Refusal.TOO_MANY, 3),
    ]
    ledger.flush()
    assert len(log) == SINGLY + 2
