"""Rows of the state database as frozen records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hutch.config import OWNER
from hutch_mcp_tools.run_records import RunStatus
from hutch_mcp_tools.session_records import SessionStatus

SessionKind = Literal["agent", "sandbox"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """A model's usage; `cost_usd` is None where no price is known."""

    input: int = 0  # without cache reads and writes
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One process in one sandbox, from start to end. Times are seconds since 1970 UTC."""

    id: str
    status: RunStatus
    command: str  # for a person's eyes, shortened
    method: str
    created_at: float
    session_id: str | None = None
    policy: Mapping[str, object] = field(default_factory=dict)
    ended_at: float | None = None
    duration_s: float | None = None  # of the process alone, by a monotonic clock
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    dropped_bytes: int = 0
    volumes: tuple[str, ...] = ()  # as asked for: "name:path" or "name:path:ro"
    snapshots: Mapping[str, int] = field(default_factory=dict)
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # Volume -> why the store has not yet what changed
    unsynced: Mapping[str, str] = field(default_factory=dict)
    workspace: Mapping[str, object] = field(default_factory=dict)  # folder, mode, what changed in it
    tokens: Tokens | None = None  # as the agent itself reports
    budgets: tuple[Mapping[str, object], ...] = ()  # as they stood at its end
    result: object = None  # of JSON, in the form that an agent's turn was asked for
    principal: str = OWNER
    # Of an agent: which retry of its turn it is, how it ended
    turn: Mapping[str, object] = field(default_factory=dict)
    log_let_go_at: float | None = None  # when its output was deleted, for its age or to make room

    @property
    def is_ended(self) -> bool:
        return self.status not in ("queued", "starting", "running", "suspended")


@dataclass(frozen=True, slots=True)
class Session:
    """A piece of work that lasts over several runs."""

    id: str
    kind: SessionKind
    status: SessionStatus
    method: str
    created_at: float
    updated_at: float
    name: str | None = None
    agent: str | None = None
    agent_session_id: str | None = None
    volume: str | None = None
    request: Mapping[str, object] = field(default_factory=dict)
    last_message: str | None = None
    result: object = None  # of its newest turn
    error: str | None = None
    principal: str = OWNER


@dataclass(frozen=True, slots=True)
class Turn:
    """What an agent was asked and is not through with: it waits, is at work, or is to be tried again."""

    session_id: str
    runs: tuple[str, ...]  # the first and its retries
    request: Mapping[str, object]  # as it was asked; secrets by name alone
    asked_at: float
    fork: Mapping[str, str | None] | None = None  # what the volume is made from: source, at
    due_at: float = 0  # not before
    ends_at: float | None = None  # no run works longer; None: none has begun

    @property
    def run_id(self) -> str:
        return self.runs[-1]


@dataclass(frozen=True, slots=True)
class SessionTotals:
    """What the runs of one session add up to."""

    turns: int
    newest_run: str | None
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection out of a sandbox or its refusal; of a run with very many, the sum of `count`."""

    run_id: str
    at: float
    host: str
    address: str | None
    port: int
    sent: int
    received: int
    duration_s: float
    refused: str | None
    count: int = 1
    rule: str = ""  # that let it through, or was missing
    told: str = ""  # of a refusal: what is in the way, for people
    way: str = ""  # in: "door", "proxy", "socks" or "dns"
    secrets: str = ""  # names of those that were put into its requests, with commas
    event: int | None = None  # of the run's job that told of it; None: the daemon saw it itself


@dataclass(frozen=True, slots=True)
class Traffic:
    """What passed between sandboxes and one destination by one rule, or what was refused there."""

    host: str
    port: int
    rule: str
    is_refused: bool
    told: str  # of what was refused: what is in the way, for people
    count: int
    sent: int
    received: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token of a principal, without the token itself."""

    id: str
    principal: str
    digest: bytes = field(repr=False)
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
