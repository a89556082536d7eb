"""Accounts that are online: a run reaches its doors, by every way into the network, and nothing else."""

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hutch_launchers.contract.doorway import ANSWER, doorway
from hutch_launchers.launcher import LauncherError
from hutch_launchers.methods.account import firewall
from hutch_launchers.spec import Door, EgressEndpoint
from support.container_engines import USER
from support.launcher_accounts import Accounts, accounts
from support.launcher_methods import code, python, read_line, run, spec

TRY = """
import socket, sys
def visit(*address):
    with socket.create_connection(address, 2) as sock:
        return sock.recv(99).decode().strip()
def fast():
    return socket.socket().sendto(b"x", 0x20000000, ("127.0.0.1", int(sys.argv[1])))  # MSG_FASTOPEN
tries = {
    "door": lambda: visit("granted.example", 4433),
    "its address": lambda: visit("127.0.0.2", 4433),
    "another port": lambda: visit("127.0.0.2", 80),
    "the door's port elsewhere": lambda: visit("127.0.0.1", 4433),
    "the host": lambda: visit("127.0.0.1", int(sys.argv[1])),
    "the host by IPv6": lambda: visit("::1", int(sys.argv[1])),
    "the host, unseen by Landlock": fast,
    "udp": lambda: socket.socket(type=socket.SOCK_DGRAM),
    "mptcp": lambda: socket.socket(proto=262),
    "unix": lambda: socket.socket(socket.AF_UNIX),
    "bind": lambda: socket.socket().bind(("127.0.0.1", 0)),
    "listen": lambda: socket.socket().listen(),
}
for name, action in tries.items():
    try:
        print(name, action(), sep=": ")
    except OSError:
        pass
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accounts]:
    with accounts(tmp_path_factory.mktemp("accounts")) as made:
        yield made


async def test_a_run_reaches_its_doors_and_nothing_else(pool: Accounts, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as host:
        command = python(TRY, str(host.getsockname()[1]))
        async with doorway(tmp_path / "doors") as egress:
            done = await run(pool.launcher, spec(command, egress=egress))
    answer = ANSWER.decode().strip()
    assert done.text.splitlines() == [f"door: {answer}", f"its address: {answer}", "ready"]
    assert (done.status, pool.tables) == (code(0), [])


async def test_runs_share_an_address_and_nobody_else_comes_to_their_listeners(
    pool: Accounts, tmp_path: Path
) -> None:
    online = [account for account in pool.all if account.kind == "online"]
    async with doorway(tmp_path / "doors") as egress, AsyncExitStack() as stack:
        for _ in online:
            process = await stack.enter_async_context(
                pool.launcher.launch(spec(python(TRY, "9"), egress=egress))
            )
            assert await read_line(process.stdout) == f"door: {ANSWER.decode().strip()}"
        ports = [listener_of(account.uid) for account in online]
        assert len(set(ports)) == len(online)
        visit = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 2)"
        for port in ports:
            for user in (0, USER):
                words = ["/usr/bin/python3", "-I", "-S", "-c", visit, str(port)]
                tried = subprocess.run(words, user=user, check=False, capture_output=True, text=True)
                assert "No route to host" in tried.stderr
        with pytest.raises(LauncherError, match="all 2 online accounts are in use"):
            await run(pool.launcher, spec(python(TRY, "9"), egress=egress))


def listener_of(uid: int) -> int:
    listed = ["nft", "list", "table", "inet", firewall.table(uid)]
    rules = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    return int(re.findall(r"dnat ip to 127\.0\.0\.1:(\d+)", rules)[0])


@pytest.mark.parametrize(
    "door", [Door("x", "10.0.0.1", 80), Door("x\ny", "127.0.0.2", 80), Door("x", "127.0.0.2", 0)]
)
async def test_what_is_no_door_is_refused_and_nothing_stays(
    pool: Accounts, tmp_path: Path, door: Door
) -> None:
    for tried in (door, Door("x", "127.0.0.2", 80)):  # behind the second there is no egress
        egress = EgressEndpoint(tmp_path / "s", (tried,))
        with pytest.raises(LauncherError, match="the sandbox's way out could not be opened"):
            await run(pool.launcher, spec(python("print('ran')"), egress=egress))
    assert (pool.tables, list(pool.launcher.journals.glob("*.json"))) == ([], [])
