"""Opens the doors of a held sandbox: its programs connect to them, the host's egress accepts."""

import re
import sys
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing, asynccontextmanager
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import anyio

from hutch_launchers.launcher import LauncherError
from hutch_launchers.local_process import Child, open_pipes
from hutch_launchers.spec import EVERY_ADDRESS, EgressEndpoint

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,253}", re.ASCII)  # what cannot spoil /etc/hosts
_SCRIPT = Path(__file__).parent / "guest" / "make_doors.py"
_PATIENCE_S = 15.0  # longer than the script's own


class DoorMaker:
    """A process that makes every door of one sandbox. Closed by who made it."""

    def __init__(self, egress: EgressEndpoint) -> None:
        """Start it; it needs no sandbox yet. Raises LauncherError `sandbox_failed`."""
        check_doors(egress)
        self._wanted = [
            f"{each.address} {each.port} {'udp' if each.is_udp else 'tcp'}" for each in egress.made
        ]
        argv = [sys.executable, "-I", "-S", str(_SCRIPT), str(egress.socket)]
        with ExitStack() as child_ends:
            self._pipes = open_pipes(child_ends)
            try:
                self._child = Child(argv, env={}, stdio=self._pipes.child)
            except BaseException:
                self._pipes.close()
                raise

    async def open(self, pid: int) -> None:
        """Make them inside the network namespace of `pid`; on return the egress serves them.

        Raises LauncherError `sandbox_failed`.
        """
        try:
            with anyio.fail_after(_PATIENCE_S):
                await self._pipes.stdin.send("\n".join([str(pid), *self._wanted]).encode())
                self._pipes.stdin.close()
                await self._child.wait()
        except (TimeoutError, anyio.BrokenResourceError) as error:
            raise failed("the egress did not answer") from error
        if self._child.exit_status.code != 0:
            last_words = self._pipes.stderr.read_rest().decode(errors="replace").strip().rpartition("\n")[2]
            raise failed(last_words)

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._child.kill_and_reap()
        self._child.close()
        self._pipes.close()


@asynccontextmanager
async def door_maker(egress: EgressEndpoint | None) -> AsyncGenerator[DoorMaker | None]:
    """Begin to make doors before the sandbox starts, which takes about as long; None: there are none."""
    if egress is None or not egress.made:
        yield None
        return
    async with aclosing(DoorMaker(egress)) as maker:
        yield maker


async def open_doors(pid: int, egress: EgressEndpoint) -> None:
    """Make every door inside the network namespace of `pid`, as `DoorMaker` does."""
    async with aclosing(DoorMaker(egress)) as maker:
        await maker.open(pid)


def check_doors(egress: EgressEndpoint) -> None:
    """Raise LauncherError `sandbox_failed` for a door that is none."""
    for door in egress.doors:
        if not _NAME.fullmatch(door.name):
            raise failed(f"{door.name!r} is not a host's name")
        _check_port(door.address, door.port)
    for listener in egress.made:
        if listener.address != EVERY_ADDRESS:
            _check_port(listener.address, listener.port)


def _check_port(text: str, port: int) -> None:
    address = ip_address(text)
    if not (isinstance(address, IPv4Address) and address.is_loopback and 1 <= port <= 65535):
        raise failed(f"{text}:{port} is not a port of the sandbox's own loopback")


def failed(reason: str) -> LauncherError:
    """What the start of a sandbox without its doors is refused with."""
    return LauncherError("sandbox_failed", f"the sandbox's way out could not be opened: {reason}")
