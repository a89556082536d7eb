"""Claude Code, the real one, attempts one task three times at once, each in a fork of one snapshot."""

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from hutch.client import Client
from hutch_launchers.hierarchy import find_hierarchy
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.change_records import ApplyRequest
from hutch_mcp_tools.group_records import AttemptRecord, AttemptsDiffRequest, Forks, GroupRecord
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.usage_records import Budget
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.daemon import Daemon, daemon, model_config, run, scripted_model, turn

pytestmark = pytest.mark.slow

KEY = {"ANTHROPIC_API_KEY": "sk-planted-canary"}
FIRST = (
    'Begin. SCRIPT: [{"shell": "mkdir -p /workspace/src && echo 1 > /workspace/src/a"}, {"text": "Begun."}]'
)


COST = {"input": 1000, "output": 50, "cache_read": 200, "cache_write": 30}  # $0.00519


def script(*steps: dict[str, object]) -> str:
    return f"SCRIPT: {json.dumps(steps)}"


def writes(word: str) -> str:
    return script(
        {"shell": f"echo {word} > /workspace/src/a; echo {word} > /workspace/{word}"}, {"text": word}
    )


VARIANTS = [writes("one"), writes("two"), writes("three")]


@asynccontextmanager
async def house(folder: Path, more: str = "") -> AsyncGenerator[tuple[Daemon, Client]]:
    async with (
        scripted_model(folder / "model.log") as url,
        daemon(folder / "d", model_config(url) + more, env=KEY) as made,
        made.client() as client,
    ):
        yield made, client


async def attempted(client: Client, variants: list[str], **values: object) -> GroupRecord:
    """A group whose attempts have ended."""
    said = {"agent": "claude", "prompt": "Go on.", "volume": "web", "model": "claude-opus-5-5", **values}
    forks = Forks(count=len(variants), variants=variants)
    group = await client.start_forks(AgentRequest.model_validate(said), forks)
    while group.is_at_work:
        group = await client.get_group(group.group_id, 45)
    return group


async def names(client: Client) -> list[str]:
    return [volume.name for volume in await client.list_volumes()]


async def text(client: Client, volume: str, path: str) -> str:
    content = await client.read_volume(ReadVolumeRequest(volume=volume, path=path))
    return base64.b64decode(content.data_base64 or "").decode()


def session(attempt: AttemptRecord) -> str:
    assert attempt.session_id is not None
    return attempt.session_id


@pytest.mark.timeout(600)  # five turns of the real agent
async def test_three_attempts_go_their_own_ways_and_one_is_kept(tmp_path: Path) -> None:
    async with house(tmp_path) as (_, client):
        before = await turn(client, FIRST, "web")
        group = await attempted(client, VARIANTS)
        told = [(each.status, each.last_message, each.changed) for each in group.attempts]
        assert told == [("idle", "one", 2), ("idle", "two", 2), ("idle", "three", 2)]
        assert group.snapshot == (await client.volume_stat("web")).volume.snapshot
        assert await text(client, "web", "/src/a") == "1\n"
        first, second, third = await client.compare_attempts([group.group_id])
        for attempt, word in ((first, "one"), (second, "two"), (third, "three")):
            check_attempt(attempt, word)
            # The conversation is forked too: each has the same past, and a transcript of its own
            stored = await text(client, attempt.volume, "/.hutch/session.json")
            assert str(before.agent_session_id) in stored
        await check_difference(client, first, second)
        await check_keeping(client, group, second, first)

        # Its session goes on in the original volume, with all that was said in its attempt.
        after = await turn(client, script({"shell": "cat /workspace/two"}, {"text": "ok"}), "web")
        assert (after.session_id, after.volume, after.turns) == (session(second), "web", 2)
        assert after.agent_session_id == before.agent_session_id

        done = await client.discard_group(group.group_id)
        assert (len(done.removed), done.left) == (3, {})
        assert await names(client) == ["apart", "web"]
        assert await text(client, "apart", "/one") == "one\n"
        left = {each.session_id for each in (await client.list_sessions()).sessions}
        assert left == {before.session_id, session(first), session(second)}
        with pytest.raises(ServiceError) as unknown:
            await client.get_group(group.group_id)
        assert unknown.value.code == "group_unknown"


