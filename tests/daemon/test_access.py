"""Who may do what, on a real daemon: by its API, by MCP over HTTP and stdio, and by raw requests."""

import json
import sys
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio
import httpx2
import pytest
from mcp import Client as McpClient
from mcp import MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ResourceTemplateReference, TextContent

from hutch.client import Client, connect
from hutch_mcp_tools.service import AgentRequest, LogRequest, RunRequest, ServiceError
from hutch_mcp_tools.volume_records import (
    DiffRequest,
    ExportRequest,
    ImportRequest,
    ReadVolumeRequest,
    WriteVolumeRequest,
)
from support.daemon import Daemon, daemon, model_config, run, scripted_model, turn

pytestmark = pytest.mark.slow

CONFIG = """
[principals.ci]
volumes = {"team-*" = "rw", "web" = "owner", "pub-*" = "ro", "*-keys" = "none"}
[principals.eve]
volumes = {"eve-*" = "rw", "pub-*" = "ro"}
"""
Era = Literal["auto", "legacy"]
HIDDEN, ABSENT = "web", "wob"  # the first is there, and eve may not know


@dataclass(frozen=True, slots=True)
class House:
    """A daemon, its owner, and a client for each principal."""

    daemon: Daemon
    owner: Client
    ci: Client
    eve: Client
    tokens: dict[str, str]


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[House]:
    async with daemon(tmp_path_factory.mktemp("house"), CONFIG) as made, made.client() as owner:
        tokens = {name: (await owner.create_token(name)).token or "" for name in ("ci", "eve")}
        for volume in (HIDDEN, "pub-docs", "team-a", "their-keys"):
            await write(owner, volume)
        as_ci, as_eve = (connect(made.config, token=tokens[name]) for name in ("ci", "eve"))
        async with as_ci as ci, as_eve as eve:
            yield House(made, owner, ci, eve, tokens)


async def write(service: Client, volume: str, mode: str = "overwrite") -> None:
    values = {"volume": volume, "path": "/file", "content_base64": "eA==", "mode": mode}
    await service.write_volume(WriteVolumeRequest.model_validate(values))


async def refusal(work: Awaitable[object]) -> tuple[str, str, str]:
    with pytest.raises(ServiceError) as refused:
        await work
    return refused.value.code, refused.value.message, refused.value.hint


async def code_of(work: Awaitable[object]) -> str:
    return (await refusal(work))[0]


async def kept(service: Client, volume: str) -> str:
    """Open a kept sandbox with a volume; return its session's id."""
    opened = await run(service, "true", session_id="new", volumes=[volume])
    assert opened.session_id is not None
    return opened.session_id


@asynccontextmanager
async def over_http(house: House, token: str, mode: Era) -> AsyncGenerator[McpClient]:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http:
        transport = streamable_http_client(f"{house.daemon.url}/mcp", http_client=http)
        async with McpClient(transport, mode=mode) as client:
            yield client


async def post(house: House, path: str, token: str, body: object = None, **headers: str) -> httpx2.Response:
    given = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream", **headers}
    async with httpx2.AsyncClient(base_url=house.daemon.url, trust_env=False, timeout=30) as http:
        return await http.post(path, json={} if body is None else body, headers=given)


async def said(client: McpClient, tool: str, **arguments: object) -> str:
    answer = await client.call_tool(tool, arguments)
    assert isinstance(answer.content[0], TextContent)
    return answer.content[0].text


async def completed(client: McpClient, argument: str, begun: str, known: dict[str, str]) -> list[str]:
    reference = ResourceTemplateReference(uri="hutch://volumes/{name}/{+path}{?at}")
    answer = await client.complete(reference, {"name": argument, "value": begun}, known)
    return answer.completion.values


# Tokens ------------------------------------------------------------


