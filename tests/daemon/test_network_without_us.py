"""The ways out of a sandbox end with the daemon that serves them, and the next one serves new ones."""

import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from hutch_mcp_tools.service import RunRequest
from support.daemon import daemon, output, run


class Pouring:
    """A service of the host that never stops to answer."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = 0
        self.poured = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pour, args=(client,), daemon=True).start()

    def _pour(self, client: socket.socket) -> None:
        self.open += 1
        try:
            with client:
                while True:
                    client.sendall(b"x" * 65536)
                    self.poured.set()
        except OSError:
            pass
        finally:
            self.open -= 1


@pytest.fixture
def pouring() -> Iterator[Pouring]:
    service = Pouring()
    yield service
    service.listener.close()


async def test_a_transfer_ends_with_a_killed_daemon_and_the_next_one_lets_runs_out_again(
    tmp_path: Path, pouring: Pouring
) -> None:
    config = f'[policy]\nnetworks = ["n"]\n[network.n]\nhost_services = ["127.0.0.1:{pouring.port}"]\n'
    pull = f"exec 3<>/dev/tcp/127.0.0.1/{pouring.port}; "
    async with daemon(tmp_path / "d", config) as served:
        async with served.client() as client:
            long = RunRequest(command=f"{pull} cat <&3 >/dev/null", network="n")
            began = await client.run(long, 0)
            with anyio.fail_after(30):
                while not pouring.poured.is_set():
                    await anyio.sleep(0.05)
        await served.restart(signal.SIGKILL)
        with anyio.fail_after(20):
            while pouring.open:
                await anyio.sleep(0.05)
        async with served.client() as client:
            assert (await client.get_run(began.run_id)).status != "running"
            record = await run(client, f"{pull} head -c 5 <&3", network="n")
            assert (await output(client, record))[0] == "xxxxx"