def check_attempt(attempt: AttemptRecord, word: str) -> None:
    files = {(f.kind, f.path, f.added, f.deleted) for f in attempt.files}
    assert files == {("A", f"/{word}", 1, 0), ("M", "/src/a", 1, 1)}
    assert (attempt.added, attempt.deleted, attempt.outcome) == (2, 1, "exited")
    assert (attempt.tokens_in, attempt.tokens_out) == (2000, 100)  # two model calls
    assert attempt.cost_usd is not None


async def check_difference(client: Client, a: AttemptRecord, b: AttemptRecord) -> None:
    page = await client.diff_attempts(AttemptsDiffRequest(a=session(a), b=session(b)))
    told = {change.path: change.patch or "" for change in page.changes if ".hutch" not in change.path}
    assert told.keys() == {"/src/a", "/one", "/two"}
    assert "-one\n+two\n" in told["/src/a"]


async def check_keeping(client: Client, group: GroupRecord, it: AttemptRecord, other: AttemptRecord) -> None:
    kept = await client.keep_attempt(session(it))
    assert (kept.volume, kept.snapshot) == ("web", group.snapshot + 1)
    assert await text(client, "web", "/two") == "two\n"
    newest = (await client.volume_log("web"))[0]
    assert newest.run_id == f"keep {session(it)} of {group.group_id}"
    assert (await client.keep_attempt(session(it))).snapshot == kept.snapshot
    with pytest.raises(ServiceError) as refused:
        await client.keep_attempt(session(other))
    assert refused.value.code == "volume_moved_on"
    assert f"hutch keep {session(other)} --as" in refused.value.hint
    apart = await client.keep_attempt(session(other), "apart")
    assert (apart.volume, await text(client, "apart", "/one")) == ("apart", "one\n")


async def test_attempts_share_a_budget_that_ends_them_all(tmp_path: Path) -> None:
    step: dict[str, object] = {"shell": "true", "usage": COST}
    async with house(tmp_path) as (_, client):
        request = AgentRequest(agent="claude", prompt=script(*[step] * 50), model="claude-opus-5-5")
        group = await client.start_forks(request, Forks(count=2, budget_usd=0.03))
        assert group.budget.endswith(" of $0.03")
        while group.is_at_work:
            group = await client.get_group(group.group_id, 45)
        assert group.budget == "$0.0311 of $0.03"  # six answers: less than one of them over
        records = [await client.get_run(each.run_id or "") for each in group.attempts]
        for record in records:
            told = f"the budget of group {group.group_id} is spent: $0.0311 of $0.03"
            assert (record.status, record.reason) == ("budget", told)
            assert record.budgets[-1]["per"] == "group"
        asked = sum(used.requests for record in records for used in record.metered)
        assert asked == len((tmp_path / "model.log").read_text().splitlines()) == 6
        with pytest.raises(ServiceError) as refused:
            await client.send_to_agent(session(group.attempts[0]), "Go on.", 20)
        assert refused.value.code == "budget_spent"


@pytest.mark.skipif(find_hierarchy() is None, reason="no control groups, and so no freezer")
async def test_attempts_are_paused_at_their_groups_budget_and_go_on_with_more(tmp_path: Path) -> None:
    step: dict[str, object] = {"shell": "true", "usage": COST}
    async with house(tmp_path) as (_, client):
        request = AgentRequest(
            agent="claude",
            prompt=script(*[step] * 3, {"text": "done", "usage": COST}),
            model="claude-opus-5-5",
            pause_at_budget=True,
        )
        group = await client.start_forks(request, Forks(count=2, budget_usd=0.015))
        # Three answers: whoever has had all of them is not through
        with anyio.fail_after(120):
            while {each.status for each in group.attempts} != {"suspended"}:
                group = await client.get_group(group.group_id, 0.2)
        with pytest.raises(ServiceError) as refused:
            await client.suspend_group(group.group_id, suspended=False, budget=Budget(budget_tokens=5))
        assert refused.value.code == "budget_fixed"
        more = Budget(budget_usd=1)
        group = await client.suspend_group(group.group_id, suspended=False, budget=more)
        assert group.budget.endswith(" of $1.02")  # on top of what was paid
        while group.is_at_work:
            group = await client.get_group(group.group_id, 45)
        assert [each.outcome for each in group.attempts] == ["exited", "exited"]
        assert group.budget == "$0.0415 of $1.02"


