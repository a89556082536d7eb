"""The records of runs: what is asked for, what became of it, and its output."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from hutch_mcp_tools.network_records import TrafficRecord
from hutch_mcp_tools.usage_records import Budget, ModelUsage, Usage
from hutch_mcp_tools.volume_records import VolumeWaitS
from hutch_mcp_tools.wire import BASE64, Wire

Stream = Literal["stdout", "stderr"]
RunStatus = Literal[
    "queued",
    "starting",
    "running",
    "suspended",
    "exited",
    "timed_out",
    "oom",
    "pids",
    "disk_full",
    "output_limit",
    "budget",
    "killed",
    "cancelled",
    "failed",
    "lost",
]


class RunLimits(Budget):
    """Limits of one sandbox; what is not asked for is the configured one."""

    memory_bytes: Annotated[int, Field(gt=0)] | None = None
    cpus: Annotated[float, Field(gt=0)] | None = None
    pids: Annotated[int, Field(gt=0)] | None = None
    disk_bytes: Annotated[int, Field(gt=0)] | None = None  # of private folders
    open_files: Annotated[int, Field(gt=0)] | None = None
    output_bytes: Annotated[int, Field(gt=0)] | None = None


class ScriptSource(Wire):
    """A script whose `main` is called; what its head asks for is in the request already."""

    name: Annotated[str, Field(min_length=1, max_length=255)]  # of its file, which says its language
    text: Annotated[str, Field(max_length=1 << 20)]


class RunRequest(RunLimits):
    """One command. A string is run by the sandbox's own shell, a list of words as it is."""

    model_config = BASE64

    command: str | list[str]
    script: ScriptSource | None = None  # is run instead of the command, with `args`
    agent: str | None = None  # of the configuration: its program, networks and secrets are there for a script
    session_id: str | None = None  # a kept sandbox; "new" opens one
    volumes: list[str] = []  # "name:path" or "name:path:ro"; a name may hold $workspace and $args[a.b]
    args: dict[str, JsonValue] = {}  # what templates take, and a script's main
    workspace: str | None = None  # "DIR" or "DIR:MODE", by default ro
    method: str | None = None
    image: str | None = None  # the root of the sandbox, one that the owner allows
    tier: str | None = None  # a named policy
    cwd: str | None = None
    env: dict[str, str] = {}
    stdin: bytes = b""
    network: str | None = None  # "none", or names of configured networks, and allow:HOST last
    secrets: list[str] = []  # names; "name:env" for the value itself, where that is granted
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] | None = None
    volume_wait_s: VolumeWaitS = 0
    detach: bool = False  # it outlives the daemon


class LogRequest(Wire):
    """A part of a run's output, by byte offsets into its stored log."""

    run_id: str
    stream: Stream
    start: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=4 << 20)] = 1 << 20


class RunRecord(Wire):
    """A run as it stands, without its output."""

    run_id: str
    status: RunStatus
    command: str  # for a person's eyes, shortened
    method: str
    session_id: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""  # which limit hit, who cancelled, why it failed
    created_at: datetime
    ended_at: datetime | None = None
    duration_s: float | None = None
    stdout_bytes: int = 0  # kept in the log
    stderr_bytes: int = 0
    dropped_bytes: int = 0  # beyond what a log keeps
    log_let_go_at: datetime | None = None  # since then there is no log: it was too old, or in the way
    volumes: list[str] = []
    snapshots: dict[str, int] = {}  # volume -> the snapshot that this run committed
    changed: dict[str, list[str]] = {}  # volume -> "A path", "M path", "D path", the first 50
    unsynced: dict[str, str] = {}  # volume -> why its store lacks the newest changes; they are safe here
    workspace: dict[str, JsonValue] = {}  # folder, mode, what changed, what of that the host would run
    refused: dict[str, str] = {}  # "host:port" that it did not reach -> why; the newest
    traffic: list[TrafficRecord] = []  # what it connected to, summed; `network_log` has each
    usage: Usage | None = None  # as the agent itself reports it
    result: JsonValue = None  # an agent's in the form asked for, or of a script's main; lists leave it out
    metered: list[ModelUsage] = []  # what models used, as it was seen outside the sandbox
    budgets: list[dict[str, JsonValue]] = []  # what bounds it: name, per, spent, is_spent, is_near
    principal: str = "owner"  # who started it
    retry: int = 0  # of an agent's turn, after an overload; 0: the first run
    queue_place: int | None = None  # from 1, while it waits for others to end
    note: str = ""  # what it is at, while it works
    note_since: datetime | None = None
    policy: dict[str, object] = {}  # requested, granted, enforced by which mechanism

    @property
    def is_ended(self) -> bool:
        return self.status not in ("queued", "starting", "running", "suspended")


class LogChunk(Wire):
    """Bytes of a log, base64. `next` is where to go on; `end` is how far the log reaches now."""

    data_base64: str
    next: int
    end: int