async def test_every_token_that_is_not_valid_now_gets_one_answer(house: House) -> None:
    expired = (await house.owner.create_token("ci", 0.2)).token or ""
    revoked = await house.owner.create_token("ci")
    assert (await post(house, "/api/list_volumes", revoked.token or "")).status_code == 200
    await house.owner.revoke_token(revoked.token_id)
    await anyio.sleep(0.25)
    valid = house.tokens["ci"]
    forged = [
        expired,
        revoked.token or "",
        valid[:-1],
        valid + "x",
        valid.swapcase(),
        valid.rpartition("_")[0] + "_" + house.tokens["eve"].rpartition("_")[2],
        "hutch_aaaaaaaaaa_" + "A" * 43,
        "owner",
        "ci",
    ]
    for path in ("/api/list_volumes", "/mcp", "/api/doctor"):
        answers = [await post(house, path, token) for token in forged]
        assert {(one.status_code, one.text) for one in answers} == {(401, answers[0].text)}


async def test_tokens_are_the_owners_business_and_never_shown_again(house: House) -> None:
    for service in (house.ci, house.eve):
        assert await code_of(service.create_token("ci")) == "owner_only"
        assert await code_of(service.list_tokens()) == "owner_only"
        assert await code_of(service.revoke_token("x")) == "owner_only"
    listed = await house.owner.list_tokens()
    assert {"ci", "eve"} <= {one.principal for one in listed}
    state = house.daemon.config.daemon.state
    kept_bytes = b"".join(file.read_bytes() for file in state.iterdir() if file.is_file())
    for token in house.tokens.values():
        secret = token.rpartition("_")[2]
        assert secret not in str(listed) + house.daemon.log()
        assert secret.encode() not in kept_bytes


@pytest.mark.parametrize("path", ["/api/doctor", "/api/shutdown", "/API/shutdown", "/api/create_token"])
async def test_the_daemon_itself_is_the_owners(house: House, path: str) -> None:
    answer = await post(house, path, house.tokens["ci"], {"principal": "ci"} if "token" in path else None)
    assert answer.status_code in (403, 404, 405) or "owner_only" in answer.text
    assert (await post(house, "/api/list_volumes", house.daemon.token)).status_code == 200


# Volumes ------------------------------------------------------------


async def test_a_list_holds_what_may_be_read(house: House) -> None:
    assert {"web", "pub-docs", "team-a", "their-keys"} <= {v.name for v in await house.owner.list_volumes()}
    assert {v.name for v in await house.ci.list_volumes()} >= {"web", "pub-docs", "team-a"}
    assert "their-keys" not in {v.name for v in await house.ci.list_volumes()}
    seen = {volume.name for volume in await house.eve.list_volumes()}
    assert {name for name in seen if not name.startswith("eve-")} == {"pub-docs"}


async def nothing() -> AsyncGenerator[bytes]:
    yield b""


def asked(service: Client, volume: str) -> dict[str, Awaitable[object]]:
    """Every call that a volume's name goes into."""
    request = ReadVolumeRequest(volume=volume)
    return {
        "read": service.read_volume(request),
        "old": service.read_volume(request.model_copy(update={"at": "1", "path": "/file"})),
        "write": write(service, volume),
        "create": write(service, volume, "create"),
        "log": service.volume_log(volume),
        "shares": service.volume_shares(volume),
        "share": service.share_volume(volume, "eve", "owner"),
        "unshare": service.share_volume(volume, "nobody", "none"),
        "stat": service.volume_stat(volume),
        "export": service.export_volume(ExportRequest(volume=volume)),
        "import": service.import_volume(ImportRequest(volume=volume), nothing()),
        "diff": service.diff_volume(DiffRequest(volume=volume)),
        "working": service.diff_volume(DiffRequest(volume=volume, working=True)),
        "restore": service.restore_volume(volume, "1"),
        "fork from": service.fork_volume(volume, "eve-fork"),
        "fork to": service.fork_volume("pub-docs", volume),
        "remove": service.remove_volume(volume),
        "bring back": service.bring_back_volume(volume),
        "tag": service.tag_volume(volume, "label"),
        "untag": service.untag_volume(volume, "label"),
        "tags": service.volume_tags(volume),
        "thin": service.thin_volume(volume, dry_run=True),
        "collect": service.collect_volume(volume, dry_run=True),
        "check": service.check_volume(volume),
        "mount": run(service, "true", volumes=[f"{volume}:/data"]),
        "read-only": run(service, "true", volumes=["eve-a:/a", f"{volume}:/data:ro"]),
        "at": run(service, "true", volumes=[f"{volume}@1:/data:ro"]),
        "forked": run(service, "true", volumes=[f"eve-fork={volume}@1:/data"]),
        "forked into": run(service, "true", volumes=[f"{volume}=pub-docs:/data"]),
        "agent's fork": service.start_agent(
            AgentRequest(agent="claude", prompt="x", volume=f"eve-fork={volume}")
        ),
        "kept": run(service, "true", session_id="new", volumes=[volume]),
        "template": run(service, "true", volumes=["$args[v]:/data:ro"], args={"v": volume}),
        "agent": service.start_agent(AgentRequest(agent="claude", prompt="x", volume=volume)),
        "workspace": service.volume_log(f"default/{volume}"),
        "other workspace": service.volume_log(f"other/{volume}"),
    }


