"""What went wrong around a run is told by the run itself: where, why, and what mends it."""

import socket
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from hutch.client import Client
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.events import RunEvent
from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import DiffRequest
from support.daemon import Daemon, daemon, output, run
from support.streams import LONG_S

_MODEL = """
[agents.claude]
base_url = "http://127.0.0.1:{port}"
network = "model"
pass_env = ["ANTHROPIC_API_KEY"]

[network.model]
host_services = ["127.0.0.1:{port}"]
"""


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[tuple[Daemon, int]]:
    """A daemon whose network leads to a port at which nobody listens."""
    with socket.socket() as taken:  # so that nobody else listens there meanwhile
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        config = _MODEL.format(port=port) + '[policy]\nnetworks = ["model"]\n'
        folder = tmp_path_factory.mktemp("d") / "x"
        async with daemon(folder, config, env={"ANTHROPIC_API_KEY": "any word"}) as made:
            yield made, port


@pytest.fixture
async def client(served: tuple[Daemon, int]) -> AsyncGenerator[Client]:
    async with served[0].client() as connected:
        yield connected


async def test_a_refused_destination_is_told_while_the_run_works_and_in_its_record(
    client: Client, served: tuple[Daemon, int]
) -> None:
    _, port = served
    sender, receiver = anyio.create_memory_object_stream[RunEvent](1000)
    knock = f"exec 3<>/dev/tcp/127.0.0.1/{port}; cat <&3; read -t 100 x; exit 7"
    notes: list[str] = []
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            async with receiver:
                async for event in receiver:
                    notes.append(event.note)
                    if "refused" in event.note:
                        await client.stop_run(event.run_id or "", 0)

        group.start_soon(watch)
        async with sender:
            request = RunRequest(command=["/bin/bash", "-c", knock], network="model")
            record = await client.run(request, 45, sender)
    why = "this host cannot reach it; is it online, and does somebody listen there?"
    assert record.status in ("cancelled", "exited")
    assert record.refused == {f"127.0.0.1:{port}": why}
    assert f"127.0.0.1:{port} was refused: {why}" in notes
    assert (await client.list_runs(1))[0].refused == record.refused


@pytest.mark.slow
async def test_an_agent_s_turn_says_that_its_model_was_not_reached(
    client: Client, served: tuple[Daemon, int]
) -> None:
    _, port = served
    session = await client.start_agent(AgentRequest(agent="claude", prompt="x", volume="work"), 0)
    with anyio.fail_after(LONG_S):
        while not (record := await client.get_run(session.run_id or "")).refused:
            assert not record.is_ended
            await anyio.sleep(0.1)
    assert list(record.refused) == [f"127.0.0.1:{port}"]
    now = (await client.get_session(session.session_id)).note
    assert now.startswith(f"127.0.0.1:{port} was refused: this host cannot reach it")
    await client.stop_session(session.session_id)


async def test_a_name_that_no_network_grants_is_told_with_what_is_granted(client: Client) -> None:
    command = "echo 'curl: (6) Could not resolve host: example.org' >&2; exit 6"
    record = await run(client, command)
    assert record.reason.startswith("a name was not resolved: this run has no network")
    record = await run(client, command, network="model")
    assert record.reason.startswith("a name was not resolved: this run's network grants 127.0.0.1:")
    assert (await run(client, f"({command}); true")).reason == ""


async def test_what_no_rule_allows_is_told_with_the_rule_that_was_missing(client: Client) -> None:
    asks = "printf 'CONNECT %s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n' $0 $0 >&3; cat <&3"
    script = f"getent hosts pypi.org; echo $HTTPS_PROXY; exec 3<>/dev/tcp/127.0.0.1/3128; {asks}"
    record = await run(client, ["bash", "-c", script, "wiki.example.org:8443"], network="model")
    said = (await output(client, record))[0].splitlines()
    assert said[0] == "http://127.0.0.1:3128"
    assert said[1].startswith("HTTP/1.1 403")
    assert 'allow = ["wiki.example.org:8443"]' in said[-1]
    assert record.refused["wiki.example.org:8443"] in said[-1]
    assert "ask for it with --net python" in record.refused["pypi.org"]


