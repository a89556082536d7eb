"""Changes of a folder of this machine that wait for a decision: `get_changes`, `apply_changes`."""

from collections.abc import Sequence
from typing import Annotated, Any

from mcp.server.mcpserver import Elicit, ElicitationResult, Resolve
from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from hutch_mcp_tools.answer_bounds import DEFAULT_OUTPUT, OutputChars
from hutch_mcp_tools.change_records import AppliedRecord, ApplyRequest, ChangesRequest
from hutch_mcp_tools.change_text import changes_text
from hutch_mcp_tools.service import SandboxService, ServiceError
from hutch_mcp_tools.text import one_line
from hutch_mcp_tools.tool import LONG_ANSWERS, READS, WRITES, tool

_SHOWN = 20  # paths in the question
_ALL = 100_000  # that it counts
_APPLIED = 200  # paths in an answer

Id = Annotated[str, Field(description="The id of the run or session whose workspace was under review.")]
Paths = Annotated[Sequence[str], Field(description="Only these files, or folders with all in them.")]
Skip = Annotated[Sequence[str], Field(description="Leave these out.")]
Executable = Annotated[
    bool, Field(description="Also hooks, editor tasks, agent settings, CI: what this machine would run.")
]


class Agreement(BaseModel):
    """What the person is asked."""

    apply: bool = Field(description="Make these changes in the real folder?")


class ChangeTools:
    """Applying asks the person where the client can; else the owner's configuration decides."""

    def __init__(self, service: SandboxService) -> None:
        self._service = service

    def tools(self) -> list[Tool]:
        service = self._service

        async def ask(
            ctx: Context[Any, Any],
            review: str,
            paths: Sequence[str] = (),
            skip: Sequence[str] = (),
            include_executable: bool = False,  # noqa: FBT001, FBT002 - the tool's own parameter, by name
        ) -> Elicit[Agreement] | Agreement:
            if not _can_ask(ctx) or await _is_attempt(service, review):
                return Agreement(apply=False)
            question = await _question(service, review, paths, skip, include_executable=include_executable)
            return Elicit(question, Agreement)

        async def apply_changes(
            *,
            review: Id,
            paths: Paths = (),
            skip: Skip = (),
            include_executable: Executable = False,
            agreement: Annotated[ElicitationResult[Agreement], Resolve(ask)],
        ) -> Annotated[CallToolResult, AppliedRecord]:
            """Make the changes of a run or session in the real folder: all of them, or none.

            The person is asked where the client can; otherwise the owner of this machine has to allow it. A
            file that changed in the real folder meanwhile is a conflict, and nothing is applied then. Of an
            attempt (start_agent with forks): makes it its volume's next state, all of it.
            """
            if await _is_attempt(service, review):
                return await _kept(service, review, whole=not paths and not skip)
            answer = getattr(agreement, "data", None)
            is_agreed = isinstance(answer, Agreement) and answer.apply
            if agreement.action != "accept":
                raise ServiceError(
                    "apply_denied", "the person did not agree", "leave the changes as they are"
                )
            request = ApplyRequest(
                id=review,
                paths=list(paths),
                skip=list(skip),
                include_executable=include_executable,
                agreed=is_agreed,
            )
            return _applied(await service.apply_changes(request))

        return [
            tool(self.get_changes, "Get changes", READS, LONG_ANSWERS, structured=False),
            tool(apply_changes, "Apply changes", WRITES, structured=True),
        ]

    async def get_changes(
        self,
        *,
        review: Id,
        path: Annotated[str, Field(description="Only this file, or what is in this folder.")] = "",
        offset: Annotated[int, Field(ge=0)] = 0,
        max_output: Annotated[OutputChars, Field(description="Characters of the answer.")] = DEFAULT_OUTPUT,
    ) -> str:
        """What a run or session changed in a workspace under review: a list (A, M, D), then the lines.

        The real folder is as it was until somebody applies this.
        """
        request = ChangesRequest(id=review, path=path, offset=offset)
        return changes_text(await self._service.get_changes(request), request, max_output)


async def _is_attempt(service: SandboxService, review: str) -> bool:
    """Whether it is an attempt of a group, without a folder of this machine: its volume is what changed."""
    try:
        session = await service.get_session(review)
    except ServiceError:  # a run, or nothing at all, which is told where its changes are asked for
        return False
    return session.group_id is not None and not (await service.get_group(session.group_id)).workspace


async def _kept(service: SandboxService, review: str, *, whole: bool) -> CallToolResult:
    """Nobody has to be asked: the caller may write this volume, and its history undoes it."""
    if not whole:
        raise ServiceError("arguments_invalid", "an attempt is kept as a whole", "leave out paths and skip")
    kept = await service.keep_attempt(review)
    where = f"volume {kept.volume} at snapshot {kept.snapshot}"
    done = AppliedRecord(review=review, folder=where, applied=[], count=kept.changes, waiting=0)
    return _applied(done)


def _can_ask(ctx: Context[Any, Any]) -> bool:
    capabilities = ctx.client_capabilities
    elicitation = capabilities.elicitation if capabilities else None
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


async def _question(
    service: SandboxService,
    review: str,
    paths: Sequence[str],
    skip: Sequence[str],
    *,
    include_executable: bool,
) -> str:
    found = await service.get_changes(ChangesRequest(id=review, patch=False, limit=_ALL))
    wanted = [
        change
        for change in found.changes
        if (not paths or _is_in(change.path, paths)) and not _is_in(change.path, skip)
    ]
    lines = [f"{change.kind} {one_line(change.path, 200)}" for change in wanted[:_SHOWN]]
    if len(wanted) > _SHOWN:
        lines.append(f"and {len(wanted) - _SHOWN} more")
    if found.next is not None:
        lines.append("and others, which are too many to be counted")
    runs = [one_line(change.path, 200) for change in wanted if change.called_out]
    if include_executable and runs:
        more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
        lines.append(f"This machine would run, or obey: {', '.join(runs[:_SHOWN])}{more}")
    return f"Apply {len(wanted)} changes of {review} to {found.folder}?\n" + "\n".join(lines)


def _is_in(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder.rstrip('/')}/") for folder in folders)


def _applied(done: AppliedRecord) -> CallToolResult:
    lines = [f"applied {done.count} changes to {done.folder}; {done.waiting} wait", *done.applied[:_APPLIED]]
    if done.count > _APPLIED:
        lines.append(f"and {done.count - _APPLIED} more")
    return CallToolResult(
        content=[TextContent(type="text", text="\n".join(one_line(line, 1024) for line in lines))],
        structured_content=done.model_copy(update={"applied": done.applied[:_APPLIED]}).model_dump(
            mode="json"
        ),
    )
