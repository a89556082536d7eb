"""Commands in a sandbox: `run_in_sandbox`, `get_run`, `stop_run`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import anyio
from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.tools import Tool
from pydantic import Field

from hutch_mcp_tools.answer_bounds import DEFAULT_OUTPUT, DEFAULT_WAIT_S, OutputChars, WaitS
from hutch_mcp_tools.progress import Pace, Progress
from hutch_mcp_tools.run_records import RunLimits, RunRequest
from hutch_mcp_tools.run_text import STREAMS, first_line, page_answer, search_answer, whole_answer
from hutch_mcp_tools.service import SandboxService, ServiceError
from hutch_mcp_tools.tool import ALWAYS_LOADED, ENDS, LONG_ANSWERS, READS, STARTS, tool

_STOP_GRACE_S = 2.0  # of a run whose caller has gone
_STOP_WAIT_S = 5.0  # what a cancelled call may still take

RunId = Annotated[str, Field(description="As answered before; a unique beginning is enough.")]
MaxOutput = Annotated[OutputChars, Field(description="Characters of output in the answer.")]
Command = Annotated[
    str | list[str],
    Field(description="A line for the sandbox's shell, or a list of words that is run as it is."),
]
KeptSandbox = Annotated[
    str,
    Field(description='"new": keep this sandbox; its id, as answered: run in it again. Empty: thrown away.'),
]
Mounts = Annotated[
    Sequence[str],
    Field(
        description='Files that last, as "name:/path" or "name:/path:ro"; made when missing. '
        '"name@12:/path:ro": at a snapshot. "new=name@12:/path": a new volume that begins there.'
    ),
]
Workspace = Annotated[
    str,
    Field(
        description='"DIR", a folder of this machine that its owner allows, as /workspace, to read. '
        '"DIR:review": what is written waits for apply_changes. "DIR:rw": it is there at once. '
        '"DIR:worktree": it becomes a git branch.'
    ),
]
Method = Annotated[str, Field(description="How to isolate, by its configured name. Empty: the default.")]
Image = Annotated[
    str,
    Field(description="An image that the owner allows, as NAME:TAG. Empty: this machine's programs."),
]
Tier = Annotated[
    str,
    Field(
        description='A named policy: "review", "workspace", "offline", "online". Empty: the owner\'s default.'
    ),
]
Environment = Annotated[
    Mapping[str, str], Field(description="Variables; no secrets, since the command can read them.")
]
NO_VARIABLES: Mapping[str, str] = {}
Network = Annotated[
    str,
    Field(
        description='"none", or configured networks by name, with commas, and last "allow:HOST[:PORT]" '
        "where that is granted."
    ),
]
Secrets = Annotated[
    Sequence[str],
    Field(
        description="Secrets that the owner grants, by name: a variable inside holds a placeholder, which "
        "becomes the secret on its way to its own hosts."
    ),
]
TimeoutS = Annotated[
    float | None,
    Field(
        gt=0, le=86_400, description="When the run is ended, in seconds; by default the owner's, often 120."
    ),
]
Limits = Annotated[
    RunLimits,
    Field(description="Other limits than the owner's defaults, up to his bounds."),
]
DEFAULT_LIMITS = RunLimits()
RunWaitS = Annotated[WaitS, Field(description="When the answer comes at the latest, as status=running.")]
EndWaitS = Annotated[WaitS, Field(description="Wait so long for its end.")]
Cursor = Annotated[
    int | None, Field(ge=0, description="Show one stream from this byte on, with nothing left out.")
]
Grep = Annotated[
    str,
    Field(
        max_length=200, description='Only lines with this text, or with any of "a|b|c". No pattern language.'
    ),
]


class RunTools:
    """The daemon owns every run; a call only waits on one."""

    def __init__(self, service: SandboxService, pace: Pace) -> None:
        self._service = service
        self._pace = pace

    def tools(self) -> list[Tool]:
        wide = ALWAYS_LOADED | LONG_ANSWERS
        return [
            tool(self.run_in_sandbox, "Run in sandbox", STARTS, wide, structured=False),
            tool(self.get_run, "Get run", READS, wide, structured=False),
            tool(self.stop_run, "Stop run", ENDS, structured=False),
        ]

    async def run_in_sandbox(
        self,
        ctx: Context[Any, Any],
        *,
        command: Command,
        session_id: KeptSandbox = "",
        volumes: Mounts = (),
        workspace: Workspace = "",
        method: Method = "",
        image: Image = "",
        tier: Tier = "",
        cwd: str = "",
        env: Environment = NO_VARIABLES,
        stdin: str = "",
        network: Network = "",
        secrets: Secrets = (),
        timeout_s: TimeoutS = None,
        limits: Limits = DEFAULT_LIMITS,
        wait_s: RunWaitS = DEFAULT_WAIT_S,
        max_output: MaxOutput = DEFAULT_OUTPUT,
    ) -> str:
        """Run a command in an isolated sandbox, out of reach of this machine's files, processes and network.

        The answer's first line is the outcome (a non-zero exit code is a result, not an error); stdout and
        stderr follow, long output by its beginning and end. A command that takes longer than wait_s goes on:
        poll it with get_run, which also reads the rest of the output. Only volumes outlive a throw-away one.
        """
        request = RunRequest(
            command=command,
            session_id=session_id or None,
            volumes=list(volumes),
            workspace=workspace or None,
            method=method or None,
            image=image or None,
            tier=tier or None,
            cwd=cwd or None,
            env=dict(env),
            stdin=stdin.encode(),
            network=network or None,
            secrets=list(secrets),
            timeout_s=timeout_s,
            detach=wait_s == 0 and not session_id,  # nobody waits for it
            **limits.model_dump(exclude_none=True),
        )
        progress = Progress(ctx, self._pace)
        try:
            run = await progress.during(lambda events: self._service.run(request, wait_s, events))
        except anyio.get_cancelled_exc_class():
            if request.session_id is None and progress.run_id is not None:
                with anyio.move_on_after(_STOP_WAIT_S, shield=True):
                    await self._service.stop_run(progress.run_id, _STOP_GRACE_S)
            raise
        return await whole_answer(self._service, run, max_output)

    async def get_run(
        self,
        ctx: Context[Any, Any],
        *,
        run_id: RunId,
        wait_s: EndWaitS = 0.0,
        stream: Literal["both", "stdout", "stderr"] = "both",
        cursor: Cursor = None,
        grep: Grep = "",
        max_output: MaxOutput = DEFAULT_OUTPUT,
    ) -> str:
        """Wait for a run, read the rest of its output, or search it; also when it has ended.

        Plainly asked, it answers as run_in_sandbox does; with a stream and a cursor, by a page of that
        stream, which names the next page.
        """
        if cursor is not None and stream == "both":
            raise ServiceError(
                "arguments_invalid", "a cursor needs a stream", 'add stream="stdout" or "stderr"'
            )
        progress = Progress(ctx, self._pace)
        run = await progress.during(lambda events: self._service.get_run(run_id, wait_s, events))
        if grep:
            streams = STREAMS if stream == "both" else (stream,)
            return await search_answer(self._service, run, streams, grep, cursor or 0, max_output)
        if stream == "both":
            return await whole_answer(self._service, run, max_output)
        return await page_answer(self._service, run, stream, cursor or 0, max_output)

    async def stop_run(self, *, run_id: RunId) -> str:
        """End a run: its command is asked to end, and killed after 5 s. Output and volumes are kept."""
        return first_line(await self._service.stop_run(run_id))