async def test_a_hidden_volume_is_like_one_that_is_not_there(house: House) -> None:
    hidden, absent = asked(house.eve, HIDDEN), asked(house.eve, ABSENT)
    for call in hidden:
        told = await refusal(hidden[call])
        assert told[0] == "volume_unknown", call
        assert [word.replace(ABSENT, HIDDEN) for word in await refusal(absent[call])] == list(told), call
    # and the words are those that the owner hears of a name that nobody uses
    assert "eve-fork" not in {one.name for one in await house.owner.list_volumes()}
    known = await refusal(house.owner.volume_log("wob"))
    assert known == await refusal(house.eve.volume_log("wob"))


async def test_a_hidden_volume_takes_no_longer_than_one_that_is_not_there(house: House) -> None:
    """Both are refused before anything of the volume is looked at."""

    times: dict[str, list[float]] = {HIDDEN: [], ABSENT: []}
    for _ in range(30):  # in turns, so that what else the machine does meets both
        for volume, taken in times.items():
            began = time.perf_counter()
            await refusal(house.eve.volume_log(volume))
            taken.append(time.perf_counter() - began)
    hidden, absent = min(times[HIDDEN]), min(times[ABSENT])
    assert abs(hidden - absent) < 0.5 * max(hidden, absent)


@pytest.mark.parametrize(
    "name",
    [
        *("Web", "WEB", "web.", "web/", "/web", "default//web", "./web", "default/../web", "web ", " web"),
        *("web\0", "web\n", "w\u0435b", "web%2f", "%77eb", "web@", "web@conflict-1", "web:/x", "", "~", "*"),
        *("w*b", "$workspace", "..", "../default/web", "default\\web", "DEFAULT/web"),
    ],
)
async def test_no_spelling_leads_to_a_hidden_volume(house: House, name: str) -> None:
    code = await code_of(house.eve.read_volume(ReadVolumeRequest(volume=name)))
    assert code in ("volume_unknown", "volume_name_invalid")
    mounted = await code_of(run(house.eve, "ls /data", volumes=[f"{name}:/data:ro"]))
    assert mounted in ("volume_unknown", "volume_name_invalid", "volume_invalid", "template_invalid")


async def test_read_only_is_read_only(house: House) -> None:
    read = await house.eve.read_volume(ReadVolumeRequest(volume="pub-docs", path="/file"))
    assert read.data_base64 == "eA=="
    assert (await run(house.eve, "cat /data/file", volumes=["pub-docs:/data:ro"])).exit_code == 0
    tried = await run(house.eve, "echo y > /data/file", volumes=["pub-docs:/data:ro"])
    assert tried.exit_code != 0
    for work in (
        write(house.eve, "pub-docs"),
        run(house.eve, "true", volumes=["pub-docs"]),
        run(house.eve, "true", volumes=["pub-docs:/data:rw"]),
        run(house.eve, "true", session_id="new", volumes=["pub-docs"]),
        house.eve.start_agent(AgentRequest(agent="claude", prompt="x", volume="pub-docs")),
        house.eve.share_volume("pub-docs", "eve", "rw"),
        house.eve.volume_shares("pub-docs"),
        house.eve.import_volume(ImportRequest(volume="pub-docs"), nothing()),
        house.eve.restore_volume("pub-docs", "1"),
        house.eve.remove_volume("pub-docs"),
        house.eve.tag_volume("pub-docs", "mine"),
        house.eve.thin_volume("pub-docs"),
        house.eve.collect_volume("pub-docs"),
    ):
        code, _, hint = await refusal(work)
        assert (code, "pub-docs:ro" in hint) == ("volume_read_only", True)
    of_an_agent = AgentRequest(agent="claude", prompt="x", volume="pub-docs:/workspace:ro")
    assert await code_of(house.owner.start_agent(of_an_agent)) == "volume_invalid"
    assert [one.snapshot for one in await house.owner.volume_log("pub-docs")] == [1]


