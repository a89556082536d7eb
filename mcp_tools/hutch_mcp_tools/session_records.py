"""The records of sessions: pieces of work that last over several runs."""

from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from hutch_mcp_tools.group_records import AttemptRecord
from hutch_mcp_tools.network_records import TrafficRecord
from hutch_mcp_tools.usage_records import ModelUsage, Usage
from hutch_mcp_tools.wire import Wire

SessionKind = Literal["agent", "sandbox", "group"]
SessionStatus = Literal["queued", "running", "suspended", "idle", "failed", "ended", "lost"]


class SessionRecord(Wire):
    """A piece of work that lasts over several runs."""

    session_id: str
    kind: SessionKind
    status: SessionStatus
    name: str | None = None
    agent: str | None = None
    agent_session_id: str | None = None  # the agent's own
    method: str
    volume: str | None = None
    created_at: datetime
    updated_at: datetime
    turns: int = 0  # runs so far
    run_id: str | None = None  # the newest run
    principal: str = "owner"  # who began it
    usage: Usage = Usage()  # over all its runs, as the agent itself reports it
    metered: list[ModelUsage] = []  # over all its runs, as it was seen outside the sandbox
    traffic: list[TrafficRecord] = []  # what they connected to, summed
    queue_place: int | None = None  # of its turn, from 1, while that waits for others to end
    note: str = ""  # what its run is at, while one works
    note_since: datetime | None = None
    last_message: str | None = None  # the agent's, of its newest turn
    result: JsonValue = None  # of its newest turn, in the form that it was asked for
    error: str | None = None
    group_id: str | None = None  # of which it is an attempt
    attempts: list[AttemptRecord] = []  # of a group, which a tool answers as a session


class SessionPage(Wire):
    """Sessions, those that last did something first; `cursor` asks for the next page."""

    sessions: list[SessionRecord]
    cursor: str | None = None
