"""An attempt is kept as a whole or not at all, however the daemon ends, and never over what others wrote."""

import base64
import json
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from mcp import Client as McpClient
from mcp.types import TextContent

from hutch.cli import main
from hutch.cli.invocation import Invocation
from hutch.client import Client, connect
from hutch.state.store import open_state
from hutch.volumes import DirectoryStore, VolumeName, Volumes
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.group_records import Forks
from hutch_mcp_tools.server import build_server
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.attempts import attempted, begin
from support.bounds import chance, limit_s, times
from support.daemon import Daemon, daemon, output, run
from support.daemon_stores import s3_config
from support.streams import LONG_S

pytestmark = pytest.mark.slow
GROUP = "g-abc"


async def content(client: Client, volume: str, path: str, at: int | None = None) -> str:
    asked = ReadVolumeRequest(volume=volume, path=path, at=None if at is None else str(at))
    return base64.b64decode((await client.read_volume(asked)).data_base64 or "").decode()


async def who(client: Client) -> str:
    """Whose work the volume's newest snapshot is, all of it."""
    at = (await client.volume_stat("web")).volume.snapshot  # a daemon that has just begun may still keep
    said = (await content(client, "web", "/who", at)).strip()
    wanted = {f"{n}\n" if said == "0" else f"{n}\n{said}\n" for n in (2, 50, 100)}
    assert {await content(client, "web", f"/src/{n}", at) for n in (2, 50, 100)} == wanted
    return said