async def test_what_an_owner_may_a_writer_may_not(house: House) -> None:
    """And what is removed takes its shares along: another volume of its name begins without them."""
    await write(house.owner, "lent")
    await house.owner.share_volume("lent", "ci", "owner")
    await house.owner.share_volume("lent", "eve", "rw")
    await write(house.eve, "lent")
    for work in (
        house.eve.restore_volume("lent", "1"),
        house.eve.remove_volume("lent"),
        house.eve.bring_back_volume("lent"),
        house.eve.untag_volume("lent", "x"),
        house.eve.thin_volume("lent", dry_run=True),
        house.eve.collect_volume("lent", dry_run=True),
    ):
        assert await code_of(work) == "volume_not_yours"
    assert (await house.eve.fork_volume("lent", "eve-copy")).name == "eve-copy"
    await house.ci.remove_volume("lent")
    assert "lent" not in {one.name for one in await house.ci.list_volumes(removed=True)}
    assert "lent" in {one.name for one in await house.owner.list_volumes(removed=True)}
    await write(house.owner, "lent")
    for service in (house.ci, house.eve):
        assert await code_of(service.read_volume(ReadVolumeRequest(volume="lent"))) == "volume_unknown"


async def test_a_fork_does_not_tell_a_hidden_volume_that_it_is_a_fork_of(house: House) -> None:
    await house.owner.fork_volume(HIDDEN, "eve-child")
    assert (await house.owner.volume_stat("eve-child")).parent == HIDDEN
    seen = await house.eve.volume_stat("eve-child")
    assert (seen.volume.name, seen.parent, HIDDEN in str(seen)) == ("eve-child", None, False)
    told = [await house.eve.check_volume("eve-child"), await house.eve.volume_log("eve-child")]
    assert HIDDEN not in str(told)


async def test_a_volume_is_made_by_who_may_write_it(house: House) -> None:
    await write(house.eve, "eve-note")
    assert (await run(house.eve, "echo > f", volumes=["eve-a"])).snapshots == {"eve-a": 1}
    assert await code_of(write(house.eve, "mine")) == "volume_unknown"
    assert await code_of(house.eve.share_volume("eve-note", "ci", "rw")) == "volume_not_yours"
    assert await code_of(house.eve.start_agent(AgentRequest(agent="claude", prompt="x"))) == "volume_needed"


async def test_a_share_counts_at_once_both_ways(house: House) -> None:
    await write(house.owner, "plans")
    assert await code_of(house.eve.volume_log("plans")) == "volume_unknown"
    await house.owner.share_volume("plans", "eve", "rw")
    session = await kept(house.eve, "plans:/data")
    assert (await run(house.eve, "echo y > /data/new", session_id=session)).snapshots == {"plans": 2}
    await house.owner.share_volume("plans", "eve", "ro")
    assert await code_of(run(house.eve, "true", session_id=session)) == "volume_read_only"
    await house.owner.share_volume("plans", "eve", "none")
    assert await code_of(run(house.eve, "cat /data/new", session_id=session)) == "volume_unknown"
    assert await code_of(run(house.owner, "true", session_id=session)) == "volume_unknown"
    await house.eve.stop_session(session)
    shares = await house.ci.share_volume("web", "eve", "ro")  # by an owner that is not the daemon's
    assert [(one.principal, one.level) for one in shares] == [("eve", "ro")]
    assert (await house.eve.read_volume(ReadVolumeRequest(volume="web"))).volume == "web"
    await house.ci.share_volume("web", "eve", "none")
    assert await code_of(house.ci.share_volume("web", "owner", "none")) == "principal_unknown"
    assert await code_of(house.owner.share_volume("nothing-here", "eve", "rw")) == "volume_unknown"


