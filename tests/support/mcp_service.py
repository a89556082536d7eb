"""A small honest SandboxService for the tools' own tests: its runs are real processes, unconfined."""

import os
import signal
import time
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from subprocess import DEVNULL, PIPE
from tempfile import TemporaryDirectory

import anyio
from anyio.abc import ByteReceiveStream, Process, TaskGroup

from hutch_mcp_tools.agent_records import AgentRequest, TurnBounds
from hutch_mcp_tools.events import Events, RunEvent
from hutch_mcp_tools.run_records import LogChunk, LogRequest, RunRecord, RunRequest, RunStatus, Stream
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.session_records import SessionPage, SessionRecord, SessionStatus
from hutch_mcp_tools.usage_records import Budget
from support.mcp_access import FakeAccess
from support.mcp_changes import FakeChanges
from support.mcp_groups import FakeGroups
from support.mcp_network import FakeNetwork
from support.mcp_volumes import FakeVolumes

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class LiveRun:
    """One run and all that came out of it."""

    record: RunRecord
    logs: dict[Stream, bytearray] = field(
        default_factory=lambda: {"stdout": bytearray(), "stderr": bytearray()}
    )
    ended: anyio.Event = field(default_factory=anyio.Event)
    process: Process | None = None
    listeners: list[Events] = field(default_factory=list)

    def change(self, **update: object) -> None:
        self.record = self.record.model_copy(update=update)

    def now(self) -> RunRecord:
        sizes = {"stdout_bytes": len(self.logs["stdout"]), "stderr_bytes": len(self.logs["stderr"])}
        return self.record.model_copy(update=sizes)


