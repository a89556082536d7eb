"""Sessions, of agents and of kept sandboxes: `get_session`, `list_sessions`, `stop_session`."""

from typing import Annotated, Any

from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, TextContent
from pydantic import Field

from hutch_mcp_tools.answer_bounds import WaitS
from hutch_mcp_tools.group_records import GroupRecord
from hutch_mcp_tools.group_text import FILES, group_session, group_text
from hutch_mcp_tools.progress import Pace, Progress
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.session_records import SessionPage, SessionRecord, SessionStatus
from hutch_mcp_tools.session_text import ROW_CHARS, row, session_line, session_text, shown
from hutch_mcp_tools.text import one_line
from hutch_mcp_tools.tool import ALWAYS_LOADED, ENDS, READS, tool
from hutch_mcp_tools.wire import document

SessionId = Annotated[
    str, Field(description="As answered before, a unique beginning of it, or the session's name.")
]
SessionAnswer = Annotated[CallToolResult, SessionRecord]


def session_answer(session: SessionRecord) -> CallToolResult:
    """Text and record say the same, since a client may show a model only one of the two."""
    record = shown(session)
    return CallToolResult(
        content=[TextContent(type="text", text=session_text(record))],
        structured_content=document(record),
    )


def group_answer(group: GroupRecord) -> CallToolResult:
    """A group is answered as a session with attempts."""
    return CallToolResult(
        content=[TextContent(type="text", text=group_text(group))],
        structured_content=document(group_session(group)),
    )


class SessionTools:
    """What agents and kept sandboxes have in common."""

    def __init__(self, service: SandboxService, pace: Pace) -> None:
        self._service = service
        self._pace = pace

    def tools(self) -> list[Tool]:
        return [
            tool(self.get_session, "Get session", READS, structured=True),
            tool(self.list_sessions, "List sessions", READS, ALWAYS_LOADED, structured=True),
            tool(self.stop_session, "Stop session", ENDS, structured=True),
        ]

    async def get_session(
        self,
        ctx: Context[Any, Any],
        *,
        session_id: SessionId,
        wait_s: Annotated[WaitS, Field(description="Wait so long for the turn to end.")] = 0.0,
    ) -> SessionAnswer:
        """How an agent or a kept sandbox is doing: status, last message, turns, tokens, cost, newest run.

        The log of its newest run: get_run(run_id=…). Of a group: each attempt, and what it changed.
        """
        progress = Progress(ctx, self._pace, notes_only=True)
        if is_group(session_id):
            return group_answer(await progress.during(lambda _: self._group(session_id, wait_s)))
        return session_answer(
            await progress.during(lambda events: self._service.get_session(session_id, wait_s, events))
        )

    async def _group(self, group_id: str, wait_s: float) -> GroupRecord:
        group = await self._service.get_group(group_id, wait_s)
        if group.is_at_work:
            return group
        attempts = await self._service.compare_attempts([group_id], FILES)
        return group.model_copy(update={"attempts": attempts})

    async def list_sessions(
        self,
        *,
        status: SessionStatus | None = None,
        limit: Annotated[int, Field(ge=1, le=100)] = 20,
        cursor: Annotated[str, Field(description="As the page before answered it.")] = "",
    ) -> Annotated[CallToolResult, SessionPage]:
        """Agents and kept sandboxes, last at work first: what each is doing, its volume, tokens and cost."""
        page = await self._service.list_sessions(status, limit, cursor or None)
        rows = [row(session) for session in page.sessions]
        lines = [f"{session_line(each)}{_last_words(each)}" for each in rows] or ["no sessions"]
        if page.cursor:
            lines.append(f'more: list_sessions(cursor="{page.cursor}")')
        record = SessionPage(sessions=rows, cursor=page.cursor)
        return CallToolResult(
            content=[TextContent(type="text", text="\n".join(lines))],
            structured_content=document(record),
        )

    async def stop_session(
        self,
        *,
        session_id: SessionId,
        remove: Annotated[bool, Field(description="Forget the session too. Its volume stays.")] = False,
    ) -> SessionAnswer:
        """End an agent's turn with all it left running, or a kept sandbox. Volume and log stay.

        Of a group: every attempt; remove takes their volumes too, not what was kept of them.
        """
        if is_group(session_id):
            group = await self._service.stop_group(session_id)
            if remove:
                await self._service.discard_group(session_id)
            return group_answer(group)
        return session_answer(await self._service.stop_session(session_id, remove=remove))


def is_group(text: str) -> bool:
    """Whether an id is a group's, and no session's."""
    return text.startswith("g-")


def _last_words(session: SessionRecord) -> str:
    return f'\n    "{one_line(session.last_message, ROW_CHARS)}"' if session.last_message else ""