async def test_templates_take_the_arguments_of_the_run(house: House) -> None:
    made = await run(house.ci, "echo > f", volumes=["team-$args[user.id]:/data"], args={"user": {"id": 42}})
    assert made.snapshots == {"team-42": 1}
    assert made.volumes == ["team-42:/data"]
    assert made.policy["granted"]["writes"] == ["team-42 at /data"]  # type: ignore[index]
    for value in ("../web", "a/b", "$workspace", "", {"a": "b"}, None):
        code = await code_of(run(house.ci, "true", volumes=["team-$args[v]"], args={"v": value}))
        assert code == "argument_invalid"
    assert await code_of(run(house.ci, "true", volumes=["team-$args[v"])) == "template_invalid"
    too_short = run(house.ci, "true", volumes=["$args[v]"], args={"v": "x"})
    assert await code_of(too_short) == "volume_name_invalid"


# Runs and sessions ------------------------------------------------------------


async def test_runs_of_others_are_not_found(house: House) -> None:
    mine = await house.ci.run(RunRequest(command="echo secret; sleep 30"), 0)
    run_id = mine.run_id
    with anyio.fail_after(10):
        while (await house.ci.get_run(run_id)).status != "running":
            await anyio.sleep(0.02)
    for text in (run_id, run_id[:8], run_id.upper()):
        log = LogRequest(run_id=text, stream="stdout")
        for work in (house.eve.get_run(text), house.eve.read_log(log), house.eve.stop_run(text)):
            told = await refusal(work)
            assert (told[0], told[1]) == ("run_unknown", f"no run is called {text!r}")
    asked_for = {"run_id": run_id, "wait_s": 5}
    answer = await post(house, "/api/get_run?events=true", house.tokens["eve"], asked_for)
    assert json.loads(answer.text)["error"]["code"] == "run_unknown"
    for live in (True, False):
        assert run_id not in {one.run_id for one in await house.eve.list_runs(200, live=live)}
        assert run_id in {one.run_id for one in await house.ci.list_runs(200, live=live)}
        assert run_id in {one.run_id for one in await house.owner.list_runs(200, live=live)}
    assert (await house.ci.get_run(run_id)).status == "running"
    assert (await house.owner.get_run(run_id)).principal == "ci"
    assert (await house.owner.stop_run(run_id, 0)).status == "cancelled"


async def test_sessions_of_others_are_not_found(house: House) -> None:
    session = await kept(house.ci, "team-a")
    for text in (session, session[:8]):
        for work in (
            house.eve.get_session(text),
            house.eve.stop_session(text),
            house.eve.stop_session(text, remove=True),
            house.eve.send_to_agent(text, "x"),
            house.eve.list_runs(20, text),
            run(house.eve, "cat /workspace/file", session_id=text),
        ):
            assert await code_of(work) == "session_unknown"
    assert session not in str(await house.eve.list_sessions())
    assert session in str(await house.ci.list_sessions())
    assert (await house.owner.get_session(session)).principal == "ci"
    by_owner = await run(house.owner, "true", session_id=session)
    assert by_owner.principal == "ci"  # whoever sends it: what is done in a session belongs to the session
    assert (await house.ci.stop_session(session)).status == "ended"


async def test_pages_of_sessions_hold_ones_own(house: House) -> None:
    mine = [await kept(house.eve, "eve-a:/a:ro") for _ in range(2)]
    other = await kept(house.ci, "team-a:/a:ro")
    cursor, found = None, []
    while True:
        page = await house.eve.list_sessions(limit=1, cursor=cursor)
        found += [one.session_id for one in page.sessions]
        if (cursor := page.cursor) is None:
            break
    assert set(mine) <= set(found)
    assert other not in found
    for service, session in ((house.eve, mine[0]), (house.eve, mine[1]), (house.ci, other)):
        await service.stop_session(session)


