"""The service that the tools stand on, and the records that cross the wire to it.

The daemon implements `SandboxService`; so does its client, over the daemon's socket. Imports pydantic only,
so that a program may use the records without the MCP SDK.
"""

from collections.abc import AsyncIterable
from datetime import datetime
from typing import Annotated, Literal, Protocol

from anyio.abc import ObjectSendStream
from pydantic import Field, JsonValue

from hutch_mcp_tools.access_records import AccessLevel, SecretCheck, ShareRecord, TokenRecord
from hutch_mcp_tools.agent_records import AgentRequest, Budget, TurnBounds, VolumeWaitS
from hutch_mcp_tools.change_records import (
    AppliedRecord,
    ApplyRequest,
    ChangesRequest,
    ReviewRecord,
    WorkspaceChanges,
)
from hutch_mcp_tools.group_records import (
    AttemptRecord,
    AttemptsDiff,
    AttemptsDiffRequest,
    DiscardedRecord,
    Forks,
    GroupRecord,
    KeptRecord,
)
from hutch_mcp_tools.network_records import ConnectionRecord, NetworkChange, NetworkRecord, TrafficRecord
from hutch_mcp_tools.volume_records import (
    CheckRecord,
    CollectedRecord,
    DiffRequest,
    ExportRequest,
    ImportRequest,
    KeepRules,
    ReadVolumeRequest,
    SnapshotRecord,
    TagRecord,
    ThinnedRecord,
    VolumeContent,
    VolumeDetails,
    VolumeDiff,
    VolumeRecord,
    WriteVolumeRequest,
)
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
SessionKind = Literal["agent", "sandbox", "group"]
SessionStatus = Literal["queued", "running", "suspended", "idle", "failed", "ended", "lost"]

DEFAULT_WAIT_S = 45.0
MAX_WAIT_S = 50.0  # the shortest client limit met is 60 s
DEFAULT_OUTPUT = 16_000  # characters of output in one answer
MAX_OUTPUT = 200_000

WaitS = Annotated[float, Field(ge=0, le=MAX_WAIT_S)]
OutputChars = Annotated[int, Field(ge=200, le=MAX_OUTPUT)]


class ServiceError(Exception):
    """A refusal or failure that the caller may be able to mend."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


# Requests ------------------------------------------------------------


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


class LogRequest(Wire):
    """A part of a run's output, by byte offsets into its stored log."""

    run_id: str
    stream: Stream
    start: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=4 << 20)] = 1 << 20


# Answers ------------------------------------------------------------


class Usage(Wire):
    """What a model was asked and answered; cost only where the agent's own price list knows the model."""

    input_tokens: int = 0  # without cache reads and writes
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float | None = None


class ModelUsage(Usage):
    """What one model was seen to use, outside the sandbox; `cost_usd` None: nobody knows its price."""

    host: str
    model: str
    requests: int = 0
    incomplete: int = 0  # of these, answers that broke off or did not say all: the figures are a lower bound
    web_searches: int = 0


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
    volumes: list[str] = []
    snapshots: dict[str, int] = {}  # volume -> the snapshot that this run committed
    changed: dict[str, list[str]] = {}  # volume -> "A path", "M path", "D path", the first 50
    unsynced: dict[
        str, str
    ] = {}  # volume -> why the store has not its newest changes yet; they are safe here
    workspace: dict[
        str, JsonValue
    ] = {}  # its folder, mode, what changed in it, what of that the host would run
    refused: dict[str, str] = {}  # "host:port" that it did not reach -> why; the newest
    traffic: list[TrafficRecord] = []  # what it connected to, summed; `network_log` has each
    usage: Usage | None = None  # as the agent itself reports it
    result: JsonValue = (
        None  # an agent's, in the form asked for, or what a script's main returned; not in lists
    )
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


class RunEvent(Wire):
    """Something on the way to an answer: new output of a run, a piece of an archive, what is waited for."""

    model_config = BASE64

    run_id: str | None = None
    stream: Stream | None = None
    data: bytes = b""  # exactly as it was written; a character may be split between two events
    note: str = ""

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


Events = ObjectSendStream[RunEvent]


