"""Turns of agents that wait for a file in their volume, so that a test knows where they are."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing

import anyio

from hutch.client import Client
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.session_records import SessionRecord
from support.daemon import Daemon

KEY = {"ANTHROPIC_API_KEY": "sk-planted-canary"}
LONG_S = 90


def gated(name: str, text: str = "Held.") -> str:
    """A turn that says something, waits for a file in its volume, and says more: three calls of the model."""
    wait = f"echo before; until [ -e /workspace/{name} ]; do sleep 0.05; done; echo after"
    return script({"shell": wait}, {"shell": "echo more > /workspace/f"}, {"text": text})


def script(*steps: Mapping[str, object]) -> str:
    return f"Work. SCRIPT: {json.dumps(steps)}"


async def begin(client: Client, prompt: str, volume: str = "work", **more: object) -> SessionRecord:
    said = {"agent": "claude", "prompt": prompt, "volume": volume, "model": "claude-opus-5-5", **more}
    return await client.start_agent(AgentRequest.model_validate(said), 0)


async def is_written(made: Daemon, session: SessionRecord, word: bytes) -> None:
    """Return when a turn's log on disk has a word."""
    log = made.config.daemon.state / "runs" / (session.run_id or "") / "stdout"
    with anyio.fail_after(LONG_S):
        while not log.exists() or word not in log.read_bytes():
            await anyio.sleep(0.02)


def open_gate(made: Daemon, name: str, volume: str = "work") -> None:
    (made.config.daemon.cache / "volumes/default" / volume / "tree" / name).touch()


async def over(client: Client, session: SessionRecord) -> SessionRecord:
    with anyio.fail_after(LONG_S):
        while (session := await client.get_session(session.session_id, 20)).status in ("running", "queued"):
            await anyio.sleep(0.05)
    return session


async def run_of(client: Client, session: SessionRecord) -> RunRecord:
    return await client.get_run(session.run_id or "")


def rows(made: Daemon) -> dict[str, object]:
    """What the database has of usage, connections and runs."""
    with closing(sqlite3.connect(made.config.daemon.state / "state.db")) as state:
        return {
            name: sorted(state.execute(f"SELECT * FROM {name}").fetchall(), key=str)
            for name in ("usage", "connections", "runs", "sessions")
        }


async def folders_gone(made: Daemon) -> None:
    """Return when nothing is left of any job."""
    with anyio.fail_after(LONG_S):
        while list((made.config.daemon.state / "jobs").glob("*")) or made.runners():
            await anyio.sleep(0.02)
    assert "is not understood" not in made.log()