@pytest.mark.parametrize("kept", [False, True], ids=["run", "session"])
async def test_a_missing_program_is_told_in_our_words(client: Client, kept: bool) -> None:
    record = await run(client, ["no-such-program", "x"], session_id="new" if kept else None)
    assert record.exit_code == 127
    assert (await output(client, record))[1] == (
        "hutch: no-such-program: No such file or directory inside the sandbox\n"
    )


async def test_a_list_is_never_longer_than_was_asked_for(client: Client) -> None:
    for _ in range(2):
        await run(client, "true")
    assert len(await client.list_runs(-1)) == 1


@pytest.mark.parametrize("volume", [None, "fresh"])
async def test_of_a_turn_that_is_refused_before_it_began_nothing_is_left(
    tmp_path: Path, volume: str | None
) -> None:
    async with daemon(tmp_path / "d") as made, made.client() as client:
        with pytest.raises(ServiceError) as refused:
            await client.start_agent(AgentRequest(agent="claude", prompt="x", volume=volume), 20)
        assert refused.value.code == "agent_keyless"
        assert (await client.list_sessions()).sessions == []
        assert await client.list_runs() == []
        assert await client.list_volumes() == await client.list_volumes(removed=True) == []


async def test_what_is_refused_only_in_its_volume_leaves_no_session_and_no_volume(
    client: Client, tmp_path: Path
) -> None:
    """What an agent cannot be told is known when its command is built: its volume is there by then."""
    request = AgentRequest(agent="claude", prompt="x", volume="unused", output_schema={"type": 7})
    with pytest.raises(ServiceError) as refused:
        await client.start_agent(request, 20)
    assert refused.value.code == "turn_invalid"
    assert "unused" not in {each.name for each in await client.list_volumes()}
    assert "unused" not in {each.volume for each in (await client.list_sessions()).sessions}
    async with daemon(tmp_path / "d") as made, made.client() as other:
        await run(other, "touch x", volumes=["work"])
        with pytest.raises(ServiceError, match="has no credential"):
            await other.start_agent(AgentRequest(agent="claude", prompt="x", volume="work"), 20)
        assert (await other.list_sessions()).sessions == []
        assert [each.name for each in await other.list_volumes()] == ["work"]


async def test_what_agents_keep_for_themselves_comes_last_on_every_page(client: Client) -> None:
    files = ".hutch/b .hutch/a .aaa z"
    await run(client, f"mkdir .hutch && touch {files}", volumes=["pages"])
    whole = (await client.diff_volume(DiffRequest(volume="pages", a="0"))).changes
    assert [change.path for change in whole] == ["/.aaa", "/z", "/.hutch", "/.hutch/a", "/.hutch/b"]
    for n, change in enumerate(whole):
        page = await client.diff_volume(DiffRequest(volume="pages", a="0", offset=n, limit=1))
        assert page.changes == [change]


async def test_a_path_in_a_message_stays_in_its_line(client: Client) -> None:
    await run(client, "touch x", volumes=["lines"])
    with pytest.raises(ServiceError) as refused:
        await client.diff_volume(DiffRequest(volume="lines", path="/a\nerror: b"))
    assert "'/a\\nerror: b'" in refused.value.message


async def test_a_request_that_is_cut_leaves_no_traceback(served: tuple[Daemon, int]) -> None:
    made, _ = served
    for path in ("/api/list_runs", "/mcp"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(made.config.daemon.socket))
            head = f"POST {path} HTTP/1.1\r\nhost: hutch\r\nauthorization: Bearer {made.token}\r\n"
            head += "content-type: application/json\r\naccept: application/json, text/event-stream\r\n"
            client.sendall(f"{head}content-length: 100\r\n\r\n{{".encode())
            with suppress(TimeoutError):
                client.settimeout(0.2)
                client.recv(1)
    async with made.client() as connected:
        await connected.list_runs()
    assert "Traceback" not in made.log()