class SandboxService(Protocol):
    """Everything a tool may ask. Every method raises ServiceError, and nothing else a caller should see.

    Ids may be given as unique prefixes, sessions by name too. An `events` stream receives what happens until
    the method returns, a run's output from its beginning on; whoever passed it closes it. Waiting ends at
    `wait_s`, never the run: that is the daemon's.
    """

    async def run(self, request: RunRequest, wait_s: float, events: Events | None = None) -> RunRecord: ...
    async def get_run(self, run_id: str, wait_s: float = 0, events: Events | None = None) -> RunRecord: ...
    async def list_runs(
        self, limit: int = 20, session_id: str | None = None, *, live: bool = False
    ) -> list[RunRecord]:
        """Runs, newest first; `live`: only those at work."""

    async def read_log(self, request: LogRequest) -> LogChunk: ...
    async def stop_run(self, run_id: str, grace_s: float | None = None) -> RunRecord: ...
    async def suspend_run(
        self, run_id: str, *, suspended: bool = True, budget: Budget | None = None
    ) -> RunRecord:
        """Hold it still, or let it go on, with more of a budget; its time does not run meanwhile."""

    async def start_agent(
        self, request: AgentRequest, wait_s: float = 0, events: Events | None = None
    ) -> SessionRecord: ...
    async def send_to_agent(
        self,
        session_id: str,
        message: str,
        wait_s: float = 0,
        events: Events | None = None,
        bounds: TurnBounds | None = None,
    ) -> SessionRecord: ...
    async def get_session(
        self, session_id: str, wait_s: float = 0, events: Events | None = None
    ) -> SessionRecord: ...
    async def list_sessions(
        self, status: SessionStatus | None = None, limit: int = 20, cursor: str | None = None
    ) -> SessionPage: ...
    async def suspend_session(
        self, session_id: str, *, suspended: bool = True, budget: Budget | None = None
    ) -> SessionRecord:
        """Hold a kept sandbox, or the turn of an agent, still, or let it go on."""

    async def stop_session(
        self, session_id: str, *, remove: bool = False, grace_s: float | None = None
    ) -> SessionRecord:
        """End its run and its kept sandbox; `remove` forgets the record too, never the volume.

        `grace_s`: to end by itself; as configured unless said.
        """

    async def start_forks(self, request: AgentRequest, forks: Forks) -> GroupRecord:
        """Attempt one task several times at once, each in a fork of one snapshot of the volume."""

    async def get_group(self, group: str, wait_s: float = 0) -> GroupRecord:
        """Waits for the end of every turn, `wait_s` at most."""

    async def list_groups(self, limit: int = 20) -> list[GroupRecord]:
        """Newest first, without their attempts."""

    async def stop_group(self, group: str) -> GroupRecord: ...
    async def compare_attempts(self, ids: list[str], files: int = 200) -> list[AttemptRecord]:
        """What each attempt of groups, or session, has changed: of each the first `files`, with lines."""

    async def diff_attempts(self, request: AttemptsDiffRequest) -> AttemptsDiff: ...
    async def keep_attempt(self, session_id: str, to: str | None = None) -> KeptRecord:
        """Make what an attempt left its volume's next state, or a new volume `to`; its session goes there."""

    async def discard_group(self, group: str) -> DiscardedRecord:
        """Remove the forks of a group, but of those at work; what was kept of it stays where it is."""

    async def list_reviews(self) -> list[ReviewRecord]:
        """What waits to be applied, newest first."""

    async def get_changes(self, request: ChangesRequest) -> WorkspaceChanges: ...
    async def apply_changes(self, request: ApplyRequest) -> AppliedRecord: ...
    async def discard_changes(self, of: str) -> WorkspaceChanges:
        """Forget what waits of a run or session; answers with it, without the lines."""

    async def read_volume(self, request: ReadVolumeRequest) -> VolumeContent: ...
    async def write_volume(self, request: WriteVolumeRequest) -> VolumeRecord: ...
    async def export_volume(self, request: ExportRequest, events: Events | None = None) -> VolumeContent:
        """Send a folder as a tar archive, in the data of events; it is whole if this returns."""

    async def import_volume(
        self, request: ImportRequest, data: AsyncIterable[bytes]
    ) -> SnapshotRecord | None:
        """Put the content of a tar archive as one commit. None: all of it was there already."""

    async def list_volumes(self, *, removed: bool = False) -> list[VolumeRecord]:
        """Volumes by name; `removed`: instead those that were removed and can be brought back."""

    async def volume_stat(self, volume: str) -> VolumeDetails: ...
    async def volume_log(self, volume: str, limit: int = 20, *, every: bool = False) -> list[SnapshotRecord]:
        """Snapshots, newest first: of each run the last, unless `every`."""

    async def diff_volume(self, request: DiffRequest) -> VolumeDiff: ...
    async def restore_volume(self, volume: str, at: str, path: str = "/") -> SnapshotRecord | None:
        """Go back by a new snapshot, so that nothing is lost. None: it was so already."""

    async def fork_volume(self, volume: str, to: str, at: str | None = None) -> VolumeRecord: ...
    async def remove_volume(self, volume: str) -> VolumeRecord:
        """Answers with what it was; it can be brought back until its content is collected."""

    async def bring_back_volume(self, volume: str) -> VolumeRecord: ...
    async def tag_volume(self, volume: str, label: str, at: str | None = None) -> TagRecord: ...
    async def untag_volume(self, volume: str, label: str) -> None: ...
    async def volume_tags(self, volume: str) -> list[TagRecord]: ...
    async def thin_volume(
        self, volume: str, rules: KeepRules | None = None, *, dry_run: bool = False
    ) -> ThinnedRecord:
        """Let older snapshots go; what only they needed is deleted by `collect_volume`."""

    async def collect_volume(self, volume: str, *, dry_run: bool = False) -> CollectedRecord:
        """Delete what nothing needs, also of removed volumes of this name whose time is over."""

    async def check_volume(self, volume: str, events: Events | None = None) -> CheckRecord:
        """Read all of it and prove it whole, which takes as long as reading takes."""

    async def share_volume(self, volume: str, principal: str, level: AccessLevel) -> list[ShareRecord]:
        """Say what a principal may do with a volume from now on; answers with all its shares."""

    async def volume_shares(self, volume: str) -> list[ShareRecord]: ...

    async def network_log(self, of: str, limit: int = 1000) -> list[ConnectionRecord]:
        """The newest connections of a run, or of all runs of a session, in their order, and refusals."""

    async def change_network(self, of: str, change: NetworkChange) -> NetworkRecord:
        """Give or take a destination while a run or kept sandbox lives. For the owner; no tool calls it."""

    async def check_secret(self, secret: str, path: str | None = None) -> SecretCheck:
        """Ask a secret's host with it and without; the value is told to nobody else."""

    async def create_token(self, principal: str, valid_s: float | None = None) -> TokenRecord:
        """The one time that the token itself is told."""

    async def list_tokens(self) -> list[TokenRecord]: ...
    async def revoke_token(self, token_id: str) -> TokenRecord: ...
