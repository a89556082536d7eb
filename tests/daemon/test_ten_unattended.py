"""Ten agents at once that nobody watches, while the daemon is killed: each has its end, and all adds up.

In CI a turn has a few steps, in a bucket; with HUTCH_LONG=1 they work for five minutes, in a folder too.
"""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from hutch.client import Client
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.session_records import SessionRecord
from hutch_mcp_tools.usage_records import ModelUsage
from support.bounds import IS_LONG, limit_s
from support.ceph import S3Server
from support.continuity import AGENTS
from support.daemon import Daemon, daemon, model_config, scripted_model
from support.daemon_stores import s3_config
from support.left_behind import Traces

_LONG_S = limit_s(200, long=1200)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(_LONG_S + 40)]

_AGENTS = AGENTS[:2]  # Claude Code and Codex
_EACH = 5
_STEPS, _DELAY_S = (30, 10.0) if IS_LONG else (4, 0.5)
_STORES = ("folder", "bucket") if IS_LONG else ("bucket",)
_SHARED = """
[budgets.all]
per = "principal"
usd = {usd}
"""
_HELD = (0, 2)  # surely at work at both kills, as their commands wait for a file; Claude Code waits with them
_GATE = "/workspace/gate"
_USED = ("requests", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_KEYS = {name: key for agent in _AGENTS for name, key in agent.env.items()}
Json = dict[str, Any]


def prompt(number: int, word: str) -> str:
    """Several steps, each with figures of this agent's own, so that none can be taken for another's."""
    usage = {"input": 1000 + number, "output": 50 + number, "cache_read": number}
    hold = f"for _ in $(seq 900); do [ -e {_GATE} ] && break; sleep 0.1; done; " if number in _HELD else ""
    steps: list[Json] = [
        {"shell": f": {word}; {hold}echo {step} >> /workspace/journal"} for step in range(_STEPS)
    ]
    steps.append({"text": f"Done {number}."})
    script = json.dumps([{"usage": usage, "delay": _DELAY_S, **step} for step in steps])
    return f"Work, MARK-{number}. SCRIPT: {script}"


@pytest.mark.parametrize("store", _STORES)
async def test_ten_at_once_outlive_two_kills_of_the_daemon_and_their_costs_add_up(
    store: str, s3_server: S3Server, tmp_path: Path
) -> None:
    log, word = tmp_path / "model.log", f"4{os.getpid()}.25"
    log.touch()
    async with scripted_model(log) as url:
        async with daemon(
            tmp_path / "d", configured(url, store, s3_server, tmp_path, 200), env=_KEYS
        ) as made:
            traces = Traces("bubblewrap", tmp_path / "d", word)
            async with made.client() as client:
                begun = [await start(client, number, word) for number in range(2 * _EACH)]
            traces.ids |= {name for session in begun for name in (session.session_id, session.run_id or "")}
            everybody = {f"MARK-{number}" for number in range(2 * _EACH)}
            free = (2 * _EACH - len(_HELD)) * (_STEPS + 1)  # requests of those that nothing holds
            await until(lambda: {mark for entry in asked(log) for mark in entry["marks"]} == everybody)
            traces.look()
            await made.restart(signal.SIGKILL)
            await until(lambda: len(asked(log)) >= free * 0.7)
            traces.look()
            await made.restart(signal.SIGKILL)
            for number in _HELD:
                (tree_of(made, number) / "gate").touch()
            async with made.client() as client:
                ended = [await over(client, session) for session in begun]
                for number, session in enumerate(ended):
                    check_end(number, session)
                    check_transcript(made, number, session)
                    checked = await client.check_volume(f"work-{number}")
                    assert checked.problems == [], checked
                assert len(await client.list_runs(100)) == len(begun)  # no turn was begun anew
            check_costs(asked(log), ended)
        assert await traces.left() == []


async def test_ten_that_share_a_budget_end_with_it_and_overshoot_by_less_than_one_answer(
    s3_server: S3Server, tmp_path: Path
) -> None:
    log, usd = tmp_path / "model.log", 30
    log.touch()
    dear = {"input": 1000, "output": 30_000}  # less than they ask for; 0.755 dollars, or 0.905
    steps = [{"shell": "true", "usage": dear, "delay": _DELAY_S / 2}] * 20
    async with scripted_model(log) as url:
        config = configured(url, "bucket", s3_server, tmp_path, usd)
        async with daemon(tmp_path / "d", config, env=_KEYS) as made:
            async with made.client() as client:
                begun = []
                for number in range(2 * _EACH):
                    name, said = _AGENTS[number % len(_AGENTS)].name, f"Work. SCRIPT: {json.dumps(steps)}"
                    request = AgentRequest(agent=name, prompt=said, volume=f"work-{number}")
                    begun.append(await client.start_agent(request, 0))
            for count in (12, 24):
                await until(lambda least=count: len(asked(log)) >= least)  # type: ignore[misc]
                await made.restart(signal.SIGKILL)
            async with made.client() as client:
                ended = [await over(client, session) for session in begun]
                records = [await client.get_run(session.run_id or "") for session in ended]
        assert all("is spent" in record.reason for record in records)
        metered = [used for record in records for used in record.metered]
        assert sum(answers(used) for used in metered) == len(asked(log))
        assert sum(used.output_tokens for used in metered) == 30_000 * len(asked(log))
        cost = sum(
            used.cost_usd or 0 for used in metered
        )  # budgets count somewhat more, of what had no answer
        assert usd - 0.906 < cost < usd + 0.906


def configured(url: str, store: str, server: S3Server, folder: Path, usd: int) -> str:
    config = model_config(url) + "".join(agent.table(url) for agent in _AGENTS)
    if store == "folder":
        return config
    return config + s3_config(server, folder) + _SHARED.format(usd=usd)


async def start(client: Client, number: int, word: str) -> SessionRecord:
    agent = _AGENTS[number % len(_AGENTS)].name
    request = AgentRequest(agent=agent, prompt=prompt(number, word), volume=f"work-{number}")
    return await client.start_agent(request, 0)


async def over(client: Client, session: SessionRecord) -> SessionRecord:
    with anyio.fail_after(_LONG_S):
        while (session := await client.get_session(session.session_id, 45)).status in ("queued", "running"):
            pass
    return session


def tree_of(made: Daemon, number: int) -> Path:
    return made.config.daemon.cache / f"volumes/default/work-{number}/tree"


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(_LONG_S):
        while not holds():
            await anyio.sleep(0.05)


def asked(log: Path) -> list[Json]:
    """What the model was asked so far, whole lines alone."""
    return [json.loads(line) for line in log.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def check_end(number: int, session: SessionRecord) -> None:
    told = (session.status, session.error, session.last_message, session.turns)
    assert told == ("idle", None, f"Done {number}.", 1), told


def check_transcript(made: Daemon, number: int, session: SessionRecord) -> None:
    """It is whole lines of JSON, with the prompt once; the work was done once, in order."""
    tree = tree_of(made, number)
    steps = (tree / "journal").read_text().split()
    assert steps == [str(step) for step in range(_STEPS)]
    [transcript] = (tree / ".hutch").rglob(f"*{session.agent_session_id}.jsonl")
    lines = transcript.read_bytes().splitlines(keepends=True)
    assert all(line.endswith(b"\n") for line in lines)
    said = [text for line in lines for text in said_by_user(json.loads(line))]
    assert sum(f"MARK-{number}." in text for text in said) == 1, said


def said_by_user(line: Json) -> Iterator[str]:
    """What a person said, as Claude Code or Codex writes it down."""
    is_said = line["type"] == "user" or line.get("payload", {}).get("role") == "user"
    if is_said:
        message = line.get("message") or line["payload"]
        content = message["content"]
        yield from [content] if isinstance(content, str) else [part.get("text", "") for part in content]


def check_costs(log: list[Json], sessions: list[SessionRecord]) -> None:
    """What was metered of each is what the model says to have answered it, to the token."""
    for number, session in enumerate(sessions):
        expected: Counter[str] = Counter()
        for entry in log:
            if f"MARK-{number}" in entry["marks"]:
                usage = entry["step"]["usage"]
                expected += Counter({f"{name}_tokens": count for name, count in usage.items()})
                expected["requests"] += 1
        assert expected["requests"] == _STEPS + 1
        metered = {name: sum(getattr(one, name) for one in session.metered) for name in _USED}
        metered["requests"] = sum(answers(one) for one in session.metered)
        assert metered == {name: expected[name] for name in _USED}, number
        own = {name: getattr(session.usage, name) for name in _USED[1:]}
        assert own == {name: expected[name] for name in _USED[1:]}, number
    assert sum(sum(answers(one) for one in session.metered) for session in sessions) == len(log)


def answers(used: ModelUsage) -> int:
    """Without requests that had none: a connection that was kept too long swallows one."""
    return used.requests - used.incomplete
