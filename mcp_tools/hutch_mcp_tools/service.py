"""The service that the tools stand on; the records that cross the wire to it are in the modules it names.

The daemon implements `SandboxService`; so does its client, over the daemon's socket. Imports pydantic only,
so that a program may use the records without the MCP SDK.
"""

from collections.abc import AsyncIterable
from typing import Protocol

from hutch_mcp_tools.access_records import AccessLevel, SecretCheck, ShareRecord, TokenRecord
from hutch_mcp_tools.agent_records import AgentRequest, TurnBounds
from hutch_mcp_tools.change_records import (
    AppliedRecord,
    ApplyRequest,
    ChangesRequest,
    ReviewRecord,
    WorkspaceChanges,
)
from hutch_mcp_tools.events import Events
from hutch_mcp_tools.group_records import (
    AttemptRecord,
    AttemptsDiff,
    AttemptsDiffRequest,
    DiscardedRecord,
    Forks,
    GroupRecord,
    KeptRecord,
)
from hutch_mcp_tools.network_records import ConnectionRecord, NetworkChange, NetworkRecord
from hutch_mcp_tools.run_records import LogChunk, LogRequest, RunRecord, RunRequest
from hutch_mcp_tools.session_records import SessionPage, SessionRecord, SessionStatus
from hutch_mcp_tools.usage_records import Budget
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


class ServiceError(Exception):
    """A refusal or failure that the caller may be able to mend."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


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
    async def suspend_group(
        self, group: str, *, suspended: bool = True, budget: Budget | None = None
    ) -> GroupRecord:
        """Hold all turns that are at work still, or let them go on; `budget`: more for all together."""

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
