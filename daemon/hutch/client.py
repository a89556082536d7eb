"""The service over the daemon's unix socket: the CLI and the stdio MCP server stand on it."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from hutch.config import Config, assert_nobody_elses
from hutch.errors import HutchError
from hutch.group_client import GroupClient
from hutch.starting import CONNECT_S, Reviving, is_alive, start_daemon
from hutch.volume_client import VolumeClient
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
from hutch_mcp_tools.network_records import ConnectionRecord, NetworkChange, NetworkRecord
from hutch_mcp_tools.run_records import LogChunk, LogRequest, RunRecord, RunRequest
from hutch_mcp_tools.session_records import SessionPage, SessionRecord, SessionStatus
from hutch_mcp_tools.usage_records import Budget

_IDLE_S = 2.0  # a connection is used again; the daemon keeps one for longer, so no request meets its end
_LIMITS = httpx2.Limits(max_connections=100, keepalive_expiry=_IDLE_S)


class Client(VolumeClient, GroupClient):
    """`SandboxService`, each method a request to the daemon. Raises what the protocol says."""

    async def run(self, request: RunRequest, wait_s: float, events: Events | None = None) -> RunRecord:
        return await self._call("run", RunRecord, events, request=request, wait_s=wait_s)

    async def get_run(self, run_id: str, wait_s: float = 0, events: Events | None = None) -> RunRecord:
        return await self._call("get_run", RunRecord, events, run_id=run_id, wait_s=wait_s)

    async def list_runs(
        self, limit: int = 20, session_id: str | None = None, *, live: bool = False
    ) -> list[RunRecord]:
        return await self._call("list_runs", list[RunRecord], limit=limit, session_id=session_id, live=live)

    async def read_log(self, request: LogRequest) -> LogChunk:
        return await self._call("read_log", LogChunk, request=request)

    async def suspend_run(
        self, run_id: str, *, suspended: bool = True, budget: Budget | None = None
    ) -> RunRecord:
        return await self._call("suspend_run", RunRecord, run_id=run_id, suspended=suspended, budget=budget)

    async def suspend_session(
        self, session_id: str, *, suspended: bool = True, budget: Budget | None = None
    ) -> SessionRecord:
        return await self._call(
            "suspend_session", SessionRecord, session_id=session_id, suspended=suspended, budget=budget
        )

    async def stop_run(self, run_id: str, grace_s: float | None = None) -> RunRecord:
        return await self._call("stop_run", RunRecord, run_id=run_id, grace_s=grace_s)

    async def start_agent(
        self, request: AgentRequest, wait_s: float = 0, events: Events | None = None
    ) -> SessionRecord:
        return await self._call("start_agent", SessionRecord, events, request=request, wait_s=wait_s)

    async def send_to_agent(
        self,
        session_id: str,
        message: str,
        wait_s: float = 0,
        events: Events | None = None,
        bounds: TurnBounds | None = None,
    ) -> SessionRecord:
        return await self._call(
            "send_to_agent",
            SessionRecord,
            events,
            session_id=session_id,
            message=message,
            wait_s=wait_s,
            bounds=bounds,
        )

    async def get_session(
        self, session_id: str, wait_s: float = 0, events: Events | None = None
    ) -> SessionRecord:
        return await self._call("get_session", SessionRecord, events, session_id=session_id, wait_s=wait_s)

    async def list_sessions(
        self, status: SessionStatus | None = None, limit: int = 20, cursor: str | None = None
    ) -> SessionPage:
        return await self._call("list_sessions", SessionPage, status=status, limit=limit, cursor=cursor)

    async def stop_session(
        self, session_id: str, *, remove: bool = False, grace_s: float | None = None
    ) -> SessionRecord:
        return await self._call(
            "stop_session", SessionRecord, session_id=session_id, remove=remove, grace_s=grace_s
        )

    async def list_reviews(self) -> list[ReviewRecord]:
        return await self._call("list_reviews", list[ReviewRecord])

    async def get_changes(self, request: ChangesRequest) -> WorkspaceChanges:
        return await self._call("get_changes", WorkspaceChanges, request=request)

    async def apply_changes(self, request: ApplyRequest) -> AppliedRecord:
        return await self._call("apply_changes", AppliedRecord, request=request)

    async def discard_changes(self, of: str) -> WorkspaceChanges:
        return await self._call("discard_changes", WorkspaceChanges, of=of)

    async def share_volume(self, volume: str, principal: str, level: AccessLevel) -> list[ShareRecord]:
        return await self._call(
            "share_volume", list[ShareRecord], volume=volume, principal=principal, level=level
        )

    async def volume_shares(self, volume: str) -> list[ShareRecord]:
        return await self._call("volume_shares", list[ShareRecord], volume=volume)

    async def network_log(self, of: str, limit: int = 1000) -> list[ConnectionRecord]:
        return await self._call("network_log", list[ConnectionRecord], of=of, limit=limit)

    async def change_network(self, of: str, change: NetworkChange) -> NetworkRecord:
        return await self._call("change_network", NetworkRecord, of=of, change=change)

    async def check_secret(self, secret: str, path: str | None = None) -> SecretCheck:
        return await self._call("check_secret", SecretCheck, secret=secret, path=path)

    async def create_token(self, principal: str, valid_s: float | None = None) -> TokenRecord:
        return await self._call("create_token", TokenRecord, principal=principal, valid_s=valid_s)

    async def list_tokens(self) -> list[TokenRecord]:
        return await self._call("list_tokens", list[TokenRecord])

    async def revoke_token(self, token_id: str) -> TokenRecord:
        return await self._call("revoke_token", TokenRecord, token_id=token_id)

    async def doctor(self, *, fresh: bool = False) -> dict[str, Any]:
        """Return what the daemon measured of itself: methods, storage, agents."""
        answer = await self._http.get("/api/doctor", params={"fresh": str(fresh).lower()})
        document: dict[str, Any] = answer.json()
        return document

    async def sign_in(self) -> dict[str, Any]:
        """Return the page's `host`, and a `path` that signs a browser in, once, for `valid_s`."""
        return await self._call("sign_in", dict[str, Any])

    async def shut_down(self) -> None:
        """Let the daemon end every run, commit its volumes and leave; it answers before it has."""
        await self._http.post("/api/shutdown")