# MCP ------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_mcp_over_http_has_the_view_of_its_token(house: House, mode: Era) -> None:
    mine = await run(house.ci, "echo secret")
    as_eve, as_ci = (over_http(house, house.tokens[name], mode) for name in ("eve", "ci"))
    async with as_eve as eve, as_ci as ci:
        assert "secret" in await said(ci, "get_run", run_id=mine.run_id)
        assert (await said(eve, "get_run", run_id=mine.run_id)).startswith("error: run_unknown: ")
        assert (await said(eve, "stop_run", run_id=mine.run_id)).startswith("error: run_unknown: ")
        assert (await said(ci, "read_volume", volume="web", path="/file")).endswith("x")
        for tool, more in (("read_volume", {}), ("write_volume", {"path": "f", "content": "x"})):
            hidden = await said(eve, tool, volume=HIDDEN, **more)
            assert hidden.startswith("error: volume_unknown: ")
            assert hidden == (await said(eve, tool, volume=ABSENT, **more)).replace(ABSENT, HIDDEN)
        told = await said(eve, "run_in_sandbox", command="true", volumes=[f"{HIDDEN}:/data:ro"])
        assert told.startswith("error: volume_unknown: ")
        told = await said(eve, "run_in_sandbox", command="true", volumes=["pub-docs:/data"])
        assert told.startswith("error: volume_read_only: ")
        assert HIDDEN not in await said(eve, "list_volumes")
        assert HIDDEN in await said(ci, "list_volumes")
        assert HIDDEN not in str((await eve.list_resources()).resources)
        assert HIDDEN in str((await ci.list_resources()).resources)
        assert await completed(ci, "name", "we", {}) == ["web"]
        assert await completed(eve, "name", "we", {}) == []
        for argument in ("path", "at"):
            assert await completed(ci, argument, "", {"name": HIDDEN}) != []
            assert await completed(eve, argument, "", {"name": HIDDEN}) == []
        for address in (
            f"hutch://runs/{mine.run_id}/stdout",
            f"hutch://volumes/{HIDDEN}/file",
            f"hutch://volumes/default%2F{HIDDEN}/file",
            f"hutch://volumes/{ABSENT}/file",
            "hutch://sessions/s-/log",
        ):
            with pytest.raises(MCPError):
                await eve.read_resource(address)
        assert (await ci.read_resource(f"hutch://volumes/{HIDDEN}/file")).contents
        assert (await ci.read_resource(f"hutch://runs/{mine.run_id}/stdout")).contents


async def test_an_mcp_session_is_found_by_its_own_token_alone(house: House) -> None:
    """Else whoever learns a session's id would act as the one who opened it."""
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "raw", "version": "0"},
        },
    }
    opened = await post(house, "/mcp", house.tokens["ci"], hello)
    session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-06-18"}
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert (await post(house, "/mcp", house.tokens["ci"], ready, **session)).status_code == 202
    call = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "read_volume", "arguments": {"volume": HIDDEN}},
    }
    allowed = await post(house, "/mcp", house.tokens["ci"], call, **session)
    assert (allowed.status_code, "volume_unknown" in allowed.text) == (200, False)
    for token in (house.tokens["eve"], house.daemon.token):
        assert (await post(house, "/mcp", token, call, **session)).status_code == 404
    async with httpx2.AsyncClient(base_url=house.daemon.url, trust_env=False) as http:
        headers = {"Authorization": f"Bearer {house.tokens['eve']}", **session}
        assert (await http.delete("/mcp", headers=headers)).status_code == 404
    assert (await post(house, "/mcp", house.tokens["ci"], call, **session)).status_code == 200
    revoked = await house.owner.create_token("ci")
    await house.owner.revoke_token(revoked.token_id)
    assert (await post(house, "/mcp", revoked.token or "", call, **session)).status_code == 401


