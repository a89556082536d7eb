"""Who may do what, on a real daemon: its tokens, its volumes, and what a refusal tells."""

import time
from collections.abc import AsyncGenerator, Awaitable

import anyio
import pytest

from hutch.client import Client
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import (
    DiffRequest,
    ExportRequest,
    ImportRequest,
    ReadVolumeRequest,
)
from support.access_house import ABSENT, HIDDEN, House, code_of, kept, open_house, post, refusal, write
from support.daemon import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[House]:
    async with open_house(tmp_path_factory.mktemp("house")) as opened:
        yield opened


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
        "_".join((*valid.split("_", 2)[:2], house.tokens["eve"].split("_", 2)[2])),
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
        secret = token.split("_", 2)[2]
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
    hidden = absent = 0.0
    for number in range(500):  # in turns, so that what else the machine does meets both
        for volume, taken in times.items():
            began = time.perf_counter()
            await refusal(house.eve.volume_log(volume))
            taken.append(time.perf_counter() - began)
        hidden, absent = min(times[HIDDEN]), min(times[ABSENT])
        if number > 30 and abs(hidden - absent) < 0.5 * max(hidden, absent):
            return
    raise AssertionError((hidden, absent))


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
    assert (await run(house.eve, "echo > f", volumes=["eve-b"])).snapshots.keys() == {"eve-b"}
    assert await code_of(write(house.eve, "mine")) == "volume_unknown"
    assert await code_of(house.eve.share_volume("eve-note", "ci", "rw")) == "volume_not_yours"
    assert await code_of(house.eve.start_agent(AgentRequest(agent="claude", prompt="x"))) == "volume_needed"


async def test_a_share_counts_at_once_both_ways(house: House) -> None:
    await write(house.owner, "plans")
    assert await code_of(house.eve.volume_log("plans")) == "volume_unknown"
    await house.owner.share_volume("plans", "eve", "rw")
    session = await kept(house.eve, "plans:/data")
    assert (await run(house.eve, "echo y > /data/new", session_id=session)).snapshots.keys() == {"plans"}
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
    for asks, is_told in ((house.ci, False), (house.owner, True)):  # which principals there are
        with pytest.raises(ServiceError) as refused:
            await asks.share_volume("web", "nobody", "ro")
        assert ("eve" in refused.value.hint) is is_told
    assert await code_of(house.owner.share_volume("nothing-here", "eve", "rw")) == "volume_unknown"


async def test_templates_take_the_arguments_of_the_run(house: House) -> None:
    made = await run(house.ci, "echo > f", volumes=["team-$args[user.id]:/data"], args={"user": {"id": 42}})
    assert made.snapshots.keys() == {"team-42"}
    assert made.volumes == ["team-42:/data"]
    assert made.policy["granted"]["writes"] == ["team-42 at /data"]  # type: ignore[index]
    for value in ("../web", "a/b", "$workspace", "", {"a": "b"}, None):
        code = await code_of(run(house.ci, "true", volumes=["team-$args[v]"], args={"v": value}))
        assert code == "argument_invalid"
    assert await code_of(run(house.ci, "true", volumes=["team-$args[v"])) == "template_invalid"
    too_short = run(house.ci, "true", volumes=["$args[v]"], args={"v": "x"})
    assert await code_of(too_short) == "volume_name_invalid"