class FakeService(FakeVolumes, FakeAccess, FakeChanges, FakeNetwork, FakeGroups):
    """Runs live in `tasks`, as they do in the daemon: no caller takes one with it by going away."""

    def __init__(self, tasks: TaskGroup, cache: Path) -> None:
        FakeVolumes.__init__(self, cache)
        FakeAccess.__init__(self)
        FakeChanges.__init__(self)
        FakeNetwork.__init__(self)
        FakeGroups.__init__(self)
        self._tasks = tasks
        self.runs: dict[str, LiveRun] = {}
        self.sessions: dict[str, SessionRecord] = {}
        self.requests: list[RunRequest | AgentRequest] = []
        self.largest_read = 0

    # Runs ------------------------------------------------------------

    async def run(self, request: RunRequest, wait_s: float, events: Events | None = None) -> RunRecord:
        self.requests.append(request)
        if request.method not in (None, "none"):
            raise ServiceError("method_unknown", f"no method is called {request.method!r}", "known: none")
        session_id = request.session_id
        if session_id == "new":
            session_id = self._add_session("sandbox").session_id
        elif session_id is not None:
            self._session(session_id)
        live = self._add_run(str(request.command), session_id)
        if events is not None:
            await events.send(RunEvent(run_id=live.record.run_id, note="starting"))
        self._tasks.start_soon(self._supervise, live, request)
        return await self._wait(live, wait_s, events)

    async def get_run(self, run_id: str, wait_s: float = 0, events: Events | None = None) -> RunRecord:
        return await self._wait(self._live(run_id), wait_s, events)

    async def list_runs(
        self, limit: int = 20, session_id: str | None = None, *, live: bool = False
    ) -> list[RunRecord]:
        runs = [one.now() for one in self.runs.values()]
        asked = [run for run in runs if session_id in (None, run.session_id) and not (live and run.is_ended)]
        return asked[-limit:]

    async def read_log(self, request: LogRequest) -> LogChunk:
        log = self._live(request.run_id).logs[request.stream]
        data = bytes(log[request.start : request.start + request.limit])
        self.largest_read = max(self.largest_read, len(data))
        return LogChunk(data_base64=b64encode(data).decode(), next=request.start + len(data), end=len(log))

    async def suspend_run(
        self, run_id: str, *, suspended: bool = True, budget: Budget | None = None
    ) -> RunRecord:
        raise ServiceError("suspend_unsupported", "this stand-in holds nothing still")

    async def suspend_session(
        self, session_id: str, *, suspended: bool = True, budget: Budget | None = None
    ) -> SessionRecord:
        raise ServiceError("suspend_unsupported", "this stand-in holds nothing still")

    async def stop_run(self, run_id: str, grace_s: float | None = None) -> RunRecord:
        live = self._live(run_id)
        if not live.ended.is_set():
            live.change(status="cancelled", reason="stopped by a caller")
            if live.process is not None:
                os.killpg(live.process.pid, signal.SIGKILL)
            await live.ended.wait()
        return live.now()

    def put_run(
        self, status: RunStatus = "exited", stdout: bytes = b"", stderr: bytes = b"", **more: object
    ) -> str:
        """A run that has been: its record and its logs as given."""
        live = self._add_run("given", None)
        live.change(**{"status": status, "exit_code": 0, "duration_s": 1.0, "ended_at": NOW, **more})
        live.logs["stdout"] += stdout
        live.logs["stderr"] += stderr
        if live.record.is_ended:
            live.ended.set()
        return live.record.run_id

    def _add_run(self, command: str, session_id: str | None) -> LiveRun:
        run_id = f"r-{len(self.runs) + 1:04d}"
        record = RunRecord(
            run_id=run_id,
            status="starting",
            command=command,
            method="none",
            session_id=session_id,
            created_at=NOW,
        )
        return self.runs.setdefault(run_id, LiveRun(record))

    def _live(self, run_id: str) -> LiveRun:
        if run_id not in self.runs:
            raise ServiceError("run_unknown", f"no run is called {run_id!r}", "see list_sessions")
        return self.runs[run_id]

    async def _wait(self, live: LiveRun, wait_s: float, events: Events | None) -> RunRecord:
        if events is not None:
            live.listeners.append(events)
        try:
            with anyio.move_on_after(wait_s):
                await live.ended.wait()
        finally:
            if events is not None:
                live.listeners.remove(events)
        return live.now()

    async def _supervise(self, live: LiveRun, request: RunRequest) -> None:
        argv = ["/bin/sh", "-c", request.command] if isinstance(request.command, str) else request.command
        began = time.monotonic()
        async with await anyio.open_process(
            argv,
            stdin=PIPE if request.stdin else DEVNULL,
            env={**os.environ, **request.env},
            start_new_session=True,
        ) as process:
            live.process = process
            if live.record.status == "starting":
                live.change(status="running")
            else:
                os.killpg(process.pid, signal.SIGKILL)
            await self._follow(live, process, request)
        code = process.returncode or 0
        status = "exited" if live.record.status == "running" else live.record.status
        live.change(
            status=status,
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            ended_at=datetime.now(UTC),
            duration_s=time.monotonic() - began,
        )
        live.ended.set()

    async def _follow(self, live: LiveRun, process: Process, request: RunRequest) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        with anyio.move_on_after(request.timeout_s) as limit:
            async with anyio.create_task_group() as pumps:
                pumps.start_soon(self._pump, live, "stdout", process.stdout)
                pumps.start_soon(self._pump, live, "stderr", process.stderr)
                if process.stdin is not None:
                    await process.stdin.send(request.stdin)
                    await process.stdin.aclose()
                await process.wait()
        if limit.cancelled_caught:
            os.killpg(process.pid, signal.SIGKILL)
            live.change(status="timed_out", reason=f"the time limit of {request.timeout_s:g} s")
            await process.wait()

    async def _pump(self, live: LiveRun, stream: Stream, source: ByteReceiveStream) -> None:
        async for data in source:
            live.logs[stream] += data
            for events in live.listeners:
                await events.send(RunEvent(run_id=live.record.run_id, stream=stream, data=data))

    # Sessions --------------------------------------------------------

    async def start_agent(
        self, request: AgentRequest, wait_s: float = 0, events: Events | None = None
    ) -> SessionRecord:
        self.requests.append(request)
        if request.agent != "echo":
            raise ServiceError("agent_unknown", f"no agent is called {request.agent!r}", "known: echo")
        session = self._add_session("agent", agent="echo", name=request.name, volume=request.volume)
        return await self.send_to_agent(session.session_id, request.prompt, wait_s, events)

    async def send_to_agent(
        self,
        session_id: str,
        message: str,
        wait_s: float = 0,
        events: Events | None = None,
        bounds: TurnBounds | None = None,
    ) -> SessionRecord:
        session = self._session(session_id)
        run_id = self.put_run(stdout=message.encode())
        update = {"run_id": run_id, "turns": session.turns + 1, "last_message": message, "status": "idle"}
        return self._put_session(session.model_copy(update=update))

    async def get_session(
        self, session_id: str, wait_s: float = 0, events: Events | None = None
    ) -> SessionRecord:
        with anyio.move_on_after(wait_s):
            while self._session(session_id).status == "running":
                await anyio.sleep(0.01)
        return self._session(session_id)

    async def list_sessions(
        self, status: SessionStatus | None = None, limit: int = 20, cursor: str | None = None
    ) -> SessionPage:
        sessions = [s for s in reversed(self.sessions.values()) if status in (None, s.status)]
        start = int(cursor or 0)
        more = str(start + limit) if start + limit < len(sessions) else None
        return SessionPage(sessions=sessions[start : start + limit], cursor=more)

    async def stop_session(
        self, session_id: str, *, remove: bool = False, grace_s: float | None = None
    ) -> SessionRecord:
        session = self._put_session(self._session(session_id).model_copy(update={"status": "ended"}))
        if remove:
            del self.sessions[session.session_id]
        return session

    def _add_session(self, kind: str, **more: object) -> SessionRecord:
        fields: dict[str, object] = {"kind": kind, "status": "idle", "method": "none"}
        fields |= {"session_id": f"s-{len(self.sessions) + 1:04d}", "created_at": NOW, "updated_at": NOW}
        return self._put_session(SessionRecord.model_validate(fields | more))

    def _put_session(self, session: SessionRecord) -> SessionRecord:
        self.sessions[session.session_id] = session
        return session

    def _session(self, session_id: str) -> SessionRecord:
        if session_id not in self.sessions:
            raise ServiceError("session_unknown", f"no session is called {session_id!r}", "see list_sessions")
        return self.sessions[session_id]


@asynccontextmanager
async def fake_service() -> AsyncGenerator[FakeService]:
    """Ends with every child that it started."""
    with TemporaryDirectory() as folder:
        async with anyio.create_task_group() as tasks:
            service = FakeService(tasks, Path(folder))
            try:
                yield service
            finally:
                for live in service.runs.values():
                    if live.process is not None and live.process.returncode is None:
                        os.killpg(live.process.pid, signal.SIGKILL)
