"""Opens the doors of a held sandbox: its programs connect to them, the host's egress accepts."""

import json
import re
import sys
from contextlib import ExitStack
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import anyio

from hutch_launchers.launcher import LauncherError
from hutch_launchers.local_process import Child, open_pipes
from hutch_launchers.spec import EVERY_ADDRESS, EgressEndpoint

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,253}", re.ASCII)  # what cannot spoil /etc/hosts
_SCRIPT = Path(__file__).parent / "guest" / "make_doors.py"
_PATIENCE_S = 15.0  # longer than the script's own


async def open_doors(pid: int, egress: EgressEndpoint) -> None:
    """Make every door inside the network namespace of `pid`; on return the egress serves them.

    Raises LauncherError `sandbox_failed`.
    """
    check_doors(egress)
    request = json.dumps([[each.address, each.port, each.is_udp] for each in egress.made]).encode()
    argv = [sys.executable, "-I", "-S", str(_SCRIPT), str(pid), str(egress.socket)]
    with ExitStack() as child_ends:
        pipes = open_pipes(child_ends)
        try:
            child = Child(argv, env={}, stdio=pipes.child)
        except BaseException:
            pipes.close()
            raise
    try:
        with anyio.fail_after(_PATIENCE_S):
            await pipes.stdin.send(request)
            pipes.stdin.close()
            await child.wait()
        if child.exit_status.code != 0:
            last_words = pipes.stderr.read_rest().decode(errors="replace").strip().rpartition("\n")[2]
            raise failed(last_words)
    except (TimeoutError, anyio.BrokenResourceError) as error:
        raise failed("the egress did not answer") from error
    finally:
        with anyio.CancelScope(shield=True):
            await child.kill_and_reap()
        child.close()
        pipes.close()


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