@asynccontextmanager
async def connect(
    config: Config, *, start: bool = False, revive: bool = False, token: str | None = None
) -> AsyncGenerator[Client]:
    """Connect to the running daemon; with `start`, start one that outlives us when none runs.

    `revive`: also when it has ended since. As its owner, unless it is with another's `token`.

    Raises:
        HutchError: `daemon_absent`, `daemon_failed` when the new one did not come up, `folder_unsafe`.
    """
    socket = config.daemon.socket
    assert_nobody_elses(socket, config.daemon.state)
    transport = httpx2.AsyncHTTPTransport(uds=str(socket), limits=_LIMITS)
    timeout = httpx2.Timeout(None, connect=CONNECT_S)
    async with httpx2.AsyncClient(transport=transport, base_url="http://hutch", timeout=timeout) as http:
        if not await is_alive(http):
            if not start:
                raise HutchError("daemon_absent", f"no daemon answers at {socket}", "start one: hutch serve")
            await start_daemon(config, http)
        http.headers["Authorization"] = f"Bearer {token or read_token(token_path(config))}"
        yield Client(http, Reviving(config, http).revive if revive else None)


def token_path(config: Config) -> Path:
    """Return where the daemon of this configuration keeps its bearer token, readable by its owner only."""
    return config.daemon.state / "token"


def daemon_file(config: Config) -> Path:
    """Return where a running daemon says its URL, process and version, as JSON."""
    return config.daemon.state / "daemon.json"


def config_state(config: Config) -> list[str]:
    """Return what tells whether a daemon runs with this configuration as it is now."""
    if config.file is None:
        return []
    try:
        return [str(config.file), str(config.file.stat().st_mtime_ns)]
    except OSError:
        return [str(config.file)]


def is_outdated(config: Config) -> bool:
    """Say whether the running daemon has another configuration, or an older state of this one."""
    try:
        stated = json.loads(daemon_file(config).read_bytes()).get("config")
    except (OSError, ValueError):
        return False
    return bool(stated != config_state(config))


def daemon_url(config: Config) -> str:
    """Return the base URL of the running daemon. Raises HutchError `daemon_absent`."""
    try:
        url = json.loads(daemon_file(config).read_bytes())["url"]
    except (OSError, ValueError, KeyError) as error:
        raise HutchError("daemon_absent", "no daemon has run here yet", "start one: hutch serve") from error
    return str(url)


def read_token(path: Path) -> str:
    """Read the daemon's bearer token. Raises HutchError `token_missing`."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise HutchError(
            "token_missing",
            f"the daemon's token cannot be read from {path}",
            "run as the user that started the daemon",
        ) from error
