"""Server processes of a test session that cannot outlive it, and ports for them."""

import random
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_STOP_S = 5
_SERVERS_PORTS = (12_000, 32_000)  # below those of net.ipv4.ip_local_port_range


def free_port() -> int:
    """A port of loopback that nobody listens on now, and none that the kernel gives to a client meanwhile."""
    while True:
        port = random.randrange(*_SERVERS_PORTS)
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port


@contextmanager
def server(
    argv: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that stays in the foreground, killed with the block.

    The kernel kills it as well when this process dies, however it does. Call it on the main thread: the
    signal comes when the thread ends that made the process.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *map(str, argv)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=log.parent,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(
    is_up: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, limit_s: float
) -> None:
    """Wait for a server; fails with the end of its log."""
    end = time.monotonic() + limit_s
    while not is_up():
        if process.poll() is not None or time.monotonic() > end:
            text = log.read_text(errors="replace") if log.exists() else ""
            raise AssertionError(f"{log} tells why a server did not come up:\n{text[-4000:]}")
        time.sleep(0.05)


def answers(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as asked:
        asked.settimeout(1)
        return asked.connect_ex(("127.0.0.1", port)) == 0
