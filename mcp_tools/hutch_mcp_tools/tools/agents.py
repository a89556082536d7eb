"""Coding agents in a sandbox of their own: `start_agent`, `send_to_agent`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from mcp.server.mcpserver.context import Context
from mcp.server.mcpserver.tools import Tool
from pydantic import Field, JsonValue

from hutch_mcp_tools.agent_records import AgentRequest, McpServerSpec, TurnBounds
from hutch_mcp_tools.answer_bounds import WaitS
from hutch_mcp_tools.group_records import MOST_FORKS, Forks, GroupRecord
from hutch_mcp_tools.progress import Pace, Progress
from hutch_mcp_tools.service import SandboxService, ServiceError
from hutch_mcp_tools.tool import ALWAYS_LOADED, STARTS, tool
from hutch_mcp_tools.tools.runs import Image, Secrets, Tier, Workspace
from hutch_mcp_tools.tools.sessions import SessionAnswer, SessionId, group_answer, session_answer

Agent = Annotated[str, Field(description='By its configured name, such as "claude".')]
Prompt = Annotated[
    str, Field(min_length=1, description="The whole task: the agent sees nothing else of yours.")
]
Home = Annotated[
    str,
    Field(
        description="Volume that is its /workspace; one that holds a conversation goes on with it. "
        '"new=name" or "new=name@12": a new one that begins as that one, or its snapshot.'
    ),
]
Name = Annotated[str, Field(description="To find the session by.")]
Network = Annotated[
    str,
    Field(description="Configured networks by name, with commas, in place of its own; its model is in them."),
]
Instructions = Annotated[str, Field(description="Added to its system prompt, for this turn.")]
Skills = Annotated[
    Mapping[str, Mapping[str, str]], Field(description="Skill name to its files, each path to text.")
]
Bundles = Annotated[
    Sequence[str], Field(description="Named by the owner: instructions, skills, MCP servers in one.")
]
NO_SKILLS: Mapping[str, Mapping[str, str]] = {}
Resume = Annotated[bool, Field(description="False: a new conversation though the volume holds one.")]
McpServers = Annotated[
    Mapping[str, McpServerSpec],
    Field(
        description="MCP servers for it, by name: {command, args, env} runs in its sandbox, "
        "{url, headers} must be in its network; secret:NAME in a value stands for a secret."
    ),
]
UsesHutch = Annotated[
    bool,
    Field(description="It may run commands in further sandboxes: never wider than its own, on its budget."),
]
NO_SERVERS: Mapping[str, McpServerSpec] = {}
OutputSchema = Annotated[
    Mapping[str, JsonValue] | None, Field(description="JSON Schema of its result, which is checked.")
]
MaxTurns = Annotated[int | None, Field(gt=0, le=10_000, description="Answers of its model.")]
MaxMinutes = Annotated[float | None, Field(gt=0, le=1440)]
Retries = Annotated[int | None, Field(ge=0, le=100, description="After an overload of its model.")]
BudgetUsd = Annotated[float | None, Field(gt=0, description="It ends when it has spent so much on models.")]
BudgetTokens = Annotated[int | None, Field(gt=0)]
ForkCount = Annotated[
    int | None,
    Field(
        ge=2,
        le=MOST_FORKS,
        description="Attempt it so often at once, each in its own fork of the volume; `model` may be several "
        "then, with commas.",
    ),
]
Variants = Annotated[
    Sequence[str], Field(description="With forks: added to the prompt of the first attempt, the next, …")
]
GroupBudgetUsd = Annotated[
    float | None, Field(gt=0, description="With forks: all of them end when they have spent it together.")
]
TurnWaitS = Annotated[WaitS, Field(description="Wait so long for the turn to end; 0 answers at once.")]


class AgentTools:
    """A turn is a run of the daemon's: no call ends one by going away."""

    def __init__(self, service: SandboxService, pace: Pace) -> None:
        self._service = service
        self._pace = pace

    def tools(self) -> list[Tool]:
        return [
            tool(self.start_agent, "Start agent", STARTS, ALWAYS_LOADED, structured=True),
            tool(self.send_to_agent, "Send to agent", STARTS, structured=True),
        ]

    async def start_agent(
        self,
        ctx: Context[Any, Any],
        *,
        agent: Agent,
        prompt: Prompt,
        volume: Home = "",
        workspace: Workspace = "",
        name: Name = "",
        model: str = "",
        forks: ForkCount = None,
        variants: Variants = (),
        group_budget_usd: GroupBudgetUsd = None,
        group_budget_tokens: BudgetTokens = None,
        method: str = "",
        image: Image = "",
        tier: Tier = "",
        network: Network = "",
        secrets: Secrets = (),
        instructions: Instructions = "",
        skills: Skills = NO_SKILLS,
        bundles: Bundles = (),
        mcp_servers: McpServers = NO_SERVERS,
        hutch: UsesHutch = False,
        output_schema: OutputSchema = None,
        resume: Resume = True,
        max_turns: MaxTurns = None,
        max_minutes: MaxMinutes = None,
        retries: Retries = None,
        budget_usd: BudgetUsd = None,
        budget_tokens: BudgetTokens = None,
        wait_s: TurnWaitS = 0.0,
    ) -> SessionAnswer:
        """Start a coding agent on a task, unattended, in a sandbox of its own; answers with a session id.

        It never asks for permission, and reaches nothing but its volume and its model. Its files and its
        conversation stay in the volume. Follow it with get_session(session_id, wait_s=45), go on with
        send_to_agent, read its work with read_volume, end it with stop_session. With forks it answers with
        a group, which get_session and stop_session take too; apply_changes makes one attempt the volume's
        next state.
        """
        models = model.split(",") if forks else []
        request = AgentRequest(
            agent=agent,
            prompt=prompt,
            volume=volume or None,
            workspace=workspace or None,
            name=name or None,
            model=None if forks else model or None,
            method=method or None,
            image=image or None,
            tier=tier or None,
            network=network or None,
            secrets=list(secrets),
            instructions=instructions or None,
            skills=skills,
            bundles=list(bundles),
            mcp_servers=dict(mcp_servers),
            hutch=hutch,
            output_schema=None if output_schema is None else dict(output_schema),
            max_turns=max_turns,
            resume=resume,
            max_minutes=max_minutes,
            retries=retries,
            budget_usd=budget_usd,
            budget_tokens=budget_tokens,
        )
        progress = Progress(ctx, self._pace, notes_only=True)
        if forks is not None:
            wanted = Forks(
                count=forks,
                models=[each for each in models if each],
                variants=list(variants),
                budget_usd=group_budget_usd,
                budget_tokens=group_budget_tokens,
            )
            return group_answer(await progress.during(lambda _: self._forked(request, wanted, wait_s)))
        for given, what in (
            (variants, "variants"),
            (group_budget_usd or group_budget_tokens, "group budgets"),
        ):
            if given:
                raise ServiceError(
                    "arguments_invalid", f"{what} are of several attempts", "say how many: forks"
                )
        session = await progress.during(lambda events: self._service.start_agent(request, wait_s, events))
        return session_answer(session)

    async def _forked(self, request: AgentRequest, forks: Forks, wait_s: float) -> GroupRecord:
        group = await self._service.start_forks(request, forks)
        return await self._service.get_group(group.group_id, wait_s) if wait_s else group

    async def send_to_agent(
        self,
        ctx: Context[Any, Any],
        *,
        session_id: SessionId,
        message: Annotated[str, Field(min_length=1)],
        output_schema: OutputSchema = None,
        max_turns: MaxTurns = None,
        max_minutes: MaxMinutes = None,
        retries: Retries = None,
        budget_usd: BudgetUsd = None,
        budget_tokens: BudgetTokens = None,
        wait_s: TurnWaitS = 0.0,
    ) -> SessionAnswer:
        """Give an agent its next message; it remembers the conversation. Its turn before must have ended."""
        bounds = TurnBounds(
            max_minutes=max_minutes,
            retries=retries,
            max_turns=max_turns,
            output_schema=None if output_schema is None else dict(output_schema),
            budget_usd=budget_usd,
            budget_tokens=budget_tokens,
        )
        progress = Progress(ctx, self._pace, notes_only=True)
        session = await progress.during(
            lambda events: self._service.send_to_agent(session_id, message, wait_s, events, bounds)
        )
        return session_answer(session)
