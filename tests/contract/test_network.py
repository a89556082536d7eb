"""Network and secrets, as the host sees them: one granted door, a planted secret that is nowhere."""

import socket
import threading
from collections.abc import AsyncGenerator

import pytest

from hutch_mcp_tools.service import RunRequest
from support.contract_cases import shows
from support.contract_column import ORDINARY_USER, ROOT_USER, Column, column
from support.contract_host import command_lines_with, outside_programs_with

pytestmark = pytest.mark.slow  # real sandboxes, by two users

_ANSWER = b"granted service"
_LOADERS = (
    "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GIT_SSH_COMMAND", "NODE_OPTIONS", "BASH_ENV", "ENV",
    "PYTHONSTARTUP", "PYTHONPATH", "PERL5OPT", "RUBYOPT", "IFS", "GLIBC_TUNABLES",
)  # fmt: skip


@pytest.fixture
async def doors(request: pytest.FixtureRequest) -> AsyncGenerator[tuple[Column, int]]:
    with socket.create_server(("127.0.0.1", 0)) as service:
        port = service.getsockname()[1]

        def answer() -> None:
            while True:
                try:
                    accepted, _ = service.accept()
                except OSError:
                    return
                with accepted:
                    accepted.sendall(_ANSWER)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        more = f'networks = ["one"]\n[network.one]\nhost_services = ["127.0.0.1:{port}"]\n'
        async with column(request.param, more=more) as made:
            yield made, port
        service.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@shows("network/only-granted")
@pytest.mark.parametrize("doors", [ROOT_USER, ORDINARY_USER], indirect=True)
async def test_a_granted_door_leads_to_its_service_and_nowhere_else(doors: tuple[Column, int]) -> None:
    made, port = doors
    look = (
        f"exec 2>/dev/null; cat < /dev/tcp/127.0.0.1/{port}; echo; "
        f"for p in {made.port} {made.stage.service_port} 22; do "
        "(exec 3<>/dev/tcp/127.0.0.1/$p) && echo $p; done; "
        "(exec 3<>/dev/tcp/1.1.1.1/443) && echo the world; true"
    )
    granted = await made.run(["bash", "-c", look], network="one")
    assert (await made.output(granted))[0] == _ANSWER.decode() + "\n"
    without = await made.run(["bash", "-c", look])
    assert (await made.output(without))[0] == "\n"


@shows("secrets/at-rest")
async def test_no_planted_secret_is_in_any_command_line_log_database_or_store(sandbox: Column) -> None:
    given = f"given-{sandbox.stage.secret}"
    command = "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'; echo \"$TOKEN\" | cut -c1-5; sleep 1"
    record = await sandbox.client.run(_request(sandbox, command, {"TOKEN": given}), 0)
    seen: list[bytes] = []
    while not record.is_ended:
        seen += command_lines_with(given)
        record = await sandbox.client.get_run(record.run_id, 0.05)
    stdout, _ = await sandbox.output(record)
    assert stdout.endswith("given\n")  # it did arrive inside
    assert seen == []
    for folder in (sandbox.daemon.config.daemon.state, sandbox.daemon.config.daemon.cache):
        for path in folder.rglob("*"):
            if path.is_file():
                assert sandbox.stage.secret.encode() not in path.read_bytes(), path
    assert sandbox.stage.secret not in sandbox.daemon.log()
    assert sandbox.stage.secret not in record.model_dump_json()


@shows("secrets/loader-variables")
async def test_variables_that_steer_a_loader_reach_only_the_inside(sandbox: Column) -> None:
    evil = dict.fromkeys(_LOADERS, "/vol/evil-hutch-marker")
    record = await sandbox.client.run(_request(sandbox, "sleep 1; echo in", evil), 0)
    found: set[bytes] = set()
    while not record.is_ended:
        found |= outside_programs_with(b"evil-hutch-marker")
        record = await sandbox.client.get_run(record.run_id, 0.05)
    # what has them is inside: processes of the sandbox's own PID namespace
    assert found == set()
    clean = await sandbox.run("echo in")
    assert (await sandbox.output(clean))[0] == "in\n"


def _request(made: Column, command: str, env: dict[str, str]) -> RunRequest:
    return RunRequest(command=["/bin/bash", "-c", command], env=env, method=made.method)
