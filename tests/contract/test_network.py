"""The ways out of a sandbox end with the daemon that serves them, and the next one serves new ones."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import ServiceError
from support.container_engines import start_engine
from support.contract_cases import shows
from support.contract_column import ORDINARY_USER, ROOT_USER, Column, column, home_of, who
from support.contract_host import command_lines_with
from support.contract_methods import METHODS
from support.daemon import output, run
from support.needs import need

pytestmark = pytest.mark.slow

LOOKS = 5  # from inside, that say the same
# Pulls without end, and looks beside it, again and again, whether a way out leads anywhere: a door, the proxy
INSIDE = """
exec 3<>/dev/tcp/127.0.0.1/$1; cat <&3 >/dev/null &
look() {
  (exec 4<>/dev/tcp/127.0.0.1/$1; printf "$2" >&4; test -n "$(head -c 1 <&4 | tr x y)") 2>/dev/null
}
ask="CONNECT 127.0.0.1:$1 HTTP/1.1\\r\\nHost: 127.0.0.1:$1\\r\\n\\r\\n"
while :; do
  if look $1; then echo reached; elif look 3128 "$ask"; then echo reached; else echo nothing; fi >>$2
  sleep 0.05
done
"""


# What a client is answered at the daemon's port: straight, by name, and by the proxy; then at what is granted
OWN_PORT = """
for where in 127.0.0.1 localhost 2130706433 [::1] [::ffff:127.0.0.1]; do
  curl -s -m 60 -o /dev/null -w '%{http_code} ' --noproxy '*' http://$where:$1/healthz
  curl -s -m 60 -o /dev/null -w '%{http_code} ' --noproxy '' http://$where:$1/healthz
  curl -s -m 60 -o /dev/null -w '%{http_connect} ' --noproxy '' -p http://$where:$1/healthz
done
look() { exec 3<>/dev/tcp/127.0.0.1/$1 && head -c 5 <&3; }; look $2
"""


class Pouring:
    """A service of the host that never stops to answer."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.open: set[socket.socket] = set()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.open.add(client)
            threading.Thread(target=self._pour, args=(client,), daemon=True).start()

    def _pour(self, client: socket.socket) -> None:
        try:
            with client:
                while True:
                    client.sendall(b"x" * 4096)
                    time.sleep(0.01)
        except OSError:
            pass
        finally:
            self.open.discard(client)


@pytest.fixture
def pouring() -> Iterator[Pouring]:
    service = Pouring()
    yield service
    service.listener.close()


@shows("network/own-port")
@shows("network/dead-daemon")
@pytest.mark.parametrize(
    ("user", "method"),
    [
        *((user, method) for user in (ROOT_USER, ORDINARY_USER) for method in ("bubblewrap", "nsjail")),
        (ROOT_USER, "docker"),  # whose sandbox outlives the daemon
    ],
)
async def test_a_sandbox_reaches_nothing_while_its_daemon_is_dead_and_a_new_one_does(
    pouring: Pouring, user: str, method: str
) -> None:
    start_engine(method)
    toml = next(one.toml for one in METHODS if one.name == method)
    with home_of(who(user)) as seen:
        log = seen / "log"
        more = f'writable = ["{seen}"]\nnetworks = ["n"]\n[methods.{method}]\n{toml}\n[network.n]\n'
        more += f'host_services = ["127.0.0.1:{pouring.port}"]'
        async with column(user, method=method, more=more) as here:
            await see_own_port_closed(here, pouring.port)
            command = ["bash", "-c", INSIDE, "look", str(pouring.port), str(log)]
            asked = RunRequest(command=command, network="n", method=method, timeout_s=300)
            began = await here.client.run(asked, 0)
            await until(lambda: looks(log)[-LOOKS:] == ["reached"] * LOOKS)
            await here.daemon.end(signal.SIGKILL)
            before = len(looks(log)) + 1  # one look may have begun before
            await until(lambda: not command_lines_with(str(log)) or len(looks(log)) >= before + LOOKS)
            assert set(looks(log)[before:]) <= {"nothing"}
            await until(lambda: not pouring.open)
            await here.daemon.start()
            await until(lambda: not command_lines_with(str(log)))
            async with here.daemon.client() as client:
                assert (await client.get_run(began.run_id)).status == "lost"
                pull = f"exec 3<>/dev/tcp/127.0.0.1/{pouring.port}; head -c 5 <&3"
                record = await run(client, ["bash", "-c", pull], network="n", method=method)
                assert (await output(client, record))[0] == "xxxxx"
            assert set(looks(log)[before:]) <= {"nothing"}


async def see_own_port_closed(here: Column, granted: int) -> None:
    words = ["bash", "-c", OWN_PORT, "look", str(here.port), str(granted)]
    try:
        record = await here.run(words, network="n")
    except ServiceError as error:
        need(here.method, error.code != "method_unavailable", f"{here.method}: {error.message}", error.hint)
        raise
    assert (await here.output(record))[0] == "000 403 403 " * 5 + "xxxxx"


def looks(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not holds():
            await anyio.sleep(0.05)