@pytest.mark.parametrize("kind", ["directory", "s3"])
async def test_one_of_two_is_kept_unless_the_volume_was_written(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    more = s3_config(request.getfixturevalue("s3_server"), tmp_path) if kind == "s3" else ""
    async with daemon(tmp_path / "d", more) as made, made.client() as client:
        snapshot = await begin(client)
        first, second = await attempted(made, client, GROUP, 2)
        kept = await client.keep_attempt(first)
        assert (kept.volume, kept.snapshot, kept.changes) == ("web", snapshot + 1, 101)
        assert await who(client) == first
        assert (await client.get_session(first)).volume == "web:/data"
        with pytest.raises(ServiceError) as refused:
            await client.keep_attempt(second)
        assert refused.value.code == "volume_moved_on"
        assert f"snapshot {snapshot + 1} is of keep {first} of {GROUP}" in refused.value.message
        assert (await client.get_session(second)).volume == "web-abc-2:/data"
        await client.restore_volume("web", str(snapshot))  # as it was, so nothing would be lost
        assert (await client.keep_attempt(second)).snapshot == snapshot + 3
        assert await who(client) == second
        assert (await client.discard_group(GROUP)).left == {}
        assert [each.name for each in await client.list_volumes()] == ["web"]
        await client.collect_volume("web")
        assert (await client.check_volume("web")).problems == []


async def test_work_of_others_since_then_is_not_lost(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made, made.client() as client:
        await begin(client)
        (only,) = await attempted(made, client, GROUP, 1)
        await run(client, "echo mine > /data/mine", volumes=["web:/data"])
        with pytest.raises(ServiceError) as refused:
            await client.keep_attempt(only)
        assert refused.value.code == "volume_moved_on"
        assert await content(client, "web", "/mine") == "mine\n"
        assert (await client.keep_attempt(only, "apart")).volume == "apart"
        assert (await content(client, "apart", "/who")).strip() == only
        with pytest.raises(ServiceError) as again:
            await client.keep_attempt(only)
        assert again.value.code == "not_an_attempt"


async def test_a_hundred_changed_files_are_compared_within_bounds(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made, made.client() as client:
        await begin(client)
        sessions = await attempted(made, client, GROUP, 2)
        for attempt in await client.compare_attempts([GROUP], 30):
            assert (attempt.changed, len(attempt.files), attempt.added) == (101, 30, 29)
        assert [each.session_id for each in await client.compare_attempts(sessions, 0)] == sessions
        group = await client.get_group(GROUP)
        assert [(each.changed, each.files) for each in group.attempts] == [(101, []), (101, [])]


@pytest.mark.parametrize("done", [False, True], ids=["before its entry", "after its entry"])
async def test_a_keeping_that_a_killed_daemon_left_is_brought_to_its_end(tmp_path: Path, done: bool) -> None:
    store = tmp_path / "store"
    async with daemon(tmp_path / "d", f'\n[storage]\nurl = "file://{store}"\n') as made:
        async with made.client() as client:
            snapshot = await begin(client)
            (only,) = await attempted(made, client, GROUP, 1)
        await made.end(signal.SIGKILL)
        async with open_state(made.config.daemon.state / "state.db") as state:
            attempt = await state.attempt(only)
            assert attempt is not None
            await state.put_attempt(replace(attempt, keeping="web"))
        if done:
            volumes = Volumes(DirectoryStore(store), tmp_path / "cache")
            web, fork = VolumeName.parse("web"), VolumeName.parse(attempt.volume)
            await volumes.adopt(web, fork, run_id=f"keep {only} of {GROUP}")
        await made.start()
        async with made.client() as client:
            await until_kept(client, only)
            assert (await client.volume_stat("web")).volume.snapshot == snapshot + 1
            assert await who(client) == only


async def until_kept(client: Client, session: str) -> None:
    with anyio.fail_after(LONG_S):
        while (await client.get_session(session)).volume != "web:/data":
            await anyio.sleep(0.05)


@pytest.mark.timeout(limit_s(300, long=900))
async def test_a_daemon_that_is_killed_while_it_keeps_leaves_all_of_it_or_nothing(tmp_path: Path) -> None:
    often = times(5, long=40)
    rng = chance("kills of keeping")
    async with daemon(tmp_path / "d") as made:
        async with made.client() as client:
            snapshot = await begin(client)
            sessions = await attempted(made, client, GROUP, often)
        for session in sessions:
            await killed_keeping(made, session, rng.random() * 0.15)
            async with made.client() as client:
                assert await who(client) in ("0", session)
                await client.keep_attempt(session)  # again, or for the first time
                assert await who(client) == session
                assert (await client.get_session(session)).volume == "web:/data"
                await client.restore_volume("web", str(snapshot))
        async with made.client() as client:
            assert (await client.check_volume("web")).problems == []


async def killed_keeping(made: Daemon, session: str, after_s: float) -> None:
    async def keep(client: Client) -> None:
        with suppress(ServiceError):  # its daemon is gone
            await client.keep_attempt(session)

    async with made.client() as client, anyio.create_task_group() as tasks:
        tasks.start_soon(keep, client)
        await anyio.sleep(after_s)  # the instant is what is tested
        await made.end(signal.SIGKILL)
    await made.start()


async def test_a_command_is_tried_in_a_fork_of_each_which_goes_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with daemon(tmp_path / "d") as made, made.client() as client:
        await begin(client)
        first, second = await attempted(made, client, GROUP, 2)
        volumes = [each.name for each in await client.list_volumes()]
        capfd.readouterr()
        words = ["compare", GROUP, "--json", "--check", f"touch built; echo seen; grep -q {second} who"]
        invocation = Invocation(file=made.folder / "config.toml", env=made.env)
        assert await to_thread.run_sync(main, words, invocation) == 0
        told = json.loads(capfd.readouterr().out)
        assert [each["session_id"] for each in told] == [first, second]
        assert [each["check"]["exit_code"] for each in told] == [1, 0]
        for each in told:
            assert (await output(client, await client.get_run(each["check"]["run_id"])))[0] == "seen\n"
        assert [each.name for each in await client.list_volumes()] == volumes
        assert {each.changed for each in await client.compare_attempts([GROUP], 0)} == {101}


async def test_agents_look_at_attempts_and_keep_one_by_the_tools_they_have(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made, made.client() as client:
        snapshot = await begin(client)
        first, second = await attempted(made, client, GROUP, 2)
        async with McpClient(build_server(client, version="0")) as agent:
            told = await answer(agent, "get_session", session_id=GROUP)
            assert told.startswith(f"group={GROUP} status=idle agent=claude volume=web snapshot={snapshot}\n")
            assert f"attempt=2 session={second} status=idle volume=web-abc-2 changed=101 " in told
            assert told.count("\n    M /src/") == 38  # of each the first twenty, one of which is gone
            kept = await answer(agent, "apply_changes", review=second)
            assert kept == f"applied 101 changes to volume web at snapshot {snapshot + 1}; 0 wait"
            assert (await answer(agent, "apply_changes", review=first)).startswith("error: volume_moved_on")
            await answer(agent, "stop_session", session_id=GROUP, remove=True)
        assert await who(client) == second
        assert [each.name for each in await client.list_volumes()] == ["web"]


async def answer(agent: McpClient, tool: str, **arguments: object) -> str:
    result = await agent.call_tool(tool, arguments)
    return "".join(part.text for part in result.content if isinstance(part, TextContent))


async def test_a_group_is_its_principal_s_alone(tmp_path: Path) -> None:
    granted = '\n[principals.ci]\nvolumes = {"web" = "rw", "mine*" = "rw"}\n'
    async with daemon(tmp_path / "d", granted) as made, made.client() as owner:
        await begin(owner)
        (session,) = await attempted(made, owner, GROUP, 1)
        token = (await owner.create_token("ci")).token
        async with connect(made.config, token=token) as client:
            assert await client.list_groups() == []
            for call in (
                lambda: client.get_group(GROUP),
                lambda: client.stop_group(GROUP),
                lambda: client.discard_group(GROUP),
                lambda: client.compare_attempts([GROUP]),
            ):
                assert await refused(call) == "group_unknown"
            assert await refused(lambda: client.keep_attempt(session)) == "session_unknown"
            assert await refused(lambda: client.keep_attempt(session, "secret")) == "volume_unknown"
            asked = AgentRequest(agent="claude", prompt="x", volume="web")  # and no fork of it
            assert await refused(lambda: client.start_forks(asked, Forks(count=2))) == "volume_needed"
            asked = AgentRequest(agent="claude", prompt="x", volume="other")
            assert await refused(lambda: client.start_forks(asked, Forks(count=2))) == "volume_unknown"
            asked = AgentRequest(agent="claude", prompt="x", volume="mine", network="wrong")
            assert await refused(lambda: client.start_forks(asked, Forks(count=2))) == "network_denied"
        assert [each.name for each in await owner.list_volumes()] == ["web", "web-abc-1"]
        assert [each.group_id for each in await owner.list_groups()] == [GROUP]


async def refused(call: Callable[[], Awaitable[object]]) -> str:
    with pytest.raises(ServiceError) as error:
        await call()
    return error.value.code
