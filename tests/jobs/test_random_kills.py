"""Turns whose daemon or runner is killed at any instant: each has an end, and nothing is torn or left."""

import base64
import json
import logging
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import anyio
import pytest
from httpx2 import HTTPError

from hutch.client import Client
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.session_records import SessionRecord
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.bounds import chance, limit_s, times
from support.daemon import Daemon, daemon, model_config, scripted_model, turn
from support.left_behind import Traces

pytestmark = [pytest.mark.slow, pytest.mark.timeout(limit_s(400, long=3600))]

_log = logging.getLogger(__name__)
_KEY = {"ANTHROPIC_API_KEY": "sk-planted-canary"}
_LONG_S = 100
_AT_WORK = ("running", "queued")


def prompt(number: int) -> str:
    steps = [
        {"shell": f"echo {number} > /workspace/f{number}"},
        {"shell": "sleep 0.2; echo more"},
        {"text": f"Done {number}."},
    ]
    return f"Work. SCRIPT: {json.dumps(steps)}"


@dataclass
class House:
    """A daemon that is killed and started again, and the turns of one conversation."""

    made: Daemon
    traces: Traces
    rng: Random
    takes_s: float = 0.0  # a turn that nobody disturbs
    kills: Counter[str] = field(default_factory=Counter)
    safe: set[int] = field(default_factory=set)  # turns whose end was told as a good one

    async def round(self, number: int) -> None:
        """One turn, and a kill at some instant of it."""
        who = self.rng.choice(("daemon", "runner", "both"))
        with suppress(ServiceError, HTTPError, BaseExceptionGroup):
            async with self.made.client() as client, anyio.create_task_group() as group:
                group.start_soon(self._ask, client, number)
                await anyio.sleep(self.rng.random() * self.takes_s)
                await self._kill(who)
                group.cancel_scope.cancel()
        if self.made.process is None:
            await self.made.start()
        async with self.made.client() as client:
            await self._over(client, number)
            for session in (await client.list_sessions()).sessions:
                assert session.agent_session_id, session  # the first turn has named it

    async def _ask(self, client: Client, number: int) -> None:
        with suppress(ServiceError, HTTPError):  # it was killed; or it still holds the volume
            said = {"agent": "claude", "volume": "work", "model": "claude-opus-5-5"}
            asked = AgentRequest.model_validate({**said, "prompt": prompt(number)})
            await client.start_agent(asked, _LONG_S)

    async def _kill(self, who: str) -> None:
        self.traces.look()
        runners = self.made.runners()
        if who != "runner":
            await self.made.end(signal.SIGKILL)
            self.kills["daemon"] += 1
        for pid in runners if who != "daemon" else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.kills["runner"] += 1

    async def _over(self, client: Client, number: int) -> None:
        """Wait until nothing is at work and no job is left; every run has an end by then."""
        with anyio.fail_after(_LONG_S):
            while any(each.status in _AT_WORK for each in (await client.list_sessions()).sessions):
                await anyio.sleep(0.05)
            while list((self.made.config.daemon.state / "jobs").glob("*")) or self.made.runners():
                await anyio.sleep(0.02)
        runs = await client.list_runs(200)
        assert [run for run in runs if not run.is_ended] == []
        self.traces.ids |= {run.run_id for run in runs}
        (session,) = (await client.list_sessions()).sessions
        if session.last_message == f"Done {number}." and runs[0].status == "exited":
            assert runs[0].unsynced == {}
            self.safe.add(number)

    async def check(self, client: Client, session: SessionRecord) -> None:
        """What was acknowledged is in the volume; its conversation and its log have no torn line."""
        assert (await client.check_volume("work")).problems == []
        for number in self.safe:
            assert await self._read(client, f"/f{number}") == f"{number}\n".encode()
        found = list((self.made.config.daemon.cache / "volumes/default/work/tree").rglob("*.jsonl"))
        assert any(path.stem == session.agent_session_id for path in found)
        logs = self.made.config.daemon.state / "runs"
        whole = [
            logs / run.run_id / "stdout" for run in await client.list_runs(200) if run.status == "exited"
        ]
        for path in (*found, *whole):
            for line in path.read_bytes().splitlines():
                json.loads(line)

    async def _read(self, client: Client, path: str) -> bytes:
        answer = await client.read_volume(ReadVolumeRequest(volume="work", path=path, limit=100))
        return base64.b64decode(answer.data_base64 or "")


@pytest.mark.parametrize("seed", range(times(2, long=10)))
async def test_whatever_is_killed_a_turn_has_an_end_and_the_next_goes_on(seed: int, tmp_path: Path) -> None:
    rng = chance(f"turns {seed}")
    async with scripted_model() as url, daemon(tmp_path / "d", model_config(url), env=_KEY) as made:
        traces = Traces("bubblewrap", made.folder, f"5{rng.randrange(10**8)}.{os.getpid()}")
        house = House(made, traces, rng)
        async with made.client() as client:
            begun = time.monotonic()
            first = await turn(client, prompt(0), "work")
            assert (first.status, first.last_message) == ("idle", "Done 0.")
            house.takes_s = time.monotonic() - begun
            house.safe.add(0)
        for number in range(1, times(4, long=40)):
            await house.round(number)
        async with made.client() as client:
            last = await turn(client, 'More. SCRIPT: [{"text": "On."}]', "work")
            assert (last.status, last.error, last.last_message) == ("idle", None, "On.")
            assert (last.session_id, last.agent_session_id) == (first.session_id, first.agent_session_id)
            await house.check(client, last)
        assert await made.end() == 0
        assert await traces.left() == []
        assert list((made.folder / "d.sock.runs").glob("*")) == []
        _log.info("seed %s: killed %s; %s of the turns ended well", seed, dict(house.kills), len(house.safe))