async def test_attempts_at_work_are_shown_stopped_and_never_removed(tmp_path: Path) -> None:
    async with house(tmp_path) as (_, client):
        hang = script({"shell": "echo begun > /workspace/begun; sleep 500"}, {"text": "x"})
        said = AgentRequest(agent="claude", prompt="Go.", model="claude-opus-5-5")
        group = await client.start_forks(said, Forks(count=2, variants=[hang, writes("two")]))
        while group.attempts[1].status == "running" or not group.attempts[0].changed:
            group = await client.get_group(group.group_id, 0.2)
        working, done = group.attempts
        assert (working.status, done.status, group.snapshot) == ("running", "idle", 0)
        assert working.duration_s > 0
        with pytest.raises(ServiceError) as busy:
            await client.keep_attempt(session(working))
        assert busy.value.code == "session_busy"
        discarded = await client.discard_group(group.group_id)
        assert discarded.removed == [done.volume]
        assert discarded.left.keys() == {working.volume}
        stopped = await client.stop_group(group.group_id)
        assert stopped.attempts[0].status == "idle"
        assert (stopped.attempts[1].status, stopped.attempts[1].changed) == ("lost", None)
        assert (await client.keep_attempt(session(working))).volume == group.volume
        assert await text(client, group.volume, "/begun") == "begun\n"
        assert (await client.discard_group(group.group_id)).left == {}
        assert await names(client) == [group.volume]


REFUSED: tuple[tuple[dict[str, str], str], ...] = (
    ({"network": "wrong"}, "network_denied"),
    ({"agent": "nobody"}, "agent_unknown"),
    ({"volume": "web:ro"}, "forks_invalid"),
    ({"volume": "new=web@77"}, "snapshot_unknown"),
    ({"workspace": "/srv:rw"}, "forks_invalid"),
    ({"prompt": "all is well, but for the credential"}, "agent_keyless"),
)


async def test_a_group_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made, made.client() as client:
        await run(client, "echo 1 > /data/f", volumes=["web:/data"])
        for changes, code in REFUSED:
            wanted = {"agent": "claude", "prompt": "x", "volume": "web", **changes}
            with pytest.raises(ServiceError) as refused:
                await client.start_forks(AgentRequest.model_validate(wanted), Forks(count=2))
            assert refused.value.code == code, refused.value.message
            assert await names(client) == ["web"]
            assert (await client.list_sessions()).sessions == []
            assert await client.list_groups() == []


async def test_attempts_over_a_folder_of_the_host_each_wait_in_a_review_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "mine").write_text("mine\n")
    policy = f'\n[policy]\nworkspaces = ["{folder}"]\nmax_concurrent_turns = 1\n'  # the second one waits
    async with house(tmp_path, policy) as (_, client):
        steps = [script({"shell": f"echo {word} > /workspace/{word}"}, {"text": word}) for word in "ab"]
        group = await attempted(client, steps, workspace=f"{folder}:review")
        assert group.workspace == f"{folder}:review"
        compared = await client.compare_attempts([group.group_id])
        assert [[(f.kind, f.path, f.added) for f in each.files] for each in compared] == [
            [("A", "a", 1)],
            [("A", "b", 1)],
        ]
        await client.apply_changes(ApplyRequest(id=session(compared[1]), agreed=True))
        assert sorted(path.name for path in folder.iterdir()) == ["b", "mine"]
        await client.keep_attempt(session(compared[1]))
        assert (await client.discard_group(group.group_id)).left == {}
        assert await client.list_reviews() == []
        assert await names(client) == ["web"]