async def test_over_stdio_a_token_is_as_good_as_over_http(house: House) -> None:
    made = house.daemon
    env = {**made.env, "HUTCH_CONFIG": str(made.folder / "config.toml"), "EVES": house.tokens["eve"]}
    words = ["-m", "hutch", "mcp", "--token-env", "EVES"]
    async with McpClient(StdioServerParameters(command=sys.executable, args=words, env=env)) as client:
        volumes = await said(client, "list_volumes")
        assert ("pub-docs" in volumes, HIDDEN in volumes) == (True, False)
        assert (await said(client, "read_volume", volume=HIDDEN)).startswith("error: volume_unknown: ")
    forged = {**env, "EVES": house.tokens["eve"] + "x"}
    async with McpClient(StdioServerParameters(command=sys.executable, args=words, env=forged)) as client:
        assert (await said(client, "list_volumes")).startswith("error: token_missing: ")


async def test_an_eager_caller_cannot_wait_beyond_the_bound(house: House) -> None:
    assert await code_of(house.eve.get_session("s-x", 3600)) == "limit_exceeded"


# What lasts ------------------------------------------------------------


async def test_rights_tokens_and_whose_a_run_is_survive_a_restart(tmp_path: Path) -> None:
    """And a beginning of an id is unique among one's own: "several" would tell that there are others."""
    async with daemon(tmp_path / "d", 'workspace = "lab"\n' + CONFIG) as made:
        async with made.client() as owner:
            token = (await owner.create_token("eve")).token
            for volume in ("plans", "default/plans", "default/other"):
                await write(owner, volume)
            names = {one.name for one in await owner.list_volumes()}
            assert names == {"plans", "default/plans", "default/other"}  # each as it is to be written
            assert (await owner.volume_stat("default/plans")).volume.name == "default/plans"
            assert (await owner.check_volume("default/plans")).name == "default/plans"
            await owner.share_volume("plans", "eve", "ro")
            theirs = await run(owner, "true")
            async with connect(made.config, token=token) as eve:
                assert (await refusal(eve.get_run("r-")))[1] == "no run is called 'r-'"
                mine = await run(eve, "true", volumes=["plans:/p:ro"])
                assert (await eve.get_run("r-")).run_id == mine.run_id
        await made.restart()
        async with connect(made.config, token=token) as eve:
            assert [one.run_id for one in await eve.list_runs()] == [mine.run_id]
            assert await code_of(eve.get_run(theirs.run_id)) == "run_unknown"
            assert [one.name for one in await eve.list_volumes()] == ["plans"]
            assert (await refusal(eve.volume_log("default/plans")))[0] == "volume_unknown"
            assert (await refusal(run(eve, "true", volumes=["default/plans:/p:ro"])))[0] == "volume_unknown"
            assert (await run(eve, "true", volumes=["lab/plans:/p:ro"])).volumes == ["plans:/p:ro"]


async def test_two_principals_have_a_session_each_in_a_volume_that_they_share(tmp_path: Path) -> None:
    """And a session takes no further turn when its principal may not write its volume any more."""
    say = 'Say it. SCRIPT: [{"text": "Said."}]'
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", model_config(url) + CONFIG, env={"ANTHROPIC_API_KEY": "x"}) as made,
        made.client() as owner,
    ):
        tokens = [(await owner.create_token(name)).token for name in ("ci", "eve")]
        async with connect(made.config, token=tokens[0]) as ci, connect(made.config, token=tokens[1]) as eve:
            first = await turn(ci, say, "team-$args[n]", args={"n": 7})
            assert (first.volume, first.principal, first.status) == ("team-7", "ci", "idle")
            await owner.share_volume("team-7", "eve", "rw")
            other = await turn(eve, say, "default/team-7")
            assert (other.session_id != first.session_id, other.principal, other.turns) == (True, "eve", 1)
            assert [one.session_id for one in (await eve.list_sessions()).sessions] == [other.session_id]
            again = await turn(ci, say, "team-7")
            assert (again.session_id, again.turns) == (first.session_id, 2)
            await owner.share_volume("team-7", "eve", "none")
            for service in (eve, owner):
                told = await code_of(service.send_to_agent(other.session_id, say))
                assert told == "volume_unknown"
            assert await code_of(eve.send_to_agent(first.session_id, say)) == "session_unknown"
            assert (await eve.get_session(other.session_id)).turns == 1
